"""Wasserstein distances of Gaussian loops against samples really drawn."""

import numpy as np
import pytest
from plain_loops import assert_agrees, gaussian_loop

from madlib import theory
from madlib.errors import ParameterError
from madlib.regimes import (
    Accumulate,
    AccumulateSubsample,
    FreshData,
    FullySynthetic,
    Growing,
    LongMemory,
    Power,
    SyntheticAugmentation,
    Weighted,
)


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
        (LongMemory(300, 900, memory=2), 500, 0.4),
        (Accumulate(400), 400, 0.5),
        (AccumulateSubsample(300, 500), 400, 0.5),
        (Weighted(FreshData(400, 800), 2.0), 500, 0.6),
        (Growing(FullySynthetic(400), Power(0.7)), 500, 0.8),
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
    measured = controlled_wasserstein2_squared(means, covs, v, s)
    assert_agrees(f"{regime} E W2^2", measured, expected, remainder)


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


def test_wasserstein2_squared_stays_below_the_distance_of_independent_gaussians():
    """Far beyond t << n/dim the expansion has no meaning; the bound on any distance holds."""
    loop = {"n_ini": 5, "n_generations": 2000, "ddof": 0}
    distance = theory.wasserstein2_squared(FullySynthetic(5), dim=3, **loop)
    v, s = theory.moments(FullySynthetic(5), **loop)
    assert distance[-1] == pytest.approx(3 * (v[-1] + 1 + s[-1]), rel=1e-12)
    assert distance[-1] == pytest.approx(6, rel=1e-3)  # a point at distance N(0, I) from the mean


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


def test_spectral_law_of_sizes_that_grow():
    rng, d, regime = np.random.default_rng(8), 40, Growing(FreshData(20, 20), Power(1.0))
    settings = {"n_ini": 30, "n_generations": 4, "lam": 0.9}
    means, covs = gaussian_loop(rng, regime, n_replicates=80, root=np.eye(d), **settings)
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(covs), 0))
    measured = (means**2).sum(-1) + ((1 - roots) ** 2).sum(-1)
    law = theory.spectral_wasserstein2_squared(regime, dim=d, **settings)
    assert_agrees("E W2^2", measured, law, 0.012 * law)


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
    for regime in (FreshData(300, 500), SyntheticAugmentation(500)):
        for wrapped in (regime, Weighted(regime, 0.4), Weighted(regime, 3.0)):
            settings = {"n_ini": 300, "dim": 7, "lam": [0.8, 1.0]}
            last = theory.wasserstein2_squared(wrapped, n_generations=250, **settings)[:, -1]
            limit = theory.wasserstein2_squared_limit(wrapped, **settings)
            np.testing.assert_allclose(limit, last, rtol=1e-10)


@pytest.mark.parametrize(
    ("regime", "n_ini", "lam", "ddof"),
    [
        (FullySynthetic(6), 4, 0.7, 1),
        (FullySynthetic(5), 5, 1.0, 1),
        (FullySynthetic(3), 7, 0.9, 0),
        (Growing(FullySynthetic(2), Power(1.0)), 3, 0.9, 1),
    ],
)
def test_one_dimensional_wasserstein2_squared_is_exact(regime, n_ini, lam, ddof):
    rng = np.random.default_rng(3)
    settings = {"n_ini": n_ini, "n_generations": 5, "lam": lam, "ddof": ddof}
    means, covs = gaussian_loop(rng, regime, n_replicates=100_000, root=np.eye(1), **settings)
    distance = means[..., 0] ** 2 + (1 - np.sqrt(covs[..., 0, 0])) ** 2
    expected = theory.exact_wasserstein2_squared(regime, **settings)
    assert_agrees("E W2^2", distance, expected)
    first = theory.real_data_wasserstein2_squared(n_ini, 1, ddof=ddof)
    assert first == pytest.approx(expected[0], rel=1e-12)


def test_one_dimensional_wasserstein2_squared_grows_while_paths_collapse():
    n, t = 100, np.arange(1, 10_001)
    loop = {"n_ini": n, "n_generations": 10_000}
    distance = theory.exact_wasserstein2_squared(FullySynthetic(n), **loop)
    np.testing.assert_allclose(distance[:3], 1.5 * t[:3] / n, rtol=0.03)  # t/n small
    assert distance[-1] == pytest.approx(10_000 / n + 2, rel=1e-9)
    assert theory.typical_variance(10_000, n_ini=n, n_s=n) < 1e-40
    loop = {"n_ini": 1e12, "n_generations": 3}
    huge = theory.exact_wasserstein2_squared(FullySynthetic(1e12), **loop)
    np.testing.assert_allclose(huge, 1.5 * t[:3] / 1e12, rtol=1e-6)


@pytest.mark.parametrize(
    ("n", "dim", "ddof"),
    [(3, 2, 1), (9, 8, 1), (12, 8, 0), (5, 12, 0), (100, 8, 0), (200, 8, 1), (10, 1, 1)],
)
def test_real_data_wasserstein2_squared_at_any_size(n, dim, ddof):
    rng = np.random.default_rng(4)
    loop = {"n_ini": n, "n_generations": 1, "ddof": ddof}
    means, covs = gaussian_loop(rng, FreshData(n, 0), n_replicates=40_000, root=np.eye(dim), **loop)
    one = np.ones(1)
    s = one * (n - 1) / (n - ddof)
    distance = controlled_wasserstein2_squared(means, covs, one / n, s)
    expected = theory.real_data_wasserstein2_squared(n, dim, ddof=ddof)
    # As the docstring says: exact for dim = 1, else of relative order 1/dim^2 for n near dim.
    coefficient = 0.0 if dim == 1 else 1.5 if n < 2 * dim else 0.1
    remainder = coefficient * expected / dim**2
    assert_agrees(f"n={n} dim={dim}", distance, expected, remainder)


LOOP = {"n_ini": 5, "n_generations": 2}


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.spectral_wasserstein2_squared(Accumulate(5), dim=2, **LOOP),
        lambda: theory.spectral_wasserstein2_squared(Weighted(FreshData(5, 5), 2.0), dim=2, **LOOP),
        lambda: theory.spectral_wasserstein2_squared(FreshData(1e9, 5), dim=2, **LOOP),
        lambda: theory.spectral_wasserstein2_squared(FreshData(5, 5), dim=2.5, **LOOP),
        lambda: theory.exact_wasserstein2_squared(FreshData(5, 5), **LOOP),
        lambda: theory.exact_wasserstein2_squared(FullySynthetic(1), **LOOP, ddof=0),
        lambda: theory.wasserstein2_squared(FullySynthetic(5), dim=np.nan, **LOOP),
        lambda: theory.wasserstein2_squared(FullySynthetic([5, 6]), dim=[1, 2, 3], **LOOP),
        lambda: theory.wasserstein2_squared_limit(FreshData(9, [5, 6]), dim="2"),
        # A single real point has no covariance; the limit was NaN, in silence.
        lambda: theory.wasserstein2_squared_limit(SyntheticAugmentation(100), n_ini=1, dim=1),
        lambda: theory.wasserstein2_squared_limit(Accumulate(5), n_ini=5, dim=1),
        lambda: theory.real_data_wasserstein2_squared(1, 3),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
