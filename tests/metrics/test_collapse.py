"""Definitions of collapse on trajectories whose answer is known from mathematics."""

import jax
import numpy as np
import pytest
from scipy import stats

from madlib import (
    FreshData,
    FullySynthetic,
    Gaussian,
    ParameterError,
    SyntheticAugmentation,
    metrics,
    simulate,
    targets,
)
from madlib.generators import KernelDensity
from madlib.regimes import Accumulate

T = np.arange(1.0, 65.0)
CURVES = {
    "linear": (T, True),
    "root": (np.sqrt(T), True),
    "logarithm": (1 + np.log(T), True),
    "approach as 1/t": (2 - 1 / T, False),
    "approach as 1/t^2": (2 - 1 / T**2, False),
    "geometric approach": (2 - 0.8**T, False),
    "flat": (0 * T + 1, False),
    "falling to a level": (1 + 9 * 0.7**T, False),
    "falling as 1/t": (1 / T, False),
}


def noisy(curve, spread, n_replicates=400, seed=0):
    """Each replicate has its own level, and noise in each row."""
    rng = np.random.default_rng(seed)
    level = rng.lognormal(sigma=spread, size=(n_replicates, 1))
    return curve * level * rng.lognormal(sigma=spread, size=(n_replicates, len(curve)))


@pytest.mark.parametrize("name", CURVES)
def test_divergence_of_known_curves(name):
    curve, diverges = CURVES[name]
    assert metrics.asymptotic_divergence(np.stack([curve, curve])).holds == diverges
    assert metrics.asymptotic_divergence(noisy(curve, 0.05)).holds == diverges
    assert metrics.collapsing_variance(np.exp(-noisy(curve, 0.05))).holds == diverges


@pytest.mark.parametrize("name", CURVES)
def test_noise_hides_it(name):
    """Never the wrong answer: none, until there are enough replicates."""
    curve, diverges = CURVES[name]
    verdicts = [
        metrics.asymptotic_divergence(noisy(curve, 1.0, n_replicates=9, seed=seed)).holds
        for seed in range(40)
    ]
    assert set(verdicts) <= {None, diverges} and None in verdicts


@pytest.mark.parametrize(("n", "every"), [(64, 1), (16, 1), (9, 8)])
def test_the_number_of_rows_and_their_distance_change_nothing(n, every):
    t = 1 + every * np.arange(n)
    for curve, diverges in [(t, True), (np.log(t) + 1, True), (2 - 1 / t, False)]:
        assert metrics.asymptotic_divergence(np.stack([curve, curve])).holds == diverges


def test_a_variance_of_zero_has_collapsed():
    collapsed = np.stack([0.5 ** (T**2), 0.5 ** (T**2)])
    collapsed[:, 30:] = 0
    assert metrics.collapsing_variance(collapsed).holds


def test_margins_are_those_of_student():
    """Five standard errors for many replicates; for few, the same chance of a false verdict."""
    chance = stats.norm.sf(5)
    for n in (2, 3, 10, 10**6):
        evidence = metrics.Evidence(1.0, 1.0, 0.0, n)
        assert evidence.margin == pytest.approx(stats.t.isf(chance, n - 1), rel=1e-4)
    assert evidence.margin == pytest.approx(5, rel=1e-4)
    assert [metrics.Evidence(x, 1.0, 0.0, 10**6).holds for x in (-6, -4, 4, 6)] == [
        *(False, None, None, True)
    ]
    unsure = metrics.Evidence(0.4, 0.1, 0.0, 10**6, tolerance=0.8)
    assert unsure.holds is None and unsure._replace(tolerance=1.0).holds is False


@pytest.mark.parametrize(
    ("regime", "diverges", "increases"),
    [
        (FullySynthetic(400), True, True),  # E W2^2 = t/n + ..., E log v = -t/(n - 1)
        (Accumulate(400), False, True),  # within pi^2/6 of the first error
        (SyntheticAugmentation(400), False, True),  # n_e/n_r = (n_r + 2 n_s)/(n_r + 3 n_s)
        (FreshData(400, 400), False, False),  # n_e/n_r = 1 + n_s/(n_r + n_s)
    ],
)
def test_regimes_of_a_gaussian(regime, diverges, increases):
    trajectory = simulate(
        jax.random.key(0), Gaussian(1), regime, targets.normal(0.0, 1.0),
        n_ini=400, n_generations=64, n_replicates=8000,
        record=(metrics.wasserstein2_squared, metrics.total_variance),
    )  # fmt: skip
    risk = np.float64(trajectory["wasserstein2_squared"])
    assert metrics.any_increase(risk).holds is increases
    assert metrics.catastrophic_increase(risk).holds is diverges
    assert metrics.collapsing_variance(trajectory["total_variance"]).holds is diverges
    # Of the heavy tails of the risk, noise hides whether it settles; not that it grows.
    evidence = metrics.asymptotic_divergence(risk)
    assert evidence.holds is True if diverges else evidence.holds in (False, None), evidence
    assert metrics.asymptotic_divergence(risk[:20]).holds in (diverges, None)


def test_kernel_density_that_accumulates_grows_as_a_logarithm():
    """E v_t = 1 + h^2 (H_{t+1} - 1): not bounded, though everything is kept."""
    family = KernelDensity(1, n_points=10 * 33, bandwidth=1.0)

    def variance(model, target):
        share, points = model.params.weight, model.params.points[:, 0]
        return share @ points**2 - (share @ points) ** 2

    trajectory = simulate(
        jax.random.key(1), family, Accumulate(10), targets.normal(0.0, 1.0),
        n_ini=10, n_generations=33, n_replicates=1000, record=(variance,),
    )  # fmt: skip
    values = np.float64(trajectory["variance"])
    assert metrics.asymptotic_divergence(values).holds is True
    growth = values[:, -1].mean() / values[:, 0].mean()
    assert metrics.catastrophic_increase(values).holds is False and growth > 2


def test_catastrophe_is_a_factor():
    risk = np.array([[1.0, 9.0], [1.1, 10.0], [0.9, 8.0]] * 100)
    for factor, expected in [(8.0, True), (10.0, False), (9.0, None)]:
        evidence = metrics.catastrophic_increase(risk, factor)
        assert evidence.holds is expected
    assert evidence.value == pytest.approx(9) and evidence.threshold == pytest.approx(9)
    gaps = risk[:, 1] - 9 * risk[:, 0]
    assert evidence.se == pytest.approx(gaps.std(ddof=1) / np.sqrt(300))


def scaled(exponent, floor, n, n_replicates, seed, shared):
    """Risks [n_sizes, n_replicates, 2]: 1/n at first, n^-exponent + floor at the end."""
    rng = np.random.default_rng(seed)
    shape = (1 if shared else len(n), n_replicates, 2)
    noise = np.broadcast_to(rng.gamma(4.0, 0.25, size=shape), (len(n), *shape[1:]))
    mean = np.stack([1 / n, n**-exponent + floor], axis=1)
    return mean[:, None, :] * noise


@pytest.mark.parametrize("shared", [True, False])
def test_exponents_of_the_risk(shared):
    n = np.array([10.0, 100, 1000, 10000])
    for exponent, floor, changes in [
        (1, 0, False),
        (0.95, 0, False),
        (0.5, 0, True),
        (1, 0.1, True),
    ]:
        risk = scaled(exponent, floor, n, 4000, 0, shared)
        evidence = metrics.scaling_law_change(risk, n)
        assert evidence.holds is changes, (exponent, floor, evidence)
    assert metrics.scaling_law_change(scaled(0.85, 0, n, 9, 0, False), n).holds is None


def test_the_error_of_an_exponent():
    """Over repetitions, of independent sizes and of sizes that share their keys."""
    n = np.array([10.0, 100, 1000])
    for shared in (True, False):
        found = [
            metrics.scaling_law_change(scaled(0.5, 0, n, 200, seed, shared), n)
            for seed in range(300)
        ]
        spread = np.std([evidence.value for evidence in found], ddof=1)
        stated = np.mean([evidence.se for evidence in found])
        if shared:  # what all sizes share is no slope
            assert spread < 1e-12 and stated < 1e-12
        else:
            assert abs(spread / stated - 1) < 5 / np.sqrt(2 * 299), (spread, stated)


def test_modes_tails_and_hallucinations_by_count():
    """Modes at -2 and 2 of deviation 1/2; one normal for both lies between them."""
    rng = np.random.default_rng(0)

    def count(inside, points):
        return inside(points).mean(axis=1)

    def between(points):
        return np.abs(points) < 0.5

    def hardly_real(points):
        return np.abs(points) > 4

    real = rng.choice([-2.0, 2.0], (200, 1000)) + 0.5 * rng.normal(size=(200, 1000))
    one_for_two = np.sqrt(4.25) * rng.normal(size=(200, 1000))
    collapsed = 0.1 * rng.normal(size=(200, 1000))
    share = np.stack([count(between, x) for x in (real, one_for_two)], axis=1)
    assert metrics.entangled_modes(share).holds is True
    assert metrics.entangled_modes(share[:, [0, 0]]).holds is False
    assert metrics.entangled_modes(share[:, [1, 1]]).holds is False
    share = np.stack([count(hardly_real, x) for x in (real, one_for_two)], axis=1)
    assert not share[:, 0].any() or share[:, 0].mean() < 1e-3
    assert metrics.hallucinated_data(share).holds is True
    assert metrics.hallucinated_data(share[:, ::-1]).holds is False
    tail = stats.norm.sf(2.5, 2, 0.5) + stats.norm.sf(2.5, -2, 0.5)

    def beyond(points):
        return points > 2.5

    share = np.stack([count(beyond, x) for x in (real, collapsed)], axis=1)
    evidence = metrics.disappearing_tails(share, tail / 2)
    assert evidence.holds is True and evidence.value == 1
    assert metrics.disappearing_tails(share[:, ::-1], tail / 2).holds is False
    few = np.array([[0.1, 0.04], [0.1, 0.0], [0.0, 0.1]])
    assert metrics.disappearing_tails(few, tail / 2).holds is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.any_increase([1, 2, 3]), "a trajectory must be .n_replicates, n_rows"),
        (lambda: metrics.any_increase([[1, 2, 3]]), "at least 2 of each; got shape .1, 3."),
        (lambda: metrics.any_increase([[1, np.nan], [1, 2]]), "risk must be finite"),
        (lambda: metrics.any_increase([[1, -2], [1, 2]]), "risk must be numbers >= 0"),
        (lambda: metrics.asymptotic_divergence(np.ones((5, 7))), "at least 8 rows; got 7"),
        (lambda: metrics.collapsing_variance(np.ones((5, 7))), "at least 8 rows; got 7"),
        (lambda: metrics.catastrophic_increase(np.ones((5, 7)), 0), "factor must be a number > 0"),
        (lambda: metrics.disappearing_tails(np.ones((5, 7)), 0), "real must be a number > 0"),
        (lambda: metrics.scaling_law_change(np.ones((3, 5, 7)), [1, 2]), "n_sizes, n_replicates"),
        (lambda: metrics.scaling_law_change(np.ones((2, 5, 7)), [2, 2]), "2 sizes or more"),
        (lambda: metrics.scaling_law_change(np.zeros((2, 5, 7)), [1, 2]), "risk must be .* > 0"),
    ],
)
def test_bad_trajectories_are_refused(call, words):
    with pytest.raises(ParameterError, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)
