"""Standardized training sets, and what the checks of arguments leave alone."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

from madlib.datasets import Samples
from madlib.generators import Categorical, Gaussian, KernelDensity
from madlib.generators.points import normalization, standardize


def test_normalization_is_weighted():
    points = jax.random.normal(jax.random.key(0), (50, 2)) * jnp.array([[3.0, 0.0]]) + 1.0
    weight = jnp.arange(50) % 3
    mean, scale = normalization(Samples(points, weight.astype(jnp.float32)))
    repeated = np.repeat(np.asarray(points, np.float64), np.asarray(weight), axis=0)
    np.testing.assert_allclose(mean, repeated.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scale, [repeated[:, 0].std(), 1.0], rtol=1e-5)


def test_standardized_points_have_mean_0_and_variance_1():
    points = jax.random.normal(jax.random.key(0), (50, 2)) * jnp.array([[3.0, 0.1]]) + 100.0
    weight = (jnp.arange(50) % 3).astype(jnp.float32)
    standard, mean, scale = standardize(Samples(points, weight), common_scale=True)
    share = np.asarray(weight) / weight.sum()
    np.testing.assert_allclose(share @ np.asarray(standard.points), [0, 0], atol=1e-5)
    variance = share @ np.asarray(standard.points, np.float64) ** 2
    assert variance.mean() == pytest.approx(1, rel=1e-5)
    back = mean[None, :] + scale[None, :] * standard.points
    np.testing.assert_allclose(back, points, rtol=1e-6)
    standard, own_mean, scale = standardize(Samples(points, weight), common_scale=False)
    variance = share @ np.asarray(standard.points, np.float64) ** 2
    np.testing.assert_allclose(variance, [1, 1], rtol=1e-4)
    assert np.array_equal(own_mean, mean)
    repeated = np.repeat(np.asarray(points, np.float64), np.asarray(weight, int), axis=0)
    np.testing.assert_allclose(scale, repeated.std(axis=0), rtol=1e-4)


@pytest.mark.parametrize("point", [[0.1, 0.7], [1e6, -1e-6]])
def test_identical_points_have_scale_0_exactly(point):
    same = Samples.of(jnp.tile(jnp.array(point), (7, 1)))
    standard, mean, scale = standardize(same, common_scale=True)
    assert not np.asarray(scale).any() and not np.asarray(standard.points).any()
    assert np.array_equal(mean, same.points[0])


def test_checked_methods_keep_their_signature_and_docstring():
    parameters = inspect.signature(Gaussian(2).draw).parameters
    assert list(parameters) == ["key", "params", "n", "lam"] and parameters["lam"].default == 1.0
    assert inspect.getdoc(KernelDensity.fit).startswith("Stores the points")


def test_arguments_may_be_given_by_name():
    generator = KernelDensity(1, 3)
    params = generator.fit(key=None, dataset=Samples.of(jnp.array([[0.0], [1.0], [2.0]])))
    points = generator.sample(jax.random.key(0), params, n=2, lam=0)
    assert points.shape == (2, 1)
    with refused("n must be", "-2"):
        generator.sample(jax.random.key(0), params, lam=0.5, n=-2)


def test_points_may_be_of_any_array():
    params = Gaussian(1).fit(None, Samples.of(jnp.array([[0.0], [2.0]])))
    for points in (np.ones((3, 1), np.float32), [[1.0], [1.0], [1.0]]):
        np.testing.assert_allclose(Gaussian(1).log_prob(params, points), -1.2655, atol=1e-4)
    with refused("must be finite and real", "'a'"):
        Gaussian(1).log_prob(params, [["a"]])


def test_what_is_traced_has_no_values_to_check():
    """Symbols out of range change nothing that the compiled program promises."""
    count = jax.jit(lambda points: Categorical(3).summarize(Samples.of(points)).count)
    assert np.array_equal(count(jnp.array([[0.0], [2.0], [7.0]])), [1, 0, 1])
