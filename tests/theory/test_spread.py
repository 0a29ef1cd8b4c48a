"""The spread over replicates of the fully synthetic loop, against samples really drawn."""

import numpy as np
import pytest
from plain_loops import ROOT_3D, assert_agrees, gaussian_loop, normal_samples
from scipy import special, stats

from madlib import theory
from madlib.errors import ParameterError
from madlib.regimes import FullySynthetic


@pytest.mark.parametrize(("n_s", "n_ini", "dim"), [(16, 12, 1), (14, 20, 3)])
def test_expected_divergence(n_s, n_ini, dim):
    """KL(N_0 || N_t), written out; at least 12 samples, so that it has a variance."""
    rng, root = np.random.default_rng(8), ROOT_3D if dim == 3 else np.eye(1)
    loop = {"n_ini": n_ini, "n_generations": 3, "n_replicates": 40_000, "root": root}
    means, covs = gaussian_loop(rng, FullySynthetic(n_s), **loop)
    inverse, real = np.linalg.inv(covs), root @ root.T
    gap = np.einsum("rti,rtij,rtj->rt", means, inverse, means)
    log_ratio = np.linalg.slogdet(covs)[1] - np.linalg.slogdet(real)[1]
    divergence = (log_ratio + np.trace(inverse @ real, axis1=-2, axis2=-1) + gap - dim) / 2
    expected = theory.expected_divergence(n_ini=n_ini, n_s=n_s, n_generations=3, dim=dim)
    assert_agrees("KL", divergence, expected)
    huge = theory.expected_divergence(n_ini=1e12, n_s=1e12, n_generations=50, dim=dim)
    np.testing.assert_allclose(huge, dim * (dim + 3) / 4e12 * np.arange(1, 51), rtol=1e-2)


@pytest.mark.parametrize(
    ("n_s", "n_ini", "lam", "ddof", "dim"),
    [(6, 4, 0.7, 1, 1), (5, 9, 1.0, 0, 1), (7, 9, 0.9, 1, 3), (9, 7, 0.9, 0, 3)],
)
def test_log_variance_law(n_s, n_ini, lam, ddof, dim):
    settings = {"n_ini": n_ini, "lam": lam, "ddof": ddof}
    rng, regime = np.random.default_rng(5), FullySynthetic(n_s)
    root = ROOT_3D if dim == 3 else np.eye(1)
    _, covs = gaussian_loop(
        rng, regime, n_generations=4, n_replicates=20_000, root=root, **settings
    )
    log_variance = np.linalg.slogdet(covs)[1] - np.linalg.slogdet(root @ root.T)[1]
    t = np.arange(1, 5)
    mean, variance = theory.log_variance_moments(t, n_s=n_s, dim=dim, **settings)
    assert_agrees("E log det", log_variance, mean)
    assert_agrees("Var log det", (log_variance - mean) ** 2, variance)
    q = np.array([0.01, 0.3, 0.5, 0.95])
    quantile = theory.log_variance_quantiles(q, t, n_s=n_s, dim=dim, **settings)
    assert_agrees("quantile", log_variance[:, None, :] <= quantile * 1.0, q[:, None])
    if dim == 1:
        np.testing.assert_allclose(theory.typical_variance(t, n_s=n_s, **settings), np.exp(mean))
        s = theory.moments(regime, n_generations=4, **settings).s
        cv = theory.variance_squared_cv(t, n_ini=n_ini, n_s=n_s)
        assert_agrees("E variance^2", np.exp(2 * log_variance), s**2 * (1 + cv))


@pytest.mark.parametrize("n", [2, 3, 20, 101, 1000, 1e6])
def test_log_variance_quantiles_of_one_fit_are_chi_square(n):
    q = np.array([1e-6, 0.05, 0.5, 0.95, 1 - 1e-6])
    quantile = theory.log_variance_quantiles(q, 1, n_ini=n, n_s=2)
    expected = np.log(stats.chi2.ppf(q, n - 1) / (n - 1))
    # Probabilities are right to 1e-12; dx = dq / density.
    density = stats.chi2.pdf(stats.chi2.ppf(q, n - 1), n - 1) * stats.chi2.ppf(q, n - 1)
    assert np.all(np.abs(quantile - expected) <= 1e-12 / density + 1e-12)


def test_log_variance_quantiles_of_grids():
    """Levels, sizes, biases and generations at once: each the same as alone."""
    q, t, n, lam = [0.1, 0.9], [1, 7], np.array([[5.0], [40.0]]), np.array([[[0.5]], [[1.0]]])
    grid = theory.log_variance_quantiles(q, t, n_ini=n, n_s=2 * n, lam=lam, ddof=0)
    assert grid.shape == (2, 2, 2, 2)
    for i, j, k, m in np.ndindex(grid.shape):
        alone = theory.log_variance_quantiles(
            q[i], t[m], n_ini=n[k, 0], n_s=2 * n[k, 0], lam=lam[j, 0, 0], ddof=0
        )
        assert grid[i, j, k, m] == alone


def test_log_variance_mean_keeps_its_digits():
    z = np.array([1.0, 49.5, 50.5, 500.0])
    mean = theory.log_variance_moments(1, n_ini=2 * z + 1, n_s=2).mean
    np.testing.assert_allclose(mean, special.digamma(z) - np.log(z), rtol=1e-10)


def test_log_variance_after_many_generations():
    n, t = 10, 10_000
    mean, variance = theory.log_variance_moments(t, n_ini=n, n_s=n)
    median, upper = theory.log_variance_quantiles([0.5, stats.norm.cdf(1)], t, n_ini=n, n_s=n)
    assert mean == pytest.approx(-t / (n - 1), rel=0.1)
    assert median == pytest.approx(mean, abs=0.5)  # skewness/6 standard deviations, here 0.4
    assert upper - median == pytest.approx(np.sqrt(variance), rel=0.01)
    for t in (10_000, 10**9):
        mean, variance = theory.log_variance_moments(t, n_ini=1e12, n_s=1e12)
        assert mean == pytest.approx(-t / 1e12, rel=1e-6)
        levels = [0.5, stats.norm.cdf(1)]
        median, upper = theory.log_variance_quantiles(levels, t, n_ini=1e12, n_s=1e12)
        assert upper - median == pytest.approx(np.sqrt(2 * t / 1e12), rel=1e-6)
    np.testing.assert_array_equal(
        theory.log_variance_quantiles(0.5, [1, 2], n_ini=5, n_s=5, lam=0.0)[1:], -np.inf
    )


def test_effective_directions_against_real_samples():
    rng = np.random.default_rng(7)
    n_replicates, n_s, n_generations = 40_000, 6, 12
    cov = np.broadcast_to(np.diag([4.0, 2.0, 1.0, 1.0]), (n_replicates, 4, 4))
    expected = theory.effective_directions(cov[0], n_s=n_s, n_generations=n_generations)
    assert expected[0] == pytest.approx(64 / 22)
    for t in range(1, n_generations):
        points = normal_samples(rng, np.zeros((n_replicates, 4)), cov, n_s)
        points -= points.mean(1, keepdims=True)
        # Bias scales every direction alike.
        cov = 0.9 * points.swapaxes(1, 2) @ points / n_s
        if t in (1, 4, 11):
            squared_trace = np.trace(cov, axis1=1, axis2=2) ** 2
            trace_of_square = np.sum(cov**2, axis=(1, 2))
            scale = trace_of_square.mean()
            excess = (squared_trace - expected[t] * trace_of_square) / scale
            assert_agrees(f"directions at t = {t + 1}", excess, 0.0)
    late = theory.effective_directions(cov[:100], n_s=[6, 50], n_generations=2000)
    assert late.shape == (2, 2000) and (np.diff(late) < 1e-12).all()
    assert late[:, -1] == pytest.approx(1, abs=1e-6)
    scaled = theory.effective_directions(1e200 * np.eye(3), n_s=2, n_generations=3000)
    np.testing.assert_array_equal(
        scaled, theory.effective_directions(np.eye(3), n_s=2, n_generations=3000)
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.log_variance_quantiles(0.5, 1, n_ini=5, n_s=3, dim=3),
        lambda: theory.log_variance_quantiles(1.0, 1, n_ini=5, n_s=5),
        lambda: theory.log_variance_quantiles(0.5, 0, n_ini=5, n_s=5),
        lambda: theory.log_variance_quantiles(0.5, 1, n_ini="5", n_s=5),
        lambda: theory.log_variance_quantiles(0.5, [1, 2], n_ini=[5, 6, 7], n_s=5),
        lambda: theory.log_variance_moments(1, n_ini=1e15, n_s=1e15, dim=10**9),
        lambda: theory.variance_squared_cv(-5, n_ini=9, n_s=9),
        lambda: theory.variance_squared_cv(1e9, n_ini=9, n_s=9),
        lambda: theory.effective_directions(np.eye(2), n_s=1, n_generations=3),
        lambda: theory.effective_directions(np.eye(2), n_s=None, n_generations=3),
        lambda: theory.effective_directions(np.zeros((2, 2)), n_s=9, n_generations=3),
        lambda: theory.effective_directions(np.ones((2, 3)), n_s=9, n_generations=3),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
