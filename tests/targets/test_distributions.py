"""Targets with a formula: the distributions that they say they are, and those that cannot be."""

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from madlib import ParameterError, targets

COV = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]])


AXES = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))[0]  # not quite orthogonal


@pytest.mark.parametrize(
    "cov",
    [COV, np.ones((2, 2)), np.diag([1.0, 0.0]), np.zeros((2, 2)), AXES * 2 @ AXES.T],
    ids=["full", "line", "flat", "point", "rotated"],
)
def test_normal_has_the_covariance_asked_for(cov):
    target = targets.normal(np.arange(len(cov)), cov)
    assert np.array_equal(target.params.mean, np.arange(len(cov)))
    np.testing.assert_allclose(target.params.cov, cov, atol=1e-6)
    chol = np.asarray(target.params.chol)
    assert np.array_equal(chol, np.tril(chol)) and (np.diagonal(chol) >= 0).all()


def test_normal_points_have_its_distribution():
    points = np.asarray(targets.normal(np.arange(3), COV).sample(jax.random.key(0), 20_000))
    whitened = np.linalg.solve(np.linalg.cholesky(COV), (points - np.arange(3)).T)
    for coordinate in whitened:
        assert stats.kstest(coordinate, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(whitened) - np.eye(3)).max() < 5 / np.sqrt(20_000)


def test_numbers_stand_for_one_dimension():
    target = targets.normal(1.0, 4.0)
    assert target.space.dim == 1 and np.array_equal(target.params.chol, [[2.0]])
    assert targets.standard_normal(3).space.dim == 3


def test_zipf():
    probs = np.asarray(targets.zipf(1000, 1.2).params.probs, np.float64)
    assert abs(probs.sum() - 1) < 1e-5
    np.testing.assert_allclose(probs / probs[0], np.arange(1, 1001) ** -1.2, rtol=1e-5)


def test_modes_of_a_mixture():
    """Given once, per component, or as a variance: the same."""
    mean = [[-1.0, 0.0], [1.0, 2.0]]
    one, each, number = (
        targets.mixture([0.3, 0.7], mean, cov).params
        for cov in (0.2 * np.eye(2), np.array([0.2 * np.eye(2)] * 2), 0.2)
    )
    for leaves in zip(*map(jax.tree.leaves, (one, each, number)), strict=True):
        assert np.array_equal(leaves[0], leaves[1]) and np.array_equal(leaves[0], leaves[2])
    np.testing.assert_allclose(one.cov, [0.2 * np.eye(2)] * 2, rtol=1e-6)
    grid = targets.mode_grid(5, 0.05).params
    assert len(set(map(tuple, grid.mean.tolist()))) == 25 and np.abs(grid.mean).max() == 2
    np.testing.assert_allclose(grid.chol, [0.05 * np.eye(2)] * 25, rtol=1e-6)


def test_the_banana_has_its_density():
    """Its integral over a grid is 1, and its points have the entropy of the formula."""
    target = targets.rosenbrock()
    x, y = np.linspace(-5, 5, 401), np.linspace(-5, 30, 1401)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    values = np.exp(np.float64(target.log_prob(jax.numpy.asarray(points, np.float32))))
    total = integrate.simpson(integrate.simpson(values.reshape(401, 1401), x=y), x=x)
    assert total == pytest.approx(1, abs=1e-4)
    log_prob = np.asarray(target.log_prob(target.sample(jax.random.key(0), 20_000)), np.float64)
    se = log_prob.std(ddof=1) / np.sqrt(len(log_prob))
    assert abs(-log_prob.mean() - target.family.entropy) < 5 * se


CATEGORICAL = [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: targets.normal([0, 0], [[1, 2], [2, 1]]), ["positive semi-definite", "-1"]),
        (lambda: targets.normal(0, -1), ["positive semi-definite", "-1"]),
        (lambda: targets.normal([0, 0], [[1, 0.5], [0, 1]]), ["symmetric"]),
        (lambda: targets.normal([0, 0], [[1, np.nan], [np.nan, 1]]), ["finite", "nan"]),
        (lambda: targets.normal(np.inf, 1), ["mean must be finite"]),
        (lambda: targets.normal([0, 0], np.eye(3)), ["same d", "(2,)", "(3, 3)"]),
        (lambda: targets.normal([], np.zeros((0, 0))), ["same d >= 1", "(0,)", "(0, 0)"]),
        (lambda: targets.normal(1e39, 1), ["finite in single precision", "1e+39"]),
        (lambda: targets.categorical([0.5, 0.6]), ["sum to 1", "1.1"]),
        (lambda: targets.categorical([1.5, -0.5]), ["probs must be numbers from 0 to 1", "-0.5"]),
        (lambda: targets.categorical([np.nan, 1]), ["probs must be finite"]),
        (lambda: targets.categorical([CATEGORICAL]), ["vector", "(1, 2)"]),
        (lambda: targets.categorical(CATEGORICAL, ("a",)), ["2", "1 names"]),
        (lambda: targets.mixture([0.5, 0.6], [[0], [1]], 1), ["weight must sum to 1", "1.1"]),
        (lambda: targets.mixture([0, 1], [[0], [1]], 1), ["weight must be numbers > 0"]),
        (lambda: targets.mixture([1], [0, 1], 1), ["same k", "(1,) and (2,)"]),
        (lambda: targets.mixture([1], [[0]], np.ones((2, 1, 1))), ["[1, 1, 1]", "(2, 1, 1)"]),
        (lambda: targets.mixture([1], [[0]], -1), ["positive semi-definite"]),
        (lambda: targets.zipf(0), ["n_symbols must be a whole number", "0"]),
        (lambda: targets.zipf(5, np.nan), ["exponent must be a number >= 0", "nan"]),
        (lambda: targets.zipf(5, "steep"), ["exponent must be a number >= 0", "'steep'"]),
        (lambda: targets.mode_grid(5, "wide"), ["scale must be a number >= 0", "'wide'"]),
    ],
)
def test_bad_targets_are_refused(call, words):
    with pytest.raises(ParameterError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message
