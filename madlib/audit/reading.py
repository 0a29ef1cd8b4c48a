"""Sets of items to audit, from files or arrays: points [n, d], or text as passages with features.

A passage of text has the counts of its character trigrams in 64 classes and of its words in 64
others, by a hash that is the same for every text, as its features.
"""

import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from madlib import metrics, targets
from madlib.errors import as_reals, require
from madlib.targets.files import MAX_BYTES, read_points
from madlib.targets.text import read

PASSAGE = 200  # characters
N_CLASSES = 64
N_CHARACTERS = 5_000_000  # of a text that are read.
MAX_DIM, MIN_ITEMS = 4096, 20


class Items(NamedTuple):
    """A set of items.

    Attributes:
        name: of the file, or "generation 1", say.
        points: [n, d].
        passages: [n], of text; else None.
        dropped: share of characters outside the alphabet of the real text.
    """

    name: str
    points: NDArray
    passages: list[str] | None = None
    dropped: float = 0.0


def read_sets(real: Any, generations: Any) -> tuple[list[Items], str]:
    """The real items and those of each generation, and the alphabet where they are text.

    Raises:
        ParameterError: for a file that cannot be read, sets of different kinds or dimensions, or
            with fewer than 20 items.
    """
    given = [real, *generations]
    names = ["real", *(f"generation {t}" for t in range(1, len(given)))]
    is_path = [isinstance(value, str | os.PathLike) for value in given]
    names = [Path(x).name if path else y for x, y, path in zip(given, names, is_path, strict=True)]
    is_text = [path and Path(x).suffix == ".txt" for x, path in zip(given, is_path, strict=True)]
    alike = len({*is_text}) == 1
    required = "all sets must be of one kind, text (.txt) or points"
    require(alike, required, ", ".join(names), "Audit each kind by itself.")
    if is_text[0]:
        texts = [_text(Path(path)) for path in given]
        alphabet = targets.alphabet_of(texts[0])
        sets = [_passages(*pair, alphabet) for pair in zip(names, texts, strict=True)]
    else:
        alphabet = ""
        pairs = zip(names, given, is_path, strict=True)
        sets = [Items(name, _points(x, name, path)) for name, x, path in pairs]
    d = sets[0].points.shape[1]
    require(d <= MAX_DIM, f"{names[0]} must have at most {MAX_DIM} columns", d, "Project it.")
    for name, items in zip(names, sets, strict=True):
        n, e = items.points.shape
        kind = f"passages of {PASSAGE} characters" if alphabet else "rows"
        required = f"{name} must hold at least {MIN_ITEMS} {kind}"
        require(n >= MIN_ITEMS, required, n, "Give more items.")
        required = f"{name} must have {d} columns, as {names[0]} has"
        require(e == d, required, e, "Use the features of one model for all sets.")
    return sets, alphabet


def _points(value: Any, name: str, is_path: bool) -> NDArray:
    points = read_points(value)[0] if is_path else as_reals(value, name)
    fine = points.ndim == 2 and 0 not in points.shape
    require(fine, f"{name} must be points [n, d]", f"shape {points.shape}", "One row per item.")
    return points


def _text(path: Path) -> str:
    received = f"{path}: missing, a folder, or a circle of links"
    require(path.is_file(), "text must come from a file", received, "Check the path.")
    n_bytes = path.stat().st_size
    required = f"{path.name} must hold at most {MAX_BYTES / 2**30:g} GiB"
    require(n_bytes <= MAX_BYTES, required, f"{n_bytes / 2**30:.3g} GiB", "Take a part of it.")
    text = read(path)[:N_CHARACTERS]
    require(text.strip(), f"{path.name} must hold text", "an empty file", "Give prose.")
    return text


def _passages(name: str, text: str, alphabet: str) -> Items:
    dropped = targets.dropped_share(text, alphabet)
    text = targets.normalize(text, alphabet)
    n = len(text) // PASSAGE
    passages = [text[i * PASSAGE : (i + 1) * PASSAGE] for i in range(n)]
    points = np.zeros((n, 2 * N_CLASSES), np.float32)
    if n:
        code = np.frombuffer("".join(passages).encode("utf-32-le"), np.uint32).reshape(n, PASSAGE)
        factors = np.array([2654435761, 2246822519, 3266489917], np.uint32)
        triples = sum(
            (code[:, i : PASSAGE - 2 + i] * x for i, x in enumerate(factors)), code[:1, 2:] * 0
        )
        _count(points[:, :N_CLASSES], (triples ^ triples >> np.uint32(15)) % np.uint32(N_CLASSES))
        for row, passage in zip(points, passages, strict=True):
            for word in metrics.whole_words(passage):
                row[N_CLASSES + zlib.crc32(word.encode()) % N_CLASSES] += 1
    return Items(name, points, passages, dropped)


def _count(table: NDArray, classes: NDArray) -> None:
    """Adds to table [n, c] the number of times that each class occurs in a row of classes."""
    n, c = table.shape
    rows = np.arange(n)[:, None] * c + classes.astype(np.int64)
    table += np.bincount(rows.ravel(), minlength=n * c).reshape(n, c)
