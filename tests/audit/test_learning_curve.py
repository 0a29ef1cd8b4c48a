"""Effective sample sizes: the learning curve by simulation, and how often intervals hold."""

import numpy as np
import pytest
from scipy import linalg

from madlib import metrics, theory
from madlib.audit import worth as of_sets
from madlib.audit.worth import blocks, curve, frechet, moments, splits, worth


def rng_of(seed):
    return np.random.default_rng(seed)


def every(given):
    return np.ones(len(given.n))


def test_moments_of_blocks_are_those_of_the_points():
    points = rng_of(0).standard_normal((130, 4)) @ rng_of(1).standard_normal((4, 4)) + 5
    mean, cov = moments(blocks(rng_of(2), points), np.ones(64))
    np.testing.assert_allclose(mean, points.mean(0), rtol=1e-12)
    np.testing.assert_allclose(cov, np.cov(points.T), rtol=1e-10)
    given = blocks(rng_of(2), points[:10])
    assert given.n.tolist() == [1] * 10
    twice = moments(given, np.array([2] * 5 + [0] * 5))
    chosen = given.sums[:5]
    np.testing.assert_allclose(twice[0], chosen.mean(0), rtol=1e-12)
    np.testing.assert_allclose(twice[1], np.cov(np.repeat(chosen, 2, 0).T), rtol=1e-8, atol=1e-10)


def test_frechet_distance_of_moments():
    first, second = (rng_of(i).standard_normal((50, 3)) * (1 + i) for i in (0, 1))
    pairs = [(x.mean(0), np.cov(x.T)) for x in (first, second)]
    expected = float(metrics.frechet_distance(first, second))
    assert frechet(*pairs) == pytest.approx(expected, rel=1e-5)
    (mean, cov), (mean_2, cov_2) = pairs
    root = linalg.sqrtm(cov @ cov_2).real
    independent = np.sum((mean - mean_2) ** 2) + np.trace(cov + cov_2 - 2 * root)
    assert frechet(*pairs) == pytest.approx(independent, rel=1e-9)


@pytest.mark.parametrize("kind", ["normal", "spectrum", "exponential"])
def test_the_learning_curve_is_that_of_subsets(kind):
    """Mean distance of n items from the distribution, over fresh draws; kurtosis counts."""
    rng, d, n = rng_of(3), 4, 200
    scale = {"spectrum": np.array([3.0, 1.0, 0.3, 0.1])}.get(kind, np.ones(d))

    def draw(n):
        points = rng.standard_normal((n, d))
        return scale * (rng.standard_exponential((n, d)) - 1 if kind == "exponential" else points)

    found = curve(blocks(rng, draw(100_000)))
    truth = np.zeros(d), np.diag(scale**2)
    distances = []
    for _ in range(400):
        points = draw(n)
        distances.append(frechet(truth, (points.mean(0), np.cov(points.T))))
    se = np.std(distances) / np.sqrt(400)
    # The curve is of first order in 1/n, but for normal distributions.
    assert abs(np.mean(distances) - found(n)) < 5 * se + 0.02 * found(n), (kind, found(n), se)
    if kind == "normal":
        expected = float(theory.real_data_wasserstein2_squared(n, d))
        assert found(n) == pytest.approx(expected, rel=0.03)
    assert found.items(found(n)) == pytest.approx(n, rel=1e-9)


def fitted(rng, n, d, lam):
    """A model fitted to n real items of N(0, I_d): mean, and a root of its covariance."""
    points = rng.standard_normal((n, d))
    return points.mean(0), np.linalg.cholesky(lam * np.cov(points.T))


def true_worth(rng, model, m, d):
    """n_e of m items of a model, from 100 fits to as many."""
    mean, root = model
    truth, distances = (np.zeros(d), np.eye(d)), []
    for _ in range(100):
        points = mean + rng.standard_normal((m, d)) @ root.T
        distances.append(frechet(truth, (points.mean(0), np.cov(points.T))))
    return float(theory.effective_sample_size(np.mean(distances), d))


@pytest.mark.parametrize("setting", ["real", "fitted", "biased"])
def test_intervals_of_90_percent_hold_the_truth_in_85_to_95_percent(setting, monkeypatch):
    """Within 3.6 standard errors of 90 %."""
    monkeypatch.setattr(of_sets, "N_BOOTSTRAP", 40)
    d, n, m, n_sets, held = 3, 400, 300, 60, 0
    for seed in range(n_sets):
        rng = rng_of(1000 + seed)
        real = blocks(rng, rng.standard_normal((n, d)))
        if setting == "real":
            points, truth = rng.standard_normal((m, d)), m
        else:
            model = fitted(rng, 60, d, {"fitted": 1.0, "biased": 0.8}[setting])
            points = model[0] + rng.standard_normal((m, d)) @ model[1].T
            truth = true_worth(rng, model, m, d)
        halves = splits(rng, real, 2, 60)
        relative = halves.var(ddof=1) / halves.mean() ** 2
        (found,) = worth(rng, real, blocks(rng, points), relative, trained=False, levels=(0.9,))
        held += found.low <= truth <= found.high
        assert found.low <= found.n_e <= found.high
    assert abs(held / n_sets - 0.9) < 3.6 * np.sqrt(0.9 * 0.1 / n_sets), held


def test_real_items_that_were_trained_on():
    """Their noise is in the model, and not in its distance from them: 1/n_e = 1/n + 1/m."""
    d, n, m, found = 8, 400, 800, []
    for seed in range(12):
        rng = rng_of(seed)
        points = rng.standard_normal((n, d))
        root = np.linalg.cholesky(np.cov(points.T))
        model = points.mean(0) + rng.standard_normal((m, d)) @ root.T
        sets = blocks(rng, points), blocks(rng, model)
        found.append(
            [worth(rng, *sets, 0.05, trained=t, levels=(0.9,))[0].n_e for t in (True, False)]
        )
    trained, independent = np.median(found, axis=0)
    assert trained == pytest.approx(1 / (1 / n + 1 / m), rel=0.15)
    assert independent == pytest.approx(m, rel=0.05)  # too high: hence the flag


def test_a_set_that_collapsed_to_a_point_is_worth_next_to_nothing():
    rng = rng_of(0)
    real, point = blocks(rng, rng.standard_normal((100, 2))), blocks(rng, np.ones((50, 2)))
    (found,) = worth(rng, real, point, 0.3, trained=False, levels=(0.9,))
    assert 1 <= found.low <= found.n_e < 3
