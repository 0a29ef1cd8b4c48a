"""Symbols and words in the loop: against draws, and against the enumeration of all states."""

import itertools

import numpy as np
import pytest
from plain_loops import assert_agrees, training_sets
from scipy import stats

from madlib import theory
from madlib.errors import ParameterError
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

PROBS = np.array([0.55, 0.3, 0.1, 0.05])


@pytest.mark.parametrize(
    "regime",
    [
        FullySynthetic(5),
        SyntheticAugmentation(4),
        FreshData(3, 4),
        FreshData(0, 4),
        LongMemory(3, 6, memory=2),
        Accumulate(3),
        AccumulateSubsample(3, 5),
        Weighted(FreshData(3, 4), 2.5),
        Growing(FullySynthetic(3), Power(1.0)),
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
        synthetic=lambda n: draw(history[-1], n),
    )
    for one_hot, weight in itertools.islice(sets, n_generations):
        history.append(weight @ one_hot / weight.sum())
    frequencies = np.stack(history, 1)
    expected = theory.heterozygosity(regime, PROBS, n_ini=n_ini, n_generations=n_generations)
    assert_agrees(f"{regime} heterozygosity", 1 - (frequencies**2).sum(-1), expected)
    assert_agrees(f"{regime} E p", frequencies, PROBS)


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
    for length in range(1, n_generations + 1):
        settings = {"n_ini": n_ini, "n_s": n_s, "n_generations": length}
        extinct = theory.extinction_probability(probs, **settings)
        np.testing.assert_allclose(extinct, np.array(absent)[:length].T, rtol=1e-10)
        support = theory.expected_support_size(probs, **settings)
        np.testing.assert_allclose(support, (1 - np.array(absent))[:length].sum(1), rtol=1e-10)


def test_the_last_symbol_standing_is_symbol_i_with_probability_p_i():
    settings = {"n_ini": 9, "n_s": 5, "n_generations": 400}
    alone = theory.extinction_probability(1 - PROBS, **settings)
    np.testing.assert_allclose(alone[:, -1], PROBS, rtol=1e-12)
    np.testing.assert_allclose(alone[:, 0], PROBS**9, rtol=1e-12)
    assert theory.expected_support_size(PROBS, **settings)[-1] == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    "regime",
    [
        FullySynthetic(10),
        FullySynthetic(15),
        FreshData(4, 8),
        SyntheticAugmentation(6),
        Accumulate(6),
        AccumulateFresh(3, 6),
        LongMemory(4, 6, memory=3),
        Growing(FullySynthetic(5), Power(1.0)),
        Growing(FreshData(4, 6), {"n_s": Power(1.0)}),
    ],
    ids=str,
)
def test_survival_of_poisson_counts(regime):
    """Every batch of n draws from a model holds Poisson(n share) occurrences of each symbol."""
    rng, n_ini, n_generations = np.random.default_rng(7), 10, 6
    sets = [theory.TrainingSet((theory.Batch(0, n_ini),))]
    sets += [theory.recursion(regime, t) for t in range(2, n_generations + 1)]
    probs = PROBS / 10  # rare: none is certain to be there
    share, counts, totals = [np.tile(probs, (100_000, 1))], [None], [None]
    for batches, _ in sets:
        drawn = [counts[b.of] if b.n is None else rng.poisson(b.n * share[b.of]) for b in batches]
        counts.append(sum(drawn))
        totals.append(sum(totals[b.of] if b.n is None else b.n for b in batches))
        share.append(counts[-1] / totals[-1])
    alive = np.stack(counts[1:], -1) > 0
    loop = {"n_ini": n_ini, "n_generations": n_generations}
    survival = theory.poisson_survival_probability(regime, probs, **loop)
    assert_agrees(f"{regime} P(alive)", alive, survival)


def test_surviving_sample_size():
    n, loop = 1000, {"n_ini": 1000, "n_generations": 200}
    g = [1.0]
    for _ in range(199):
        g.append(1 - np.exp(-g[-1]))
    alone = theory.surviving_sample_size(FullySynthetic(n), **loop)
    np.testing.assert_allclose(alone, n * np.array(g), rtol=1e-12)
    assert alone[-1] == pytest.approx(2 * n / 200, rel=0.05)  # g_t ~ 2/t
    fixed = theory.surviving_sample_size(SyntheticAugmentation(5 * n), **loop)
    np.testing.assert_allclose(fixed, n, rtol=1e-12)
    fresh = theory.surviving_sample_size(FreshData([0, 100, n], [n, 900, 0]), **loop)
    np.testing.assert_allclose(fresh[0], alone, rtol=1e-12)
    np.testing.assert_allclose(fresh[2], n, rtol=1e-12)
    # A word in the multinomial loop differs by O(1/n) only.
    rare = np.array([1e-3, 5e-3])
    exact = 1 - theory.extinction_probability(rare, n_ini=n, n_s=n, n_generations=30)
    survival = theory.poisson_survival_probability(
        FullySynthetic(n), rare, n_ini=n, n_generations=30
    )
    np.testing.assert_allclose(survival, exact, rtol=30 / n)


def test_a_fixed_real_set_settles():
    """S_inf = [(1 - a^2) S_real + a^2/n] / [1 - a^2 (1 - 1/n)]; 20 symbols, 50 real, 100 drawn."""
    probs, n, a = np.full(20, 0.05), 100, 100 / 150
    real = 0.05 + 0.95 / 50
    limit = ((1 - a**2) * real + a**2 / n) / (1 - a**2 * (1 - 1 / n))
    assert (round(real, 3), round(limit, 4)) == (0.069, 0.0764)
    loop = {"n_ini": 50, "n_generations": 100}
    late = 1 - theory.heterozygosity(SyntheticAugmentation(n), probs, **loop)[-1]
    assert late == pytest.approx(limit, rel=1e-12)


@pytest.mark.parametrize("n", [10, 1000, 1_000_000])
def test_one_migrant_keeps_two_thirds(n):
    limit = theory.limit(FreshData(1, n - 1), ddof=0).s
    assert limit == pytest.approx(1 - 1 / (3 - 2 / n), rel=1e-12)


def test_missing_mass_of_real_draws():
    rng, cut = np.random.default_rng(8), np.array([0.6, 0.4, 0.0, 0.0])
    n_r, n_s = np.array([1, 3, 0]), np.array([0, 9, 9])
    counts = [rng.multinomial(n, PROBS, size=50_000) for n in n_r]
    counts = [c + rng.multinomial(n, cut, size=50_000) for c, n in zip(counts, n_s, strict=True)]
    missing = np.stack([(c == 0) @ PROBS for c in counts], axis=1)
    expected = theory.expected_missing_mass(PROBS, n_r, synthetic=cut, n_s=n_s)
    assert_agrees("missing mass", missing, expected)
    assert theory.expected_missing_mass([1.0, 0.0], 3) == 0
    assert theory.expected_missing_mass(PROBS, 7, n_s=5) == pytest.approx(
        theory.expected_missing_mass(PROBS, 12), rel=1e-12
    )


def test_three_phases_of_a_tail():
    """The numbers of 10^6 ranks, i^-1.5, cut at 1000, a tenth of the draws real."""
    rank = np.arange(1.0, 1e6 + 1)
    probs = rank**-1.5 / np.sum(rank**-1.5)
    cut = np.where(rank <= 1000, probs, 0) / probs[:1000].sum()
    n = np.logspace(2, 8, 7)
    missing = theory.expected_missing_mass(probs, n / 10, synthetic=cut, n_s=0.9 * n)
    golden = [0.200, 0.0928, 0.0433, 0.0241, 0.0181, 0.0087, 0.0036]
    np.testing.assert_allclose(missing, golden, rtol=0.02)
    # Real draws alone: n^-(b-1)/b. No real draws: the mass beyond the cut, k^-(b-1) of the whole.
    alone = theory.expected_missing_mass(probs, n[:3])
    np.testing.assert_allclose(np.diff(np.log10(alone)), -1 / 3, rtol=0.03)
    floor = theory.expected_missing_mass(probs, 0, synthetic=cut, n_s=1e8)
    assert floor == pytest.approx(probs[1000:].sum(), rel=1e-3)


@pytest.mark.parametrize("reparation", [False, True])
def test_diversity_within_a_group(reparation):
    """Two symbols of a group of share 0.2 and one of the other, drawn one by one."""
    rng, n_replicates, n_ini, n_s, share = np.random.default_rng(9), 100_000, 12, 8, 0.2
    probs, rows = np.tile([0.15, 0.05, 0.8], (n_replicates, 1)), []
    for t in range(5):
        counts = rng.multinomial(n_s if t else n_ini, probs)
        members = counts[:, :2].sum(1, keepdims=True)
        within = counts[:, :2] / np.maximum(members, 1)
        rows.append((1 - np.sum(within**2, 1)) * (members[:, 0] > 0) / (1 - 0.75**2 - 0.25**2))
        probs = counts / counts.sum(1, keepdims=True)
        if reparation and t:
            weighted = np.where(members > 0, share * within, 0.0)
            rest = np.where(counts[:, 2:] > 0, 1 - share, 0.0)
            probs = np.concatenate([weighted, rest], axis=1)
            probs /= probs.sum(1, keepdims=True)
    loop = {"n_ini": n_ini, "n_s": n_s, "n_generations": 5, "reparation": reparation}
    assert_agrees("within the group", np.stack(rows, 1), theory.group_heterozygosity(share, **loop))


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.heterozygosity(FullySynthetic(5), [0.5, 0.5], n_ini=5, n_generations=2.5),
        lambda: theory.heterozygosity(FullySynthetic(5), [0.5, 0.6], n_ini=5, n_generations=2),
        lambda: theory.expected_missing_mass([0.5, 0.6], 3),
        lambda: theory.expected_missing_mass([0.5, 0.5], -3),
        lambda: theory.expected_missing_mass([0.5, 0.5], 3, synthetic=[1.0], n_s=2),
        lambda: theory.group_heterozygosity(1.0, n_ini=5, n_s=5, n_generations=3),
        lambda: theory.surviving_sample_size(
            Weighted(FreshData(3, 4), 2.0), n_ini=5, n_generations=3
        ),
        lambda: theory.extinction_probability(0.5, n_ini=5, n_s=0, n_generations=3),
        # A transition matrix of 7 TiB, and one that is multiplied for hours.
        lambda: theory.expected_support_size(0.5, n_ini=10**12, n_s=10**12, n_generations=3),
        lambda: theory.extinction_probability(0.5, n_ini=5000, n_s=5000, n_generations=10**5),
        lambda: theory.poisson_survival_probability(
            FullySynthetic(5), [1.5, -2.0], n_ini=5, n_generations=3
        ),
        lambda: theory.poisson_survival_probability(
            FullySynthetic([5, 6]), 0.5, n_ini=5, n_generations=3
        ),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
    with pytest.raises(ParameterError, match="at most 5000"):
        theory.extinction_probability(0.5, n_ini=6000, n_s=5, n_generations=3)
