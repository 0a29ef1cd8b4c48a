"""The unit and the origin of a column do not matter; nor do axes, to generators without any."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib.datasets import Samples
from madlib.generators import (
    VAE,
    WGAN,
    CouplingFlow,
    Diffusion,
    Gaussian,
    GaussianMixture,
    KernelDensity,
    SelfGuidedDiffusion,
    SelfGuidedGaussian,
    Training,
)

SHORT = Training(n_steps=5, batch_size=8, learning_rate=1e-2)
LATENT = {"n_latent": 2, "hidden": 4, "training": SHORT}
DENOISER = {"width": 4, "n_blocks": 1, "n_calls": 3, "training": SHORT}
ONE_UNIT = {
    "mixture": GaussianMixture(2, 2),
    "vae, one scale": VAE(2, common_scale=True, **LATENT),
    "wgan, one scale": WGAN(2, common_scale=True, **LATENT),
    "diffusion, one scale": Diffusion(2, common_scale=True, **DENOISER),
}
EACH_UNIT = {
    "gaussian": Gaussian(2),
    "guided gaussian": SelfGuidedGaussian(2, weight=0.5, n_own=20),
    "scott": KernelDensity(2, n_points=20),
    "flow": CouplingFlow(2, n_couplings=2, hidden=4, training=SHORT),
    "vae": VAE(2, **LATENT),
    "wgan": WGAN(2, **LATENT),
    "diffusion": Diffusion(2, **DENOISER),
    "diffusion of classes": Diffusion(2, 2, **DENOISER),
    "guided diffusion": SelfGuidedDiffusion(2, n_own=20, **DENOISER),
}
TABLE = ONE_UNIT | EACH_UNIT
POINTS = np.random.default_rng(0).standard_normal((20, 2)) @ np.array([[1.0, 0.5], [0.0, 2.0]])


@functools.cache
def program(name):
    """Fit to moved points, and draw; compiled once for all tests."""
    generator, weight = TABLE[name], 1 + jnp.arange(20.0) % 3
    label = jnp.arange(20) % 2 if generator.space.n_classes else None

    @jax.jit
    def drawn(points):
        data = generator.summarize(Samples(points, weight, label))
        params = generator.fit(jax.random.key(1), data)
        return generator.sample(jax.random.key(2), params, 6)

    return lambda points: np.asarray(drawn(jnp.asarray(points, jnp.float32)), np.float64)


@pytest.mark.parametrize("name", TABLE)
def test_a_translation_of_the_data_moves_what_is_drawn(name):
    origin = np.array([3.0, -5.0])
    moved = program(name)(POINTS + origin) - origin
    np.testing.assert_allclose(moved, program(name)(POINTS), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", TABLE)
def test_one_unit_for_all_columns_does_not_matter(name):
    moved = program(name)(POINTS / 1024) * 1024
    np.testing.assert_allclose(moved, program(name)(POINTS), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", EACH_UNIT)
def test_the_unit_of_each_column_does_not_matter(name):
    """A narrow column beside a wide one is learned as well as if they were alike."""
    unit = np.array([16.0, 1 / 1024])
    moved = program(name)(POINTS * unit) / unit
    np.testing.assert_allclose(moved, program(name)(POINTS), rtol=2e-3, atol=2e-3)


def test_axes_do_not_matter_to_a_gaussian():
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    plain, turned = (
        Gaussian(2).fit(None, Samples.of(jnp.asarray(x))) for x in (POINTS, POINTS @ turn.T)
    )
    np.testing.assert_allclose(turned.mean, turn @ np.asarray(plain.mean), rtol=1e-4, atol=1e-5)
    expected = turn @ np.asarray(plain.cov) @ turn.T
    np.testing.assert_allclose(turned.cov, expected, rtol=1e-4, atol=1e-5)


def test_a_diffusion_without_classes_takes_no_labels():
    model = Diffusion(2, **DENOISER)
    params = model.fit(jax.random.key(0), Samples.of(jnp.asarray(POINTS, jnp.float32)))
    assert params.frequency.shape == (0,) and params.center.shape == (1, 2)
    drawn = model.draw(jax.random.key(1), params, 5)
    assert drawn.label is None and drawn.points.shape == (5, 2)
    assert model.lam_range == (1.0, 1.0)
