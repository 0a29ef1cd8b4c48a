"""Training: stochastic gradient descent, the same for every network.

    weights <- Adam(weights, gradient of the loss on a minibatch),        n_steps times.

The examples of a minibatch are drawn in proportion to their weight in the training set. The
learning rate warms up and then decays to zero along a cosine. The result is an exponential average
of the weights (Polyak averaging). Every generation is trained from scratch.

Random numbers are drawn in blocks: the initial weights of a network in one call, the rows and the
noise of ten minibatches in another. Each call would cost a step as much time as a layer, and as
much to compile. The average of the weights is updated once per block, too, which leaves the cache
to the rest.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

from madlib.datasets import Samples
from madlib.errors import AtLeastTwo, Count, Positive, Share, as_reals, check_fields, require
from madlib.random import rows_at

BLOCK = 10  # steps whose rows and noise are drawn at once, between two updates of the average.


@dataclasses.dataclass(frozen=True)
class Training:
    """Settings of a training.

    Attributes:
        n_steps: minibatches.
        batch_size: examples in each.
        learning_rate: the largest.
        warmup: share of the steps in which the learning rate rises.
        average: share of the steps over which the weights are averaged.
        betas: Adam's decay rates of the mean gradient and of its mean square.

    Example:
        >>> Training(n_steps=1000, batch_size=128, learning_rate=1e-3).betas
        (0.9, 0.999)
    """

    n_steps: AtLeastTwo
    batch_size: Count
    learning_rate: Positive
    warmup: Share = 0.05
    average: Share = 0.05
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self):
        check_fields(self)
        betas = as_reals(self.betas, "betas")
        fine = betas.shape == (2,) and ((betas >= 0) & (betas < 1)).all()
        require(fine, "betas must be two numbers in [0, 1)", repr(self.betas), "Use (0.9, 0.999).")
        object.__setattr__(self, "betas", tuple(betas.tolist()))


def train(
    key: Key[Array, ""],
    network: Callable[[Key[Array, ""]], Any],
    loss: Callable[[Any, Any, Samples], Array],
    samples: Samples,
    training: Training,
    noise: Callable[[Key[Array, ""]], Any] = lambda key: None,
) -> Any:
    """Weights of a network trained from scratch; all NaN if the loss was ever NaN or infinite.

    Derivatives of the result exist in forward mode only: the steps of a block are a loop whose
    length is not known to the compiler, which `jax.grad` refuses.

    Args:
        key: for the initial weights, the minibatches and their noise.
        network: `network(key)` is untrained: a module, or any pytree of modules.
        loss: `loss(network, noise, minibatch)`, [], the plain mean over the rows of a minibatch.
        samples: the training set; rows are drawn by weight, those of weight 0 never.
        training: settings.
        noise: `noise(key)` is all that the loss of one minibatch needs of random numbers.
    """
    k_network, k_steps = jax.random.split(key)
    weights, static = eqx.partition(network(k_network), eqx.is_inexact_array)
    n_steps, rate = training.n_steps, training.learning_rate
    n_warmup = min(max(1, int(training.warmup * n_steps)), n_steps - 1)
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, n_warmup, n_steps)
    optimizer = optax.adam(schedule, *training.betas)
    decay = 1 - 1 / max(1.0, training.average * n_steps)

    def step(state: Any, rows: Array, drawn: Any) -> Any:
        weights, moments, finite = state
        batch = jax.tree.map(lambda leaf: leaf[rows], samples)
        value, gradient = jax.value_and_grad(
            lambda weights: loss(eqx.combine(weights, static), drawn, batch)
        )(weights)
        with jax.numpy_dtype_promotion("standard"):  # which optax counts on
            updates, moments = optimizer.update(gradient, moments)
        weights = optax.apply_updates(weights, updates)
        return weights, moments, finite & jnp.isfinite(value)

    def block(states: Any, key_and_size: tuple[Array, Array]) -> tuple[Any, None]:
        (state, average), (key, n) = states, key_and_size
        k_rows, k_noise = jax.random.split(key)
        uniform = jax.random.uniform(k_rows, (BLOCK, training.batch_size))
        rows = rows_at(uniform, samples.weight)
        drawn = jax.vmap(noise)(jax.random.split(k_noise, BLOCK))
        state = jax.lax.fori_loop(
            0, n, lambda i, state: step(state, *jax.tree.map(lambda x: x[i], (rows, drawn))), state
        )
        average = optax.incremental_update(state[0], average, 1 - decay ** n.astype(float))
        return (state, average), None

    start = weights, optimizer.init(weights), jnp.array(True)
    n = jnp.asarray([min(BLOCK, n_steps - done) for done in range(0, n_steps, BLOCK)])
    blocks = jax.random.split(k_steps, len(n)), n  # the last may be shorter.
    ((*_, finite), average), _ = jax.lax.scan(block, (start, weights), blocks)
    return jax.tree.map(lambda leaf: jnp.where(finite, leaf, jnp.nan), average)
