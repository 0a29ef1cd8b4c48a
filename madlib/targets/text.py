"""Real text: frequencies of words and characters, and passages of symbols of an alphabet.

The alphabet of the book is small: lower-case letters, space and four marks. `normalize` brings any
text into an alphabet; `encode` and `decode` go between text and the numbers of its symbols.
"""

import collections
import importlib.util
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from madlib.errors import Count, Natural, ParameterError, Unavailable, checked, one_of, require
from madlib.protocols import Target
from madlib.targets.data import Part, empirical, rows_of_part
from madlib.targets.files import describe, package
from madlib.targets.laws import categorical

ALPHABET = " abcdefghijklmnopqrstuvwxyz.,'-"
SCIENTIFIC_PACKAGES = ("numpy", "scipy", "sklearn", "pandas", "matplotlib", "jax", "optax")
# Characters that Unicode does not decompose: quotes, dashes, letters spelled with others.
_SPELLING = str.maketrans(
    dict(zip("‘’‛“”–—", "'''\"\"--", strict=True))
    | {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "ı": "i"}
)


@checked
def text(
    unit: Annotated[str, one_of("word", "character")] = "word",
    path: Any = None,
    n_symbols: Count | None = None,
) -> Target:
    """Frequencies of the words or characters of real text.

    Args:
        unit: "word" (lower case, letters of any language and apostrophes) or "character" (lower
            case, runs of white space as one).
        path: a UTF-8 text file; by default the prose of Python's own language reference
            (`pydoc_data.topics`).
        n_symbols: keep this many of the most frequent symbols; by default all.

    Example:
        >>> from madlib import targets
        >>> targets.text("word", n_symbols=3).symbols
        ('the', 'a', 'is')
    """
    source = python_topics() if path is None else read(path)
    if unit == "word":  # written in one way: no ligatures, one kind of apostrophe
        source = unicodedata.normalize("NFKC", source).translate({ord("’"): "'", ord("‘"): "'"})
    pattern = r"[^\W\d_]+(?:'[^\W\d_]+)*" if unit == "word" else r"\s|\S"
    counts = collections.Counter(re.findall(pattern, _composed(source)))
    received = "none" if path is None else f"none in {path}"
    require(counts, f"the text must hold at least one {unit}", received, "Give a file of prose.")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n_symbols]
    symbols, often = zip(*ranked, strict=True)
    return categorical(np.array(often) / sum(often), symbols)


@checked
def passages(
    length: Count,
    path: Any = None,
    part: Part = "all",
    *,
    source: str | None = None,
    alphabet: str | None = None,
) -> Target:
    """Passages of real text: points [n, length], the numbers of their symbols.

    The text is brought into the alphabet by `normalize`, and cut every `length` characters,
    wherever that falls. Passages are dealt without repetition. No parametric reference goes with
    them.

    Args:
        length: characters of a passage.
        path: a UTF-8 text file; by default the prose of Python's own language reference.
        part: "all", "training" (four fifths of the passages, by a fixed shuffle) or "held out".
        source: the text itself, instead of a path: `docstring_prose()` or `corpus(...)`, say.
        alphabet: its symbols; the space must be one of them. By default `alphabet_of` the text.

    Raises:
        ParameterError: for text that is empty, not in the alphabet, or too short for two passages.

    Example:
        >>> from madlib import targets
        >>> target = targets.passages(8, source="It was the best of times.")
        >>> targets.decode(target.params.points).tolist()
        ['it was t', 'he best ', 'of times']
    """
    require(path is None or source is None, "text comes by path or by source", "both", "Drop one.")
    if source is None:
        source = python_prose() if path is None else read(path)
    alphabet = alphabet_of(source) if alphabet is None else alphabet
    symbols = encode(normalize(source, alphabet), alphabet)
    n = len(symbols) // length
    required = f"the text must hold two passages of {length} characters"
    require(n >= 2, required, f"{len(symbols)} characters", "Use shorter ones, or a longer text.")
    rows = rows_of_part(n, n - max(1, n // 5), part)
    points = symbols[: n * length].reshape(n, length)[rows]
    return empirical(points, replace=False, symbols=tuple(alphabet))


def normalize(text: str, alphabet: str = ALPHABET) -> str:
    """Text in an alphabet: lower case, other characters replaced, runs of white space as one space.

    A character outside the alphabet is spelled in it where that is possible (é as e, ’ as ', ß as
    ss, a ligature as its letters); a mark that belongs to the letter before it goes, and so do soft
    hyphens; everything else becomes a space. White space at either end is dropped.

    Raises:
        ParameterError: for an alphabet without a space or with a symbol twice; a text without a
            single letter, digit or mark of the alphabet; one of which most would be replaced.

    Example:
        >>> from madlib import targets
        >>> targets.normalize("The café isn’t open: 7 days!")
        "the cafe isn't open days"
    """
    require(
        " " in alphabet and len(set(alphabet)) == len(alphabet) > 1,
        "alphabet must hold a space and other characters, none of them twice",
        repr(alphabet),
        "Use the default, say.",
    )
    text = _composed(text)
    spelled = {c: _spelled(c, alphabet) for c in set(text) - set(alphabet)}
    require(text.strip(), "the text must hold at least one word", "an empty one", "Give more.")
    lost, example = _lost(text, alphabet)
    require(
        lost <= 0.5,
        "the text must be written in the alphabet, most of it",
        f"{lost:.0%} of characters outside of it, such as {example!r}",
        "Pass alphabet=targets.alphabet_of(text).",
    )
    return re.sub(" +", " ", text.translate(str.maketrans(spelled))).strip()


def alphabet_of(text: str, share: float = 0.999) -> str:
    """The alphabet of a text: the book's own, unless letters are lost; else its characters.

    The book's alphabet is that of English: for a text of which more than 1 - share of the letters
    are others, or accented, the most frequent characters in lower case that make up `share` of it.

    Example:
        >>> from madlib import targets
        >>> targets.alphabet_of("It isn't the best of times.")
        " abcdefghijklmnopqrstuvwxyz.,'-"
        >>> targets.alphabet_of("El año pasado")
        ' adelopsñ'
    """
    counts = collections.Counter(_composed(text))
    letters = {c: n for c, n in counts.items() if c.isalpha()}
    plain = sum(n for c, n in letters.items() if c in ALPHABET)
    if letters and plain >= share * sum(letters.values()):
        return ALPHABET
    ranked = sorted(counts, key=lambda c: (-counts[c], c))
    before = np.cumsum([0] + [counts[c] for c in ranked])
    kept = {c for c, n in zip(ranked, before, strict=False) if n < share * counts.total()}
    return " " + "".join(sorted(kept - {" "}))


def dropped_share(text: str, alphabet: str = ALPHABET) -> float:
    """Share of the characters of a text, spaces apart, that `normalize` replaces by a space.

    Example:
        >>> from madlib import targets
        >>> targets.dropped_share("A café with 16 rooms")
        0.125
    """
    return _lost(_composed(text), alphabet)[0]


def encode(text: str, alphabet: str = ALPHABET) -> np.ndarray:
    """Numbers [n] of the symbols of a text, counted from 0 in the order of the alphabet.

    Raises:
        ParameterError: for an empty text or a character outside the alphabet.

    Example:
        >>> from madlib import targets
        >>> targets.encode("a cab").tolist()
        [1, 0, 3, 1, 2]
    """
    require(text, "the text must not be empty", repr(text), "Give at least one character.")
    outside = ", ".join(map(repr, sorted(set(text) - set(alphabet))[:3]))
    required = f"the text must keep to its alphabet {''.join(alphabet)!r}"
    require(not outside, required, outside, "Normalize it first.")
    codes, symbols = (np.frombuffer(s.encode("utf-32-le"), np.uint32) for s in (text, alphabet))
    order = np.argsort(symbols)
    return order[np.searchsorted(symbols[order], codes)]


def decode(passages: Any, alphabet: Iterable[str] = ALPHABET) -> np.ndarray:
    """Text of the numbers of its symbols: [..., length] -> [...], strings.

    Example:
        >>> from madlib import targets
        >>> str(targets.decode([1, 0, 3, 1, 2]))
        'a cab'
    """
    symbols = np.array(list(alphabet))
    letters = np.ascontiguousarray(symbols[np.asarray(passages).astype(int)])
    return letters.view(f"<U{letters.shape[-1]}")[..., 0]


def python_topics() -> str:
    """Python's own language reference, which every Python has; its text depends on the release."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def python_prose() -> str:
    """The prose of `python_topics`, without tables, grammar and code.

    Paragraphs of at least 40 characters, nine tenths of them letters or white space, each once: the
    topics repeat each other.
    """
    return _prose(re.split(r"\n\s*\n", python_topics()))


@checked
def docstring_prose(
    packages: tuple[str, ...] = SCIENTIFIC_PACKAGES, *, n_characters: Natural = 0
) -> str:
    """The English prose of the docstrings of installed packages, which are read and not imported.

    Paragraphs of at least 40 characters, nine tenths of them letters or white space, that begin
    with a capital and end in a mark, each once, in the order of the packages and of their files.
    Of those in the lock, 5.2 million characters in 42,000 paragraphs; it depends on the releases.

    Args:
        packages: names, of those that are not installed nothing is taken.
        n_characters: as many are needed.

    Raises:
        Unavailable: if there are fewer.

    Example:
        >>> from madlib import targets
        >>> prose = targets.docstring_prose(("jax",), n_characters=100_000)
        >>> target = targets.passages(64, "training", source=prose)  # doctest: +SKIP
    """
    found = {name: importlib.util.find_spec(name) for name in packages}
    folders = {
        name: Path(spec.submodule_search_locations[0])
        for name, spec in found.items()
        if spec is not None and spec.submodule_search_locations
    }
    prose = _prose(
        paragraph
        for folder in folders.values()
        for path in sorted(folder.rglob("*.py"))
        for paragraph in _docstring_paragraphs(path.read_text("utf-8", errors="replace"))
    )
    received = f"{len(prose):,} in those of {', '.join(folders) or 'no package'}"
    required = f"docstrings must hold {n_characters:,} characters of prose"
    remedy = "Run pip install madlib[book]."
    require(len(prose) >= n_characters, required, received, remedy, Unavailable)
    return prose


def _docstring_paragraphs(source: str) -> Iterable[str]:
    """Of the docstrings of a Python file, those that look like sentences.

    A paragraph is a run of lines that are indented alike: a parameter's description is one, the
    line with its name and type is not of it.
    """
    for _, docstring in _DOCSTRING.findall(source):
        margin = re.search(r"\n([ \t]*)\S", docstring)  # what the first line lacks
        for _, paragraph in _ALIKE.findall((margin[1] if margin else "") + docstring):
            if paragraph[0].isupper() and paragraph.rstrip()[-1] in ".:!?":
                yield paragraph


def _prose(paragraphs: Iterable[str]) -> str:
    """Those of at least 40 characters, nine tenths of them letters or white space, each once."""
    distinct = dict.fromkeys(re.sub(r"\s+", " ", paragraph).strip() for paragraph in paragraphs)
    return "\n\n".join(
        paragraph
        for paragraph in distinct
        if len(paragraph) >= 40
        and len(re.sub(r"[^\W\d_]+| ", "", paragraph)) <= 0.1 * len(paragraph)
    )


def read(path: Any) -> str:
    """A UTF-8 text file."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, TypeError, ValueError) as error:
        raise ParameterError(
            f"path must name a readable UTF-8 text file; got {path} ({type(error).__name__}). "
            "Check the path."
        ) from None


@checked
def corpus(
    dataset: str,
    config: str | None = None,
    *,
    column: str = "text",
    n_characters: Count = 1_000_000,
) -> str:
    """The first n_characters of a corpus that the package `datasets` reads over the network.

    WikiText-2 is `corpus("Salesforce/wikitext", "wikitext-2-raw-v1")`; esCorpius, a cleaned and
    deduplicated crawl of Spanish, is `corpus("LHF/escorpius")`.

    Raises:
        ParameterError: for an unknown configuration or column.
        Unavailable: without the package or the network, or for an unknown corpus.

    Example:
        >>> from madlib import targets
        >>> text = targets.corpus("Salesforce/wikitext", "wikitext-2-raw-v1")  # doctest: +SKIP
        >>> target = targets.passages(64, source=text)  # doctest: +SKIP
    """
    load = package("datasets", "corpora").load_dataset
    parts, n_read = [], 0
    try:
        for row in load(dataset, config, split="train", streaming=True):
            parts.append(row[column])
            n_read += len(parts[-1])
            if n_read >= n_characters:
                break
    except Exception as error:  # of many packages underneath
        kind = ParameterError if isinstance(error, KeyError | ValueError) else Unavailable
        raise kind(
            f"the corpus must be within reach; got {dataset!r} ({describe(error)}). "
            "Check its name and the network, or name a text file by path."
        ) from None
    return "\n".join(parts)[:n_characters]


# At the head of a file, or after the colon of a def or class and on a line of its own.
_DOCSTRING = re.compile(
    r"""(?:\A\s*|:[ \t]*(?:#[^\n]*)?\n\s+)[rRuU]?("{3}|'{3})(.*?)(?<!\\)\1""", re.DOTALL
)
_ALIKE = re.compile(r"^([ \t]*)(\S.*(?:\n\1\S.*)*)", re.MULTILINE)


def _composed(text: str) -> str:
    """In lower case, accents on their letters, no soft hyphens, white space as single spaces."""
    text = unicodedata.normalize("NFC", text.replace("\u00ad", "").lower())
    return re.sub(r"\s+", " ", text)


def _lost(text: str, alphabet: str) -> tuple[float, str]:
    """Share of a composed text, spaces apart, that no letters of an alphabet spell; one of them."""
    counts = collections.Counter(text)
    lost = {c: n for c, n in counts.items() if c not in alphabet and _spelled(c, alphabet) == " "}
    return sum(lost.values()) / max(counts.total() - counts[" "], 1), max(lost, default="")


def _spelled(character: str, alphabet: str) -> str:
    """In letters of the alphabet; nothing for an accent of another; a space if lost."""
    if unicodedata.category(character) in ("Mn", "Cf"):
        return ""
    letters = unicodedata.normalize("NFKD", character.translate(_SPELLING)).lower()
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    return letters if letters and set(letters) <= set(alphabet) else " "
