"""Extrapolation away from one's own samples, against densities and against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib import theory
from madlib.datasets import Samples
from madlib.generators import (
    Diffusion,
    Gaussian,
    SelfGuidedDiffusion,
    SelfGuidedGaussian,
    Training,
)

DATA = Samples.of(
    jax.random.normal(jax.random.key(1), (40, 3))
    @ jnp.array([[1.0, 0.4, 0], [0, 2, 0], [0, 0, 0.5]])
)
MANY = 10**9  # own is base, but for its bias.


def precision_and_mean(params):
    precision = np.linalg.inv(np.asarray(params.cov, float))
    return precision, precision @ np.asarray(params.mean, float)


@pytest.mark.parametrize("weight", [0.2, 0.7])
def test_scores_of_normal_distributions_extrapolate(weight):
    """Their precisions, and these times their means, are linear in the score."""
    key, data = jax.random.key(0), DATA
    base = Gaussian(3).fit(None, data)
    own = Gaussian(3).fit(None, Gaussian(3).draw(key, base, 60))
    guided = SelfGuidedGaussian(3, weight=weight, n_own=60).fit(key, data)
    for ours, one, other in zip(*map(precision_and_mean, (guided, base, own)), strict=True):
        np.testing.assert_allclose(ours, (1 + weight) * one - weight * other, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("rule", "weight"), [("parameters", 0.5), ("score", 0.4)])
def test_variance_in_closed_form(rule, weight):
    lam = 0.64
    for dim in (1, 3):
        data = Samples.of(DATA.points[:, :dim])
        base = Gaussian(dim).fit(None, data)
        guided = SelfGuidedGaussian(dim, weight=weight, n_own=MANY, own_lam=lam, rule=rule)
        factor = (
            lam**-weight
            if rule == "parameters"
            else theory.negative_guidance_variance(1, lam, weight=weight)
        )
        found = guided.fit(jax.random.key(2), data)
        np.testing.assert_allclose(found.cov, factor * base.cov, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.mean, base.mean, atol=1e-3)


def test_parameters_cross_the_base_on_a_geodesic():
    """With weight 1 the base lies midway between own and the guided model."""
    key = jax.random.key(3)
    base = Gaussian(3).fit(None, DATA)
    own = Gaussian(3).fit(None, Gaussian(3).draw(key, base, 60))
    guided = SelfGuidedGaussian(3, weight=1.0, n_own=60, rule="parameters").fit(key, DATA)
    cov = np.asarray(base.cov, float)
    crossed = cov @ np.linalg.inv(np.asarray(own.cov, float)) @ cov
    np.testing.assert_allclose(guided.cov, crossed, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(guided.mean, 2 * base.mean - own.mean, rtol=1e-3, atol=1e-4)


def test_no_distribution_is_no_number():
    """An own model much narrower than the base leaves no positive precision."""
    guided = SelfGuidedGaussian(1, weight=2.0, n_own=MANY, own_lam=0.1)
    assert np.isnan(guided.fit(jax.random.key(0), Samples.of(DATA.points[:, :1])).chol).all()


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_collapsed_base_stays(dim):
    """Identical points, of which nothing can be extrapolated."""
    data = Samples.of(jnp.full((5, dim), 0.5))
    params = SelfGuidedGaussian(dim, weight=0.3, n_own=20).fit(jax.random.key(0), data)
    assert (params.mean == 0.5).all() and (params.chol == 0).all()


def test_a_diffusion_model_of_weight_zero_is_the_unguided_one():
    settings = {"dim": 3, "n_classes": 2, "width": 8, "n_calls": 4}
    settings["training"] = Training(n_steps=20, batch_size=16, learning_rate=1e-2)
    data = DATA._replace(label=jnp.arange(40) % 2)
    key, label = jax.random.key(0), jnp.arange(6) % 2
    guided = SelfGuidedDiffusion(**settings, weight=0.0, n_own=40)
    params = guided.fit(key, data)
    plain = Diffusion(**settings)
    unguided = plain.fit(jax.random.split(key, 3)[0], data)
    np.testing.assert_allclose(
        guided.sample_of(key, params, label), plain.sample_of(key, unguided, label), rtol=1e-4
    )


def test_the_denoiser_of_normal_classes_extrapolates():
    """Untrained, D is that of a normal distribution in each class: its score is known."""
    settings = {"dim": 2, "n_classes": 1, "width": 4, "weight": 0.5, "n_own": 2000}
    tiny = Training(n_steps=2, batch_size=4, learning_rate=1e-12)
    data = Samples.of(DATA.points[:, :2], jnp.zeros(40, int))
    model = SelfGuidedDiffusion(**settings, own_lam=1.0, training=tiny)
    params = model.fit(jax.random.key(4), data)
    x, sigma = jnp.array([[0.3, -1.0], [1.5, 0.2]]), 0.8
    clean = model._denoised(params, x, jnp.full(2, sigma), jnp.zeros(2, int))
    params, x = jax.tree.map(np.asarray, (params, x))  # NumPy's own broadcasting

    def posterior_mean(one, points, noise):
        kept = one.spread[0] / (one.spread[0] + noise**2)
        return one.center[0] + kept * (points - one.center[0])

    own, to_own = params.own, lambda x: params.mean + params.scale * x - params.own.mean
    theirs = posterior_mean(own, to_own(x) / own.scale, sigma * params.scale / own.scale)
    theirs = (own.mean + own.scale * theirs - params.mean) / params.scale
    expected = 1.5 * posterior_mean(params, x, sigma) - 0.5 * theirs
    np.testing.assert_allclose(clean, expected, rtol=1e-3, atol=1e-3)
