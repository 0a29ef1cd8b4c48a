"""Real text: symbols and back, words of any language, and one clear line where it cannot be."""

import collections
import re
import sys
import unicodedata
from types import ModuleType

import jax
import numpy as np
import pytest

from madlib import ParameterError, targets
from madlib.errors import Unavailable
from madlib.targets.text import ALPHABET

PROSE = "It was the best of times,\nit was the worst of times. " * 40


def test_characters_outside_the_alphabet_are_replaced():
    prose = targets.normalize("The  café isn’t open\n— 7 days, not 6!")
    assert prose == "the cafe isn't open - days, not"
    assert targets.normalize("¡Mañana!", alphabet=" amnñ") == "mañana"
    assert targets.normalize("ﬁn", " fin") == "fin"


def test_decode_inverts_encode():
    assert str(targets.decode(targets.encode("isn't it."))) == "isn't it."
    assert targets.encode("ba a", " ab").tolist() == [2, 1, 0, 1]
    passages = np.array([[[0, 1.0], [2, 2]], [[1, 0], [2, 1]]])
    assert targets.decode(passages, ("x", "y", "z")).tolist() == [["xy", "zz"], ["yx", "zy"]]


def test_passages_of_a_file(tmp_path):
    path = tmp_path / "prose.txt"
    path.write_text(PROSE, encoding="utf-8")
    prose = targets.normalize(PROSE)
    whole = targets.passages(20, path)
    assert whole.space.dim == 20 and whole.symbols == tuple(ALPHABET)
    assert "".join(targets.decode(whole.params.points)) == prose[: len(prose) // 20 * 20]
    training, held_out = (targets.passages(20, path, part) for part in ("training", "held out"))
    n, n_training, n_held_out = (len(t.params.points) for t in (whole, training, held_out))
    assert n_training + n_held_out == n and n_held_out == n // 5
    both = np.concatenate([training.params.points, held_out.params.points])
    assert sorted(map(bytes, both)) == sorted(map(bytes, np.asarray(whole.params.points)))
    dealt = np.asarray(whole.sample(jax.random.key(0), n))
    assert sorted(map(bytes, dealt)) == sorted(map(bytes, np.asarray(whole.params.points)))
    assert targets.passages(20, source=PROSE).params.points.tolist() == whole.params.points.tolist()


def test_real_english_passages():
    training, held_out = (targets.passages(64, part=part) for part in ("training", "held out"))
    assert len(training.params.points) > 2000 and len(held_out.params.points) > 500
    found = targets.decode(training.params.points)
    assert sum(" the " in passage for passage in found) > len(found) / 4
    # Few passages are held out and trained on at once: the reference repeats itself, its
    # paragraphs here do not.
    assert np.isin(targets.decode(held_out.params.points), found).mean() < 0.01


def test_a_pool_of_real_prose():
    """Sentences, each once, in one order; the pool of passages that a loop can deal from."""
    prose = targets.docstring_prose(("jax", "numpy", "nowhere"))
    paragraphs = prose.split("\n\n")
    assert len(prose) > 500_000 and len(set(paragraphs)) == len(paragraphs)
    for paragraph in paragraphs:
        letters = sum(c.isalpha() or c == " " for c in paragraph)
        assert letters >= 0.9 * len(paragraph) and len(paragraph) >= 40
        assert paragraph[0].isupper() and paragraph[-1] in ".:!?"
    assert prose == targets.docstring_prose(("jax", "numpy"))
    assert targets.dropped_share(prose) < 0.05
    training, held_out = (
        targets.passages(64, None, p, source=prose) for p in ("training", "held out")
    )
    assert training.symbols == tuple(ALPHABET)
    found = targets.decode(training.params.points)
    assert np.isin(targets.decode(held_out.params.points), found).mean() < 0.01


def test_docstrings_by_hand(tmp_path, monkeypatch):
    """Paragraphs of one indentation; strings that are no docstrings, code and tests are not."""
    folder = tmp_path / "someones"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "b.py").write_text(
        '\n"""The file has a docstring, which\ngoes on in a second line.\n\nShort."""\n'
        "TEXT = "
        "" + '"""This is no docstring, and nobody takes it for one."""\n'
        "def f(x):  # why\n    r'''Return a number that is twice as large as another.\n\n"
        "    Parameters\n    ----------\n    x : array_like of numbers of any kind\n"
        "        The number that is doubled, as the first line\n        has it.\n\n"
        "    it begins with a small letter, and so it goes.\n'''\n"
    )
    (folder / "inner" / "a.py").write_text(
        'class A:\n    """The file has a docstring, which goes on in a second line."""\n'
        '    x = 1\n    def g(self):\n        """Give the sum of x[0], x[1], x[2], x[3], x[4]."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert targets.docstring_prose(("someones",)).split("\n\n") == [
        "The file has a docstring, which goes on in a second line.",
        "Return a number that is twice as large as another.",
        "The number that is doubled, as the first line has it.",
    ]
    with pytest.raises(
        Unavailable, match="must hold 999 characters of prose; got 164 in those of someones. Run"
    ):
        targets.docstring_prose(("someones", "nowhere"), n_characters=999)
    with pytest.raises(Unavailable, match="got 0 in those of no package"):
        targets.docstring_prose(("nowhere",), n_characters=1)


def test_the_alphabet_of_a_text(tmp_path):
    """English has that of the book; of others no letter is lost, and rare symbols are."""
    assert targets.alphabet_of("🎉🎊 🎉") == " 🎉🎊"
    spanish = ("El niño pasó el año en la compañía. " * 100) + "~"
    own = targets.alphabet_of(spanish)
    assert own == " " + "".join(sorted(set(spanish.lower()) - {" ", "~"}))
    path = tmp_path / "mine.txt"
    for form in ("NFC", "NFD"):
        path.write_text(unicodedata.normalize(form, spanish), encoding="utf-8")
        target = targets.passages(36, path)
        assert target.symbols == tuple(own)
        first = str(targets.decode(target.params.points[0], target.symbols))
        assert first.rstrip() == "el niño pasó el año en la compañía."
    assert targets.dropped_share(spanish, own) == pytest.approx(1 / 2801)
    assert targets.passages(10, source="Plain, with 1 café in 2,000 words. " * 9).symbols == tuple(
        targets.alphabet_of("Plain, with 1 café in 2,000 words.")
    )
    assert (
        targets.alphabet_of("An é in a thousand. " + "Nothing but plain letters. " * 90) == ALPHABET
    )
    russian = "Она взяла книгу. " * 10
    assert set(targets.normalize(russian, targets.alphabet_of(russian))) == set(russian.lower())


def corpora(rows):
    """A module in the place of `datasets`."""
    module = ModuleType("datasets")

    def load_dataset(dataset, config, split, streaming):
        assert (dataset, config, split, streaming) == ("prose", "small", "train", True)
        if rows is None:
            raise ConnectionError("Couldn't reach\n the hub")
        return iter(rows)

    module.load_dataset = load_dataset
    return module


def test_a_corpus_is_read_as_far_as_needed(monkeypatch):
    def endless():
        yield from ({"text": f"row {i}."} for i in range(5))
        raise AssertionError("read too far")

    monkeypatch.setitem(sys.modules, "datasets", corpora(endless()))
    assert targets.corpus("prose", "small", n_characters=15) == "row 0.\nrow 1.\nr"


def test_a_corpus_out_of_reach_is_one_line(monkeypatch):
    for module, kind, words in [
        (None, Unavailable, ["package datasets", "pip install madlib[corpora]"]),
        (corpora(None), Unavailable, ["'prose'", "Error: Couldn't reach the hub", "network"]),
        (corpora([{"content": "x"}]), ParameterError, ["'prose'", "KeyError: 'text'"]),
    ]:
        monkeypatch.setitem(sys.modules, "datasets", module)
        with pytest.raises(kind) as refused:
            targets.corpus("prose", "small")
        message = str(refused.value)
        assert "\n" not in message and all(word in message for word in words), message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: targets.normalize(""), ["at least one word", "empty"]),
        (lambda: targets.normalize(" \n "), ["at least one word", "empty"]),
        (lambda: targets.normalize("你好,世界"), ["alphabet", "80%", "'界'", "alphabet_of"]),
        (lambda: targets.normalize("abc", "abc"), ["alphabet must hold a space", "'abc'"]),
        (lambda: targets.normalize("abc", " aab"), ["none of them twice", "' aab'"]),
        (lambda: targets.encode(""), ["must not be empty"]),
        (lambda: targets.encode("naïve"), ["alphabet", "'ï'", "Normalize"]),
        (lambda: targets.passages(0), ["length must be a whole number", "0"]),
        (lambda: targets.passages(20, source="too short"), ["two passages of 20", "9 characters"]),
        (lambda: targets.passages(20, source=PROSE, part="test"), ["'held out'", "'test'"]),
        (lambda: targets.passages(20, "no/such.txt"), ["no/such.txt", "FileNotFoundError"]),
        (lambda: targets.passages(20, "x", source=PROSE), ["path or by source", "both"]),
        (lambda: targets.text(path="no/such/file.txt"), ["no/such/file.txt", "FileNotFoundError"]),
        (lambda: targets.text(path=5), ["path must name", "got 5", "TypeError"]),
        (lambda: targets.text("sentence"), ["unit must be one of 'word', 'char", "'sentence'"]),
        (lambda: targets.text("word", n_symbols=0), ["n_symbols must be a whole number", "0"]),
    ],
)
def test_bad_text_is_refused_in_one_line(call, words):
    with pytest.raises(ParameterError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_accents_composed_or_not_are_the_same_text():
    """Decomposed, each accent cut its word in two: "compan i a"."""
    spanish, alphabet = "La compañía del año", ALPHABET + "ñíá"
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        text = unicodedata.normalize(form, spanish)
        assert targets.normalize(text) == "la compania del ano"
        assert targets.normalize(text, alphabet) == "la compañía del año"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("die Straße ﬁnal, ﬂach", "die strasse final, flach"),
        ("soft\u00adhyphen and zero\u200bwidth", "softhyphen and zerowidth"),
        ("Œuvre, Ærø, Łódź, Đà", "oeuvre, aero, lodz, da"),
        ("İstanbul ılık", "istanbul ilik"),
        ("well … so “said” he – yes", "well ... so said he - yes"),
        ("half ½ of x² and y", "half of x and y"),
        ("one\r\n\ttwo\u00a0three", "one two three"),
    ],
)
def test_letters_are_spelled_in_the_alphabet(text, expected):
    assert targets.normalize(text) == expected


def test_letters_of_the_alphabet_are_kept():
    alphabet = " abcdefghijklmnopqrstuvwxyzßﬁæ"
    assert targets.normalize("Straße ﬁnal æon", alphabet) == "straße ﬁnal æon"


def test_words_of_any_language(tmp_path):
    path = tmp_path / "prose.txt"
    spanish = "\ufeffLa compañía, los años; la ﬁnal isn’t\r\nla compa\u00adñía"
    expected = ("la", "compañía", "años", "final", "isn't", "los")
    for form in ("NFC", "NFD"):
        path.write_text(unicodedata.normalize(form, spanish), encoding="utf-8")
        assert targets.text("word", path).symbols == expected


def test_words_and_characters_of_a_file(tmp_path):
    prose = "The cat.  The dog's cat!\n\tIt isn't THE cat."
    path = tmp_path / "prose.txt"
    path.write_text(prose, encoding="utf-8")
    words = collections.Counter(["the"] * 3 + ["cat"] * 3 + ["dog's", "it", "isn't"])
    target = targets.text("word", path)
    assert target.symbols == ("cat", "the", "dog's", "isn't", "it")
    for symbol, prob in zip(target.symbols, target.params.probs, strict=True):
        assert float(prob) == pytest.approx(words[symbol] / 9)
    characters = targets.text("character", path)
    counts = collections.Counter(re.sub(r"\s+", " ", prose.lower()))
    assert dict(zip(characters.symbols, np.asarray(characters.params.probs), strict=True)) == {
        symbol: pytest.approx(count / counts.total()) for symbol, count in counts.items()
    }
    assert targets.text("word", path, n_symbols=2).symbols == ("cat", "the")


def test_real_english():
    target = targets.text()
    assert target.symbols[0] == "the" and len(target.symbols) > 1000


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "image").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("1234")
    for name, words in [("image", "UnicodeDecodeError"), ("empty", "at least one word")]:
        with pytest.raises(ParameterError, match=words):
            targets.text(path=tmp_path / name)
