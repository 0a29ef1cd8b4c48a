"""The training loop against Adam in NumPy; derivatives, failures and settings."""

from dataclasses import dataclass, field
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

from madlib import simulate, targets
from madlib.datasets import Samples
from madlib.errors import Diverged
from madlib.generators import VAE, WGAN, CouplingFlow, Diffusion, LanguageModel, Training
from madlib.generators.points import PointGenerator
from madlib.generators.training import BLOCK, train
from madlib.regimes import FreshData, FullySynthetic


class Vector(eqx.Module):
    """The simplest network: three numbers."""

    values: jax.Array


def vector(key):
    del key
    return Vector(jnp.array([1.0, -2.0, 0.5]))


@pytest.mark.parametrize("n_steps", [2, 10, 47])  # the last block is shorter, or there is one.
def test_train_is_adam_with_warmup_cosine_and_averaging(n_steps):
    training = Training(n_steps, batch_size=4, learning_rate=0.1, warmup=0.2, average=0.25)
    rise_steps = max(1, n_steps // 5)
    goal = np.array([0.3, 0.7, 2.0], np.float32)
    points = Samples.of(jnp.asarray(np.tile(goal, (5, 1))))

    def noise(key):
        return jax.random.normal(key, (3,))

    def loss(network, drawn, batch):
        gap = jnp.mean(jnp.sum((network.values[None, :] - batch.points) ** 2, axis=1))
        return gap + drawn @ network.values

    result = train(jax.random.key(0), vector, loss, points, training, noise)
    n_blocks = -(-n_steps // BLOCK)
    blocks = jax.random.split(jax.random.split(jax.random.key(0))[1], n_blocks)
    keys = [jax.random.split(jax.random.split(key)[1], BLOCK) for key in blocks]
    drawn = np.asarray(jax.vmap(noise)(jnp.concatenate(keys)), float)

    weights = average = np.array([1.0, -2.0, 0.5])
    first = second = np.zeros(3)
    for t in range(1, n_steps + 1):
        # The schedule is read before its counter moves on: step 1 has a rate of zero.
        rise = (t - 1) / rise_steps
        fall = 0.5 * (1 + np.cos(np.pi * (t - 1 - rise_steps) / (n_steps - rise_steps)))
        rate = 0.1 * (rise if rise < 1 else fall)
        gradient = 2 * (weights - goal) + drawn[t - 1]
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        step = (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        weights = weights - rate * step
        if t % BLOCK == 0 or t == n_steps:
            kept = (1 - 1 / max(1, 0.25 * n_steps)) ** ((t - 1) % BLOCK + 1)
            average = kept * average + (1 - kept) * weights
    np.testing.assert_allclose(result.values, average, rtol=1e-4)


def squared_distance(network, noise, batch):
    del noise
    return jnp.mean(jnp.sum((network.values[None, :] - batch.points) ** 2, axis=1))


def test_derivatives_are_forward_only():
    """By the points of the training set, against a difference quotient."""
    points = jax.random.normal(jax.random.key(0), (8, 3))
    training = Training(25, batch_size=4, learning_rate=0.05)

    @jax.jit
    def learned(shift):
        samples = Samples.of(points + shift)
        return train(jax.random.key(1), vector, squared_distance, samples, training).values

    value, slope = jax.jvp(learned, (jnp.zeros(()),), (jnp.ones(()),))
    quotient = (learned(0.02) - learned(-0.02)) / 0.04
    np.testing.assert_allclose(slope, quotient, rtol=0.02, atol=0.002)
    np.testing.assert_allclose(value, learned(0.0), rtol=1e-5)
    assert np.abs(slope).max() > 0.1
    with pytest.raises(ValueError, match="Reverse-mode differentiation"):
        jax.grad(lambda shift: learned(shift).sum())(0.0)


def test_a_loss_that_is_not_finite_once_leaves_no_weights():
    """NaN or infinity in one of the steps, at which the weights themselves stay finite."""
    samples = Samples.of(jnp.asarray(np.tile([[1.0, 1.0, 1.0]], (8, 1)), jnp.float32))

    def loss(network, noise, batch):
        distance = squared_distance(network, None, batch)
        return distance + jnp.where(noise < 0.02, jnp.inf, 0.0)

    def fit(seed):
        training = Training(20, batch_size=4, learning_rate=0.05)
        noise = lambda key: jax.random.uniform(key)  # noqa: E731
        return train(jax.random.key(seed), vector, loss, samples, training, noise).values

    found = np.asarray(jax.jit(jax.vmap(fit))(jnp.arange(400)))
    lost = np.isnan(found)
    assert (lost.all(axis=1) == lost.any(axis=1)).all()
    expected = 1 - 0.98**20
    error = np.sqrt(expected * (1 - expected) / len(lost))
    assert abs(lost[:, 0].mean() - expected) < 5 * error


class ShiftParams(NamedTuple):
    values: jax.Array
    weights: Vector


@dataclass(frozen=True)
class Shift(PointGenerator):
    """Learns a mean, samples 10 further up, and cannot learn means above 25."""

    dim: int = 3
    training: Training = field(default=Training(n_steps=30, batch_size=4, learning_rate=1.0))

    def fit(self, key, dataset):
        def loss(network, noise, batch):
            distance = squared_distance(network, noise, batch)
            return jnp.where(jnp.mean(batch.points) > 25, jnp.nan, distance)

        weights = train(key, vector, loss, dataset, self.training)
        return ShiftParams(jnp.mean(dataset.points, axis=0), weights)

    def sample(self, key, params, n, lam=1.0):
        del lam
        return params.values[None, :] + 10 + 1e-3 * jax.random.normal(key, (n, 3))


def run(generator, regime, target, n_generations, n_ini=10):
    settings = {"n_ini": n_ini, "n_replicates": 2, "n_generations": n_generations}
    return simulate(jax.random.key(0), generator, regime, target, **settings)


def test_divergence_is_named_with_its_generation():
    target = targets.normal(np.zeros(3), np.eye(3) * 1e-4)
    fine = run(Shift(), FullySynthetic(10), target, 3)
    assert np.isfinite(fine.params.values).all()
    with refused("generation 4", "(2 of 2 replicates)", error=Diverged):
        run(Shift(), FullySynthetic(10), target, 6)


@pytest.mark.parametrize(
    "generator",
    [
        CouplingFlow(2, n_couplings=2, hidden=4, training=Training(30, 8, 1e30)),
        VAE(2, hidden=4, training=Training(30, 8, 1e30)),
        WGAN(2, hidden=4, training=Training(30, 8, 1e30)),
    ],
)
def test_runaway_learning_rate_is_a_divergence(generator):
    with refused("generation 1", "(2 of 2 replicates)", error=Diverged):
        run(generator, FullySynthetic(10), targets.rosenbrock(), 2)


@pytest.mark.parametrize("training", [None, {"n_steps": 100}])
@pytest.mark.parametrize(
    ("generator", "sizes"),
    [(CouplingFlow, (2,)), (Diffusion, (2, 2)), (VAE, (2,)), (WGAN, (2,)), (LanguageModel, (5, 9))],
)
def test_training_is_a_training(generator, sizes, training):
    generator = generator(*sizes)
    # Set behind the back of the type checker of these tests, which is not there outside of them.
    object.__setattr__(generator, "training", training)
    with refused("training must be a Training", "Use Training("):
        generator.__post_init__()


@pytest.mark.parametrize(
    ("n_ini", "regime"),
    [(255, FullySynthetic(256)), (256, FullySynthetic(255)), (256, FreshData(100, 155))],
)
def test_fewer_samples_than_a_minibatch_are_refused(n_ini, regime):
    with refused("must hold at least 256 samples to fit CouplingFlow"):
        run(CouplingFlow(2), regime, targets.rosenbrock(), 2, n_ini)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_steps": 1}, ["n_steps must be a whole number from 2", "got 1"]),
        ({"batch_size": 1.5}, ["batch_size must be a whole number from 1", "got 1.5"]),
        ({"learning_rate": 0.0}, ["learning_rate must be a number > 0", "got 0.0"]),
        ({"learning_rate": float("nan")}, ["learning_rate must be a number > 0", "got nan"]),
        ({"learning_rate": float("inf")}, ["learning_rate must be a number > 0", "got inf"]),
        ({"warmup": 1.5}, ["warmup must be a number from 0 to 1", "got 1.5"]),
        ({"average": -0.1}, ["average must be a number from 0 to 1", "got -0.1"]),
        ({"warmup": "much"}, ["warmup must be a number from 0 to 1", "got 'much'"]),
        ({"betas": (2, 3)}, ["betas must be two numbers in [0, 1)", "got (2, 3)"]),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with refused(*words):
        Training(**({"n_steps": 5, "batch_size": 4, "learning_rate": 1e-3} | change))


def test_settings_are_converted():
    settings = Training(np.int64(5), 4.0, np.float32(0.5), betas=(np.float64(0.5), 0))
    assert settings == Training(5, 4, 0.5, betas=(0.5, 0.0))
    assert hash(settings) == hash(Training(5, 4, 0.5, betas=(0.5, 0.0)))
    assert type(settings.batch_size) is int and type(settings.betas[0]) is float
