"""Both generators with a latent variable, VAE and WGAN."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import affine_network, refused

from madlib.datasets import Samples
from madlib.generators import VAE, WGAN, Training
from madlib.generators.latent import LatentParams
from madlib.generators.wgan import ScaledNetwork

each = pytest.mark.parametrize("generator", [VAE, WGAN])


def trained(generator, decoder, mean, scale):
    """Parameters of a generator whose decoder is this one, and the generator of its sizes."""
    generator = generator(decoder.out_size, decoder.in_size, decoder.width_size)
    network = generator.network(jax.random.key(0))
    if isinstance(generator, WGAN):
        decoder = ScaledNetwork.of(decoder, generator.learning_rate_ratio)
    weights = eqx.filter(dataclasses.replace(network, decoder=decoder), eqx.is_inexact_array)
    return generator, LatentParams(weights, jnp.asarray(mean), jnp.full(len(mean), scale))


@each
@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_lam_is_the_variance_of_the_latent(generator, lam):
    """With an affine decoder W z + b samples are N(m + s b, lam s^2 W W^T)."""
    matrix = np.array([[2.0, 0.0], [0.5, 1.0], [-1.0, 0.5]])
    bias, mean, scale, n = np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0]), 0.5, 40_000
    generator, params = trained(generator, affine_network(matrix, bias), mean, scale)
    points = np.asarray(generator.sample(jax.random.key(1), params, n, lam), float)
    cov = lam * scale**2 * matrix @ matrix.T
    z = (points.mean(0) - mean - scale * bias) / np.sqrt(np.diag(cov) / n)
    assert np.abs(z).max() < 5, z
    # The variance of an entry of a sample covariance of normals is (c_ii c_jj + c_ij^2) / n.
    variance = (np.outer(np.diag(cov), np.diag(cov)) + cov**2) / n
    z = (np.cov(points.T) - cov) / np.sqrt(variance)
    assert np.abs(z).max() < 5, z


@each
def test_lam_of_zero_is_one_point(generator):
    generator, params = trained(generator, affine_network(np.eye(2), np.ones(2)), [1.0, 2.0], 0.5)
    points = generator.sample(jax.random.key(1), params, 5, jnp.zeros(()))
    np.testing.assert_allclose(points, np.tile([1.5, 2.5], (5, 1)), rtol=1e-6)


@functools.cache
def short_fit(generator):
    """A short training on 11 rows in two dimensions, compiled once for all tests."""
    training = Training(n_steps=3, batch_size=4, learning_rate=1e-2)
    generator = generator(2, hidden=4, n_latent=2, training=training)
    return generator, jax.jit(lambda *rows: generator.fit(jax.random.key(1), Samples(*rows)))


@each
def test_weight_is_how_often_a_row_counts(generator):
    """Of two points one is nine times as heavy: mean 0.9, variance 0.9 * 0.1."""
    _, fit = short_fit(generator)
    weight = jnp.zeros(11).at[:2].set(jnp.array([1.0, 9.0]))
    params = fit(jnp.zeros((11, 2)).at[1].set(1.0), weight)
    np.testing.assert_allclose(params.mean, [0.9, 0.9], rtol=1e-6)
    np.testing.assert_allclose(params.scale, 0.3, rtol=1e-6)


@each
@pytest.mark.parametrize("point", [[0.0, 0.0], [0.1, 0.7]])
def test_identical_points_give_that_point(generator, point):
    generator, fit = short_fit(generator)
    params = fit(jnp.tile(jnp.array(point), (11, 1)), jnp.ones(11))
    points = generator.sample(jax.random.key(1), params, 4)
    np.testing.assert_allclose(points, np.tile(point, (4, 1)), atol=1e-6)


@each
def test_training_brings_samples_to_the_data(generator):
    """Around a ring, where a normal distribution of the same moments has points at any radius."""
    angle = jax.random.uniform(jax.random.key(0), (300,), maxval=2 * jnp.pi)
    ring = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    training = dataclasses.replace(generator(2).training, n_steps=600, average=0.2)
    few = {"penalty": 1.0} if generator is WGAN else {}
    generator = generator(2, hidden=32, n_latent=3, training=training, **few)
    params = jax.jit(generator.fit)(jax.random.key(1), Samples.of(ring))
    points = np.asarray(generator.sample(jax.random.key(2), params, 300))
    # The length of a normal vector has this deviation if its square is 1 on average.
    normal = np.sqrt(1 - np.pi / 4)
    spread = np.linalg.norm(points, axis=1).std()
    assert spread < 0.7 * normal, (spread, normal)
    # Each of twelve sectors of the ring has samples.
    sectors = np.floor((np.arctan2(*points.T) / np.pi + 1) * 6)
    assert len(np.unique(np.clip(sectors, 0, 11))) == 12


@each
@pytest.mark.parametrize("wrong", [{"n_latent": 0}, {"hidden": 1.5}, {"dim": -1}])
def test_sizes_are_checked(generator, wrong):
    with refused(f"{next(iter(wrong))} must be a whole number from 1"):
        generator(**{"dim": 2} | wrong)
