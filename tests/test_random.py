"""Random variables have the right distributions, from n = 1 to 10^12."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import LEVEL, assert_mean, keys
from scipy import stats

from madlib.random import (
    binomial,
    chi_square,
    chi_square_quantile,
    multinomial,
    rows_and_normals,
    rows_at,
    wishart_root,
)

DOF = (1, 2, 5, 8, 29, 30, 31, 100, 10_000, 10**12)


def spread_over_rounding(rng, drawn):
    """Float32 draws, as float64, uniform over the interval of numbers that round to them."""
    return drawn.astype(np.float64) + np.spacing(drawn) * rng.uniform(-0.5, 0.5, drawn.shape)


def test_chi_square_has_its_distribution():
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


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("dof", [0, 1, 3, 40, 10**9])
def test_wishart_root(d, dof):
    """E B B^T = dof I, of rank min(dof, d), with the variance of a Wishart matrix."""

    @jax.jit
    @jax.vmap
    def draw(key):
        k_normal, k_chi = jax.random.split(key)
        normals = jax.random.normal(k_normal, (d * (d + 1) // 2,))
        return wishart_root(k_chi, normals, jnp.float32(dof))

    root = np.asarray(draw(keys(4000)), np.float64)
    assert np.array_equal(root, np.tril(root))
    assert (np.linalg.matrix_rank(root) == min(dof, d)).all()
    if dof:
        matrix = root @ root.swapaxes(-1, -2) / dof
        assert_mean("mean", matrix, np.eye(d))
        assert_mean("variance", dof * (matrix - np.eye(d)) ** 2, 1 + np.eye(d), rounding=1e-3)


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
    (10**8, 1e-6),  # a rare event in more trials than the rejection method allows.
]


def test_binomial_has_its_distribution():
    """The randomized probability transform of exact binomial draws is uniform."""
    n, prob = (jnp.array(column, jnp.float32) for column in zip(*BINOMIALS, strict=True))
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: binomial(key, n, prob)))(keys(20_000)))
    assert np.array_equal(drawn, np.round(drawn))
    uniform = np.random.default_rng(0).random(len(drawn))
    for (n, p), values in zip(BINOMIALS, drawn.T, strict=True):
        if p in (0, 1):
            assert (values == n * p).all()
            continue
        exact = stats.binom(n, np.float64(np.float32(p)))
        below = exact.cdf(values - 1)
        level = stats.kstest(below + uniform * (exact.cdf(values) - below), "uniform").pvalue
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
        # The mean n p is a float32 number, which shifts the distribution by its rounding.
        shift = np.spacing(np.float32(n * max(p, 0.5))) / s if p > 0.5 else 1e-7 * n * p / s
        assert abs(z.mean()) < 5 / np.sqrt(len(z)) + shift, f"p = {p}: mean {z.mean():.3g}"
        assert abs(z.var() - 1) < 5 * se * (1 + 1 / s) + shift**2, f"p = {p}: {z.var():.4g}"


PROBS = np.array([0.4, 0.0, 0.25, 0.05, 0.3])


def test_multinomial_has_its_distribution():
    n, n_draws = 50, 20_000
    probs = jnp.asarray(PROBS, jnp.float32)
    draw = jax.jit(jax.vmap(lambda key, n: multinomial(key, n, probs), in_axes=(0, None)))
    drawn = np.asarray(draw(keys(n_draws), jnp.float32(n)), np.float64)
    assert (drawn.sum(1) == n).all() and (drawn[:, 1] == 0).all()
    uniform = np.random.default_rng(0).random(n_draws)
    for p, values in zip(PROBS, drawn.T, strict=True):
        if p:
            exact = stats.binom(n, p)
            below = exact.cdf(values - 1)
            transformed = below + uniform * (exact.cdf(values) - below)
            assert stats.kstest(transformed, "uniform").pvalue > LEVEL
    centered = drawn - n * PROBS
    products = centered[:, :, None] * centered[:, None, :]
    assert_mean("covariance", products, n * (np.diag(PROBS) - np.outer(PROBS, PROBS)))

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


def test_single_precision_is_kept_where_jax_has_double_precision():
    """Loops of one precision carry no other, whatever `jax_enable_x64` says."""
    with jax.enable_x64(True):
        probs, n = jnp.asarray(PROBS, jnp.float32), jnp.float32(30.0)
        counts = multinomial(jax.random.key(0), n, probs)
        normals = jax.random.normal(jax.random.key(1), (3,), jnp.float32)
        root = wishart_root(jax.random.key(0), normals, jnp.float32(5.0))
    assert counts.dtype == root.dtype == jnp.float32
    assert counts.sum() == 30


def test_rows_are_drawn_by_weight():
    weight = jnp.array([0.0, 3.0, 0.0, 1.0, 0.5, 0.0])
    n = 100_000
    for rows in (
        rows_at(jax.random.uniform(jax.random.key(1), (n // 100, 100)), weight),
        rows_and_normals(jax.random.key(2), weight, n, 2)[0],
    ):
        share = np.bincount(rows.ravel(), minlength=6) / n
        expected = np.array(weight) / 4.5
        se = np.sqrt(expected * (1 - expected) / n)
        assert (np.abs(share - expected) <= 5 * se).all(), (share, expected, se)


def test_rows_at_the_ends_of_a_uniform_have_weight():
    weight = jnp.array([0.0, 0.1, 0.2, 0.0])
    assert np.array_equal(rows_at(jnp.array([0.0, 1.0]), weight), [1, 2])


def test_rows_and_normals_are_independent():
    rows, normals = rows_and_normals(jax.random.key(0), jnp.ones(4), 40_000, 2)
    assert normals.shape == (40_000, 2)
    assert all(stats.kstest(column, "norm").pvalue > LEVEL for column in np.asarray(normals).T)
    correlation = np.corrcoef(np.stack([rows, *np.asarray(normals).T])) - np.eye(3)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(rows))
