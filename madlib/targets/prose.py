"""Real text as sequences of symbols: an alphabet, what is done with the rest, words, corpora.

The alphabet of the book is small: lower-case letters, space and four marks. `normalize` brings any
text into an alphabet; `encode` and `decode` go between text and the numbers of its symbols.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from madlib.errors import Count, ParameterError, checked, require

ALPHABET = " abcdefghijklmnopqrstuvwxyz.,'-"
_TYPEWRITER = str.maketrans("‘’‛“”–—", "'''\"\"--")


def normalize(text: str, alphabet: str = ALPHABET) -> str:
    """Text in an alphabet: lower case, other characters replaced, runs of white space as one space.

    A character outside the alphabet becomes its base letter (é -> e) or its plain form (’ -> ') if
    that is inside, and otherwise a space. White space at either end is dropped.

    Raises:
        ParameterError: for an alphabet without a space or with a symbol twice; a text without a
            single letter, digit or mark of the alphabet; one of which most would be replaced.
    """
    require(
        " " in alphabet and len(set(alphabet)) == len(alphabet) > 1,
        "alphabet must hold a space and other characters, none of them twice",
        repr(alphabet),
        "The default is madlib.text.ALPHABET.",
    )
    text = re.sub(r"\s+", " ", text.lower())
    other = sorted(set(text) - set(alphabet))
    plain = {c: unicodedata.normalize("NFKD", c.translate(_TYPEWRITER))[0] for c in other}
    lost = {c for c in other if plain[c] not in alphabet}
    n_lost, n_seen = (sum(map(kept.__contains__, text)) for kept in (lost, set(text) - {" "}))
    require(n_seen, "the text must hold at least one word", "an empty one", "Give a longer text.")
    require(
        n_lost <= n_seen / 2,
        "the text must be written in the alphabet, most of it",
        f"{n_lost / n_seen:.0%} of characters outside of it, such as {max(lost, default='')!r}",
        "Pass an alphabet that holds them.",
    )
    table = str.maketrans({c: " " if c in lost else plain[c] for c in other})
    return re.sub(" +", " ", text.translate(table)).strip()


def encode(text: str, alphabet: str = ALPHABET) -> np.ndarray:
    """Numbers [n] of the symbols of a text, counted from 0 in the order of the alphabet.

    Raises:
        ParameterError: for an empty text or a character outside the alphabet.
    """
    require(text, "the text must not be empty", repr(text), "Give at least one character.")
    number = {symbol: i for i, symbol in enumerate(alphabet)}
    outside = sorted(set(text) - set(alphabet))
    require(
        not outside,
        f"the text must keep to its alphabet {''.join(alphabet)!r}",
        ", ".join(map(repr, outside[:3])),
        "Normalize it first.",
    )
    return np.array([number[symbol] for symbol in text])


def decode(passages: np.ndarray, alphabet: Iterable[str] = ALPHABET) -> np.ndarray:
    """Text of the numbers of its symbols: [..., length] -> [...], strings."""
    symbols = np.array(list(alphabet))
    letters = np.ascontiguousarray(symbols[np.asarray(passages).astype(int)])
    return letters.view(f"<U{letters.shape[-1]}")[..., 0]


def words(*passages: str) -> list[str]:
    """Whole words of passages, in order; the first and the last of each may be cut: left out."""
    # A digit is no letter and no space: a word beside it is beside the end of a passage.
    joined = "0".join(["", *passages, ""])
    return re.findall(r"(?<=[^\w'])[^\W\d_]+(?:'[^\W\d_]+)*(?=[^\w'])", joined)


def word_scores(
    passages: np.ndarray, vocabulary: Iterable[str], alphabet: Iterable[str] = ALPHABET
) -> dict[str, np.ndarray]:
    """What the words of generated passages say about quality and diversity.

    Args:
        passages: [..., n, length], numbers of symbols, such as a record of `metrics.Examples`.
        vocabulary: real words.
        alphabet: names of the symbols.

    Returns:
        Arrays [...]: `real_word_share`, the share of whole words, counted with repetition, that
        are in the vocabulary (quality; NaN without a whole word), and `n_real_words`, the number of
        different words of the vocabulary (diversity).
    """
    vocabulary = set(vocabulary)
    texts = decode(passages, alphabet)
    share, number = np.full(texts.shape[:-1], np.nan), np.zeros(texts.shape[:-1], int)
    for place in np.ndindex(*texts.shape[:-1]):
        found = words(*texts[place])
        known = [word for word in found if word in vocabulary]
        share[place] = len(known) / len(found) if found else np.nan
        number[place] = len(set(known))
    return {"real_word_share": share, "n_real_words": number}


def python_topics() -> str:
    """Python's own language reference, which every Python has; what it says depends on which."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def python_prose() -> str:
    """The prose of `python_topics`, without tables, grammar and code.

    Paragraphs of at least 40 characters, nine tenths of them letters or white space, each once: the
    topics repeat each other.
    """
    paragraphs = re.split(r"\n\s*\n", python_topics())
    distinct = dict.fromkeys(re.sub(r"\s+", " ", paragraph).strip() for paragraph in paragraphs)
    return "\n\n".join(
        paragraph
        for paragraph in distinct
        if len(paragraph) >= 40
        and sum(c.isalpha() or c == " " for c in paragraph) >= 0.9 * len(paragraph)
    )


def read(path: str | Path) -> str:
    """A UTF-8 text file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, TypeError, UnicodeDecodeError) as error:
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
        ParameterError: without the package, without a network, or for an unknown corpus or column.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise ParameterError(
            "a corpus needs the package `datasets`; got none. Run pip install datasets, "
            "or name a text file by path."
        ) from None
    parts, n_read = [], 0
    try:
        for row in load_dataset(dataset, config, split="train", streaming=True):
            parts.append(row[column])
            n_read += len(parts[-1])
            if n_read >= n_characters:
                break
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise ParameterError(
            f"the corpus must be within reach; got {dataset!r} ({type(error).__name__}: {reason}). "
            "Check its name and the network, or name a text file by path."
        ) from None
    return "\n".join(parts)[:n_characters]
