"""Kernel density estimates in the loop, against points really drawn, and against closed forms."""

import itertools

import numpy as np
import pytest
from plain_loops import assert_agrees, training_sets
from scipy import special

from madlib import theory
from madlib.errors import ParameterError
from madlib.regimes import (
    Accumulate,
    AccumulateSubsample,
    FreshData,
    FullySynthetic,
    LongMemory,
    SyntheticAugmentation,
)


@pytest.mark.parametrize(
    ("regime", "lam"),
    [
        (FullySynthetic(6), 1.0),
        (FullySynthetic(6), 0.5),
        (Accumulate(4), 1.0),
        (FreshData(3, 5), 0.7),
        (SyntheticAugmentation(5), 1.0),
        (AccumulateSubsample(4, 6), 0.8),
        (LongMemory(2, 6, memory=3), 1.0),
    ],
    ids=str,
)
def test_variance_of_points_really_drawn(regime, lam):
    rng, h, n_replicates, n_ini = np.random.default_rng(4), 0.6, 20_000, 5
    points = []

    def synthetic(n):
        parents = rng.integers(points[-1].shape[1], size=(n_replicates, n))
        drawn = np.take_along_axis(points[-1], parents[..., None], axis=1)
        return drawn + np.sqrt(lam) * h * rng.standard_normal(drawn.shape)

    def real(n):
        return rng.standard_normal((n_replicates, n, 1))

    for new, _ in itertools.islice(training_sets(rng, regime, n_ini, real, synthetic), 5):
        points.append(new)
    measured = np.stack([new[..., 0].var(axis=1) for new in points], axis=1)
    expected = theory.kernel_variance(regime, h, n_ini=n_ini, n_generations=5, lam=lam)
    assert_agrees(f"{regime} E variance", measured, expected)


@pytest.mark.parametrize("dim", [1, 2])
def test_squared_error_of_points_really_drawn(dim):
    rng, h, n_ini, n_s, n_replicates = np.random.default_rng(5), 0.5, 7, 5, 20_000
    law = {"n_ini": n_ini, "n_s": n_s, "n_generations": 4, "dim": dim}
    points, rows = rng.standard_normal((n_replicates, n_ini, dim)), []

    def normal_density(gap, variance):
        square = np.sum(gap**2, axis=-1) / variance
        return np.exp(-square / 2) / (2 * np.pi * variance) ** (dim / 2)

    for _ in range(4):
        pairs = normal_density(points[:, :, None] - points[:, None], 2 * h**2).mean((1, 2))
        across = normal_density(points, 1 + h**2).mean(1)
        rows.append(pairs - 2 * across + normal_density(np.zeros(dim), 2.0))
        parents = rng.integers(points.shape[1], size=(n_replicates, n_s, 1))
        points = np.take_along_axis(points, parents, axis=1)
        points = points + h * rng.standard_normal(points.shape)
    assert_agrees("squared error", np.stack(rows, 1), theory.kernel_squared_error(h, **law))


def test_closed_forms():
    n, t, h = 30, np.arange(1, 200), 0.4
    law = {"n_ini": n, "n_generations": len(t)}
    keep = (1 - 1 / n) ** t
    grown = keep + (n - 1) * h**2 * (1 - keep * n / (n - 1))
    replaced = theory.kernel_variance(FullySynthetic(n), h, **law)
    np.testing.assert_allclose(replaced, grown, rtol=1e-12)
    huge = theory.kernel_variance(Accumulate(1e12), h, n_ini=1e12, n_generations=len(t))
    harmonic = special.digamma(t + 1) + np.euler_gamma
    np.testing.assert_allclose(huge, 1 + h**2 * (harmonic - 1), rtol=1e-9)
    # Without a kernel it is a bootstrap, whose variance is that of a Gaussian with ddof = 0.
    gaussian = theory.moments(Accumulate(20), ddof=0, **law).s
    no_kernel = theory.kernel_variance(Accumulate(20), 1e-9, **law)
    np.testing.assert_allclose(no_kernel, gaussian, rtol=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.kernel_variance(FullySynthetic(0), 0.1, n_ini=5, n_generations=3),
        lambda: theory.kernel_variance(Accumulate(5), 0.1, n_ini=0, n_generations=3),
        lambda: theory.kernel_variance(Accumulate(5), 0, n_ini=5, n_generations=2),
        lambda: theory.kernel_variance(Accumulate(5), 1e300, n_ini=5, n_generations=2),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
