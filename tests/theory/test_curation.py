"""Selection, preference, temperature and guidance: against golden numbers, draws and iterations."""

import numpy as np
import pytest
from scipy import stats

from madlib import ParameterError, theory


def test_golden_numbers():
    """FACTS that the chapters quote, each computed elsewhere before."""
    contraction = theory.verifier_contraction([0.5, 1, 2, 3])
    np.testing.assert_allclose(contraction, [0.0806, 0.2911, 0.7737, 0.9733], atol=5e-5)
    assert round(np.log(0.5) / np.log(contraction[3])) == 26  # generations to half the gap
    factor = theory.selection_factor([0.1, 0.5, 0.9])
    np.testing.assert_allclose(factor, [0.0053, 0.1427, 0.623], atol=1e-3)
    accumulated = theory.accumulated_selection(0.5, n_generations=61)[[10, 30, 60]]
    np.testing.assert_allclose(accumulated, [0.1360, 0.0562, 0.0315], atol=5e-5)
    plural = theory.plural_preference([0.5, 0.6, 0.8], 2)
    np.testing.assert_allclose(plural, [0.5, 0.6313, 0.8939], atol=5e-5)
    rates = {
        "false_positive": [0.042, 0.042, 0.05, 0.05],
        "false_negative": [0.006] * 2 + [0.3] * 2,
    }
    passed = theory.detected_share([0.5, 0.9] * 2, **rates)
    np.testing.assert_allclose(passed, [0.0062, 0.053, 0.240, 0.740], atol=5e-4)
    assert abs(theory.negative_guidance_weight(0.9, 0.8) - 0.472) < 5e-4


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (0.5, [0.50, 0.556, 0.625, 0.781, 0.941]),
        (0.8, [0.20, 0.231, 0.274, 0.398, 0.625]),
        (0.9, [0.10, 0.117, 0.140, 0.214, 0.373]),
    ],
)
def test_temperature_cure(temperature, expected):
    cure = [theory.temperature_cure(temperature, n_answers=n) for n in (2, 5, 10, 50, 1000)]
    np.testing.assert_allclose(cure, expected, atol=6e-4)
    assert theory.temperature_stability(temperature) == 1 - temperature


@pytest.mark.parametrize("n_answers", [2, 10])
def test_temperature_borders_against_the_loop_itself(n_answers):
    """Just above the cure one answer gives way to all; just below it prevails."""
    tau = 0.6

    def rest(share, p):
        for _ in range(20_000):
            tempered = p ** (1 / tau)
            p = share / n_answers + (1 - share) * tempered / tempered.sum()
        return p.max()

    one = np.where(np.arange(n_answers) == 0, 1 - 1e-6, 1e-6 / (n_answers - 1))
    equal = np.full(n_answers, 1 / n_answers) + np.linspace(1e-9, 0, n_answers)
    cure, stable = theory.temperature_cure(tau, n_answers=n_answers), 1 - tau
    assert rest(cure + 0.01, one) < 1.01 / n_answers < rest(cure - 0.01, one)
    assert rest(stable + 0.01, equal) < 1.01 / n_answers < rest(stable - 0.01, equal)


@pytest.mark.parametrize("half_width", [0.005, 0.5, 1.0, 3.0])
def test_verifier_against_the_truncated_normal(half_width):
    """The derivative of the mean of what is accepted, at the verifier's center."""
    gap = 1e-4
    mean = stats.truncnorm.mean(-half_width - gap, half_width - gap) + gap
    np.testing.assert_allclose(
        theory.verifier_contraction(half_width), mean / gap, rtol=2e-5, atol=1e-9
    )
    a, rho, place = 0.3, theory.verifier_contraction(half_width), 0.0
    for _ in range(1000):
        place = (1 - a) * (1 + rho * (place - 1))
    np.testing.assert_allclose(theory.verifier_limit(half_width, a), place, rtol=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_selection_against_draws(share):
    z = np.sort(np.abs(np.random.default_rng(0).standard_normal(10**6)))
    n = round(share * len(z))
    for likeliest, kept in ((True, z[:n]), (False, z[-n:])):
        squares = kept**2
        expected = theory.selection_factor(share, likeliest=likeliest)
        se = squares.std() / np.sqrt(n) + 2 / np.sqrt(len(z)) / share  # of the rank, too
        assert abs(squares.mean() - expected) < 5 * se, (squares.mean(), expected, se)


@pytest.mark.parametrize(
    ("mean", "variance", "settings"),
    [
        (0.0, 0.5, {"power": 1.0}),
        (0.7, 0.3, {"power": 1.0}),
        (0.0, 0.5, {"power": 2.0}),
        (-0.4, 0.8, {"power": 0.5}),
        (0.0, 0.5, {"threshold": True}),
        (0.5, 0.4, {"threshold": True}),
    ],
    ids=str,
)
def test_detector_against_draws(mean, variance, settings):
    rng, share, n = np.random.default_rng(1), 0.4, 10**6
    synthetic = rng.random(n) < share
    x = np.where(
        synthetic, mean + np.sqrt(variance) * rng.standard_normal(n), rng.standard_normal(n)
    )
    human = (1 - share) * stats.norm.pdf(x)
    posterior = human / (human + share * stats.norm.pdf(x, mean, np.sqrt(variance)))
    w = posterior > 0.5 if settings.get("threshold") else posterior ** settings["power"]
    expected = theory.detector_moments(mean, variance, share=share, **settings)
    if settings.get("power") == 1:
        np.testing.assert_allclose(expected, (0, 1), atol=1e-6)
    for values, value in ((x, expected[0]), ((x - expected[0]) ** 2, expected[1])):
        measured = np.average(values, weights=w)
        se = np.sqrt(np.sum((w * (values - measured)) ** 2)) / w.sum()
        assert abs(measured - value) < 5 * se, (measured, value, se)


def test_detector_in_the_loop():
    """Half fresh, lam = 0.5: the posterior restores, its square overshoots, a threshold cycles."""

    def after(n, variance=1.0, **settings):
        for _ in range(n):
            variance = theory.detector_moments(0, variance / 2, share=0.5, **settings)[1]
        return variance

    for power, expected in ((0, 0.6667), (1, 1.0), (2, 1.250)):
        assert abs(after(60, power=power) - expected) < 1e-3
    cycle = sorted(after(n, threshold=True) for n in (60, 61, 62))
    np.testing.assert_allclose(cycle, [0.305, 1.482, 2.202], atol=2e-3)
    weights = np.random.default_rng(0).standard_normal(10**6)
    p, q = stats.norm.pdf(weights), stats.norm.pdf(weights, 0, np.sqrt(0.5))
    assert abs(0.5 / np.mean(p / (p + q)) - 0.952) < 2e-3  # ESS (1 - s)^2 / E P^2 of the crawl


def test_plural_preference_is_the_rest_of_its_map():
    for w, r in ((0.5, 2.0), (0.6, 2.0), (0.8, 2.0), (0.7, 0.5)):
        p = 0.3
        for _ in range(5000):
            first = w * np.exp(r) / (p * np.exp(r) + 1 - p) + (1 - w) / (p + (1 - p) * np.exp(r))
            p = p * first
        np.testing.assert_allclose(theory.plural_preference(w, r), p, atol=1e-6)


def test_negative_guidance_variance_is_of_a_density():
    """The extrapolated log-density of two normal distributions, normalized numerically."""
    x, (base, own, w) = np.linspace(-12, 12, 100_001), (0.8, 1.3, 0.7)
    density = stats.norm.pdf(x, 0, base**0.5) ** (1 + w) / stats.norm.pdf(x, 0, own**0.5) ** w
    variance = np.average(x**2, weights=density)
    expected = theory.negative_guidance_variance(base, own, weight=w)
    np.testing.assert_allclose(expected, variance, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.detected_share(0.5, false_positive=1.5, false_negative=0), ["1.5"]),
        (lambda: theory.detected_share(0.5, false_positive=1, false_negative=0), ["something"]),
        (lambda: theory.verifier_contraction(0), ["half_width", "> 0"]),
        (lambda: theory.selection_factor(1.2), ["share", "1.2"]),
        (lambda: theory.temperature_cure(0.5, n_answers=1), ["n_answers", ">= 2"]),
        (lambda: theory.negative_guidance_variance(1, 0.1, weight=1), ["positive", "weight"]),
    ],
)
def test_impossible_arguments_are_refused(call, words):
    with pytest.raises(ParameterError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message
