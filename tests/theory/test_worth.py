"""Effective sample sizes, and the border beyond which synthetic data harms."""

import numpy as np
import pytest

from madlib import theory
from madlib.errors import ParameterError
from madlib.regimes import FreshData, FullySynthetic, SyntheticAugmentation, Weighted


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
    fresh, fixed = FreshData(n_r, n_s), SyntheticAugmentation(n_s)
    by_formula = theory.unbiased_worth(fresh), theory.unbiased_worth(fixed, n_ini=n_r)
    np.testing.assert_allclose(by_formula[0], 1 + n_s / (n_r + n_s), rtol=1e-12)
    np.testing.assert_allclose(by_formula[1], (n_r + 2 * n_s) / (n_r + 3 * n_s), rtol=1e-12)
    assert np.all(by_formula[1] > 2 / 3)
    for dim in (1, 100):
        for w in (1.0, 0.3, 5.0):
            for regime in (fresh, fixed):
                ratio = theory.worth(Weighted(regime, w), n_ini=n_r, dim=dim) / n_r
                expected = theory.unbiased_worth(Weighted(regime, w), n_ini=n_r)
                np.testing.assert_allclose(ratio, expected, rtol=2e-4)


def test_the_best_weight_of_fresh_data_is_the_golden_ratio():
    """He, Xu & Cheng 2025: with n_r = n_s the best share is 0.618, and n_e/n_r its inverse."""
    w = np.linspace(1, 3, 20_001)
    worth = theory.unbiased_worth(Weighted(FreshData(100, 100), w))
    golden = (1 + np.sqrt(5)) / 2
    assert w[worth.argmax()] == pytest.approx(golden, abs=1e-4)
    assert worth.max() == pytest.approx(golden, rel=1e-8)
    k = np.array([0.1, 1.0, 7.0])
    share = (np.sqrt(k**2 + 4 * k) - k) / 2
    best = Weighted(FreshData(1000 * k, 1000), share / (1 - share) / k)
    np.testing.assert_allclose(theory.unbiased_worth(best), 1 / share, rtol=1e-12)


def test_admissible_n_s_and_its_limit():
    lam = np.array([0.0, 0.3, 0.7, 0.9])
    for dim in (1, 10, 100):
        limit = theory.admissible_n_s_limit(lam, dim)
        assert np.all(np.diff(limit) > 0)
        boundary = theory.admissible_n_s(1e10, dim=dim, lam=lam)
        np.testing.assert_allclose(boundary, limit, rtol=1e-4)
        boundary = theory.admissible_n_s(2e4, dim=dim, lam=lam)
        on, more, fewer = (
            theory.worth(FreshData(2e4, boundary * x), dim=dim, lam=lam) / 2e4
            for x in (1, 1.2, 0.8)
        )
        np.testing.assert_allclose(on, 1, rtol=1e-9)
        assert np.all(more < 1) and np.all(fewer > 1)
    assert theory.admissible_n_s(1000, dim=10, lam=1.0) == np.inf
    assert theory.admissible_n_s_limit(1.0, 10) == np.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.effective_sample_size(0.0, 3),
        lambda: theory.effective_sample_size(0.1, 0),
        lambda: theory.effective_sample_size(np.nan, 3),
        lambda: theory.effective_sample_size(1e-300, 3),
        lambda: theory.worth(FreshData(9, [5, 6]), dim="2"),
        lambda: theory.worth(FullySynthetic(9), dim=2),
        lambda: theory.unbiased_worth(FreshData(0, 0)),
        lambda: theory.unbiased_worth(SyntheticAugmentation(5)),
        lambda: theory.unbiased_worth(SyntheticAugmentation(0), n_ini=0),
        lambda: theory.admissible_n_s_limit(2.0, 10),
        lambda: theory.admissible_n_s("x", dim=2, lam=0.9),
        lambda: theory.admissible_n_s(100, dim=2, lam=2.0),
        lambda: theory.admissible_n_s(-1, dim=2, lam=0.9),
        lambda: theory.admissible_n_s(3, dim=100, lam=0.9),
        lambda: theory.admissible_n_s(100, dim=2, lam=1 - 1e-12),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
