"""Results land where they should, whole or not at all."""

import os

import pytest

from madlib.book.results import results_dir, write_result
from madlib.errors import ParameterError


def test_results_dir_follows_the_environment_or_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path / "here"))
    assert results_dir() == tmp_path / "here"
    monkeypatch.setenv("MADLIB_RESULTS", "")
    monkeypatch.chdir(tmp_path)
    assert results_dir() == tmp_path / "_build" / "madlib"
    monkeypatch.setenv("MADLIB_RESULTS", "relative")
    assert results_dir() == tmp_path / "relative"


def test_results_are_written_whole(monkeypatch, tmp_path):
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path))
    path = write_result("figures/a.csv", b"1")
    write_result("figures/a.csv", b"22")
    assert path.read_bytes() == b"22"
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask, "others may read it, as any file"
    assert [file.name for file in (tmp_path / "figures").iterdir()] == ["a.csv"]


def test_an_unwritable_results_folder_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path / "file"))
    with pytest.raises(ParameterError, match=r"must be writable; got .*Set MADLIB_RESULTS"):
        write_result("figures/a.csv", b"1")
