"""Scores of text against plain Python."""

import math
from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from madlib import ParameterError, metrics, targets
from madlib.datasets import Samples
from madlib.generators import Trigram
from madlib.protocols import Model


def ngram_scores(rows, n_symbols, orders):
    samples = Samples.of(jnp.asarray(rows, jnp.float32))
    model = Model(Trigram(n_symbols, len(rows[0])), None, _drawn={len(rows): samples})
    return metrics.NgramScores(n_symbols, len(rows), orders)(model, targets.text("character"))


@pytest.mark.parametrize("k", [3, 31])
def test_ngram_scores_are_those_of_python(k):
    rows = np.random.default_rng(0).choice(k, (20, 9))
    scores = ngram_scores(rows, k, (1, 2, 3, 6))
    for n in (1, 2, 3, 6):
        grams = Counter(tuple(row[i : i + n]) for row in rows.tolist() for i in range(10 - n))
        shares = np.array(list(grams.values())) / grams.total()
        assert float(scores[f"distinct_{n}"]) == pytest.approx(len(grams) / grams.total())
        assert float(scores[f"entropy_{n}"]) == pytest.approx(
            stats.entropy(shares, base=2), rel=1e-5
        )


def test_one_passage_over_and_over_has_its_own_ngrams_only():
    scores = ngram_scores(np.tile(np.arange(4.0), (50, 1)), 4, (2, 4))
    assert float(scores["distinct_2"]) == pytest.approx(3 / 150)
    assert float(scores["entropy_2"]) == pytest.approx(math.log2(3), rel=1e-5)
    assert float(scores["entropy_4"]) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [((100, 5, (5,)), ["2**32", "(5,)", "smaller"]), ((10, 5, (0,)), ["orders", ">= 1", "(0,)"])],
)
def test_bad_orders_are_refused(settings, words):
    with pytest.raises(ParameterError) as refused:
        metrics.NgramScores(*settings)
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_words_that_may_be_cut_are_left_out():
    found = metrics.whole_words("ing the dog's bone, isn't it. goo")
    assert found == ["the", "dog's", "bone", "isn't", "it"]
    assert metrics.whole_words(" the cat ") == ["the", "cat"]
    assert metrics.whole_words("thecat") == []
    assert metrics.whole_words("a cut pass", "age of two") == ["cut", "of"]


def test_word_scores():
    passages = ["x the cat the d", "x cat qux ran d", "                 "[:15]]
    symbols = np.stack([targets.encode(passage) for passage in passages])
    texts = targets.decode(np.stack([symbols[:2], symbols[[2, 2]]]))
    scores = metrics.word_scores(texts, {"the", "cat", "dog"})
    assert scores["real_word_share"][0] == pytest.approx(4 / 6) and scores["n_real_words"][0] == 2
    assert np.isnan(scores["real_word_share"][1]) and scores["n_real_words"][1] == 0


@pytest.mark.parametrize("texts", ["the cat", np.zeros((2, 5)), [b"the"]])
def test_word_scores_take_texts(texts):
    with pytest.raises(ParameterError, match="texts must be strings.*Use targets.decode"):
        metrics.word_scores(texts, {"the"})
