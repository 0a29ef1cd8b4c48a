"""Kernel density: SciPy's density, exact laws of the loop, and one clear line for bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from madlib import (
    Accumulate,
    FullySynthetic,
    KernelDensity,
    ParameterError,
    simulate,
    targets,
    theory,
)
from madlib.datasets import Samples

N_GENERATIONS, N_REPLICATES, BANDWIDTH = 8, 1500, 0.5


def points_variance(params, reference):
    """Per coordinate, divided by n, of what the model remembers."""
    mean = params.weight @ params.points
    return jnp.mean(params.weight @ (params.points - mean[None, :]) ** 2)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_scott_agrees_with_scipy(dim):
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
    """lam multiplies the covariance of what is drawn about a point; rows of weight 0 are unseen."""
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
        assert stats.kstest(rest, stats.norm(0, np.sqrt(lam) * BANDWIDTH).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("regime", "law", "lam"),
    [
        (FullySynthetic(20), theory.fully_synthetic_kernel_variance, 1.0),
        (FullySynthetic(20), theory.fully_synthetic_kernel_variance, 0.5),
        (Accumulate(20), theory.accumulate_kernel_variance, 1.0),
    ],
)
def test_the_loop_obeys_its_exact_law(regime, law, lam):
    n_ini = 30
    largest = n_ini + 20 * (N_GENERATIONS - 1)
    run = simulate(
        jax.random.key(0),
        KernelDensity(2, n_points=largest, bandwidth=BANDWIDTH),
        regime,
        targets.standard_normal(2),
        n_ini=n_ini,
        n_generations=N_GENERATIONS,
        n_replicates=N_REPLICATES,
        lam=lam,
        record=(points_variance,),
        reduce=lambda values, axis: np.stack([values.mean(axis), values.std(axis)]),
    )
    mean, deviation = run.record["points_variance"]
    expected = law(20, BANDWIDTH, n_ini=n_ini, n_generations=N_GENERATIONS, lam=lam)
    z = (mean - expected) / (deviation / np.sqrt(N_REPLICATES))
    assert np.abs(z).max() < 5, z


def test_closed_forms():
    n, t, h = 30, np.arange(1, 200), 0.4
    law = {"n_ini": n, "n_generations": len(t)}
    keep = (1 - 1 / n) ** t
    grown = keep + (n - 1) * h**2 * (1 - keep * n / (n - 1))
    replaced = theory.fully_synthetic_kernel_variance(n, h, **law)
    np.testing.assert_allclose(replaced, grown, rtol=1e-12)
    huge = theory.accumulate_kernel_variance(1e12, h, n_ini=1e12, n_generations=len(t))
    harmonic = special.digamma(t + 1) + np.euler_gamma
    np.testing.assert_allclose(huge, 1 + h**2 * (harmonic - 1), rtol=1e-9)
    # Without a kernel it is a bootstrap, whose variance is that of a Gaussian with ddof = 0.
    gaussian = theory.accumulate_moments(20, n_ini=n, n_generations=len(t), ddof=0).s
    no_kernel = theory.accumulate_kernel_variance(20, 1e-9, **law)
    np.testing.assert_allclose(no_kernel, gaussian, rtol=1e-9)


def test_identical_points_are_legal():
    model = KernelDensity(2, n_points=5)
    params = model.fit(None, Samples.of(jnp.ones((5, 2))))
    assert np.array_equal(model.sample(jax.random.key(0), params, 7), np.ones((7, 2)))
    assert np.isfinite(model.log_prob(params, jnp.array([[1.0, 1.0], [0.0, 2.0]]))).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: KernelDensity(2, 5, bandwidth=0), ["bandwidth", "> 0", "got 0"]),
        (lambda: KernelDensity(2, 5, bandwidth=-0.1), ["bandwidth", "-0.1"]),
        (lambda: KernelDensity(2, 5, bandwidth=float("nan")), ["bandwidth", "nan"]),
        (lambda: KernelDensity(2, 5, bandwidth="silverman"), ["'scott'", "'silverman'"]),
        (lambda: KernelDensity(2, 5, bandwidth=np.ones(2)), ["'scott'", "array"]),
        (lambda: KernelDensity(0, 5), ["dim", "0"]),
        (lambda: KernelDensity(2, 5, floor=-1), ["floor must lie in (0, 1)", "-1"]),
        (
            lambda: simulate(
                jax.random.key(0),
                KernelDensity(1, 25),
                Accumulate(10),
                targets.standard_normal(1),
                n_ini=10,
                n_generations=3,
                n_replicates=2,
            ),
            ["n_points", "25 for 30", "Use n_points=30"],
        ),
        (lambda: theory.accumulate_kernel_variance(5, 0, n_ini=5, n_generations=2), ["bandwidth"]),
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(ParameterError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message
