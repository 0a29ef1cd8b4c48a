"""Training: the one loop in which every network learns.

    weights <- Adam(weights, gradient of the loss on a minibatch),        n_steps times,

with the examples of a minibatch drawn in proportion to their weight in the training set, a learning
rate that warms up and then decays to zero along a cosine, and, as the result, an exponential
average of the weights (Polyak averaging), which is better than the last of them and costs nothing.
Every generation is trained from scratch.

What is drawn at random is drawn in one go: the initial weights of a network, the rows and the noise
of the next ten minibatches. A call of the generator of random numbers costs as much time in a step
as a layer, and as much to compile. The average of the weights, too, moves once in ten steps: what
need not be read in every step leaves the cache to the rest.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

from madlib.datasets import Samples
from madlib.errors import MAX_SIZE, Count, Positive, Rule, Share, check_fields, is_number, require
from madlib.random import draw_rows

Loss = Callable[[Any, Any, Samples], Array]

CHUNK = 10  # steps whose rows and noise are drawn at once, between two averages of the weights.


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

    n_steps: Annotated[int, Rule(2, MAX_SIZE, whole=True)]
    batch_size: Count
    learning_rate: Positive
    warmup: Share = 0.05
    average: Share = 0.05
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self):
        check_fields(self)
        require(
            isinstance(self.betas, tuple)
            and len(self.betas) == 2
            and all(is_number(beta) and 0 <= beta < 1 for beta in self.betas),
            "betas must be a tuple of two numbers in [0, 1)",
            repr(self.betas),
            "Use (0.9, 0.999).",
        )


def train(
    key: Key[Array, ""],
    network: Callable[[Key[Array, ""]], Any],
    loss: Loss,
    samples: Samples,
    training: Training,
    noise: Callable[[Key[Array, ""]], Any] = lambda key: None,
) -> Any:
    """The weights of a network, trained from scratch; NaN if the loss did not stay finite.

    Args:
        key: for the initial weights, the minibatches and their noise.
        network: makes it from a key, untrained: a module, or any pytree of modules.
        loss: `loss(network, noise, minibatch)`, the mean over the minibatch, [].
        samples: the training set; weights are honored, and rows of weight 0 never seen.
        training: how long, how fast.
        noise: makes from a key whatever the loss of one minibatch needs at random.
    """
    k_network, k_steps = jax.random.split(key)
    weights, static = eqx.partition(network(k_network), eqx.is_inexact_array)
    n_steps, n_warmup = training.n_steps, int(training.warmup * training.n_steps)
    optimizer = optax.adam(
        optax.warmup_cosine_decay_schedule(
            0.0, training.learning_rate, min(max(1, n_warmup), n_steps - 1), n_steps
        ),
        *training.betas,
    )
    decay = 1 - 1 / max(1.0, training.average * n_steps)

    def step(state, rows, drawn):
        weights, moments, t, finite = state
        batch = jax.tree.map(lambda leaf: leaf[rows], samples)
        batch = batch._replace(weight=jnp.ones(training.batch_size))
        value, gradient = jax.value_and_grad(
            lambda weights: loss(eqx.combine(weights, static), drawn, batch)
        )(weights)
        with jax.numpy_dtype_promotion("standard"):  # which optax counts on
            updates, moments = optimizer.update(gradient, moments)
        weights = optax.apply_updates(weights, updates)
        return weights, moments, t + 1, finite & jnp.isfinite(value)

    def chunk(states, key):
        state, average = states
        k_rows, k_noise = jax.random.split(key)
        rows = draw_rows(k_rows, samples.weight, (CHUNK, training.batch_size))
        drawn = jax.vmap(noise)(jax.random.split(k_noise, CHUNK))
        n = jnp.minimum(CHUNK, n_steps + 1 - state[2])  # the last chunk may be shorter.
        state = jax.lax.fori_loop(
            0, n, lambda i, state: step(state, *jax.tree.map(lambda x: x[i], (rows, drawn))), state
        )
        average = optax.incremental_update(state[0], average, 1 - decay ** n.astype(float))
        return (state, average), None

    start = weights, optimizer.init(weights), jnp.ones((), int), jnp.array(True)  # t, finite
    keys = jax.random.split(k_steps, math.ceil(n_steps / CHUNK))
    ((*_, finite), average), _ = jax.lax.scan(chunk, (start, weights), keys)
    return jax.tree.map(lambda leaf: jnp.where(finite, leaf, jnp.nan), average)
