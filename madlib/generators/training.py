"""Training: the one loop in which every network learns.

    weights <- Adam(weights, gradient of the loss on a minibatch),        n_steps times,

with the examples of a minibatch drawn in proportion to their weight in the training set, a learning
rate that warms up and then decays to zero along a cosine, and, as the result, an exponential
average of the weights (Polyak averaging), which is better than the last of them and costs nothing.
Every generation is trained from scratch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key

from madlib.datasets import Samples
from madlib.parameters import check_counts, require

Loss = Callable[[Any, Key[Array, ""], Samples], Array]


class Trained(NamedTuple):
    """What a network learned.

    Attributes:
        weights: its arrays, a pytree in the shape of the network.
        diverged: [], the first step, counted from 1, at which the loss was not finite; 0 if none.
    """

    weights: Any
    diverged: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        n_steps: minibatches.
        batch_size: examples in each.
        learning_rate: the largest.
        warmup: share of the steps in which the learning rate rises.
        average: share of the steps over which the weights are averaged.
        betas: Adam's memory of the gradient and of its square.
    """

    n_steps: int
    batch_size: int
    learning_rate: float
    warmup: float = 0.05
    average: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self):
        check_counts(n_steps=self.n_steps, batch_size=self.batch_size)
        rate = self.learning_rate
        require(rate > 0, "learning_rate must be > 0", repr(rate), "Use 1e-3, say.")


class PointGenerator:
    """A generator that learns from points and draws points: a network, a mixture, kernels."""

    exact = False
    learns_from = (Samples,)

    def summarize(self, dataset: Samples) -> Samples:
        """The points themselves."""
        return dataset

    def draw(self, key: Key[Array, ""], params: Any, n: int, lam: Any = 1.0) -> Samples:
        """n synthetic examples."""
        return Samples.of(self.sample(key, params, n, lam))


def train(
    key: Key[Array, ""],
    network: Callable[[Key[Array, ""]], eqx.Module],
    loss: Loss,
    samples: Samples,
    training: Training,
) -> Trained:
    """Trains a network from scratch.

    Args:
        key: for the initial weights, the minibatches and whatever the loss draws.
        network: makes it, untrained, from a key.
        loss: `loss(network, key, minibatch)`, the mean over the minibatch, [].
        samples: the training set; weights are honored, and rows of weight 0 never seen.
        training: how long, how fast.
    """
    k_network, k_steps = jax.random.split(key)
    weights, static = eqx.partition(network(k_network), eqx.is_inexact_array)
    n_steps = training.n_steps
    optimizer = optax.adam(
        optax.warmup_cosine_decay_schedule(
            0.0, training.learning_rate, max(1, int(training.warmup * n_steps)), n_steps
        ),
        *training.betas,
    )
    decay = 1 - 1 / max(1.0, training.average * n_steps)
    cumulative = jnp.cumsum(samples.weight)

    def step(state, t):
        weights, average, moments, diverged = state
        k_batch, k_loss = jax.random.split(jax.random.fold_in(k_steps, t))
        batch = minibatch(k_batch, samples, cumulative, training.batch_size)
        value, gradient = jax.value_and_grad(
            lambda weights: loss(eqx.combine(weights, static), k_loss, batch)
        )(weights)
        with jax.numpy_dtype_promotion("standard"):  # which optax counts on
            updates, moments = optimizer.update(gradient, moments)
        weights = optax.apply_updates(weights, updates)
        average = optax.incremental_update(weights, average, 1 - decay)
        diverged = jnp.where((diverged == 0) & ~jnp.isfinite(value), t + 1, diverged)
        return (weights, average, moments, diverged), None

    start = weights, weights, optimizer.init(weights), jnp.zeros((), int)
    (_, average, _, diverged), _ = jax.lax.scan(step, start, jnp.arange(n_steps))
    return Trained(average, diverged)


def minibatch(key: Key[Array, ""], samples: Samples, cumulative: Array, batch_size: int) -> Samples:
    """batch_size examples drawn by weight, with replacement; each then counts once."""
    uniform = jax.random.uniform(key, (batch_size,)) * cumulative[-1]
    rows = jnp.searchsorted(cumulative, uniform, side="right")
    rows = jnp.minimum(rows, len(cumulative) - 1)
    batch = jax.tree.map(lambda leaf: leaf[rows], samples)
    return batch._replace(weight=jnp.ones(batch_size))


def rebuild(network: Callable[[Key[Array, ""]], eqx.Module], weights: Any) -> eqx.Module:
    """The network with these weights."""
    template = eqx.filter_eval_shape(network, jax.random.key(0))
    _, static = eqx.partition(template, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    return eqx.combine(weights, static)


def normalization(samples: Samples) -> tuple[Array, Array]:
    """Weighted mean [d] and standard deviation [d] of a training set, 1 where it is 0."""
    share = samples.weight / samples.weight.sum()
    mean = share @ samples.points
    variance = share @ (samples.points - mean[None, :]) ** 2
    return mean, jnp.where(variance > 0, jnp.sqrt(variance), 1.0)


def standardize(samples: Samples) -> tuple[Samples, Array, Array]:
    """Samples of mean 0 and variance 1 on average over coordinates, their mean [d] and scale [].

    One scale for all coordinates: distances keep their proportions, and coordinates that hardly
    vary stay small. Where all points are the same one the scale is 0, and mean + scale * (whatever
    a network says) is that point.
    """
    share = samples.weight / samples.weight.sum()
    mean = share @ samples.points
    centered = samples.points - mean[None, :]
    scale = jnp.sqrt(jnp.mean(share @ centered**2))
    return samples._replace(points=centered / jnp.where(scale > 0, scale, 1.0)), mean, scale
