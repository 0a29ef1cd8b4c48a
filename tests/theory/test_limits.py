"""Fixed points: reached from any start, and right to the last digit at any size."""

from fractions import Fraction

import numpy as np
import pytest

from madlib import theory
from madlib.errors import ParameterError
from madlib.regimes import (
    Accumulate,
    FreshData,
    FullySynthetic,
    Growing,
    Power,
    SyntheticAugmentation,
    Weighted,
)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("w", [None, 0.3, 4.0])
def test_limits_are_fixed_points_reached_from_any_start(lam, ddof, w):
    for regime, starts in ((FreshData(4, 6), (2, 50)), (SyntheticAugmentation(6), (4,))):
        regime = regime if w is None else Weighted(regime, w)
        for n_ini in starts:
            settings = {"n_ini": n_ini, "lam": lam, "ddof": ddof}
            v, s = theory.moments(regime, n_generations=400, **settings)
            limit = theory.limit(regime, **settings)
            np.testing.assert_allclose([v[-1], s[-1]], limit, rtol=1e-12)


def exact_limit(n_r, n_s, w, lam, ddof, fixed):
    """The same two linear equations in rational numbers, from one step of the recursion."""
    n_r, n_s, w, lam = map(Fraction, (n_r, n_s, w, lam))
    total = w * n_r + n_s
    a_r, a, q = w * n_r / total, n_s / total, (w**2 * n_r + n_s) / total**2
    c = 1 / n_r if fixed else Fraction(0)  # of the model and the real mean, at the end

    def step(v, s):
        mean = a**2 * v + 2 * a * a_r * c + a_r**2 / n_r + a**2 * lam * s / n_s
        gap = v - 2 * c + 1 / n_r + lam * s / n_s
        within = w * (n_r - 1) / total + (n_s - 1) / total * lam * s
        return mean, (within + a_r * a * gap) / (1 - ddof * q)

    (v_0, s_0), (v_v, s_v), (v_s, s_s) = step(0, 0), step(1, 0), step(0, 1)
    vv, vs, sv, ss = 1 - (v_v - v_0), -(v_s - v_0), -(s_v - s_0), 1 - (s_s - s_0)
    determinant = vv * ss - vs * sv
    return float((ss * v_0 - vs * s_0) / determinant), float((vv * s_0 - sv * v_0) / determinant)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("n_r", [12, 10**3, 10**12])
@pytest.mark.parametrize("n_s", [7, 10**8, 10**14])
@pytest.mark.parametrize(
    ("w", "lam", "ddof"), [(1.0, 1.0, 1), (0.25, 1 - 2**-20, 0), (3.0, 0.5, 1)]
)
def test_limits_keep_their_digits_at_any_size(n_r, n_s, w, lam, ddof, fixed):
    inner = SyntheticAugmentation(n_s) if fixed else FreshData(n_r, n_s)
    limit = theory.limit(Weighted(inner, w), n_ini=n_r, lam=lam, ddof=ddof)
    np.testing.assert_allclose(limit, exact_limit(n_r, n_s, w, lam, ddof, fixed), rtol=1e-13)


def test_maximum_likelihood_limit_and_plateau():
    n_r, n_s = np.array([1, 5, 40]), np.array([9, 5, 0])
    n, f = n_r + n_s, n_r / (n_r + n_s)
    denominator = 1 - f + f * n * (2 - f)
    v, s = theory.limit(FreshData(n_r, n_s), ddof=0)
    np.testing.assert_allclose([v, s], [1 / denominator, 1 - 1 / denominator], rtol=1e-12)
    p, lam, n = 0.1, np.array([0.9, 0.97, 1.0]), 1e10
    s = theory.limit(FreshData(p * n, (1 - p) * n), lam=lam).s
    np.testing.assert_allclose(theory.plateau(p, lam), s, rtol=1e-8)


@pytest.mark.parametrize(("n_ini", "n_s"), [(4, 4), (20, 3), (2, 1), (3, 50)])
def test_limit_of_accumulating(n_ini, n_s):
    limit = theory.limit(Accumulate(n_s), n_ini=n_ini, ddof=0)
    late, n = 4000, n_ini + 3999 * n_s
    v, s = theory.moments(Accumulate(n_s), n_ini=n_ini, n_generations=late, ddof=0)
    # Of the tail, prod (1 - n_s/n_t^2), the first two orders in 1/t.
    assert s[-1] * (1 - 1 / n) == pytest.approx(limit.s, rel=1 / late**2)
    assert v[-1] + s[-1] == pytest.approx(limit.v + limit.s, rel=1e-12) == 1
    huge = theory.limit(Accumulate(1e12), n_ini=1e12, ddof=0)
    assert huge.v == pytest.approx(np.pi**2 / 6 / 1e12, rel=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.limit(FreshData(0, 5)),
        lambda: theory.limit(FreshData(np.inf, 5)),
        lambda: theory.limit(FreshData(1, 0)),
        lambda: theory.limit(FullySynthetic(5), n_ini=5),
        lambda: theory.limit(SyntheticAugmentation(5)),
        lambda: theory.limit(SyntheticAugmentation(5), n_ini=1),
        lambda: theory.limit(Growing(FreshData(5, 5), Power(1.0))),
        lambda: theory.limit(Weighted(Growing(FreshData(5, 5), Power(1.0)), 2.0)),
        lambda: theory.limit(Weighted(FreshData(5, 5), 0.0)),
        lambda: theory.limit(Accumulate(5), n_ini=5),
        lambda: theory.limit(Accumulate(5), ddof=0),
        lambda: theory.limit(Accumulate(0), n_ini=5, ddof=0),
        lambda: theory.limit(Accumulate([[5], [5, 6]]), n_ini=5, ddof=0),
        lambda: theory.plateau(0.5, lam=2.0),
        lambda: theory.plateau(0.0, lam=1.0),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
