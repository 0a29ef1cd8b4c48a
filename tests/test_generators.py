"""The random numbers under the generators have the right laws, from n = 1 to 10^12."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from madlib import Categorical, Gaussian, targets
from madlib.datasets import Counts, Moments, Samples
from madlib.generators import CategoricalParams, NormalParams
from madlib.generators.categorical import binomial, multinomial, tempered
from madlib.generators.gaussian import chi_square, chi_square_quantile

LEVEL = 1e-3  # of every test of a law, at a fixed key.
DOF = (1, 2, 5, 8, 29, 30, 31, 100, 10_000, 10**12)


def spread_over_rounding(rng, drawn):
    """Float32 draws, as float64, uniform over the interval of numbers that round to them."""
    return drawn.astype(np.float64) + np.spacing(drawn) * rng.uniform(-0.5, 0.5, drawn.shape)


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def test_chi_square_has_its_law():
    dof = jnp.array(DOF, jnp.float32)
    normals = jax.random.normal(jax.random.key(1), (50_000, len(DOF)))
    draw = jax.jit(jax.vmap(chi_square, in_axes=(0, 0, None)))
    drawn = np.asarray(draw(keys(50_000), normals, dof))
    drawn = spread_over_rounding(np.random.default_rng(0), drawn)
    for k, values in zip(DOF[:-1], drawn.T, strict=False):
        p = stats.kstest(values, stats.chi2(k).cdf).pvalue
        assert p > LEVEL, f"chi-square of {k} degrees of freedom: p = {p:.2g}"
    p = stats.kstest((drawn[:, -1] - 1e12) / np.sqrt(2e12), "norm").pvalue
    assert p > LEVEL, f"chi-square of 1e12 degrees of freedom: p = {p:.2g}"
    # Diagonal entries of one matrix are drawn together and must not depend on each other.
    correlation = np.corrcoef(stats.rankdata(drawn, axis=0).T) - np.eye(len(DOF))
    assert np.abs(correlation).max() < 5 / np.sqrt(len(drawn))


def test_chi_square_quantile_in_double_precision():
    """The error of the distribution function is below 1e-7, the resolution of a float32 uniform."""
    z = np.linspace(-5, 5, 1001)
    dof = np.array([30.0, 31, 40, 60, 100, 300, 1e3, 1e4])[:, None]
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        quantile = np.asarray(chi_square_quantile(jnp.asarray(z), jnp.asarray(dof)))
    assert quantile.dtype == np.float64
    error = np.abs(stats.chi2(dof).cdf(quantile) - stats.norm.cdf(z)).max(axis=1)
    assert (error < 1e-7).all(), error
    assert (np.diff(error) < 1e-12).all(), f"the error must fall with dof: {error}"


BINOMIALS = [
    (1, 0.3),
    (20, 0.0),
    (20, 1.0),
    (20, 0.05),
    (20, 0.5),
    (50, 0.95),
    (1000, 0.011),  # just above the threshold of inversion.
    (1000, 0.009),
    (2000, 0.5),
    (5000, 0.6),  # the normal quantile.
    (100_000, 1e-4),
    (10**6, 3e-4),
    (10**8, 1e-6),  # a rare event among more trials than the rejection method can bear.
]


def test_binomial_has_its_law():
    """The randomized probability transform of exact binomial draws is uniform."""
    n, prob = (jnp.array(column, jnp.float32) for column in zip(*BINOMIALS, strict=True))
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: binomial(key, n, prob)))(keys(20_000)))
    assert np.array_equal(drawn, np.round(drawn))
    uniform = np.random.default_rng(0).random(len(drawn))
    for (n, p), values in zip(BINOMIALS, drawn.T, strict=True):
        if p in (0, 1):
            assert (values == n * p).all()
            continue
        law = stats.binom(n, np.float64(np.float32(p)))
        below = law.cdf(values - 1)
        level = stats.kstest(below + uniform * (law.cdf(values) - below), "uniform").pvalue
        assert level > LEVEL, f"binomial({n}, {p}): p = {level:.2g}"


def test_binomial_at_the_size_of_the_internet():
    n, prob = 1e12, np.array([0.3, 1e-6, 1e-9, 1e-11, 1 - 1e-6], np.float32)
    draw = jax.jit(jax.vmap(lambda key: binomial(key, jnp.full(5, n), jnp.asarray(prob))))
    drawn = spread_over_rounding(np.random.default_rng(1), np.asarray(draw(keys(20_000))))
    n, prob = float(np.float32(n)), prob.astype(np.float64)
    deviation = np.sqrt(n * prob * (1 - prob))
    for p, s, values in zip(prob, deviation, drawn.T, strict=True):
        z = (values - n * p) / s
        se = np.sqrt(2 / len(z))
        # The mean n p is a float32 number: as far as its rounding, the law may be shifted.
        shift = np.spacing(np.float32(n * max(p, 0.5))) / s if p > 0.5 else 1e-7 * n * p / s
        assert abs(z.mean()) < 5 / np.sqrt(len(z)) + shift, f"p = {p}: mean {z.mean():.3g}"
        assert abs(z.var() - 1) < 5 * se * (1 + 1 / s) + shift**2, f"p = {p}: {z.var():.4g}"


PROBS = np.array([0.4, 0.0, 0.25, 0.05, 0.3])


def test_multinomial_has_its_law():
    n, n_draws = 50, 20_000
    probs = jnp.asarray(PROBS, jnp.float32)
    draw = jax.jit(jax.vmap(lambda key, n: multinomial(key, n, probs), in_axes=(0, None)))
    drawn = np.asarray(draw(keys(n_draws), jnp.float32(n)), np.float64)
    assert (drawn.sum(1) == n).all() and (drawn[:, 1] == 0).all()
    uniform = np.random.default_rng(0).random(n_draws)
    for p, values in zip(PROBS, drawn.T, strict=True):
        if p:
            law = stats.binom(n, p)
            below = law.cdf(values - 1)
            transformed = below + uniform * (law.cdf(values) - below)
            assert stats.kstest(transformed, "uniform").pvalue > LEVEL
    centered = drawn - n * PROBS
    products = centered[:, :, None] * centered[:, None, :]
    exact = n * (np.diag(PROBS) - np.outer(PROBS, PROBS))
    se = products.std(0) / np.sqrt(n_draws)
    assert (np.abs(products.mean(0) - exact) <= 5 * se).all(), (products.mean(0), exact)

    large = np.asarray(draw(keys(n_draws), jnp.float32(1e12)), np.float64)
    np.testing.assert_allclose(large.sum(1), 1e12, rtol=1e-6)
    z = (large - 1e12 * PROBS)[:, PROBS > 0] / np.sqrt(1e12 * PROBS * (1 - PROBS))[PROBS > 0]
    assert np.abs(z).max() < 6 and abs(z.std() - 1) < 5 / np.sqrt(2 * n_draws)


def test_multinomial_of_few_draws_by_enumeration():
    """All 15 outcomes of 4 draws from 3 symbols."""
    probs, n_draws = np.array([0.2, 0.5, 0.3]), 20_000
    draw = jax.jit(jax.vmap(lambda key: multinomial(key, 4.0, jnp.asarray(probs, jnp.float32))))
    outcomes, observed = np.unique(np.asarray(draw(keys(n_draws))), axis=0, return_counts=True)
    expected = n_draws * stats.multinomial(4, probs).pmf(outcomes)
    assert len(outcomes) == 15 and stats.chisquare(observed, expected).pvalue > LEVEL


def test_temperature():
    probs = jnp.asarray([0.1, 0.4, 0.4, 0.0, 0.1])
    np.testing.assert_allclose(tempered(probs, 1.0), probs, rtol=1e-6)
    np.testing.assert_allclose(tempered(probs, 0.5), probs**2 / (probs**2).sum(), rtol=1e-5)
    np.testing.assert_array_equal(tempered(probs, 0.0), [0, 0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(tempered(probs, 1e-3), [0, 0.5, 0.5, 0, 0])


def test_symbols_are_drawn_and_counted():
    generator, n = Categorical(5), 20_000
    params = CategoricalParams(jnp.asarray(PROBS, jnp.float32))
    for lam in (1.0, 0.5, 0.0):
        points = generator.sample(jax.random.key(0), params, n, lam)
        counts = generator.summarize(Samples.of(points))
        assert np.array_equal(counts.count, np.bincount(points[:, 0].astype(int), minlength=5))
        probs = np.asarray(tempered(params.probs, lam), np.float64)
        alive = probs > 0
        observed = np.asarray(counts.count, np.float64)
        assert observed[alive].sum() == n
        if lam:
            assert stats.chisquare(observed[alive], n * probs[alive] / probs.sum()).pvalue > LEVEL
    fitted = generator.fit(None, Counts(jnp.array([2.0, 0.0, 6.0, 0.0, 0.0])))
    assert np.array_equal(fitted.probs, [0.25, 0, 0.75, 0, 0])


@pytest.mark.parametrize("ddof", [0, 1])
def test_gaussian_fit_is_that_of_numpy(ddof):
    points = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    generator = Gaussian(3, ddof=ddof)
    params = generator.fit(None, generator.summarize(Samples.of(jnp.asarray(points))))
    np.testing.assert_allclose(params.mean, points.mean(0), atol=1e-6)
    np.testing.assert_allclose(params.cov, np.cov(points.T, ddof=ddof), atol=1e-5)


TRIANGLE = targets.normal(np.zeros(3), [[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]]).params


@jax.jit
def draw_moments(keys, n):
    return jax.vmap(lambda key: Gaussian(3).draw(key, TRIANGLE, n, 0.5))(keys)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 10**12])
def test_moments_drawn_are_wishart(n):
    """E scatter = (n - 1) lam Sigma, of rank min(n - 1, d); the mean has covariance lam Sigma/n."""
    d, lam, cov = 3, 0.5, np.asarray(TRIANGLE.cov, np.float64)
    moments: Moments = draw_moments(keys(4000), jnp.float32(n))
    root = np.asarray(moments.root, np.float64)
    assert (np.asarray(moments.weight) == np.float32(n)).all()
    assert (np.linalg.matrix_rank(root) == min(n - 1, d)).all()
    scatter = root @ root.swapaxes(-1, -2) / max(n - 1, 1)
    _assert_mean("scatter", scatter, lam * cov if n > 1 else 0 * cov)
    mean = np.asarray(moments.mean, np.float64) * np.sqrt(n)
    _assert_mean("mean", mean, np.zeros(3))
    _assert_mean("square of the mean", mean[:, :, None] * mean[:, None, :], lam * cov)


def _assert_mean(what, sample, expected):
    se = sample.std(0) / np.sqrt(len(sample))
    error = np.abs(sample.mean(0) - expected)
    # Single-precision rounding of the parameters themselves.
    assert (error <= 5 * se + 1e-6).all(), f"{what}: {sample.mean(0)}, expected {expected}"


def test_a_point_mass_draws_itself():
    params = NormalParams(jnp.array([1.0, 2.0]), jnp.zeros((2, 2)))
    moments = jax.jit(lambda key: Gaussian(2).draw(key, params, 7))(jax.random.key(0))
    assert np.array_equal(moments.mean, params.mean) and not np.asarray(moments.root).any()
