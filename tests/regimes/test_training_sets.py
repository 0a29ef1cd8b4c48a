"""What is in the training set of each generation: every row carries the number of its model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from madlib import Gaussian, ParameterError, metrics, simulate, targets, theory
from madlib.datasets import Samples
from madlib.generators import Categorical, NormalParams
from madlib.protocols import Model, Turn
from madlib.regimes import (
    Accumulate,
    AccumulateCorrected,
    AccumulateFresh,
    AccumulateSubsample,
    Curated,
    Dwindling,
    FreshData,
    FullySynthetic,
    Growing,
    LongMemory,
    Power,
    Selector,
    Stairs,
    SyntheticAugmentation,
    Weighted,
    selectors,
)
from madlib.statistics import Counts

N_INI, N_GENERATIONS = 4, 6
INITIAL, FRESH = -1.0, 0.0  # Labels of real rows; rows of model t are labelled t.
POINTS = Gaussian(1, exact=False)


def labelled(label, n):
    return Samples.of(jnp.full((n, 1), label))


def turn_of(t):
    return Turn(
        jnp.asarray(t),
        N_GENERATIONS,
        lambda key, n: labelled(FRESH, n),
        lambda key, n: labelled(float(t - 1), n),
        Model(POINTS, ()),
    )


def training_sets(regime):
    """The training sets of generations 2, 3, ..."""
    memory = regime.init(labelled(INITIAL, N_INI), N_GENERATIONS)
    for t in range(2, N_GENERATIONS + 1):
        data, memory = regime.training_set(jax.random.key(t), turn_of(t), memory)
        yield t, data


def compositions(regime):
    """{label: weight of its rows}."""
    for t, data in training_sets(regime):
        found = {}
        for label, weight in zip(np.asarray(data.points)[:, 0], data.weight, strict=True):
            if weight > 0:
                found[float(label)] = found.get(float(label), 0) + float(weight)
        yield t, found


def reject_even_models(key, synthetic, turn):
    return (turn.generation % 2).astype(float) * synthetic


def expected(regime, t):
    """The definition of each regime, as {label: weight}."""
    match regime:
        case FullySynthetic(n_s):
            return {t - 1: n_s}
        case SyntheticAugmentation(n_s):
            return {INITIAL: N_INI, t - 1: n_s}
        case FreshData(n_r, n_s):
            return {FRESH: n_r, t - 1: n_s}
        case LongMemory(n_r, n_s, memory):
            return {FRESH: n_r} | dict.fromkeys(range(max(1, t - memory), t), n_s // memory)
        case Accumulate(n_s):
            return {INITIAL: N_INI} | dict.fromkeys(range(1, t), n_s)
        case AccumulateFresh(n_r, n_s):
            return {INITIAL: N_INI, FRESH: n_r * (t - 1)} | dict.fromkeys(range(1, t), n_s)
        case Weighted(inner, w):
            rows = expected(inner, t)
            return {k: n * w if k <= FRESH else n for k, n in rows.items()}
        case Curated(FullySynthetic(n_s)):
            return {t - 1: n_s * (t % 2)}
        case Curated(Accumulate(n_s)):
            return {INITIAL: N_INI} | {model: n_s * ((model + 1) % 2) for model in range(1, t)}
        case Growing(FullySynthetic(n_s)):
            return {t - 1: round(n_s * t**1.5)}
        case Growing(Accumulate(n_s)):
            sizes = {model: round(n_s * (model + 1) ** 1.5) for model in range(1, t)}
            return {INITIAL: N_INI} | sizes
        case Growing(FreshData(n_r, n_s), {"n_s": Dwindling(c, g)}):
            real, size = c / (t + c - 1), n_s * t**g
            return {FRESH: round(size * real), t - 1: round(size * (1 - real))}
        case Growing(FreshData(n_r, n_s), {"n_s": Stairs(heights, length)}):
            return {FRESH: n_r, t - 1: round(n_s * heights[min((t - 2) // length, 2)])}
        case Growing(FreshData(n_r, n_s)):
            return {FRESH: round(n_r / t), t - 1: n_s}


@pytest.mark.parametrize(
    "regime",
    [
        FullySynthetic(3),
        SyntheticAugmentation(3),
        SyntheticAugmentation(0),
        FreshData(5, 3),
        FreshData(5, 0),
        FreshData(0, 3),
        LongMemory(5, 3, 1),
        LongMemory(5, 6, 2),
        LongMemory(5, 6, 3),
        Accumulate(3),
        AccumulateFresh(5, 3),
        AccumulateFresh(0, 3),
        Weighted(SyntheticAugmentation(3), 2.5),
        Weighted(FreshData(5, 3), 0.5),
        Weighted(Accumulate(3), 2.0),
        Curated(FullySynthetic(3), reject_even_models),
        Curated(Accumulate(3), reject_even_models),
        Growing(FullySynthetic(3), Power(1.5)),
        Growing(Accumulate(3), Power(1.5)),
        Growing(FreshData(30, 5), {"n_r": Power(-1.0)}),
        Growing(
            FreshData(40, 40), {"n_r": Dwindling(2.0, 0.5, True), "n_s": Dwindling(2.0, 0.5, False)}
        ),
        Growing(FreshData(5, 8), {"n_s": Stairs((0.0, 1.0, 0.25), 2)}),
        Growing(FreshData(5, 8), {"n_s": Stairs((0.0, 1.0, 0.25), 1)}),
        Weighted(Growing(FreshData(30, 5), {"n_r": Power(-1.0)}), 3.0),
    ],
    ids=str,
)
def test_composition_of_the_training_set(regime):
    for t, rows in compositions(regime):
        wanted = {label: n for label, n in expected(regime, t).items() if n}
        assert rows == wanted, f"generation {t}: {rows}, expected {wanted}"


def test_a_batch_is_corrected_by_its_known_share():
    """Its mean becomes [Y - (1 - a) theta] / a, and what is in memory stays as it was."""
    n_r, n_s, theta = 2, 6, 3.0
    params = NormalParams(jnp.array([theta]), jnp.eye(1))
    turn = turn_of(2)._replace(model=Model(POINTS, params))
    regime = AccumulateCorrected(n_r, n_s)
    memory = regime.init(labelled(INITIAL, N_INI), N_GENERATIONS)
    data, _ = regime.training_set(jax.random.key(0), turn, memory)
    batch = (n_r * FRESH + n_s * 1.0) / (n_r + n_s)  # turn_of(2) draws the label 1
    corrected = (batch - 0.75 * theta) / 0.25
    used = np.asarray(data.points)[np.asarray(data.weight) > 0, 0]
    assert used[:N_INI] == pytest.approx(INITIAL)
    assert used[N_INI:].mean() == pytest.approx(corrected)
    with pytest.raises(ParameterError, match="n_r must be > 0"):
        AccumulateCorrected(0, n_s).smallest_size(N_INI, N_GENERATIONS)


def test_a_subsample_draws_from_everything_so_far():
    for t, rows in compositions(AccumulateSubsample(n_s=3, n=7)):
        assert sum(rows.values()) == 7
        assert rows.get(INITIAL, 0) <= N_INI
        assert all(1 <= label < t and n <= 3 for label, n in rows.items() if label != INITIAL)


def test_a_subsample_is_uniform_without_replacement():
    """All pairs of a pool of 4 + 3 rows are chosen equally often, no row twice."""
    regime, n_pool, n_draws = AccumulateSubsample(n_s=3, n=4), 7, 20_000
    row = jnp.arange(n_pool, dtype=jnp.float32)[:, None]
    memory = regime.init(Samples.of(row[:N_INI]), N_GENERATIONS)
    turn = turn_of(2)._replace(synthetic=lambda key, n: Samples.of(row[N_INI:]))

    @jax.jit
    @jax.vmap
    def subsample(key):
        return regime.training_set(key, turn, memory)[0]

    data = subsample(jax.random.split(jax.random.key(0), n_draws))
    assert (np.asarray(data.weight) == 1).all()
    chosen = np.asarray(data.points)[..., 0].astype(int)
    present = np.zeros((n_draws, n_pool))
    np.add.at(present, (np.arange(n_draws)[:, None], chosen), 1)
    assert present.max() == 1
    one, two = 4 / 7, 4 * 3 / (7 * 6)
    share = present.T @ present / n_draws
    exact = np.where(np.eye(n_pool), one, two)
    z = (share - exact) / np.sqrt(exact * (1 - exact) / n_draws)
    assert np.abs(z).max() < 5, z


def test_a_subsample_leaves_rejected_rows_out():
    regime = Curated(AccumulateSubsample(n_s=3, n=4), reject_even_models)
    for t, data in training_sets(regime):
        labels = set(np.asarray(data.points)[np.asarray(data.weight) > 0, 0].tolist())
        assert all(label in (INITIAL, *range(2, t, 2)) for label in labels), (t, labels)


class Near(Selector):
    """Keeps a point if it is near one of the centers, an array that is neither size nor axis."""

    centers: Array

    def __call__(self, key, synthetic, turn):
        gap = jnp.abs(synthetic.points - self.centers[None, :]).min(axis=1)
        return (gap < 0.5).astype(float) * synthetic


def test_arrays_that_are_no_sizes_are_constants():
    """As many centers as replicates, or none that a grid could have: every replicate sees all."""
    settings = {"n_ini": 50, "n_generations": 3, "n_replicates": 5}
    settings |= {"record": (metrics.total_variance,), "key": jax.random.key(0)}
    settings |= {"generator": Gaussian(1), "target": targets.standard_normal(1)}
    centers = jnp.arange(5.0)

    def run(regime, **others):
        return simulate(regime=regime, **(settings | others))["total_variance"]

    together = run(Curated(FreshData(20, 50), Near(centers)))
    assert together.shape == (5, 3)
    reversed_centers = run(Curated(FreshData(20, 50), Near(centers[::-1])))
    np.testing.assert_allclose(reversed_centers, together, rtol=1e-6)
    for i in range(5):
        alone = run(Curated(FreshData(20, 50), Near(centers)), first_replicate=i, n_replicates=1)
        assert np.array_equal(alone[0], together[i])
    grid = run(Curated(FreshData(20, 50), Near(centers)), lam=[0.5, 1.0, 0.9])
    assert grid.shape == (3, 5, 3) and np.array_equal(grid[1], together)
    weighted = run(Weighted(Curated(FreshData(20, 50), Near(centers)), 1.0))
    np.testing.assert_allclose(weighted, together, rtol=1e-6)
    fewer = run(Curated(FreshData(20, 50), Near(centers[:2])))
    assert not np.array_equal(fewer, together), "the centers must matter"


def both_ways(regime, other_regime=None, **settings):
    """Distance after some generations, drawn exactly and by points: means and standard errors."""
    settings = {"n_ini": 20, "n_generations": 6, "n_replicates": 4000} | settings
    settings |= {"record": (metrics.wasserstein2_squared,), "target": targets.standard_normal(2)}
    found = []
    for seed, exact in ((0, True), (1, False)):
        run = simulate(
            jax.random.key(seed),
            Gaussian(2, exact=exact),
            regime if exact else other_regime or regime,
            every=settings["n_generations"] - 1,
            **settings,
        )
        last = run["wasserstein2_squared"][:, -1].astype(float)
        found.append((last.mean(), last.std(ddof=1) / np.sqrt(last.size)))
    return found


@pytest.mark.parametrize(
    "regime",
    [
        Weighted(FreshData(10, 20), 2.5),
        Weighted(SyntheticAugmentation(15), 0.4),
        Growing(FullySynthetic(10), Power(0.7)),
        Growing(FreshData(60, 10), {"n_r": Power(-1.0), "n_s": Power(0.5)}),
        Weighted(Growing(Accumulate(8), Power(0.5)), 3.0),
        LongMemory(10, 20, 2),
    ],
    ids=str,
)
def test_exact_draws_and_points_have_one_distribution(regime):
    (exact, exact_se), (points, points_se) = both_ways(regime)
    z = (exact - points) / np.hypot(exact_se, points_se)
    assert abs(z) < 5, f"exact {exact} +- {exact_se}, points {points} +- {points_se}"


def test_a_selector_that_needs_no_points_keeps_draws_exact():
    class Half(Selector):
        """Counts every synthetic example half."""

        @property
        def needs_points(self):
            return False

        def __call__(self, key, synthetic, turn):
            return 0.5 * synthetic

    curated = Curated(FreshData(10, 20), Half())
    assert not curated.needs_points
    (exact, exact_se), (points, points_se) = both_ways(curated, Weighted(FreshData(10, 20), 2.0))
    assert abs(exact - points) < 5 * np.hypot(exact_se, points_se)


def test_wrappers_are_regimes_of_any_size_grid():
    """The best weight of one call is that of separate calls."""
    settings = {"n_ini": 50, "n_generations": 5, "n_replicates": 50, "key": jax.random.key(0)}
    settings |= {"record": (metrics.wasserstein2_squared,), "generator": Gaussian(1)}
    settings |= {"target": targets.standard_normal(1)}

    def run(w, exponent):
        regime = Growing(Weighted(FreshData(20, 30), w), Power(exponent))
        return simulate(regime=regime, **settings)["wasserstein2_squared"]

    grid = run(np.array([[0.5], [1.0], [2.0]]), np.array([0.0, 1.0]))
    assert grid.shape == (3, 2, 50, 5)
    assert np.array_equal(grid[2, 1], run(2.0, 1.0))
    same = Growing(Weighted(FreshData(20, 30), 1.0), Power(0.0))
    plain = simulate(regime=FreshData(20, 30), **settings)["wasserstein2_squared"]
    np.testing.assert_allclose(
        simulate(regime=same, **settings)["wasserstein2_squared"], plain, rtol=1e-4
    )


@pytest.mark.parametrize("heights", [(), (1.0, -0.5), (1.0, float("nan"))])
def test_heights_that_are_no_stairs(heights):
    with pytest.raises(ParameterError, match="heights must be") as refused:
        Stairs(heights, 2)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("regime", "words"),
    [
        (Growing(FullySynthetic(10), Power(-9.0)), ["at least 2 samples", "got 0"]),
        (Growing(FullySynthetic(10), lambda t: 0.0 * t), ["at least 2 samples", "got 0"]),
        (
            Growing(FreshData(9, 9), {"n_r": lambda t: -t}),
            ["schedule", "not negative", "-2 for n_r at generation 2"],
        ),
        (Growing(FullySynthetic(10), lambda t: float("nan")), ["schedule", "finite"]),
        (Growing(AccumulateSubsample(5, 5), Power(1.0)), ["subsample", "by name"]),
        (LongMemory(5, 6, 4), ["memory=4", "n_s=6", "multiple of 4"]),
        (LongMemory(5, 6, 0), ["memory=0", ">= 1"]),
        (AccumulateSubsample(5, 50), ["n=50", "at most n_ini + n_s", "n <= 10"]),
        (Weighted(FreshData(5, 5), -1.0), ["w", "-1"]),
        (Weighted(FreshData(5, 5), np.inf), ["w", "inf"]),
    ],
)
def test_impossible_sizes_are_refused(regime, words):
    with pytest.raises(ParameterError) as refused:
        simulate(
            jax.random.key(0),
            Gaussian(1),
            regime,
            targets.standard_normal(1),
            n_ini=5,
            n_generations=4,
            n_replicates=2,
        )
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_a_selector_that_rejects_everything_is_named():
    """Nothing is left to fit: one line, with the generation."""

    def nothing(key, synthetic, turn):
        return 0.0 * synthetic

    with pytest.raises(Exception, match=r"must stay finite; got NaN .* generation 2"):
        simulate(
            jax.random.key(0),
            Gaussian(1),
            Curated(FullySynthetic(5), nothing),
            targets.standard_normal(1),
            n_ini=5,
            n_generations=4,
            n_replicates=2,
        )


def test_reparation_restores_the_shares_of_groups():
    """The shares of a group with and without examples, and the proportions within each."""
    select = selectors.Reparation(jnp.array([0, 0, 1, 2]), jnp.array([0.2, 0.5, 0.3]))
    weighed = select(None, Counts(jnp.array([3.0, 1.0, 12.0, 4.0])), turn_of(2)).count
    np.testing.assert_allclose(weighed, 20 * np.array([0.15, 0.05, 0.5, 0.3]), rtol=1e-6)
    without = select(None, Counts(jnp.array([0.0, 0.0, 5.0, 5.0])), turn_of(2)).count
    np.testing.assert_allclose(without, [0, 0, 5, 3], rtol=1e-6)


def test_reparation_in_the_loop():
    """The share of a group stays; its diversity goes as fast as its own draws let it."""
    probs, n = np.array([0.04, 0.06, 0.6, 0.3]), 60
    select = selectors.Reparation(jnp.array([0, 0, 1, 1]), jnp.array([0.1, 0.9]))
    loop = {"n_ini": n, "n_generations": 12}
    run = simulate(
        jax.random.key(3),
        Categorical(4),
        Curated(FullySynthetic(n), select, of="all"),
        targets.categorical(probs),
        n_replicates=20_000,
        **loop,
    )
    probs_t = np.asarray(run.params.probs, float)
    share = probs_t[..., :2].sum(-1)
    alive = share[:, 1:] > 0  # generation 1 is the real sample, as it is
    np.testing.assert_allclose(share[:, 1:][alive], 0.1, rtol=1e-5)
    within = probs_t[..., :2] / np.maximum(share, 1e-9)[..., None]
    kept = (1 - np.sum(within**2, -1)) * (share > 0) / (1 - 0.4**2 - 0.6**2)
    mean, se = kept.mean(0), kept.std(0) / np.sqrt(len(kept))
    expected = theory.group_heterozygosity(0.1, n_s=n, reparation=True, **loop)
    z = (mean - expected) / se
    assert np.abs(z).max() < 5, z


def test_regimes_are_equinox_modules_with_few_lines():
    assert eqx.tree_equal(FreshData(2, 3), FreshData(n_r=2, n_s=3))
    assert jax.tree.leaves(Weighted(FreshData(2, 3), 0.5)) == [2, 3, 0.5]
