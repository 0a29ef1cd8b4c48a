"""The loop against the closed forms, and the exact path against the sample path, by Monte Carlo."""

import functools

import jax
import numpy as np
import pytest
from plain_loops import assert_agrees
from scipy import stats

from madlib import metrics, simulate, targets, theory
from madlib.generators import Categorical, Gaussian, KernelDensity
from madlib.regimes import (
    Accumulate,
    AccumulateFresh,
    AccumulateSubsample,
    FreshData,
    FullySynthetic,
    Growing,
    LongMemory,
    Power,
    SyntheticAugmentation,
    Weighted,
)

N_REPLICATES = 20_000
MEAN = np.array([1.0, -2.0])
COV = np.array([[2.0, 0.9], [0.9, 1.0]])
# Metrics are sums of a few float32 terms of the order of 1; parameters of the order of 1 as well.
ROUNDING = 1e-5

REGIMES = [
    FullySynthetic(12),
    SyntheticAugmentation(7),
    FreshData(6, 9),
    LongMemory(6, 9, memory=3),
    Accumulate(6),
    AccumulateFresh(3, 6),
    AccumulateSubsample(6, 9),
    Weighted(FullySynthetic(12), 2.0),
    Weighted(FreshData(6, 9), 0.4),
    Weighted(SyntheticAugmentation(9), 2.5),
    Weighted(Accumulate(6), 1.7),
    Weighted(LongMemory(6, 9, memory=3), 2.0),
    Growing(FullySynthetic(6), Power(1.0)),
    Growing(FreshData(6, 8), Power(0.5)),
    Growing(SyntheticAugmentation(6), Power(1.0)),
    Growing(Accumulate(4), Power(1.0)),
    Growing(LongMemory(3, 6, memory=3), Power(1.0)),
    Growing(AccumulateSubsample(4, 9), {"n_s": Power(1.0)}),
    Weighted(Growing(FreshData(4, 6), {"n_s": Power(1.0)}), 0.5),
]
LOOPS = [(i, 2, 1) for i in range(7)] + [(i, 1, int(i >= 7)) for i in range(len(REGIMES))]


@functools.cache
def gaussians(i, d, ddof):
    """Means and covariances of 20,000 replicates at lam = 0.7 and 1: [lam, replicate, t, ...]."""
    # Every metric is compiled with the loop, so only where it is used.
    record = (metrics.wasserstein2_squared, metrics.log_determinant)
    trajectory = simulate(
        jax.random.key(7),
        Gaussian(d, ddof=ddof),
        REGIMES[i],
        targets.normal(MEAN[:d], COV[:d, :d]),
        n_ini=10,
        n_generations=8,
        n_replicates=N_REPLICATES,
        lam=np.array([0.7, 1.0]),
        record=record if i == 0 else (),
    )
    mean, chol = (np.asarray(leaf, np.float64) for leaf in trajectory.params)
    return mean - MEAN[:d], chol @ chol.swapaxes(-1, -2), trajectory.record


@pytest.mark.parametrize(("i", "d", "ddof"), LOOPS)
def test_moments(i, d, ddof):
    regime, (errors, covs, _) = REGIMES[i], gaussians(i, d, ddof)
    for lam, error, cov in zip((0.7, 1.0), errors, covs, strict=True):
        what = f"{regime}, lam = {lam}, ddof = {ddof}"
        v, s = theory.moments(regime, n_ini=10, n_generations=8, lam=lam, ddof=ddof)
        square = error[..., :, None] * error[..., None, :]
        assert_agrees(f"{what}: E mu", error, np.zeros(d), ROUNDING)
        assert_agrees(f"{what}: E mu mu^T", square, v[:, None, None] * COV[:d, :d], ROUNDING)
        assert_agrees(f"{what}: E Sigma", cov, s[:, None, None] * COV[:d, :d], ROUNDING)


def test_wasserstein_in_one_dimension():
    regime, (_, _, record) = REGIMES[0], gaussians(0, 1, 0)
    for i, lam in enumerate((0.7, 1.0)):
        loop = {"n_ini": 10, "n_generations": 8, "lam": lam, "ddof": 0}
        exact = COV[0, 0] * theory.exact_wasserstein2_squared(regime, **loop)
        measured = record["wasserstein2_squared"][i].astype(np.float64)
        assert_agrees(f"E W2^2, lam = {lam}", measured, exact, ROUNDING)


@pytest.mark.parametrize(("d", "ddof"), [(2, 1), (1, 0)])
def test_law_of_the_log_determinant(d, ddof):
    """Mean, variance, and the shares of replicates below the exact quantiles."""
    _, _, record = gaussians(0, d, ddof)
    generation, levels = np.arange(1, 9), np.array([0.05, 0.5, 0.95])
    settings = {"n_ini": 10, "n_s": 12, "ddof": ddof, "dim": d}
    for i, lam in enumerate((0.7, 1.0)):
        log_det = record["log_determinant"][i].astype(np.float64)
        log_det = log_det - np.linalg.slogdet(COV[:d, :d])[1]
        mean, variance = theory.log_variance_moments(generation, lam=lam, **settings)
        assert_agrees("E log det", log_det, mean, ROUNDING)
        assert_agrees("Var log det", (log_det - mean) ** 2, variance, ROUNDING)
        quantiles = theory.log_variance_quantiles(levels, generation, lam=lam, **settings)
        below = (log_det[:, None, :] < quantiles).mean(0)
        z = (below - levels[:, None]) / np.sqrt(levels * (1 - levels) / N_REPLICATES)[:, None]
        assert np.abs(z).max() < 5, z


@functools.cache
def paths(d, exact, lam=1.0):
    """Means and covariances of 4000 replicates; another key for each path."""
    trajectory = simulate(
        jax.random.key(11 if exact else 12),
        Gaussian(d, exact=exact),
        FreshData(3, 10),
        targets.normal(np.ones(d), np.eye(d) + 0.5),
        n_ini=12,
        n_generations=10,
        n_replicates=4000,
        lam=lam,
    )
    mean, chol = trajectory.params
    cov = chol @ chol.swapaxes(-1, -2)
    return {
        "mean": mean[..., 0],
        "variance": cov[..., 0, 0],
        "covariance": cov[..., -1, 0],
        "total variance": np.trace(cov, axis1=-2, axis2=-1),
        "log determinant": np.linalg.slogdet(cov)[1],
    }


@pytest.mark.parametrize("d", [1, 3])
def test_exact_path_and_sample_path_agree_in_law(d):
    """Real and synthetic data mixed, the moments of few points: every formula of the exact path."""
    exact, points = paths(d, exact=True), paths(d, exact=False)
    for name in exact:
        for t in (1, 2, 10):
            p = stats.ks_2samp(exact[name][:, t - 1], points[name][:, t - 1]).pvalue
            assert p > 1e-3, f"{name} at t = {t}: p = {p:.2g}"
    biased = paths(d, exact=True, lam=0.95)
    p = stats.ks_2samp(biased["total variance"][:, 9], points["total variance"][:, 9]).pvalue
    assert p < 1e-3, f"the test must tell lam = 0.95 from 1; p = {p:.2g}"


PROBS = np.array([0.5, 0.25, 0.15, 0.07, 0.03])


@functools.cache
def words(regime, exact=True):
    return simulate(
        jax.random.key(3),
        Categorical(5, exact=exact),
        regime,
        targets.categorical(PROBS),
        n_ini=8,
        n_generations=13,
        n_replicates=N_REPLICATES,
        record=(metrics.heterozygosity, metrics.support_size),
        every=3,
    )


@pytest.mark.parametrize(
    ("regime", "exact"),
    [
        (FullySynthetic(6), True),
        (FullySynthetic(6), False),
        (LongMemory(4, 6, memory=2), True),
        (Accumulate(6), True),
        (Weighted(FreshData(4, 6), 2.5), True),
    ],
    ids=repr,
)
def test_heterozygosity(regime, exact):
    trajectory = words(regime, exact)
    expected = theory.heterozygosity(regime, PROBS, n_ini=8, n_generations=13)[::3]
    measured = trajectory.record["heterozygosity"].astype(np.float64)
    assert_agrees("E[1 - sum p^2]", measured, expected, 1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_support_and_extinction(exact):
    trajectory = words(FullySynthetic(6), exact)
    settings = {"n_ini": 8, "n_s": 6, "n_generations": 13}
    support = trajectory.record["support_size"].astype(np.float64)
    assert_agrees("support", support, theory.expected_support_size(PROBS, **settings)[::3])
    probs = np.asarray(trajectory.params.probs, np.float64)
    extinct = theory.extinction_probability(PROBS, **settings)[:, ::3].T
    absorbed = theory.extinction_probability(1 - PROBS, **settings)[:, ::3].T
    for what, share, exact_share in (
        ("extinction", (probs == 0).mean(0), extinct),
        ("absorption", (probs == 1).mean(0), absorbed),
    ):
        # The standard error of the exact law: events too rare to be seen have none in the sample.
        se = np.sqrt(exact_share * (1 - exact_share) / N_REPLICATES)
        assert (np.abs(share - exact_share) <= 5 * se).all(), (what, share, exact_share)
    assert_agrees("E p", probs, PROBS, 1e-6)


def test_kernel_density_with_fresh_data():
    regime, h, n_generations = FreshData(8, 12), 0.5, 6

    def points_variance(model, target):
        del target
        points, weight = model.params.points, model.params.weight
        mean = weight @ points / weight.sum()
        return (weight @ (points - mean[None]) ** 2 / weight.sum()).mean()

    run = simulate(
        jax.random.key(2),
        KernelDensity(2, n_points=20, bandwidth=h),
        regime,
        targets.standard_normal(2),
        n_ini=15,
        n_generations=n_generations,
        n_replicates=4000,
        lam=0.8,
        record=(points_variance,),
    )
    expected = theory.kernel_variance(regime, h, n_ini=15, n_generations=n_generations, lam=0.8)
    assert_agrees("E variance", run["points_variance"].astype(np.float64), expected, ROUNDING)


def test_digits():
    """One fit to n digits drawn with replacement, the first step of the self-consuming digits."""
    target, n, lam = targets.digits(), 100, 0.8
    trajectory = simulate(
        jax.random.key(5),
        Gaussian(64),
        FullySynthetic(n),
        target,
        n_ini=n,
        n_generations=3,
        n_replicates=1500,
        lam=lam,
        record=(metrics.total_variance, metrics.mean_error_squared),
    )
    total = np.trace(np.cov(np.asarray(target.params.points, np.float64).T, ddof=0))
    v, s = theory.moments(FullySynthetic(n), n_ini=n, n_generations=3, lam=lam)
    for name, expected in (("total_variance", s * total), ("mean_error_squared", v * total)):
        assert_agrees(name, trajectory.record[name].astype(np.float64), expected, 1e-5 * total)
