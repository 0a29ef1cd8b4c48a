"""The Gaussian: NumPy's moments, Wishart draws, the normal density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import LEVEL, assert_mean, keys, refused
from scipy import stats

from madlib import targets
from madlib.datasets import Moments, Samples
from madlib.generators import Gaussian, NormalParams

ROOT = np.array([[1.4, 0.0, 0.0], [0.4, 0.9, 0.0], [0.0, -0.3, 0.6]])
TRIANGLE = NormalParams(jnp.array([1.0, 0.0, -2.0]), jnp.asarray(ROOT, jnp.float32))


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("dim", [1, 3])
def test_fit_is_that_of_numpy(dim, ddof):
    """Also with weights, where the unbiased divisor is sum w - sum w^2 / sum w."""
    rng = np.random.default_rng(0)
    points, weight = rng.standard_normal((9, dim)).astype(np.float32), rng.random(9) + 0.1
    generator = Gaussian(dim, ddof=ddof)
    samples = Samples.of(jnp.asarray(points))
    for w in (np.ones(9), weight, np.where(np.arange(9) % 3, weight, 0)):
        params = generator.fit(None, samples._replace(weight=jnp.asarray(w, jnp.float32)))
        np.testing.assert_allclose(params.mean, np.average(points, 0, w), atol=1e-6)
        expected = np.cov(points.T, ddof=ddof, aweights=w).reshape(dim, dim)
        np.testing.assert_allclose(params.cov, expected, atol=1e-5)


def test_the_weighted_covariance_is_unbiased():
    """Over training sets of five points of weights 1 to 5, on average the true variance."""
    weight = jnp.arange(1.0, 6.0)

    @jax.jit
    @jax.vmap
    def variance(key):
        samples = Samples(jax.random.normal(key, (5, 1)), weight)
        return Gaussian(1).fit(None, samples).cov[0, 0]

    assert_mean("variance", variance(keys(20_000)), 1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 10**12])
def test_moments_drawn_are_wishart(n):
    """E scatter = (n - 1) lam Sigma, of rank min(n - 1, d); the mean has covariance lam Sigma/n."""
    d, lam, cov = 3, 0.5, ROOT @ ROOT.T
    draw = jax.jit(jax.vmap(lambda key: Gaussian(d).draw(key, TRIANGLE, n, lam)))
    moments: Moments = draw(keys(4000))
    root = np.asarray(moments.root, np.float64)
    assert (np.asarray(moments.weight) == np.float32(n)).all()
    assert (np.asarray(moments.weight_squared) == np.float32(n)).all()
    assert (np.linalg.matrix_rank(root) == min(n - 1, d)).all()
    scatter = root @ root.swapaxes(-1, -2) / max(n - 1, 1)
    assert_mean("scatter", scatter, lam * cov if n > 1 else 0 * cov)
    mean = (np.asarray(moments.mean, np.float64) - np.asarray(TRIANGLE.mean)) * np.sqrt(n)
    # The mean is rounded to single precision, which at n = 10^12 is more than its deviation.
    rounding = np.finfo(np.float32).eps * 2 * np.sqrt(n)
    assert_mean("mean", mean, np.zeros(d), rounding)
    squares = mean[:, :, None] * mean[:, None, :]
    assert_mean("square of the mean", squares, lam * cov, 1e-6 + rounding**2)


@pytest.mark.parametrize("lam", [1.0, 0.3, 0.0])
def test_samples_have_the_covariance_times_the_bias(lam):
    n = 20_000
    points = np.asarray(Gaussian(3).sample(jax.random.key(0), TRIANGLE, n, lam), np.float64)
    gap = points - np.asarray(TRIANGLE.mean)
    if lam == 0:
        assert not gap.any()
        return
    white = np.linalg.solve(np.sqrt(lam) * ROOT, gap.T)
    assert all(stats.kstest(row, "norm").pvalue > LEVEL for row in white)
    correlation = np.corrcoef(white) - np.eye(3)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_points_and_moments_have_the_same_distribution():
    """The slow path that draws points and summarizes them, and the exact one."""

    def moments(generator):
        def fit(key):
            drawn = generator.draw(key, TRIANGLE, 6, 0.7)
            return generator.fit(None, drawn)

        params = jax.jit(jax.vmap(fit))(keys(10_000))
        return np.concatenate([params.mean, params.chol.reshape(-1, 9)], axis=1)

    exact, slow = moments(Gaussian(3)), moments(Gaussian(3, exact=False))
    for ours, theirs in zip(exact.T, slow.T, strict=True):
        assert not ours.any() or stats.ks_2samp(ours, theirs).pvalue > LEVEL


def test_log_prob_is_that_of_scipy_and_minus_infinity_after_collapse():
    points = 2 * np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    expected = stats.multivariate_normal(np.asarray(TRIANGLE.mean), ROOT @ ROOT.T).logpdf(points)
    ours = Gaussian(3).log_prob(TRIANGLE, jnp.asarray(points))
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
    flat = TRIANGLE._replace(chol=TRIANGLE.chol.at[2, 2].set(0.0))
    assert (np.asarray(Gaussian(3).log_prob(flat, jnp.asarray(points))) == -np.inf).all()


def test_a_point_mass_draws_itself():
    params = NormalParams(jnp.array([1.0, 2.0]), jnp.zeros((2, 2)))
    moments = jax.jit(lambda key: Gaussian(2).draw(key, params, 7))(jax.random.key(0))
    assert np.array_equal(moments.mean, params.mean) and not np.asarray(moments.root).any()


def test_single_precision_is_kept_where_jax_has_double_precision():
    params = targets.standard_normal(2).params
    with jax.enable_x64(True):
        drawn = Gaussian(2).draw(jax.random.key(0), params, 5, 0.5)
        fitted = Gaussian(2).fit(None, drawn)
        points = Gaussian(2).sample(jax.random.key(0), params, 5, 0.5)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((drawn, fitted, points)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dim": 0}, ["dim must be a whole number from 1", "got 0"]),
        ({"dim": 2, "ddof": 2}, ["ddof must be a whole number from 0 to 1", "got 2"]),
        ({"dim": 2, "exact": "no"}, ["exact must be True or False", "'no'"]),
    ],
)
def test_settings_are_checked(settings, words):
    with refused(*words):
        Gaussian(**settings)
