"""The command line: a mistake is one line and status 2, an end that was asked for is 130."""

import hashlib
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from madlib.__main__ import main
from madlib.book import build, figures

FORMATS = ("json", "pdf", "svg", "png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "--regime", "FreshDate", "--n-s", "9"], "regime must be one of"),
        (["simulate", "--regime", "FullySynthetic", "--n-s", "9", "--lam", "1.5"], "lam"),
        (["simulate", "--regime", "FullySynthetic"], "FullySynthetic takes n_s"),
        (
            ["simulate", "--regime", "FreshData", "--n-r", "1", "--n-s", "9", "--memory", "2"],
            "takes",
        ),
        (["simulate", "--regime", "FullySynthetic", "--n-s", "9", "--seed", str(2**32)], "seed"),
        (["simulate", "--regime", "FullySynthetic", "--n-s", "1.5"], "whole number, such as"),
        (["simulate", "--regime", "FullySynthetic", "--n-s", "9", "--dim", "x"], "'--dim'"),
        (["simulate", "--reg", "FullySynthetic", "--n-s", "9"], "No such option"),
        (
            ["simulate", "--regime", "FullySynthetic", "--n-s", "9", "--set", "breadth", "3"],
            "settings are ddof, dim, exact; got breadth",
        ),
        (
            ["simulate", "--regime", "FullySynthetic", "--n-s", "9", "--target", "no.npy"],
            "must come from a file",
        ),
        (
            ["simulate", "--regime", "FullySynthetic", "--n-s", "9", "--generator", "g"],
            "must be one",
        ),
        (["simulate"], "Missing option '--regime'"),
        (["run", "99_nowhere"], "chapter must be one of"),
        (["run", "../madlib"], "chapter must be one of"),
        (["run", "../nowhere.ipynb"], "chapter must be a notebook"),
        (["run", "05_fresh_data", "-p", "n_r", "[1"], "n_r must be a whole number; got '[1'"),
        (["run", "05_fresh_data", "-p", "n_z", "1"], "the parameters of this chapter are seed"),
        (["book", "--jobs", "0"], "'--jobs'"),
        (["book", "--preset", "../../evil"], "preset must be one of paper, smoke; got"),
        (["book", "--output", "/dev/null/x"], "must be a folder that can be written"),
        (["figinfo", "fig-nowhere"], "a figure is named by its label"),
        (["figinfo", str(ROOT / "README.md")], "a figure is named by its label"),
        (["bake"], "No such command 'bake'"),
        ([], "Missing command"),
    ],
)
def test_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out
    assert message in said.err
    assert said.err.startswith("madlib: ") and said.err.count("\n") == 1, said.err


def test_help_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--help"]) == 0
    assert "--regime" in capsys.readouterr().out


def test_simulate_prints_quantiles(madlib) -> None:
    done = madlib(
        *("simulate", "--regime", "FreshData", "--n-r", 20, "--n-s", "8e12", "--dim", 2),
        *("--n-generations", 4, "--n-replicates", 50),
    )
    assert done.returncode == 0, done.stderr
    header, *rows = [line.split(",") for line in done.stdout.splitlines()]
    assert header[0] == "generation" and "wasserstein2_squared_q50" in header
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    low, middle, high = (float(value) for value in rows[-1][1:4])
    assert 0 < low < middle < high


def test_simulate_takes_both_spellings(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--n-r", "10", "--n-s", "10", "--n-generations", "3", "--n-replicates", "4"]
    tables = []
    for regime in (["FreshData"], ["fresh_data"], ["LongMemory", "--memory", "2"]):
        assert main(["simulate", "--regime", *regime, *sizes]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] != tables[2]


def test_a_reader_who_has_seen_enough_gets_no_traceback() -> None:
    command = f"{sys.executable} -m madlib claims | head -n 1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1 and not done.stderr


def test_claims_prints_the_ledger(madlib) -> None:
    done = madlib("claims")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 25


def test_a_full_disk_is_one_line(madlib) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "madlib", "claims"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("madlib: ") and done.stderr.count("\n") == 1, done.stderr


def test_the_command_does_without_the_packages_of_the_book(tmp_path) -> None:
    """In a Python where they cannot be imported, `simulate` works and the others name the extra."""
    program = """
import sys
for name in ("pydantic", "yaml", "jsonschema", "papermill", "nbformat", "matplotlib", "sphinx"):
    sys.modules[name] = None
from madlib.__main__ import main
sizes = "--n-s 9 --n-generations 2 --n-replicates 2".split()
assert main(["simulate", "--regime", "FullySynthetic", *sizes]) == 0
assert main(["run", "05_fresh_data"]) == main(["book"]) == main(["claims"]) == 1
assert main(["figinfo", "fig-x"]) == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith("madlib: this needs the packages of the book; got no ")
        assert line.endswith("Install it: pip install 'madlib[book]'.")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_end_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def kill(*_, **__) -> None:
        signal.raise_signal(number)
        pytest.fail("went on")

    monkeypatch.setattr(build, "build", kill)
    before = signal.getsignal(number)
    assert main(["book"]) == 130
    assert signal.getsignal(number) is before
    said = capsys.readouterr().err
    assert said.startswith("madlib: interrupted") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("generator", "name", "needs"),
    [
        ("gaussian", "mine.npy", []),
        ("mixture", "mine.csv", ["--set", "n_components", "2"]),
        ("kernel_density", "mine.npy", []),
        ("trigram", "mine.txt", ["--set", "length", "16"]),
    ],
)
def test_own_file_in_the_loop(tmp_path, capsys, generator, name, needs) -> None:
    """Columns of other units count alike, and later generations drift from the held-out part."""
    points = np.random.default_rng(0).normal(size=(600, 2)) * [3, 80] + [1e6, 0]
    np.save(tmp_path / "mine.npy", points)
    np.savetxt(tmp_path / "mine.csv", points, delimiter=",")
    spanish = (
        "La compañía mandó al niño por café. " * 40 + "¿Qué? " * 100 + "\r\nAño 🎉. " * 20 + "~"
    )
    (tmp_path / "mine.txt").write_text(spanish)
    arguments = ["simulate", "--target", str(tmp_path / name), "--generator", generator, *needs]
    sizes = ["--n-ini", "40", "--n-s", "20", "--n-generations", "4", "--n-replicates", "50"]
    out = tmp_path / "out"
    assert main([*arguments, "--regime", "fully_synthetic", *sizes, "--out", str(out)]) == 0
    table = pd.read_csv(out / "simulate.csv")
    said = capsys.readouterr()
    assert (out / "simulate.csv").read_text() == said.out
    dropped = re.search(r"0\.0\d% of the characters are not in its alphabet", said.err)
    assert bool(dropped) == (name == "mine.txt")
    assert (out / "figures" / "fig-simulate.pdf").is_file()
    assert table.generation.tolist() == [1, 2, 3, 4] and not table.isna().any(axis=None)
    score = {"gaussian": "wasserstein2_squared", "trigram": "bits_per_symbol"}
    middle = table[score.get(generator, "frechet_distance") + "_q50"]
    assert middle.iloc[-1] > 1.1 * middle.iloc[0]
    if generator == "gaussian":
        assert abs(table.total_variance_q50[0] - 2) < 0.5


def test_own_file_runs_out_of_fresh_data(tmp_path, capsys) -> None:
    np.save(tmp_path / "mine.npy", np.arange(100.0)[:, None])
    sizes = ["--n-ini", "40", "--n-r", "20", "--n-s", "20", "--n-generations"]
    arguments = ["simulate", "--target", str(tmp_path / "mine.npy"), "--regime", "fresh_data"]
    assert main([*arguments, *sizes, "3", "--n-replicates", "2"]) == 0
    capsys.readouterr()
    assert main([*arguments, *sizes, "4"]) == 2
    assert (
        "no example is dealt twice, so there are 13 for this draw: with" in capsys.readouterr().err
    )


def test_compiled_programs_are_kept_and_give_the_same_bytes(madlib, tmp_path) -> None:
    """Also where they are damaged, or where none can be written."""
    arguments = ("simulate", "--regime", "FreshData", "--n-r", 10, "--n-s", 10)
    here = {"JAX_ENABLE_COMPILATION_CACHE": "true", "XDG_CACHE_HOME": str(tmp_path)}
    fresh = madlib(*arguments, JAX_ENABLE_COMPILATION_CACHE="false")
    assert not fresh.returncode and fresh.stdout.count("\n") == 51
    first = madlib(*arguments, **here)
    kept = {path: path.read_bytes() for path in tmp_path.glob("madlib/*/*-cache")}
    assert kept
    again = madlib(*arguments, **here)
    for path, content in kept.items():
        assert path.read_bytes() == content
        path.write_bytes(content[:100])
    damaged = madlib(*arguments, **here)
    nowhere = madlib(*arguments, **here | {"XDG_CACHE_HOME": "/dev/null"})
    for done in (first, again, damaged, nowhere):
        assert (done.returncode, done.stdout, done.stderr) == (0, fresh.stdout, "")


def test_a_hangup_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "build", lambda *_, **__: signal.raise_signal(signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert main(["book"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_figinfo_tells_how_a_figure_came_about(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From its label, and from each file by itself, wherever it was taken."""
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path))
    fig, ax = figures.subplots()
    ax.plot([1, 2], [3, 4])
    caption = r"Words (in {n_s} \(x\)), an é and a \\ ."
    table = pd.DataFrame({"x": [1, 2]})
    figures.save(fig, "fig-test", caption=caption, data=table, parameters={"n_s": 7})
    folder = tmp_path / "figures"
    told = []
    for source in ("fig-test", *(folder / f"fig-test.{kind}" for kind in FORMATS)):
        assert main(["figinfo", str(source)]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert all(record == told[0] for record in told)
    assert told[0]["label"] == "fig-test" and told[0]["parameters"] == {"n_s": 7}
    assert told[0]["caption"] == caption.replace("{n_s}", "7")
    assert told[0]["sha256"] == hashlib.sha256((folder / "fig-test.csv").read_bytes()).hexdigest()
    assert "jax" in told[0]["versions"]
