"""The losses of generator and critic, and their learning rates."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import refused

from madlib.datasets import Samples
from madlib.generators import WGAN, Training
from madlib.generators.wgan import GeneratorAndCritic, ScaledNetwork, gradient_penalty


@pytest.mark.parametrize(
    "wrong", [{"penalty": 0.0}, {"learning_rate_ratio": -1.0}, {"penalty": "x"}]
)
def test_settings_are_checked(wrong):
    with refused(f"{next(iter(wrong))} must be a number > 0"):
        WGAN(2, **wrong)


def test_gradient_penalty_of_a_linear_and_of_a_quadratic_critic():
    slope = jnp.array([3.0, 4.0])
    real, synthetic = jax.random.normal(jax.random.key(0), (2, 8, 2))
    between = jax.random.uniform(jax.random.key(1), (8, 1))
    found = gradient_penalty(lambda x: x @ slope + 1, between, real, synthetic)
    np.testing.assert_allclose(found, (5 - 1) ** 2, rtol=1e-5)
    # The gradient of |x|^2 / 2 is x, and between a point and itself there is one place.
    found = gradient_penalty(lambda x: x @ x / 2, between, real, real)
    norm = np.linalg.norm(np.asarray(real), axis=1)
    np.testing.assert_allclose(found, np.mean((norm - 1) ** 2), rtol=1e-5)
    # From 0 to e the places are uniform on [0, e]: the mean of (u - 1)^2 is 1/3.
    training = Training(n_steps=2, batch_size=40_000, learning_rate=1e-2)
    _, uniform = WGAN(2, training=training).noise(jax.random.key(1))
    many = jnp.tile(jnp.array([1.0, 0.0]), (40_000, 1))
    found = gradient_penalty(lambda x: x @ x / 2, uniform, many, 0 * many)
    error = np.sqrt((1 / 5 - 1 / 9) / len(many))
    assert abs(found - 1 / 3) < 5 * error, (found, error)
    flat = jax.grad(lambda a: gradient_penalty(lambda x: a * x @ x, between, real, real))
    assert np.isfinite(flat(0.0))


def test_one_loss_is_the_gradient_of_both_networks():
    """The critic's part is Gulrajani's critic loss, the generator's is -E c(g(z))."""
    training = Training(n_steps=2, batch_size=6, learning_rate=1e-2)
    wgan = WGAN(2, 3, 4, penalty=7.0, learning_rate_ratio=5.0, training=training)
    both = wgan.network(jax.random.key(0))
    real, noise = jax.random.normal(jax.random.key(1), (6, 2)), wgan.noise(jax.random.key(2))
    latent, between = noise

    def critic_loss(critic):
        synthetic = jax.vmap(both.decoder)(latent)
        gap = jnp.mean(jax.vmap(critic)(synthetic)) - jnp.mean(jax.vmap(critic)(real))
        return gap + 7 * gradient_penalty(critic, between, real, synthetic)

    def generator_loss(decoder):
        return -jnp.mean(jax.vmap(both.critic)(jax.vmap(decoder)(latent)))

    found = eqx.filter_grad(lambda both: wgan.loss(both, noise, Samples.of(real)))(both)
    decoder, critic = (
        eqx.filter_grad(loss)(network)
        for loss, network in ((generator_loss, both.decoder), (critic_loss, both.critic))
    )
    separate = GeneratorAndCritic(decoder, critic)
    for ours, own in zip(jax.tree.leaves(found), jax.tree.leaves(separate), strict=True):
        np.testing.assert_allclose(ours, own, rtol=1e-4, atol=1e-6)


def test_scaled_network_is_the_same_network_with_a_smaller_learning_rate():
    network = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    scaled, x = ScaledNetwork.of(network, 4.0), jnp.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(scaled(x), network(x), rtol=1e-6)
    optimizer = optax.adam(1e-3)
    changes = []
    for either in (network, scaled):
        weights = eqx.filter(either, eqx.is_inexact_array)
        gradient = eqx.filter_grad(lambda network: network(x).sum())(either)
        with jax.numpy_dtype_promotion("standard"):  # which optax counts on
            updates, _ = optimizer.update(gradient, optimizer.init(weights))
        moved = eqx.apply_updates(either, updates)
        before, after = (n.stored if either is scaled else n for n in (either, moved))
        factor = 1 / 4 if either is scaled else 1
        changes.append(factor * (after.layers[0].weight - before.layers[0].weight))
    np.testing.assert_allclose(changes[1], changes[0] / 4, rtol=1e-3, atol=1e-8)
