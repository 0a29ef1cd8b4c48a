"""The moments of every regime against samples really drawn, and against closed forms."""

import numpy as np
import pytest
from plain_loops import ROOT_3D, assert_agrees, gaussian_loop

from madlib import theory
from madlib.errors import ParameterError
from madlib.protocols import Regime, Size
from madlib.regimes import (
    Accumulate,
    AccumulateFresh,
    AccumulateSubsample,
    Curated,
    FreshData,
    FullySynthetic,
    Growing,
    LongMemory,
    Power,
    SyntheticAugmentation,
    Weighted,
)

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
    (LongMemory(3, 6, memory=2), 4, 0.8, 1, ROOT_3D),
    (LongMemory(2, 6, memory=3), 6, 0.6, 0, np.eye(1)),
    (LongMemory(0, 9, memory=3), 3, 1.0, 1, np.eye(1)),
    (LongMemory(3, 2, memory=2), 3, 1.0, 1, np.eye(1)),
    (Accumulate(4), 3, 0.7, 1, ROOT_3D),
    (Accumulate(3), 5, 1.0, 0, np.eye(1)),
    (AccumulateFresh(2, 3), 4, 0.7, 1, ROOT_3D),
    (AccumulateSubsample(4, 5), 3, 0.7, 1, ROOT_3D),
    (AccumulateSubsample(2, 4), 5, 1.0, 0, np.eye(1)),
    (Weighted(FullySynthetic(7), 3.0), 9, 0.7, 1, np.eye(1)),
    (Weighted(FreshData(4, 6), 0.3), 5, 0.8, 1, ROOT_3D),
    (Weighted(FreshData(2, 6), 2.5), 5, 1.0, 0, np.eye(1)),
    (Weighted(SyntheticAugmentation(6), 1.7), 4, 0.6, 1, ROOT_3D),
    (Weighted(SyntheticAugmentation(3), 0.4), 5, 1.0, 0, np.eye(1)),
    (Weighted(Accumulate(4), 2.0), 5, 0.7, 1, np.eye(1)),
    (Weighted(AccumulateFresh(2, 3), 0.5), 5, 0.7, 0, np.eye(1)),
    (Weighted(LongMemory(3, 6, memory=3), 2.0), 5, 0.8, 1, np.eye(1)),
    (Growing(FullySynthetic(3), Power(1.0)), 5, 0.9, 1, ROOT_3D),
    (Growing(FreshData(8, 9), Power(-0.4)), 5, 0.7, 0, np.eye(1)),
    (Growing(SyntheticAugmentation(3), Power(0.7)), 5, 0.8, 1, np.eye(1)),
    (Growing(Accumulate(2), Power(1.0)), 4, 0.8, 1, np.eye(1)),
    (Growing(LongMemory(2, 6, memory=3), Power(1.0)), 5, 0.8, 1, np.eye(1)),
    (Growing(Weighted(FreshData(2, 3), 0.4), Power(1.0)), 5, 0.9, 1, np.eye(1)),
    (Weighted(Growing(Accumulate(2), Power(1.0)), 3.0), 4, 0.8, 0, np.eye(1)),
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


SIZES = [
    FullySynthetic(8),
    FreshData(3, 6),
    SyntheticAugmentation(4),
    Accumulate(4),
    AccumulateFresh(2, 4),
    LongMemory(3, 6, memory=2),
]


@pytest.mark.parametrize("regime", SIZES, ids=str)
def test_weight_1_and_schedule_1_change_nothing(regime):
    settings = {"n_ini": 7, "n_generations": 9, "lam": [0.4, 1.0], "ddof": [[0], [1]]}
    plain = theory.moments(regime, **settings)
    for wrapped in (Weighted(regime, 1.0), Growing(regime, Power(0.0))):
        np.testing.assert_array_equal(theory.moments(wrapped, **settings), plain)


def test_weighted_fresh_data_by_hand():
    """Two batches of 6, the real one with 2/3 of the weight: law of total variance."""
    settings = {"n_ini": 6, "n_generations": 12, "ddof": 0}
    v, s = theory.moments(Weighted(FreshData(6, 6), 2.0), lam=0.8, **settings)
    share, previous = 2 / 3, (1 / 6, 5 / 6)
    for t in range(12):
        assert (v[t], s[t]) == pytest.approx(previous, rel=1e-12)
        noise = (share**2 + (1 - share) ** 2 * 0.8 * previous[1]) / 6
        v_next = (1 - share) ** 2 * previous[0] + noise
        within = (share + (1 - share) * 0.8 * previous[1]) * 5 / 6
        between = share * (1 - share) * (previous[0] + (1 + 0.8 * previous[1]) / 6)
        previous = v_next, within + between


def test_memory_of_1_is_fresh_data_and_no_memory_of_real_data_is_fully_synthetic():
    settings = {"n_ini": 7, "n_generations": 9, "lam": 0.7}
    fresh = theory.moments(FreshData(4, 6), **settings)
    np.testing.assert_array_equal(theory.moments(LongMemory(4, 6, memory=1), **settings), fresh)
    alone = theory.moments(FullySynthetic(6), **settings)
    np.testing.assert_array_equal(theory.moments(FreshData(0, 6), **settings), alone)


def test_moments_broadcast_over_sizes_and_bias():
    n_r, n_s, lam = np.array([[3.0], [8.0]]), np.array([2.0, 4.0, 8.0]), np.array(0.7)
    settings = {"n_ini": 6, "n_generations": 4, "lam": lam}
    for make in (
        FreshData,
        AccumulateFresh,
        lambda n_r, n_s: LongMemory(n_r, n_s, memory=2),
        lambda n_r, n_s: Weighted(SyntheticAugmentation(n_s), n_r),
        lambda n_r, n_s: AccumulateSubsample(n_s, n_r),
        lambda n_r, n_s: Growing(FreshData(n_r, n_s), Power(0.5)),
    ):
        grid = theory.moments(make(n_r, n_s), **settings)
        assert grid.v.shape == grid.s.shape == (2, 3, 4)
        one = theory.moments(make(8, 8), **settings)
        np.testing.assert_allclose([grid.v[1, 2], grid.s[1, 2]], one, rtol=1e-14)


def test_moments_do_not_lose_digits_at_the_size_of_the_internet():
    n = 1e12
    v, s = theory.moments(FullySynthetic(n), n_ini=n, n_generations=1000, ddof=0)
    t = np.arange(1, 1001)
    np.testing.assert_allclose(v, -np.expm1(t * np.log1p(-1 / n)), rtol=1e-9)
    np.testing.assert_allclose(s, 1 - t / n, rtol=1e-13)


def test_fully_synthetic_closed_forms():
    n, lam, t = 20, 0.9, np.arange(1, 200)
    regime, settings = FullySynthetic(n), {"n_ini": n, "n_generations": 199}
    v, s = theory.moments(regime, lam=lam, **settings)
    np.testing.assert_allclose(s, lam ** (t - 1), rtol=1e-12)
    np.testing.assert_allclose(v, (1 - lam**t) / (1 - lam) / n, rtol=1e-12)
    unbiased = theory.moments(regime, **settings)
    np.testing.assert_allclose(unbiased.v + unbiased.s, 1 + t / n, rtol=1e-12)
    likelihood = theory.moments(regime, ddof=0, **settings)
    np.testing.assert_allclose(likelihood.s, (1 - 1 / n) ** t, rtol=1e-12)
    np.testing.assert_allclose(likelihood.v + likelihood.s, 1, rtol=1e-12)


def test_a_fully_synthetic_loop_that_grows_superlinearly_drifts_a_finite_way():
    """v_t = 1/n_ini + sum 1/n_i: with n_i = n i^2 it ends below pi^2/6n."""
    v, _ = theory.moments(Growing(FullySynthetic(10), Power(2.0)), n_ini=10, n_generations=100)
    np.testing.assert_allclose(v, np.cumsum(1 / np.arange(1.0, 101) ** 2) / 10, rtol=1e-12)


def test_worth_of_a_long_memory():
    """n_e/n_r tends to 1 + k K/(k + K): large sizes, lam = 1, W2^2 ~ 1/n_e."""
    n, k = 1e9, 3
    for memory in (1, 2, 10):
        regime = LongMemory(n, k * n, memory=memory)
        v, _ = theory.moments(regime, n_ini=n, n_generations=400)
        assert 1 / (n * v[-1]) == pytest.approx(1 + k * memory / (k + memory), rel=1e-6)


def test_kazdan_limits_of_the_accumulating_loops():
    n, n_generations = 4, 5000
    v, s = theory.moments(Accumulate(n), n_ini=n, n_generations=n_generations, ddof=0)
    limit = theory.limit(Accumulate(n), n_ini=n, ddof=0)
    assert limit.s == pytest.approx(1 / (np.pi / 2), rel=1e-14)  # sin(pi/2)/(pi/2)
    # The tail of the product, prod_{t > T} (1 - 1/(n t^2)), is 1 - 1/(n T) + O(1/T^2).
    assert s[-1] == pytest.approx(limit.s * (1 + 1 / (n * n_generations)), rel=n_generations**-2)
    assert v[-1] == pytest.approx(1 - s[-1], rel=1e-12)
    n, regime = 10**8, AccumulateSubsample(10**8, 10**8)
    v, _ = theory.moments(regime, n_ini=n, n_generations=n_generations)
    assert n * v[-1] == pytest.approx(np.pi**2 / 2 - 2, abs=4 / 5000)  # tail of sum 2/t^2 and 1/T


def test_a_regime_of_ones_own_registers_its_rule():
    class Alternating(Regime):
        """Real data at even generations, the last model's at odd ones."""

        n: Size

        def smallest_size(self, n_ini, n_generations):
            return self.n

    regime = Alternating(np.array([5.0, 9.0]))
    with pytest.raises(ParameterError, match="a regime whose rule is registered is required"):
        theory.moments(regime, n_ini=4, n_generations=4)

    @theory.recursion.register
    def _(regime: Alternating, t: int):
        return theory.TrainingSet((theory.Batch(of=0 if t % 2 == 0 else t - 1, n=regime.n),))

    v, s = theory.moments(regime, n_ini=4, n_generations=4, lam=0.5)
    n = np.array([[5.0], [9.0]])
    np.testing.assert_allclose(v, np.hstack([0 * n + 1 / 4, 1 / n, 1.5 / n, 1 / n]), rtol=1e-12)
    np.testing.assert_allclose(s, [[1, 1, 0.5, 1]] * 2, rtol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.moments(object(), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic, n_ini=5, n_generations=2),
        lambda: theory.moments(
            Curated(FullySynthetic(5), lambda key, data, turn: data), n_ini=5, n_generations=2
        ),
        lambda: theory.moments(Weighted(AccumulateSubsample(5, 5), 2.0), n_ini=5, n_generations=2),
        lambda: theory.moments(Weighted(FreshData(5, 5), -1.0), n_ini=5, n_generations=2),
        lambda: theory.moments(Weighted(FreshData(5, 0), 0.0), n_ini=5, n_generations=2),
        lambda: theory.moments(Growing(FullySynthetic(5), Power(-9.0)), n_ini=5, n_generations=3),
        lambda: theory.moments(FullySynthetic(5), n_ini=1, n_generations=2),
        lambda: theory.moments(FullySynthetic(1), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic(0.5), n_ini=5, n_generations=2, ddof=0),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=0),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=2.5),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=2**32),
        lambda: theory.moments(FullySynthetic(np.ones(10**4) * 5), n_ini=5, n_generations=10**5),
        lambda: theory.moments(FreshData(-1, 5), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=2, lam=1.5),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=2, ddof=2),
        lambda: theory.moments(FullySynthetic(5), n_ini=5, n_generations=2, lam=0.5j),
        lambda: theory.moments(FullySynthetic(np.nan), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic(None), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic({}), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic(1e16), n_ini=5, n_generations=2),
        lambda: theory.moments(FullySynthetic([5, 6, 7]), n_ini=[5, 6], n_generations=2),
        lambda: theory.moments(LongMemory(5, 6, memory=0), n_ini=5, n_generations=2),
        lambda: theory.moments(LongMemory(5, 6, memory=4), n_ini=5, n_generations=2),
        lambda: theory.moments(Accumulate(-5), n_ini=10, n_generations=3),
        lambda: theory.moments(AccumulateSubsample(-5, 10), n_ini=10, n_generations=3),
        lambda: theory.moments(AccumulateSubsample(5, 1), n_ini=10, n_generations=3),
        lambda: theory.moments(FreshData(100, 900), n_ini=0.5, n_generations=3, ddof=0),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
