"""Files of points: the same numbers from each kind, and one line for each that cannot be read."""

import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest

from madlib import ParameterError, targets
from madlib.errors import Unavailable

POINTS = np.round(np.random.default_rng(0).normal(size=(20, 3)), 3)


def write(path, points=POINTS):
    match path.suffix:
        case ".npy":
            np.save(path, points)
        case ".npz":
            np.savez(path, points)
        case ".csv":
            pd.DataFrame(points).to_csv(path, index=False)
        case ".parquet":
            pd.DataFrame(points).add_prefix("x").to_parquet(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
def test_the_same_points_from_every_kind_of_file(suffix, tmp_path):
    path = tmp_path / f"mine{suffix}"
    write(path)
    target, expected = targets.empirical(path), targets.empirical(POINTS)
    assert np.array_equal(target.params.points, expected.params.points)
    assert np.array_equal(target.reference.chol, expected.reference.chol)
    assert np.array_equal(targets.empirical(str(path)).params.points, expected.params.points)


@pytest.mark.parametrize("dtype", [np.int16, np.float16, np.float32, ">f8"])
def test_numbers_of_any_kind(dtype, tmp_path):
    whole = np.arange(12).reshape(6, 2).astype(dtype)
    np.save(tmp_path / "mine.npy", np.asfortranarray(whole))
    assert np.array_equal(targets.empirical(tmp_path / "mine.npy").params.points, whole)


def test_labels_of_an_archive(tmp_path):
    np.savez(tmp_path / "mine.npz", points=POINTS, labels=np.arange(20) % 3)
    target = targets.empirical(tmp_path / "mine.npz")
    assert target.space == (3, 0, 3) and np.array_equal(target.params.label, np.arange(20) % 3)


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\n",
        "a,b\n1,2\n3,4",
        "0,1\r\n1,2\r\n3,4\r\n",  # as pandas names columns
        '\ufeff"the size","b"\n1,2\n"3",4\n',
        " 1 , 2\n3,4e0\n",
        "a;b\n1;2\n3;4\n",
        "1\t2\n3\t4\n",
        "1,0;2,0\n3,0;4,0\n",  # as spreadsheets of half of Europe
        "a;b\n1,0;2\n3;4\n",
        '"size; cm",b\n1,2\n3,4\n',
    ],
)
def test_tables_with_and_without_names(text, tmp_path):
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8", newline="")
    assert targets.empirical(tmp_path / "mine.csv").params.points.tolist() == [[1, 2], [3, 4]]


def test_vectors_in_a_column(tmp_path):
    pd.DataFrame({"features": list(POINTS)}).to_parquet(tmp_path / "mine.parquet")
    points = targets.empirical(tmp_path / "mine.parquet").params.points
    assert np.array_equal(points, np.float32(POINTS))


def missing(path):
    pass


def folder(path):
    path.mkdir()


def circle(path):
    path.symlink_to(path)


def content(text, encoding="utf-8"):
    return lambda path: path.write_text(text, encoding=encoding)


def pickled(path):
    path.write_bytes(pickle.dumps(POINTS))


def objects(path):
    np.save(path, np.array([{}, None]), allow_pickle=True)


def object_archive(path):
    np.savez(path, np.array([{}, None]), allow_pickle=True)


def announced(path):
    """A header of 10 GB on a file of 100 bytes."""
    with open(path, "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 1250)}
        np.lib.format.write_array_header_1_0(file, header)


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(10**10)


def announced_archive(path):
    with zipfile.ZipFile(path, "w") as archive, archive.open("points.npy", "w") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 1250)}
        np.lib.format.write_array_header_1_0(file, header)


def bomb(path):
    """An archive whose member unpacks to 10 GB, if its directory is to be believed."""
    announced_archive(path)
    data = bytearray(path.read_bytes())
    entry = data.rfind(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (2**32 - 2**16).to_bytes(4, "little")
    second = bytearray(data[entry : data.rfind(b"PK\x05\x06")])
    end = bytearray(data[data.rfind(b"PK\x05\x06") :])
    size = 3 * len(second)
    end[8:12] = (3).to_bytes(2, "little") * 2
    end[12:16] = size.to_bytes(4, "little")
    path.write_bytes(bytes(data[:entry]) + bytes(second) * 3 + bytes(end))


def damaged(path):
    write(path)
    path.write_bytes(path.read_bytes()[:-40])


def two_arrays(path):
    np.savez(path, a=POINTS, b=POINTS)


def array(points):
    return lambda path: write(path, points)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("x.npy", missing, "points must come from a file.*x.npy: missing"),
        ("x.npy", folder, "a folder"),
        ("x.csv", circle, "a circle of links"),
        ("x.txt", content("prose"), "must be .npy, .npz, .csv or .parquet.*targets.passages"),
        ("x.csv", content(""), "x.csv must be a readable .csv.*EmptyDataError"),
        ("x.csv", content("a,b\n"), "x.csv must be a readable .csv.*EmptyDataError"),
        ("x.csv", content("a,b\n1,2\n"), "x.csv must hold at least two rows; got 1"),
        ("x.csv", content("1,2\n3,4,5\n"), "Expected 2 fields in line 2, saw 3"),
        ("x.csv", content("a,b\n1,2\n3\n"), "got 1 of 2 values in row 3"),
        ("x.csv", content("a,b\n1,2\n\n3,4\n"), "got 0 of 2 values in row 3"),
        ("x.csv", content("1,2\n3,\n"), "got nan in row 2, column 2"),
        ("x.csv", content("1,2\n3,inf\n"), "got .*inf.* in row 2, column 2"),
        ("x.csv", content("a,b\n1,2\n3,red\n"), "x.csv must hold finite.*'red' in row 3, column 2"),
        ("x.csv", content("a,1\n1,2\n"), "got 'a' in row 1, column 1"),
        ("x.csv", content("1;2\n3;red\n5;6\n"), "'red' in row 2, column 2"),
        ("x.csv", content("a;b\n1,5;2\n3,5\n"), "got 1 of 2 values in row 3"),
        ("x.csv", content("a,b\n1,2\n3,4\n", "utf-16"), "UnicodeDecodeError.*text in UTF-8"),
        ("x.csv", content("1,2\n3,4\n", "utf-16-le"), r"x.csv must hold finite.*row"),
        ("x.csv", sparse, "x.csv must hold at most 8 GiB; got 9.31 GiB"),
        ("x.npy", sparse, "x.npy must hold at most 8 GiB; got 9.31 GiB"),
        ("x.npy", content(""), "x.npy must be a readable .npy"),
        ("x.npy", pickled, "magic string"),
        ("x.npy", objects, "Python objects in dtype"),
        ("x.npy", announced, "x.npy must be a readable .npy.*size"),
        ("x.npy", damaged, "x.npy must be a readable .npy"),
        ("x.npy", array(POINTS[:1]), "at least two rows; got 1"),
        ("x.npy", array(POINTS[:0]), "at least two rows; got 0|readable"),
        ("x.npy", array(POINTS[None]), "ValueError: Must pass 2-d input"),
        ("x.npy", array(np.where(np.eye(20, 3, -5), np.nan, 0)), "got nan in row 6, column 1"),
        ("x.npy", array(POINTS + 1j), r"got .*j\) in row 1, column 1"),
        ("x.npy", array(POINTS.astype(str)), None),
        ("x.npy", array(1e39 * POINTS), "finite in single precision"),
        ("x.npz", pickled, "BadZipFile"),
        ("x.npz", object_archive, "allow_pickle=False"),
        ("x.npz", two_arrays, "must hold one array, or points and labels; got a, b"),
        ("x.npz", announced_archive, "x.npz must be a readable .npz"),
        ("x.npz", bomb, "x.npz must hold at most 8 GiB; got 12 GiB"),
        ("x.npz", damaged, "BadZipFile"),
        ("x.parquet", damaged, "x.parquet must be a readable .parquet"),
        ("x.parquet", array(POINTS[:1]), "at least two rows; got 1"),
    ],
)
def test_bad_files_are_one_line(name, make, words, tmp_path):
    path = tmp_path / name
    make(path)
    if words is None:  # numbers written as text are numbers
        assert np.array_equal(targets.empirical(path).params.points, np.float32(POINTS))
        return
    with pytest.raises(ParameterError, match=words) as refused:
        targets.empirical(path)
    message = str(refused.value)
    assert "\n" not in message and "x." in message or "single precision" in message, message


def test_dates_and_gaps_of_a_table(tmp_path):
    path, dates = tmp_path / "mine.parquet", pd.to_datetime(["2020-01-01", "2021-01-01"])
    for column, word in [
        (dates, "2020"),
        (pd.array([1.0, None], "Float64"), "NA.* in row 2, column 1"),
        ([True, False], "True"),
        (["1", "a"], "'a' in row 2, column 1"),
    ]:
        pd.DataFrame({"x": column, "y": [1, 2]}).to_parquet(path)
        with pytest.raises(ParameterError, match=word):
            targets.empirical(path)


def test_without_pyarrow_one_line_says_what_to_install(tmp_path, monkeypatch):
    write(tmp_path / "mine.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(Unavailable, match=r"package pyarrow.*pip install madlib\[cluster\]"):
        targets.empirical(tmp_path / "mine.parquet")
