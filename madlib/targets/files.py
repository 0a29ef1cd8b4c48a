"""Examples in files of numbers, .npy, .npz, .csv and .parquet: read, or refused in one line."""

import importlib
import itertools
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from madlib.errors import MadlibError, ParameterError, Unavailable, require

MAX_BYTES = 2**33  # of a file, and of the arrays that it announces: 200,000 x 4,096 in float64.


def read_points(path: str | os.PathLike) -> tuple[NDArray, NDArray | None]:
    """Points [n, d] and, of an .npz file that has them, labels [n]. Nothing is unpickled.

    Raises:
        ParameterError: for a file that is not there, not of these kinds, larger than 8 GiB or
            damaged; for text, gaps or infinity in it, by row and column; for fewer than two rows.
        Unavailable: for a .parquet file without pyarrow.
    """
    path = Path(path)
    read = _READERS.get(path.suffix.lower())
    remedy = "Text is for targets.passages."
    require(read, "a file of points must be .npy, .npz, .csv or .parquet", path, remedy)
    received = f"{path}: missing, a folder, or a circle of links"
    require(path.is_file(), "points must come from a file", received, "Check the path.")
    try:
        _check_size(path, path.stat().st_size)
        return _checked(path, *read(path))  # pyright: ignore[reportOptionalCall]
    except MadlibError:
        raise
    except Exception as error:  # of NumPy, pandas, pyarrow and zipfile
        raise ParameterError(
            f"{path.name} must be a readable {path.suffix} file of numbers; got {describe(error)}. "
            "Write it again, text in UTF-8 and arrays without Python objects."
        ) from None


def package(name: str, extra: str) -> Any:
    """A package outside the core, or one of its modules; Unavailable where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Unavailable(
            f"this target needs the package {name.partition('.')[0]}; got an installation without. "
            f"Run pip install madlib[{extra}]."
        ) from None


def describe(error: Exception) -> str:
    """An error of another package in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def _read_npy(path: Path) -> tuple[Any, int, Any]:
    # Mapped: what a header announces and the file does not hold is never allocated.
    return np.lib.format.open_memmap(path, mode="r"), 1, None


def _read_npz(path: Path) -> tuple[Any, int, Any]:
    with zipfile.ZipFile(path) as archive:
        _check_size(path, sum(member.file_size for member in archive.infolist()))
    with open(path, "rb") as file, np.lib.npyio.NpzFile(file) as arrays:
        name = "points" if "points" in arrays else next(iter(arrays), "")
        fine = name and {*arrays} in ({name}, {name, "labels"})
        required = f"{path.name} must hold one array, or points and labels"
        require(fine, required, ", ".join(arrays) or "none", "Save others elsewhere.")
        return arrays[name], 1, arrays.get("labels")


def _read_csv(path: Path) -> tuple[Any, int, Any]:
    import pandas as pd

    with open(path, encoding="utf-8-sig") as lines:
        head = [next(lines, "") for _ in range(2)]
    separator = _separator(*head)
    comma = separator == ";" and "," in head[-1]  # in numbers: 0,5;1,5
    first = [field.strip().strip("\"'") for field in head[0].split(separator)]
    numbered = len(first) > 1 and first == [str(i) for i in range(len(first))]
    named = numbered or not any(_is_number(x.replace(",", ".") if comma else x) for x in first)
    options = {"header": None, "skip_blank_lines": False, "encoding": "utf-8-sig"}
    options |= {"sep": separator, "decimal": "," if comma else "."}
    table = pd.read_csv(path, skiprows=int(named), low_memory=False, **options)
    return table, 1 + named, None


def _read_parquet(path: Path) -> tuple[Any, int, Any]:
    file = package("pyarrow.parquet", "cluster").ParquetFile(path)
    _check_size(path, 8 * file.metadata.num_rows * file.metadata.num_columns)
    return file.read().to_pandas(), 1, None


def _check_size(path: Path, n_bytes: int) -> None:
    required = f"{path.name} must hold at most {MAX_BYTES / 2**30:g} GiB"
    require(n_bytes <= MAX_BYTES, required, f"{n_bytes / 2**30:.3g} GiB", "Take a sample of it.")


def _checked(path: Path, table: Any, first: int, labels: Any) -> tuple[NDArray, NDArray | None]:
    """The numbers of a table, all finite; its first row is row number `first` of the file."""
    import pandas as pd

    table = pd.DataFrame(table)
    if table.shape[1] == 1 and isinstance(table.iat[0, 0], list | np.ndarray):
        table = pd.DataFrame(table.iloc[:, 0].tolist())  # a column of vectors
    n_rows = len(table)
    require(n_rows >= 2, f"{path.name} must hold at least two rows", n_rows, "Give more examples.")
    numbers = table.copy(deep=False)
    for column, kind in table.dtypes.items():
        if not isinstance(kind, np.dtype) or kind.kind not in "iuf":
            numbers[column] = pd.to_numeric(table[column].astype(str), errors="coerce")
    values = numbers.to_numpy()
    lost = ~np.isfinite(values)
    row = int(lost.any(axis=1).argmax())
    column = int(lost[row].argmax())
    example = np.asarray(table.iat[row, column]).item()
    received = f"{example!r} in row {first + row}, column {column + 1}"
    if path.suffix.lower() == ".csv" and lost[row, column]:
        received = _short(path, first + row, values.shape[1]) or received
    required = f"{path.name} must hold finite numbers, without gaps"
    require(not lost[row, column], required, received, "Drop or mend that row.")
    return values, labels


def _separator(first: str, second: str) -> str:
    """A semicolon or tab that both lines have equally often, else the comma."""
    marks = (mark for mark in ";\t" if 0 < first.count(mark) == second.count(mark))
    return next(marks, ",")


def _short(path: Path, row: int, n_columns: int) -> str:
    """That a row of a CSV file has too few values, if so."""
    with open(path, encoding="utf-8-sig") as lines:
        head = [*itertools.islice(lines, 2)]
        line = next(itertools.islice(lines, row - 3, None), "") if row > 2 else head[row - 1]
    n = 1 + line.count(_separator(*head)) if line.strip() else 0
    return f"{n} of {n_columns} values in row {row}" if n < n_columns else ""


def _is_number(field: str) -> bool:
    try:
        return float(field) is not None
    except ValueError:
        return False


_READERS = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
