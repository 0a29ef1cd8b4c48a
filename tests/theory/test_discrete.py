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


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.heterozygosity(FullySynthetic(5), [0.5, 0.5], n_ini=5, n_generations=2.5),
        lambda: theory.heterozygosity(FullySynthetic(5), [0.5, 0.6], n_ini=5, n_generations=2),
        lambda: theory.expected_sample_coverage([0.5, 0.6], 3),
        lambda: theory.expected_sample_coverage([0.5, 0.5], -3),
        lambda: theory.extinction_probability(0.5, n_ini=5, n_s=0, n_generations=3),
        # A transition matrix of 7 TiB, and one that is multiplied for hours.
        lambda: theory.expected_support_size(0.5, n_ini=10**12, n_s=10**12, n_generations=3),
        lambda: theory.extinction_probability(0.5, n_ini=5000, n_s=5000, n_generations=10**5),
        lambda: theory.poisson_survival_probability([1.5, -2.0], n=5, n_generations=3),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
    with pytest.raises(ParameterError, match="at most 5000"):
        theory.extinction_probability(0.5, n_ini=6000, n_s=5, n_generations=3)
