"""Kernel density: SciPy's density, samples, and the exact recursions of its loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import LEVEL, refused
from scipy import stats

from madlib import simulate, targets
from madlib.datasets import Samples
from madlib.generators import KernelDensity
from madlib.regimes import Accumulate, FullySynthetic

N_GENERATIONS, N_REPLICATES, BANDWIDTH = 8, 1500, 0.5


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_scott_agrees_with_scipy(dim):
    """Weighted: n is (sum w)^2 / sum w^2, and the covariance unbiased at this n."""
    rng = np.random.default_rng(dim)
    points = rng.standard_normal((40, dim)) @ rng.standard_normal((dim, dim))
    weight = rng.integers(0, 4, 40).astype(float)
    at = 2 * rng.standard_normal((25, dim))
    model = KernelDensity(dim, n_points=50)
    samples = Samples(jnp.asarray(points, jnp.float32), jnp.asarray(weight, jnp.float32))
    params = model.fit(None, samples)
    theirs = stats.gaussian_kde(points.T, weights=weight)
    np.testing.assert_allclose(params.chol @ params.chol.T, theirs.covariance, rtol=1e-4)
    ours = model.log_prob(params, jnp.asarray(at, jnp.float32))
    np.testing.assert_allclose(ours, np.log(theirs.pdf(at.T)), rtol=1e-4, atol=1e-4)


def test_fixed_bandwidth_is_the_sum_of_kernels():
    points = np.array([[0.0, 1.0], [2.0, -1.0]])
    model = KernelDensity(2, n_points=2, bandwidth=0.3)
    samples = Samples(jnp.asarray(points, jnp.float32), jnp.array([1.0, 3.0]))
    params = model.fit(None, samples)
    at = np.array([[0.1, 0.9], [1.0, 0.0]])
    kernel = [stats.multivariate_normal(point, 0.09).pdf(at) for point in points]
    expected = np.log(kernel[0] / 4 + kernel[1] * 3 / 4)
    ours = model.log_prob(params, jnp.asarray(at, jnp.float32))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("lam", [1.0, 0.25, 0.0])
def test_samples_are_a_point_and_a_kernel(lam):
    """lam multiplies the covariance of the kernel; rows of weight 0 are not drawn."""
    samples = Samples(jnp.array([[-3.0], [5.0], [3.0]]), jnp.array([1.0, 0.0, 3.0]))
    model = KernelDensity(1, n_points=4, bandwidth=BANDWIDTH)
    n = 20_000
    drawn = np.asarray(model.sample(jax.random.key(0), model.fit(None, samples), n, lam))[:, 0]
    high = drawn > 0
    assert abs(high.mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / n)
    rest = drawn - np.where(high, 3.0, -3.0)
    if lam == 0:
        assert not rest.any()
    else:
        assert stats.kstest(rest, stats.norm(0, np.sqrt(lam) * BANDWIDTH).cdf).pvalue > LEVEL


def points_variance(model, target):
    """Per coordinate, divided by n, of the training set."""
    weight, points = model.params.weight, model.params.points
    return jnp.mean(weight @ (points - (weight @ points)[None, :]) ** 2)


def fully_synthetic(variance, n, lam):
    """n draws from the last model: of each, the variance of the points plus that of the kernel."""
    return (1 - 1 / n) * (variance + lam * BANDWIDTH**2)


def accumulate(n_before):
    """Of n_before examples and n more from their model; with the distance of the two means."""

    def step(variance, n, lam):
        drawn, total = variance + lam * BANDWIDTH**2, n_before + n
        within = n_before * variance + n * (1 - 1 / n) * drawn
        return within / total + n_before * n / total**2 * drawn / n

    return step


@pytest.mark.parametrize(
    ("regime", "lam"), [(FullySynthetic, 1.0), (FullySynthetic, 0.5), (Accumulate, 1.0)]
)
def test_the_loop_obeys_its_recursion(regime, lam):
    n_ini, n_s = 30, 20
    largest = n_ini + n_s * (N_GENERATIONS - 1)
    run = simulate(
        jax.random.key(0),
        KernelDensity(2, n_points=largest, bandwidth=BANDWIDTH),
        regime(n_s),
        targets.standard_normal(2),
        n_ini=n_ini,
        n_generations=N_GENERATIONS,
        n_replicates=N_REPLICATES,
        lam=lam,
        record=(points_variance,),
        reduce=lambda values, axis: np.stack([values.mean(axis), values.std(axis)]),
    )
    mean, deviation = run.record["points_variance"]
    expected = [1 - 1 / n_ini]
    for t in range(N_GENERATIONS - 1):
        step = fully_synthetic if regime is FullySynthetic else accumulate(n_ini + n_s * t)
        expected.append(step(expected[-1], n_s, lam))
    z = (mean - expected) / (deviation / np.sqrt(N_REPLICATES))
    assert np.abs(z).max() < 5, z


def test_identical_points_are_legal():
    model = KernelDensity(2, n_points=5)
    params = model.fit(None, Samples.of(jnp.ones((5, 2))))
    assert np.array_equal(model.sample(jax.random.key(0), params, 7), np.ones((7, 2)))
    assert np.isfinite(model.log_prob(params, jnp.array([[1.0, 1.0], [0.0, 2.0]]))).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bandwidth": 0}, ["bandwidth", "'scott'", "> 0", "got 0"]),
        ({"bandwidth": -0.1}, ["bandwidth", "-0.1"]),
        ({"bandwidth": float("nan")}, ["bandwidth", "nan"]),
        ({"bandwidth": "silverman"}, ["'scott'", "'silverman'"]),
        ({"bandwidth": np.ones(2)}, ["'scott'", "array"]),
        ({"dim": 0}, ["dim", "0"]),
        ({"floor": -1}, ["floor must be a number between 0 and 1", "-1"]),
    ],
)
def test_settings_are_checked(settings, words):
    with refused(*words):
        KernelDensity(**{"dim": 2, "n_points": 5} | settings)


def test_bandwidths_are_converted():
    assert KernelDensity(2, 5, 1) == KernelDensity(2, 5, np.float32(1.0))
    assert type(KernelDensity(2, 5, np.int64(1)).bandwidth) is float


def test_the_largest_training_set_must_fit():
    with refused("n_points", "25 for 30", "Use n_points=30"):
        simulate(
            *(jax.random.key(0), KernelDensity(1, 25), Accumulate(10), targets.standard_normal(1)),
            **{"n_ini": 10, "n_generations": 3, "n_replicates": 2},
        )
