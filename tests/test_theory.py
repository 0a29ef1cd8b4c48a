"""Every closed form against samples really drawn (plain NumPy), or against exact enumeration."""

import itertools

import numpy as np
import pytest
from madlib.parameters import ParameterError
from scipy import special, stats

from madlib import theory
from madlib.regimes import (
    Accumulate,
    AccumulateSubsample,
    FreshData,
    FullySynthetic,
    SyntheticAugmentation,
)

ROOT_3D = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-1.0, 2.0, 3.0]])


def assert_agrees(what, sample, expected, remainder=0.0):
    """Mean of sample [n_replicates, ...] within 5 standard errors, plus remainder, of expected."""
    mean, expected = sample.mean(0), np.broadcast_to(expected, sample.shape[1:])
    se = sample.std(0, ddof=1) / np.sqrt(len(sample))
    # Rounding only, where the quantity is the same on every replicate.
    rounding = 1e-12 * (1 + np.abs(expected))
    margin = np.abs(mean - expected) - (5 * se + remainder + rounding)
    worst = np.unravel_index(np.argmax(margin), margin.shape)
    assert margin[worst] <= 0, (
        f"{what} {worst}: measured {mean[worst]:.6g}, expected {expected[worst]:.6g}, "
        f"standard error {se[worst]:.3g}, remainder {np.max(remainder):.3g}, "
        f"n_replicates {len(sample)}"
    )


def normal_samples(rng, mean, cov, n):
    """[n_replicates, n, d] samples of N(mean, cov), cov of any rank."""
    eigenvalue, vector = np.linalg.eigh(cov)
    root = vector * np.sqrt(np.clip(eigenvalue, 0, None))[:, None, :]
    noise = rng.standard_normal((len(mean), n, mean.shape[-1]))
    return mean[:, None, :] + noise @ root.swapaxes(-1, -2)


def training_sets(rng, regime, n_ini, real, synthetic):
    """The training sets of t = 1, 2, ...: real(n) and synthetic(n, t) draw [n_replicates, n, ...].

    synthetic(n) draws from the last model, synthetic(n, -k) from the k-th last.
    """
    fixed = pool = real(n_ini)
    yield fixed
    for t in itertools.count(2):
        match regime:
            case FullySynthetic(n_s):
                yield synthetic(n_s)
            case SyntheticAugmentation(n_s):
                yield np.concatenate([fixed, synthetic(n_s)], axis=1)
            case FreshData(n_r, n_s, memory):
                models = range(1, min(memory, t - 1) + 1)
                batches = [synthetic(n_s // memory, -k) for k in models]
                yield np.concatenate([real(n_r), *batches], axis=1)
            case Accumulate(n_s):
                pool = np.concatenate([pool, synthetic(n_s)], axis=1)
                yield pool
            case AccumulateSubsample(n_s, n):
                pool = np.concatenate([pool, synthetic(n_s)], axis=1)
                chosen = rng.random(pool.shape[:2]).argsort(1)[:, :n]
                yield np.take_along_axis(pool, chosen[..., None], axis=1)


def gaussian_loop(rng, regime, *, n_ini, n_generations, n_replicates, root, lam=1.0, ddof=1):
    """Fitted means [n_replicates, n_generations, d] and covariances [..., d, d]."""
    dim = len(root)
    origin = np.zeros((n_replicates, dim))
    target = np.broadcast_to(root @ root.T, (n_replicates, dim, dim))
    means, covs = [], []
    sets = training_sets(
        rng,
        regime,
        n_ini,
        real=lambda n: normal_samples(rng, origin, target, n),
        synthetic=lambda n, t=-1: normal_samples(rng, means[t], lam * covs[t], n),
    )
    for points in itertools.islice(sets, n_generations):
        centered = points - points.mean(1, keepdims=True)
        means.append(points.mean(1))
        covs.append(centered.swapaxes(-1, -2) @ centered / (points.shape[1] - ddof))
    return np.stack(means, 1), np.stack(covs, 1)


GAUSSIAN_CASES = [
    (FullySynthetic(7), 9, 0.7, 1, ROOT_3D),
    (FullySynthetic(5), 4, 1.0, 0, np.eye(1)),
    (FullySynthetic(2), 2, 0.0, 1, np.eye(1)),
    (SyntheticAugmentation(4), 6, 0.6, 1, ROOT_3D),
    (SyntheticAugmentation(7), 3, 1.0, 0, np.eye(1)),
    (SyntheticAugmentation(0), 5, 0.5, 1, np.eye(1)),
    (FreshData(5, 3), 4, 0.8, 1, ROOT_3D),
    (FreshData(2, 6), 9, 1.0, 0, np.eye(1)),
    (FreshData(4, 0), 3, 0.5, 1, np.eye(1)),
    (FreshData(0, 6), 5, 0.9, 1, np.eye(1)),
    (FreshData(3, 4), 5, 0.0, 1, np.eye(1)),
    (FreshData(1, 1), 1, 1.0, 0, np.eye(1)),
    (FreshData(3, 6, memory=2), 4, 0.8, 1, ROOT_3D),
    (FreshData(2, 7, memory=3), 6, 0.6, 0, np.eye(1)),
    (FreshData(0, 9, memory=3), 3, 1.0, 1, np.eye(1)),
    (FreshData(3, 1, memory=2), 3, 1.0, 1, np.eye(1)),
    (Accumulate(4), 3, 0.7, 1, ROOT_3D),
    (Accumulate(3), 5, 1.0, 0, np.eye(1)),
    (AccumulateSubsample(4, 5), 3, 0.7, 1, ROOT_3D),
    (AccumulateSubsample(2, 4), 5, 1.0, 0, np.eye(1)),
]


@pytest.mark.parametrize(("regime", "n_ini", "lam", "ddof", "root"), GAUSSIAN_CASES)
def test_moments_are_those_of_samples(regime, n_ini, lam, ddof, root):
    settings = {"n_ini": n_ini, "n_generations": 5, "lam": lam, "ddof": ddof}
    rng = np.random.default_rng(1)
    means, covs = gaussian_loop(rng, regime, n_replicates=20_000, root=root, **settings)
    v, s = theory.moments(regime, **settings)
    target = root @ root.T
    outer = means[..., :, None] * means[..., None, :]
    assert_agrees(f"{regime} E mu mu^T", outer, v[:, None, None] * target)
    assert_agrees(f"{regime} E Sigma", covs, s[:, None, None] * target)


def test_moments_broadcast_over_sizes_and_bias():
    n_r, n_s, lam = np.array([[3.0], [8.0]]), np.array([2.0, 5.0, 9.0]), np.array(0.7)
    grid = theory.fresh_data_moments(n_r, n_s, n_ini=6, n_generations=4, lam=lam)
    memory = theory.fresh_data_moments(n_r, n_s, n_ini=6, n_generations=4, lam=lam, memory=2)
    assert grid.v.shape == memory.s.shape == (2, 3, 4)
    one = theory.fresh_data_moments(8, 9, n_ini=6, n_generations=4, lam=0.7)
    two = theory.fresh_data_moments(8, 9, n_ini=6, n_generations=4, lam=0.7, memory=2)
    np.testing.assert_array_equal(grid.v[1, 2], one.v)
    np.testing.assert_allclose(memory.s[1, 2], two.s, rtol=1e-14)


def test_moments_do_not_lose_digits_at_the_size_of_the_internet():
    n = 1e12
    v, s = theory.fully_synthetic_moments(n, n_ini=n, n_generations=1000, ddof=0)
    t = np.arange(1, 1001)
    np.testing.assert_allclose(v, -np.expm1(t * np.log1p(-1 / n)), rtol=1e-9)
    np.testing.assert_allclose(s, 1 - t / n, rtol=1e-13)


def test_fully_synthetic_closed_forms():
    n, lam, t = 20, 0.9, np.arange(1, 200)
    v, s = theory.fully_synthetic_moments(n, n_ini=n, n_generations=199, lam=lam)
    np.testing.assert_allclose(s, lam ** (t - 1), rtol=1e-12)
    np.testing.assert_allclose(v, (1 - lam**t) / (1 - lam) / n, rtol=1e-12)
    unbiased = theory.fully_synthetic_moments(n, n_ini=n, n_generations=199)
    np.testing.assert_allclose(unbiased.v + unbiased.s, 1 + t / n, rtol=1e-12)
    likelihood = theory.fully_synthetic_moments(n, n_ini=n, n_generations=199, ddof=0)
    np.testing.assert_allclose(likelihood.s, (1 - 1 / n) ** t, rtol=1e-12)
    np.testing.assert_allclose(likelihood.v + likelihood.s, 1, rtol=1e-12)


def test_kazdan_limits_of_the_accumulating_loops():
    n, n_generations = 4, 20_000
    v, s = theory.accumulate_moments(n, n_ini=n, n_generations=n_generations, ddof=0)
    limit = theory.accumulate_limit(n)
    assert limit.s == pytest.approx(1 / (np.pi / 2), rel=1e-14)  # sin(pi/2)/(pi/2)
    # The tail of the product, prod_{t > T} (1 - 1/(n t^2)), is 1 - 1/(n T) to first order.
    assert s[-1] == pytest.approx(limit.s * (1 + 1 / (n * n_generations)), rel=1e-8)
    assert v[-1] == pytest.approx(1 - s[-1], rel=1e-12)
    n = 10**8
    v, _ = theory.accumulate_subsample_moments(n, n, n_ini=n, n_generations=20_000)
    assert n * v[-1] == pytest.approx(np.pi**2 / 2 - 2, abs=4 / 20_000)  # tail of sum 2/t^2 and 1/T


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_limits_are_fixed_points_reached_from_any_start(lam, ddof):
    for n_ini in (2, 50):
        v, s = theory.fresh_data_moments(4, 6, n_ini=n_ini, n_generations=200, lam=lam, ddof=ddof)
        limit = theory.fresh_data_limit(4, 6, lam=lam, ddof=ddof)
        np.testing.assert_allclose([v[-1], s[-1]], limit, rtol=1e-12)
    v, s = theory.synthetic_augmentation_moments(6, n_ini=4, n_generations=300, lam=lam, ddof=ddof)
    limit = theory.synthetic_augmentation_limit(6, n_ini=4, lam=lam, ddof=ddof)
    np.testing.assert_allclose([v[-1], s[-1]], limit, rtol=1e-12)


def test_maximum_likelihood_limit_and_plateau():
    n_r, n_s = np.array([1, 5, 40]), np.array([9, 5, 0])
    n = n_r + n_s
    expected = theory.fresh_data_limit(n_r, n_s, ddof=0)
    np.testing.assert_allclose(theory.maximum_likelihood_limit(n, n_r / n), expected, rtol=1e-12)
    p, lam, n = 0.1, np.array([0.9, 0.97, 1.0]), 1e10
    s = theory.fresh_data_limit(p * n, (1 - p) * n, lam=lam).s
    np.testing.assert_allclose(theory.plateau(p, lam), s, rtol=1e-8)


# Wasserstein distances.


def controlled_wasserstein2_squared(means, covs, v, s):
    """W2^2 to N(0, I), less two terms of expectation exactly zero: little variance is left."""
    dim = means.shape[-1]
    square, trace = (means**2).sum(-1), np.trace(covs, axis1=-2, axis2=-1)
    root = np.sqrt(np.clip(np.linalg.eigvalsh(covs), 0, None)).sum(-1)
    distance = square + trace + dim - 2 * root
    return distance - (square - dim * v) - (1 - 1 / np.sqrt(s)) * (trace - dim * s)


@pytest.mark.parametrize(
    ("regime", "n_ini", "lam"),
    [
        (FullySynthetic(900), 600, 0.7),
        (SyntheticAugmentation(500), 400, 0.5),
        (FreshData(300, 900), 500, 0.4),
        (FreshData(300, 900, memory=2), 500, 0.4),
        (Accumulate(400), 400, 0.5),
        (AccumulateSubsample(300, 500), 400, 0.5),
    ],
    ids=str,
)
def test_wasserstein2_squared_for_large_training_sets(regime, n_ini, lam):
    dim, n_generations = 4, 5
    rng = np.random.default_rng(2)
    settings = {"n_ini": n_ini, "n_generations": n_generations, "lam": lam}
    means, covs = gaussian_loop(rng, regime, n_replicates=500, root=np.eye(dim), **settings)
    v, s = theory.moments(regime, **settings)
    expected = theory.wasserstein2_squared(regime, dim=dim, **settings)
    spread = expected - dim * (v + (1 - np.sqrt(s)) ** 2)
    # The next order of the expansion is of relative size dim/n.
    remainder = 5 * dim / 400 * spread
    assert_agrees(
        f"{regime} E W2^2",
        controlled_wasserstein2_squared(means, covs, v, s),
        expected,
        remainder,
    )


@pytest.mark.parametrize("lam", [1.0, 0.8])
def test_spectral_law_where_the_expansion_fails(lam):
    """As few real samples as dimensions, in every generation."""
    rng, d, regime = np.random.default_rng(8), 40, FreshData(40, 160)
    settings = {"n_ini": 40, "n_generations": 4, "lam": lam}
    means, covs = gaussian_loop(rng, regime, n_replicates=80, root=np.eye(d), **settings)
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(covs), 0))
    measured = (means**2).sum(-1) + ((1 - roots) ** 2).sum(-1)
    law = theory.spectral_wasserstein2_squared(regime, dim=d, **settings)
    # The remainder of the limit of large dim, of the order of 0.5/dim.
    assert_agrees(f"E W2^2, lam = {lam}", measured, law, 0.012 * law)
    expansion = theory.wasserstein2_squared(regime, dim=d, **settings)
    se = measured.std(0, ddof=1) / np.sqrt(len(measured))
    assert (np.abs(measured.mean(0) - expansion) > 5 * se + 0.012 * law)[0]


def test_spectral_law_of_one_fit_and_of_large_training_sets():
    for n in (52, 100, 200, 10_000):
        fit = {"dim": 100, "n_ini": n, "n_generations": 1}
        (one,) = theory.spectral_wasserstein2_squared(FullySynthetic(n), **fit)
        assert one == pytest.approx(theory.real_data_wasserstein2_squared(n, 100), rel=5e-3)
    many = {"dim": 20, "n_ini": [20_000, 50_000], "n_generations": 4, "lam": [[1.0], [0.99]]}
    for regime in (FullySynthetic(30_000), FreshData(10_000, 20_000)):
        law = theory.spectral_wasserstein2_squared(regime, **many)
        assert law.shape == (2, 2, 4)
        np.testing.assert_allclose(law, theory.wasserstein2_squared(regime, **many), rtol=2e-3)


def test_limits_of_wasserstein2_squared_are_those_of_the_recursion():
    settings = {"dim": 7, "lam": 0.8}
    last = theory.wasserstein2_squared(
        FreshData(300, 500), n_ini=100, n_generations=300, **settings
    )[-1]
    assert theory.fresh_data_wasserstein2_squared(300, 500, **settings) == pytest.approx(last)
    last = theory.wasserstein2_squared(
        SyntheticAugmentation(500), n_ini=300, n_generations=300, **settings
    )[-1]
    limit = theory.synthetic_augmentation_wasserstein2_squared(500, n_ini=300, **settings)
    assert limit == pytest.approx(last)


@pytest.mark.parametrize(
    ("n_s", "n_ini", "lam", "ddof"), [(6, 4, 0.7, 1), (5, 5, 1.0, 1), (3, 7, 0.9, 0)]
)
def test_one_dimensional_wasserstein2_squared_is_exact(n_s, n_ini, lam, ddof):
    rng = np.random.default_rng(3)
    settings = {"n_ini": n_ini, "n_generations": 5, "lam": lam, "ddof": ddof}
    means, covs = gaussian_loop(
        rng, FullySynthetic(n_s), n_replicates=100_000, root=np.eye(1), **settings
    )
    distance = means[..., 0] ** 2 + (1 - np.sqrt(covs[..., 0, 0])) ** 2
    expected = theory.fully_synthetic_wasserstein2_squared(n_s, **settings)
    assert_agrees("E W2^2", distance, expected)
    first = theory.real_data_wasserstein2_squared(n_ini, 1, ddof=ddof)
    assert first == pytest.approx(expected[0], rel=1e-12)


def test_one_dimensional_wasserstein2_squared_grows_while_paths_collapse():
    n, t = 100, np.arange(1, 10_001)
    distance = theory.fully_synthetic_wasserstein2_squared(n, n_ini=n, n_generations=10_000)
    np.testing.assert_allclose(distance[:3], 1.5 * t[:3] / n, rtol=0.03)  # t/n small
    assert distance[-1] == pytest.approx(10_000 / n + 2, rel=1e-9)
    assert theory.typical_variance(10_000, n_ini=n, n_s=n) < 1e-40
    huge = theory.fully_synthetic_wasserstein2_squared(1e12, n_ini=1e12, n_generations=3)
    np.testing.assert_allclose(huge, 1.5 * t[:3] / 1e12, rtol=1e-6)


@pytest.mark.parametrize(
    ("n", "dim", "ddof"),
    [(3, 2, 1), (9, 8, 1), (12, 8, 0), (5, 12, 0), (100, 8, 0), (200, 8, 1), (10, 1, 1)],
)
def test_real_data_wasserstein2_squared_at_any_size(n, dim, ddof):
    rng = np.random.default_rng(4)
    means, covs = gaussian_loop(
        rng,
        FreshData(n, 0),
        n_ini=n,
        n_generations=1,
        n_replicates=40_000,
        root=np.eye(dim),
        ddof=ddof,
    )
    one = np.ones(1)
    s = one * (n - 1) / (n - ddof)
    distance = controlled_wasserstein2_squared(means, covs, one / n, s)
    expected = theory.real_data_wasserstein2_squared(n, dim, ddof=ddof)
    # As the docstring says: exact for dim = 1, else of relative order 1/dim^2 for n near dim.
    coefficient = 0.0 if dim == 1 else 1.5 if n < 2 * dim else 0.1
    remainder = coefficient * expected / dim**2
    assert_agrees(f"n={n} dim={dim}", distance, expected, remainder)


def test_wasserstein2_squared_when_subsampling_noise_enters_the_pool():
    """Many replicates in one dimension: the noise of the subsample is a tenth of the spread."""
    settings = {"n_ini": 100, "n_generations": 4, "lam": 1.0}
    regime = AccumulateSubsample(300, 100)
    rng = np.random.default_rng(9)
    means, covs = gaussian_loop(rng, regime, n_replicates=12_000, root=np.eye(1), **settings)
    v, s = theory.moments(regime, **settings)
    expected = theory.wasserstein2_squared(regime, dim=1, **settings)
    distance = controlled_wasserstein2_squared(means, covs, v, s)
    assert_agrees("E W2^2", distance, expected, remainder=expected / 100)  # next order, 1/n


# Effective sample size.


def test_effective_sample_size_inverts_the_real_data_curve():
    for dim in (1, 3, 100):
        n = np.array([2.0, 3.0, 99.5, 100.0, 101.0, 1e4, 1e12])
        distance = theory.real_data_wasserstein2_squared(n, dim)
        np.testing.assert_allclose(theory.effective_sample_size(distance, dim), n, rtol=1e-9)
        asymptotic = dim * (dim + 5) / (4 * distance[-2:])
        np.testing.assert_allclose(asymptotic, n[-2:], rtol=dim / 1e4)
    assert theory.effective_sample_size(1e6, 3) == 1


def test_unbiased_synthetic_data_and_the_effective_sample_size():
    n_r, n_s = 1e6, np.array([0.0, 1e5, 1e6, 3e7])
    for dim in (1, 100):
        fresh = theory.fresh_data_effective_sample_size(n_r, n_s, dim=dim) / n_r
        np.testing.assert_allclose(fresh, theory.unbiased_fresh_data_ratio(n_r, n_s), rtol=1e-4)
        fixed = theory.synthetic_augmentation_effective_sample_size(n_s, n_ini=n_r, dim=dim) / n_r
        expected = theory.unbiased_synthetic_augmentation_ratio(n_s, n_r)
        np.testing.assert_allclose(fixed, expected, rtol=1e-4)
        assert np.all(fixed > 2 / 3)


def test_admissible_n_s_and_its_limit():
    lam = np.array([0.0, 0.3, 0.7, 0.9])
    for dim in (1, 10, 100):
        limit = theory.admissible_n_s_limit(lam, dim)
        assert np.all(np.diff(limit) > 0)
        boundary = theory.admissible_n_s(1e10, dim=dim, lam=lam)
        np.testing.assert_allclose(boundary, limit, rtol=1e-4)
        boundary = theory.admissible_n_s(2e4, dim=dim, lam=lam)
        ratio = theory.fresh_data_effective_sample_size(2e4, boundary, dim=dim, lam=lam) / 2e4
        np.testing.assert_allclose(ratio, 1, rtol=1e-9)
        more, fewer = (
            theory.fresh_data_effective_sample_size(2e4, boundary * x, dim=dim, lam=lam) / 2e4
            for x in (1.2, 0.8)
        )
        assert np.all(more < 1) and np.all(fewer > 1)
    assert theory.admissible_n_s(1000, dim=10, lam=1.0) == np.inf
    assert theory.admissible_n_s_limit(1.0, 10) == np.inf


# The spread over replicates.


@pytest.mark.parametrize(
    ("n_s", "n_ini", "lam", "ddof", "dim"),
    [(6, 4, 0.7, 1, 1), (5, 9, 1.0, 0, 1), (7, 9, 0.9, 1, 3), (9, 7, 0.9, 0, 3)],
)
def test_log_variance_law(n_s, n_ini, lam, ddof, dim):
    settings = {"n_ini": n_ini, "n_s": n_s, "lam": lam, "ddof": ddof}
    rng = np.random.default_rng(5)
    root = ROOT_3D if dim == 3 else np.eye(1)
    _, covs = gaussian_loop(
        rng,
        FullySynthetic(n_s),
        n_ini=n_ini,
        n_generations=4,
        n_replicates=20_000,
        root=root,
        lam=lam,
        ddof=ddof,
    )
    log_variance = np.linalg.slogdet(covs)[1] - np.linalg.slogdet(root @ root.T)[1]
    t = np.arange(1, 5)
    mean, variance = theory.log_variance_moments(t, dim=dim, **settings)
    assert_agrees("E log det", log_variance, mean)
    assert_agrees("Var log det", (log_variance - mean) ** 2, variance)
    q = np.array([0.01, 0.3, 0.5, 0.95])
    quantile = theory.log_variance_quantiles(q, t, dim=dim, **settings)
    assert_agrees("quantile", log_variance[:, None, :] <= quantile * 1.0, q[:, None])
    if dim == 1:
        np.testing.assert_allclose(theory.typical_variance(t, **settings), np.exp(mean))
        s = theory.fully_synthetic_moments(n_s, n_ini=n_ini, n_generations=4, lam=lam, ddof=ddof).s
        cv = theory.variance_squared_cv(t, n_ini=n_ini, n_s=n_s)
        assert_agrees("E variance^2", np.exp(2 * log_variance), s**2 * (1 + cv))


@pytest.mark.parametrize("n", [2, 3, 20, 101, 1000, 1e6])
def test_log_variance_quantiles_of_one_fit_are_chi_square(n):
    q = np.array([1e-6, 0.05, 0.5, 0.95, 1 - 1e-6])
    quantile = theory.log_variance_quantiles(q, 1, n_ini=n, n_s=2)
    expected = np.log(stats.chi2.ppf(q, n - 1) / (n - 1))
    np.testing.assert_allclose(quantile, expected, rtol=1e-9, atol=1e-12)


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
    mean, variance = theory.log_variance_moments(t, n_ini=1e12, n_s=1e12)
    assert mean == pytest.approx(-t / 1e12, rel=1e-6)
    median, upper = theory.log_variance_quantiles([0.5, stats.norm.cdf(1)], t, n_ini=1e12, n_s=1e12)
    assert upper - median == pytest.approx(np.sqrt(2 * t / 1e12), rel=1e-6)
    np.testing.assert_array_equal(
        theory.log_variance_quantiles(0.5, [1, 2], n_ini=5, n_s=5, lam=0.0)[1:], -np.inf
    )


# Discrete laws.

PROBS = np.array([0.55, 0.3, 0.1, 0.05])


@pytest.mark.parametrize(
    "regime",
    [
        FullySynthetic(5),
        SyntheticAugmentation(4),
        FreshData(3, 4),
        FreshData(0, 4),
        FreshData(3, 6, memory=2),
        Accumulate(3),
        AccumulateSubsample(3, 5),
    ],
    ids=str,
)
def test_heterozygosity_of_real_draws(regime):
    n_ini, n_generations, n_replicates = 6, 5, 20_000
    rng = np.random.default_rng(6)
    history = []

    def draw(probs, n):
        symbol = (rng.random((n_replicates, n, 1)) > probs.cumsum(-1)[:, None, :-1]).sum(-1)
        return np.eye(len(PROBS))[symbol]

    sets = training_sets(
        rng,
        regime,
        n_ini,
        real=lambda n: draw(np.tile(PROBS, (n_replicates, 1)), n),
        synthetic=lambda n, t=-1: draw(history[t], n),
    )
    for one_hot in itertools.islice(sets, n_generations):
        history.append(one_hot.mean(1))
    frequencies = np.stack(history, 1)
    expected = theory.heterozygosity(regime, PROBS, n_ini=n_ini, n_generations=n_generations)
    assert_agrees(f"{regime} heterozygosity", 1 - (frequencies**2).sum(-1), expected)
    assert_agrees(f"{regime} E p", frequencies, PROBS)


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
    with pytest.raises(ParameterError, match="n_s >= 2"):
        theory.effective_directions(np.eye(2), n_s=1, n_generations=3)


def test_extinction_and_support_by_enumeration_of_all_states():
    """The full chain over all ways to distribute n draws over 3 symbols, n_ini = 3 then n_s = 4."""
    probs, n_ini, n_s, n_generations = np.array([0.5, 0.4, 0.1]), 3, 4, 5

    def states(n):
        return np.array([c for c in itertools.product(range(n + 1), repeat=3) if sum(c) == n])

    def law(n, p):
        return stats.multinomial.pmf(states(n), n, p)

    first = law(n_ini, probs)
    enter = np.stack([law(n_s, c / n_ini) for c in states(n_ini)])
    step = np.stack([law(n_s, c / n_s) for c in states(n_s)])
    absent = [first @ (states(n_ini) == 0)]
    now = first @ enter
    for _ in range(n_generations - 1):
        absent.append(now @ (states(n_s) == 0))
        now = now @ step
    settings = {"n_ini": n_ini, "n_s": n_s, "n_generations": n_generations}
    extinct = theory.extinction_probability(probs, **settings)
    np.testing.assert_allclose(extinct, np.array(absent).T, rtol=1e-10)
    support = theory.expected_support_size(probs, **settings)
    np.testing.assert_allclose(support, (1 - np.array(absent)).sum(1), rtol=1e-10)


def test_the_last_symbol_standing_is_symbol_i_with_probability_p_i():
    settings = {"n_ini": 9, "n_s": 5, "n_generations": 400}
    alone = theory.extinction_probability(1 - PROBS, **settings)
    np.testing.assert_allclose(alone[:, -1], PROBS, rtol=1e-12)
    np.testing.assert_allclose(alone[:, 0], PROBS**9, rtol=1e-12)
    assert theory.expected_support_size(PROBS, **settings)[-1] == pytest.approx(1, rel=1e-12)


def test_poisson_survival():
    rng = np.random.default_rng(7)
    n, n_generations = 10, 6
    counts = rng.poisson(n * PROBS, size=(200_000, len(PROBS)))
    alive = [counts > 0]
    for _ in range(n_generations - 1):
        counts = rng.poisson(counts)
        alive.append(counts > 0)
    survival = theory.poisson_survival_probability(PROBS, n=n, n_generations=n_generations)
    assert_agrees("P(alive)", np.stack(alive, -1), survival)
    # For rare symbols the multinomial loop differs by O(1/n) only.
    n, rare = 1000, np.array([1e-3, 5e-3])
    exact = 1 - theory.extinction_probability(rare, n_ini=n, n_s=n, n_generations=30)
    survival = theory.poisson_survival_probability(rare, n=n, n_generations=30)
    np.testing.assert_allclose(survival, exact, rtol=30 / n)


def test_expected_sample_coverage():
    rng = np.random.default_rng(8)
    n = np.array([1, 12])
    present = np.stack([rng.multinomial(m, PROBS, size=50_000) > 0 for m in n], axis=1)
    assert_agrees("coverage", present @ PROBS, theory.expected_sample_coverage(PROBS, n))
    assert theory.expected_sample_coverage([1.0, 0.0], 3) == 1


# Errors.


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.moments(object(), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic(5), n_ini=1, n_generations=2),
        lambda: theory.moments(FullySynthetic(1), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=0),
        lambda: theory.moments(FreshData(-1, 5), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=2, lam=1.5),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=2, ddof=2),
        lambda: theory.moments(FullySynthetic(np.nan), n_ini=5, n_generations=2),
        lambda: theory.fresh_data_limit(0, 5),
        lambda: theory.spectral_wasserstein2_squared(
            Accumulate(5), dim=2, n_ini=5, n_generations=2
        ),
        lambda: theory.log_variance_quantiles(0.5, 1, n_ini=5, n_s=3, dim=3),
        lambda: theory.log_variance_quantiles(1.0, 1, n_ini=5, n_s=5),
        lambda: theory.effective_sample_size(0.0, 3),
        lambda: theory.expected_sample_coverage([0.5, 0.6], 3),
        lambda: theory.moments(FullySynthetic([5, 6, 7]), n_ini=[5, 6], n_generations=2),
        lambda: theory.moments(FreshData(5, 6, memory=0), n_ini=5, n_generations=2),
        lambda: theory.wasserstein2_squared(
            FullySynthetic(5), dim=np.nan, n_ini=5, n_generations=2
        ),
        lambda: theory.log_variance_quantiles(0.5, 0, n_ini=5, n_s=5),
        lambda: theory.accumulate_limit(0),
        lambda: theory.maximum_likelihood_limit(10, 2.5),
        lambda: theory.unbiased_fresh_data_ratio(0, 0),
        lambda: theory.unbiased_synthetic_augmentation_ratio(0, 0),
        lambda: theory.admissible_n_s_limit(2.0, 10),
        lambda: theory.admissible_n_s("x", dim=2, lam=0.9),
        lambda: theory.admissible_n_s(100, dim=2, lam=2.0),
        lambda: theory.admissible_n_s(-1, dim=2, lam=0.9),
        lambda: theory.admissible_n_s(3, dim=100, lam=0.9),
        lambda: theory.plateau(0.5, lam=2.0),
        lambda: theory.plateau(0.0, lam=1.0),
        lambda: theory.effective_sample_size(0.1, 0),
        lambda: theory.effective_sample_size(np.nan, 3),
        lambda: theory.fresh_data_effective_sample_size(9, [5, 6], dim="2"),
        lambda: theory.effective_directions(np.eye(2), n_s=None, n_generations=3),
        lambda: theory.log_variance_quantiles(0.5, 1, n_ini="5", n_s=5),
        lambda: theory.heterozygosity(FullySynthetic(5), [0.5, 0.5], n_ini=5, n_generations=2.5),
        lambda: theory.accumulate_limit([[5], [5, 6]]),
        lambda: theory.accumulate_moments(-5, n_ini=10, n_generations=3),
        lambda: theory.accumulate_subsample_moments(-5, 10, n_ini=10, n_generations=3),
        lambda: theory.fresh_data_moments(100, 900, n_ini=0.5, n_generations=3, ddof=0),
        lambda: theory.fresh_data_moments(9, 9, n_ini=9, n_generations=3, memory=1.5),
        lambda: theory.fresh_data_limit(np.inf, 5),
        lambda: theory.expected_sample_coverage([0.5, 0.5], -3),
        lambda: theory.variance_squared_cv(-5, n_ini=9, n_s=9),
        lambda: theory.effective_directions(np.zeros((2, 2)), n_s=9, n_generations=3),
        lambda: theory.fully_synthetic_kernel_variance(0, 0.1, n_ini=5, n_generations=3),
        lambda: theory.accumulate_kernel_variance(5, 0.1, n_ini=0, n_generations=3),
        lambda: theory.extinction_probability(0.5, n_ini=5, n_s=0, n_generations=3),
        lambda: theory.poisson_survival_probability([1.5, -2.0], n=5, n_generations=3),
    ],
)
def test_errors_are_one_line(call):
    with pytest.raises(ParameterError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and "; got" in message and message.endswith("."), message
