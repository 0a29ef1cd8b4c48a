"""Alarms on scores whose changes are known, and scores against the functions that they gather."""

import jax
import numpy as np
import pytest
from scipy import stats

from madlib import ParameterError, metrics


def test_a_false_alarm_comes_as_often_as_asked_for():
    """Independent normal scores: |s_2 - s_1| beyond the threshold of one look has the rate."""
    rng = np.random.default_rng(0)
    reference, scores = rng.normal(size=1000), rng.normal(size=(20_000, 2))
    for harm, level in (("down", 0.99), ("up", 0.99), ("both", 0.995)):
        alarm = metrics.first_alarm(scores, reference, harm=harm, looks=1)
        exact = np.sqrt(2) * stats.norm.ppf(level)
        # A sample quantile of n values with density f has variance level (1 - level)/(n f^2).
        density = stats.norm.pdf(exact, scale=np.sqrt(2)) * (2 if harm == "both" else 1)
        se = np.sqrt(0.01 * 0.99 / 500) / density  # of 500 disjoint pairs, an upper bound
        assert abs(alarm.threshold - exact) < 5 * se
        rate = np.isfinite(alarm.round).mean()
        truth = 2 * stats.norm.sf(alarm.threshold, scale=np.sqrt(2)) / (1 + (harm != "both"))
        assert abs(rate - truth) < 5 * np.sqrt(truth / 20_000)


def test_an_alarm_needs_its_looks_in_a_row():
    reference = np.linspace(-0.1, 0.1, 101)
    scores = np.array([[0, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1.0]])
    rounds = {
        looks: metrics.first_alarm(scores, reference, harm="up", looks=looks).round.tolist()
        for looks in (1, 2, 3)
    }
    assert rounds == {1: [2, 2, 6], 2: [5, 3, np.inf], 3: [6, 4, np.inf]}
    down = metrics.first_alarm(scores, reference, harm="down", looks=1)
    assert np.isinf(down.round).all()
    both = metrics.first_alarm(-scores, reference, looks=1)
    assert both.round.tolist() == rounds[1]


def test_a_constant_reference_lets_no_equal_score_alarm():
    """A score that never moves, such as precision at its ceiling."""
    alarm = metrics.first_alarm([[1, 1, 0.9, 0.9]], np.ones(20), harm="down")
    assert alarm.threshold == 0 and alarm.round.tolist() == [4]


@pytest.mark.parametrize(
    ("scores", "reference", "told"),
    [
        ([1.0, 2.0], np.ones(20), "n_replicates, n_rounds"),
        ([[1.0, 2.0]], np.ones(10), "100 pairs"),
        ([[1.0, 2.0]], np.ones((20, 2)), "100 pairs"),
        ([[1.0, np.nan]], np.ones(20), "finite"),
    ],
)
def test_what_is_refused(scores, reference, told):
    with pytest.raises(ParameterError, match=told):
        metrics.first_alarm(scores, reference)


def test_an_unknown_harm_is_refused():
    with pytest.raises(ParameterError, match="harm"):
        metrics.first_alarm([[1.0, 2.0]], np.ones(20), harm="sideways")


def test_point_scores_are_those_of_the_functions_inside_jit_too():
    real, synthetic = np.random.default_rng(1).normal(size=(2, 80, 3))
    synthetic *= [1.0, 0.7, 0.4]
    scores = metrics.point_scores(real, synthetic, bandwidth=1.5)
    assert scores.keys() == metrics.HARM.keys()
    traced = jax.jit(lambda points: metrics.point_scores(real, points, bandwidth=1.5))(synthetic)
    low, high = np.quantile(real, [0.01, 0.99], axis=0)
    expected = metrics.manifold_scores(real, synthetic)._asdict() | {
        "variance": synthetic.var(axis=0, ddof=1).sum(),
        "effective_rank": metrics.effective_rank(synthetic),
        "tails": np.mean((synthetic < low) | (synthetic > high)),
        "entropy": metrics.knn_entropy(synthetic),
        "novelty": np.quantile(metrics.novelty(real, synthetic).distance, 0.05),
        "frechet_distance": metrics.frechet_distance(real, synthetic),
        "mmd_squared": metrics.mmd_squared(real, synthetic, bandwidth=1.5),
    }
    for name, value in expected.items():
        assert float(scores[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), name
        assert float(traced[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), name


def test_traced_points_need_a_bandwidth():
    with pytest.raises(ParameterError, match="bandwidth"):
        jax.jit(metrics.mmd_squared)(np.ones((3, 1)), np.ones((3, 1)))
