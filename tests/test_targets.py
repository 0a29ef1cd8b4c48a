"""Targets: the laws that they say they are, and one clear line for those that they cannot be."""

import collections
import re

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from madlib import ParameterError, targets

COV = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]])


@pytest.mark.parametrize("cov", [COV, np.ones((2, 2)), np.diag([1.0, 0.0]), np.zeros((2, 2))])
def test_normal_has_the_covariance_asked_for(cov):
    target = targets.normal(np.arange(len(cov)), cov)
    assert np.array_equal(target.params.mean, np.arange(len(cov)))
    np.testing.assert_allclose(target.params.cov, cov, atol=1e-6)
    chol = np.asarray(target.params.chol)
    assert np.array_equal(chol, np.tril(chol)) and (np.diagonal(chol) >= 0).all()


def test_normal_points_have_its_law():
    points = np.asarray(targets.normal(np.arange(3), COV).sample(jax.random.key(0), 20_000))
    whitened = np.linalg.solve(np.linalg.cholesky(COV), (points - np.arange(3)).T)
    for coordinate in whitened:
        assert stats.kstest(coordinate, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(whitened) - np.eye(3)).max() < 5 / np.sqrt(20_000)


def test_numbers_stand_for_one_dimension():
    target = targets.normal(1.0, 4.0)
    assert target.dim == 1 and np.array_equal(target.params.chol, [[2.0]])
    assert targets.standard_normal(3).dim == 3


def test_zipf():
    probs = np.asarray(targets.zipf(1000, 1.2).params.probs, np.float64)
    assert abs(probs.sum() - 1) < 1e-5
    np.testing.assert_allclose(probs / probs[0], np.arange(1, 1001) ** -1.2, rtol=1e-5)


def test_digits_are_the_images_of_scikit_learn():
    target, images = targets.digits(), load_digits().data / 16
    assert target.dim == 64 and np.array_equal(target.params.points, images.astype(np.float32))
    np.testing.assert_allclose(target.reference.mean, images.mean(0), atol=1e-6)
    np.testing.assert_allclose(target.reference.cov, np.cov(images.T, ddof=0), atol=1e-5)
    drawn = np.asarray(target.sample(jax.random.key(0), 5000))
    originals = {row.tobytes(): i for i, row in enumerate(images.astype(np.float32))}
    picked = np.array([originals[row.tobytes()] for row in drawn])
    blocks = np.bincount(picked * 10 // len(images), minlength=10)
    shares = np.bincount(np.arange(len(images)) * 10 // len(images)) / len(images)
    assert stats.chisquare(blocks, 5000 * shares).pvalue > 1e-3


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


CATEGORICAL = [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: targets.normal([0, 0], [[1, 2], [2, 1]]), ["positive semi-definite", "-1"]),
        (lambda: targets.normal(0, -1), ["positive semi-definite", "-1"]),
        (lambda: targets.normal([0, 0], [[1, 0.5], [0, 1]]), ["symmetric"]),
        (lambda: targets.normal([0, 0], [[1, np.nan], [np.nan, 1]]), ["finite", "NaN"]),
        (lambda: targets.normal(np.inf, 1), ["finite"]),
        (lambda: targets.normal([0, 0], np.eye(3)), ["same d", "(2,)", "(3, 3)"]),
        (lambda: targets.normal([], np.zeros((0, 0))), ["same d >= 1", "(0,)", "(0, 0)"]),
        (lambda: targets.categorical([0.5, 0.6]), ["sum to 1", "1.1"]),
        (lambda: targets.categorical([1.5, -0.5]), ["non-negative", "-0.5"]),
        (lambda: targets.categorical([np.nan, 1]), ["non-negative"]),
        (lambda: targets.categorical([CATEGORICAL]), ["vector", "(1, 2)"]),
        (lambda: targets.categorical(CATEGORICAL, ("a",)), ["2", "1 names"]),
        (lambda: targets.zipf(0), ["n_symbols must be a whole number >= 1", "0"]),
        (lambda: targets.zipf(5, np.nan), ["exponent must be >= 0", "nan"]),
        (lambda: targets.zipf(5, "steep"), ["exponent must be >= 0", "'steep'"]),
        (lambda: targets.mode_grid(5, "wide"), ["scale must be finite and >= 0", "'wide'"]),
        (lambda: targets.normal(1e39, 1), ["finite in single precision"]),
        (lambda: targets.empirical([[1e39]]), ["finite"]),
        (lambda: targets.empirical([[1.0, np.nan]]), ["finite", "NaN"]),
        (lambda: targets.empirical([1.0, 2.0]), ["[N, d]", "(2,)"]),
        (lambda: targets.text(path="no/such/file.txt"), ["no/such/file.txt", "FileNotFoundError"]),
        (lambda: targets.text(path=5), ["path must name", "got 5", "TypeError"]),
        (lambda: targets.text("sentence"), ["'word'", "'sentence'"]),
    ],
)
def test_bad_targets_are_refused(call, words):
    with pytest.raises(ParameterError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "image").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("1234")
    for name, words in [("image", "UnicodeDecodeError"), ("empty", "at least one word")]:
        with pytest.raises(ParameterError, match=words):
            targets.text(path=tmp_path / name)
