"""Real text: frequencies of words and characters, and passages."""

import collections
import re
from pathlib import Path

import numpy as np

from madlib.errors import Count, ParameterError, checked, require
from madlib.protocols import Target
from madlib.targets import prose
from madlib.targets.data import empirical, rows_of_part
from madlib.targets.laws import categorical


@checked
def text(
    unit: str = "word", path: str | Path | None = None, n_symbols: Count | None = None
) -> Target:
    """Frequencies of the words or characters of real English text.

    Args:
        unit: "word" (lower case, letters and apostrophes) or "character" (lower case, runs of white
            space as one).
        path: a UTF-8 text file; by default the prose of Python's own language reference
            (`pydoc_data.topics`).
        n_symbols: keep this many of the most frequent symbols; by default all.
    """
    if unit not in ("word", "character"):
        raise ParameterError(
            f"unit must be 'word' or 'character'; got {unit!r}. Choose one of the two."
        )
    source = prose.python_topics() if path is None else prose.read(path)
    pattern = r"[a-z]+(?:'[a-z]+)*" if unit == "word" else r"\s|\S"
    found = re.findall(pattern, re.sub(r"\s+", " ", source.lower()))
    if not found:
        raise ParameterError(
            f"the text must hold at least one {unit}; got none in {path}. "
            "Give a file of English prose."
        )
    ranked = sorted(collections.Counter(found).items(), key=lambda item: (-item[1], item[0]))[
        :n_symbols
    ]
    symbols, counts = zip(*ranked, strict=True)
    return categorical(np.array(counts) / sum(counts), symbols)


@checked
def passages(
    length: Count,
    path: str | Path | None = None,
    part: str = "all",
    *,
    source: str | None = None,
    alphabet: str = prose.ALPHABET,
) -> Target:
    """Passages of real text: points [n, length], the numbers of their symbols.

    The text is brought into the alphabet by `madlib.text.normalize`, which says what becomes of
    other characters, and cut every `length` characters, wherever that falls. Passages are dealt
    without repetition. No parametric reference goes with them.

    Args:
        length: characters of a passage.
        path: a UTF-8 text file; by default the prose of Python's own language reference.
        part: "all", "training" (four fifths of the passages, by a fixed shuffle) or "held out".
        source: the text itself, instead of a path; for instance `madlib.text.corpus(...)`.
        alphabet: its symbols; the space must be one of them.

    Raises:
        ParameterError: for text that is empty, not in the alphabet, or too short for two passages.
    """
    require(path is None or source is None, "text comes by path or by source", "both", "Drop one.")
    if source is None:
        source = prose.python_prose() if path is None else prose.read(path)
    symbols = prose.encode(prose.normalize(source, alphabet), alphabet)
    n = len(symbols) // length
    require(
        n >= 2,
        f"the text must hold two passages of {length} characters",
        f"{len(symbols)} characters",
        "Use shorter passages, or a longer text.",
    )
    rows = rows_of_part(n, n - max(1, n // 5), part)
    points = symbols[: n * length].reshape(n, length)[rows]
    return empirical(points, replace=False, symbols=tuple(alphabet))
