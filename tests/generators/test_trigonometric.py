"""Trigonometric regression: orthogonality, the fit, and gradient descent that stops early."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_mean, keys, refused

from madlib import metrics, simulate, targets, theory
from madlib.datasets import Samples
from madlib.generators import TrigonometricRegression
from madlib.regimes import FreshData, FullySynthetic

THETA = np.array([0.3, 1.0, -0.5, 0.4, 0.2])


def test_features_of_equally_spaced_points_are_orthogonal():
    model = TrigonometricRegression(5)
    target = targets.regression(THETA, noise=0.0, trigonometric=True)
    points = target.sample(jax.random.key(0), 9)
    x, y = np.asarray(points).T
    expected = THETA[0] + np.sqrt(2) * (
        THETA[1] * np.cos(2 * np.pi * x)
        + THETA[2] * np.sin(2 * np.pi * x)
        + THETA[3] * np.cos(4 * np.pi * x)
        + THETA[4] * np.sin(4 * np.pi * x)
    )
    np.testing.assert_allclose(x, np.arange(9) / 9, rtol=1e-6)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    gram, moment = model.summarize(Samples.of(points))
    np.testing.assert_allclose(gram, 9 * np.eye(5), atol=1e-4)
    np.testing.assert_allclose(moment, 9 * THETA, atol=1e-4)
    np.testing.assert_allclose(model.fit(None, Samples.of(points)).theta, THETA, atol=1e-5)


def test_a_fit_that_stops_early_is_gradient_descent():
    """Step by step, on the mean squared error, from zero; its curvature is 1."""
    points = np.random.default_rng(0).standard_normal((11, 2))
    points[:, 0] = np.arange(11) / 11
    model = TrigonometricRegression(5, degree=1, n_steps=7, learning_rate=0.2)
    x = np.asarray(model._features(jnp.asarray(points[:, 0], jnp.float32)))[:, :3]
    theta = np.zeros(3)
    for _ in range(7):
        theta = theta + 0.2 * x.T @ (points[:, 1] - x @ theta) / 11
    fitted = model.fit(None, Samples.of(jnp.asarray(points, jnp.float32))).theta
    np.testing.assert_allclose(fitted, [*theta, 0, 0], atol=1e-5)


def test_statistics_have_the_distribution_of_points():
    exact, slow = TrigonometricRegression(5, 0.7), TrigonometricRegression(5, 0.7, exact=False)
    params = targets.regression(THETA, trigonometric=True).params

    def moments(model):
        draw = jax.jit(jax.vmap(lambda key: model.summarize(model.draw(key, params, 7, 0.5))))
        return np.asarray(draw(keys(20_000)).moment, float)

    for model in (exact, slow):
        error = moments(model) - 7 * THETA
        assert_mean("error", error, 0, rounding=1e-5)
        covariance = error[:, :, None] * error[:, None]
        assert_mean("covariance", covariance, 7 * 0.5 * 0.7**2 * np.eye(5), rounding=1e-4)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("regime", [FullySynthetic(9), FreshData(4, 5)], ids=str)
def test_the_loop_against_its_closed_form(exact, regime):
    model = TrigonometricRegression(5, 0.5, exact=exact, degree=1, n_steps=9)
    loop = {"n_ini": 15, "n_generations": 5}
    target = targets.regression(THETA, 0.5, trigonometric=True)
    run = simulate(
        jax.random.key(1),
        model,
        regime,
        target,
        n_replicates=5000,
        record=(metrics.excess_risk,),
        **loop,
    )
    law = {"degree": 1, "learned": model.learned, "noise": 0.5, **loop}
    sizes = {"n_s": regime.n_s, "n_r": getattr(regime, "n_r", 0)}
    expected = sum(theory.three_errors(THETA, **sizes, **law))
    assert_mean("excess risk", run["excess_risk"], expected)


def test_refusals_are_one_line():
    with refused("odd", "got 4"):
        TrigonometricRegression(4)
    with refused("2 degree + 1", "degree=2"):
        TrigonometricRegression(3, degree=2)
    with refused("learning_rate", "1.5"):
        TrigonometricRegression(3, learning_rate=1.5)
