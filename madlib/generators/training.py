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
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from madlib.datasets import Samples
from madlib.parameters import check_counts, is_number, require

Loss = Callable[[Any, Any, Samples], Array]

CHUNK = 10  # steps whose rows and noise are drawn at once, between two averages of the weights.


class Trained(NamedTuple):
    """What a network learned.

    Attributes:
        weights: its arrays, a pytree in the shape of the network.
        diverged: [], the first step, counted from 1, at which the loss was not finite, or the last
            step if only the weights are not; 0 if none.
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
        require(self.n_steps >= 2, "n_steps must be at least 2", self.n_steps, "Use 1000, say.")
        rate = self.learning_rate
        require(
            is_number(rate) and rate > 0,
            "learning_rate must be > 0 and finite",
            repr(rate),
            "Use 1e-3, say.",
        )
        for name in ("warmup", "average"):
            share = getattr(self, name)
            inside = is_number(share) and 0 <= share <= 1
            require(inside, f"{name} must lie in [0, 1]", repr(share), "Use 0.05, say.")
        require(
            isinstance(self.betas, tuple)
            and len(self.betas) == 2
            and all(is_number(beta) and 0 <= beta < 1 for beta in self.betas),
            "betas must be a tuple of two numbers in [0, 1)",
            repr(self.betas),
            "Use (0.9, 0.999).",
        )


def check_training(training: Any) -> None:
    """It is a `Training`."""
    require(
        isinstance(training, Training),
        "training must be a Training",
        repr(training),
        "Use Training(n_steps=1000, batch_size=128, learning_rate=1e-3).",
    )


class PointGenerator:
    """A generator that learns from points and draws points: a network, a mixture, kernels."""

    exact = False
    learns_from = (Samples,)

    @property
    def minimum_weight(self) -> int:
        """A minibatch; for what is not trained in minibatches, two examples."""
        training = getattr(self, "training", None)
        return 2 if training is None else training.batch_size

    def summarize(self, dataset: Samples) -> Samples:
        """The points themselves."""
        return dataset

    def draw(self, key: Key[Array, ""], params: Any, n: int, lam: Any = 1.0) -> Samples:
        """n synthetic examples."""
        return Samples.of(self.sample(key, params, n, lam))


def train(
    key: Key[Array, ""],
    network: Callable[[Key[Array, ""]], Any],
    loss: Loss,
    samples: Samples,
    training: Training,
    noise: Callable[[Key[Array, ""]], Any] = lambda key: None,
) -> Trained:
    """Trains a network from scratch.

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
        weights, moments, t, diverged = state
        batch = jax.tree.map(lambda leaf: leaf[rows], samples)
        batch = batch._replace(weight=jnp.ones(training.batch_size))
        value, gradient = jax.value_and_grad(
            lambda weights: loss(eqx.combine(weights, static), drawn, batch)
        )(weights)
        with jax.numpy_dtype_promotion("standard"):  # which optax counts on
            updates, moments = optimizer.update(gradient, moments)
        weights = optax.apply_updates(weights, updates)
        diverged = jnp.where((diverged == 0) & ~jnp.isfinite(value), t, diverged)
        return weights, moments, t + 1, diverged

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

    start = weights, optimizer.init(weights), jnp.ones((), int), jnp.zeros((), int)  # t, diverged
    keys = jax.random.split(k_steps, math.ceil(n_steps / CHUNK))
    ((*_, diverged), average), _ = jax.lax.scan(chunk, (start, weights), keys)
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(average)]).all()
    diverged = jnp.where((diverged == 0) & ~finite, n_steps, diverged)
    return Trained(average, diverged)


def draw_rows(
    key: Key[Array, ""], weight: Float[Array, " n"], shape: tuple[int, ...]
) -> Int[Array, "..."]:
    """Rows of a dataset drawn by weight, with replacement.

    None of weight 0, where the other weights are whole numbers, as those of all regimes are; with
    others, whose sum is rounded, one such row in millions.
    """
    return rows_at(jax.random.uniform(key, shape), weight)


def rows_at(uniform: Float[Array, "..."], weight: Float[Array, " n"]) -> Int[Array, "..."]:
    """Rows that uniform numbers in [0, 1] select in proportion to weights [n]."""
    cumulative = jnp.cumsum(weight)
    rows = jnp.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    # The last row of positive weight, where rounding leads beyond it.
    return jnp.minimum(rows, jnp.argmax(cumulative))


def untrained(key: Key[Array, ""], network: Callable[[Key[Array, ""]], Any]) -> Any:
    """`network(key)` with the linear layers that Equinox would give it, from one random vector.

    Weights and biases are uniform within 1 / sqrt(inputs). A network of linear layers compiles in a
    tenth of the time; whatever else it holds is drawn by `network` itself.
    """
    is_linear = lambda node: isinstance(node, eqx.nn.Linear)  # noqa: E731
    nodes, tree = jax.tree.flatten(network(key), is_leaf=is_linear)
    leaves, layout = jax.tree.flatten([node for node in nodes if is_linear(node)])
    uniform = jax.random.uniform(key, (sum(leaf.size for leaf in leaves),), minval=-1.0)
    pieces = jnp.split(uniform, np.cumsum([leaf.size for leaf in leaves])[:-1])
    drawn = [piece.reshape(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)]
    layers = iter(jax.tree.unflatten(layout, drawn))
    nodes = [
        jax.tree.map(lambda leaf, node=node: leaf / node.in_features**0.5, next(layers))
        if is_linear(node)
        else node
        for node in nodes
    ]
    return jax.tree.unflatten(tree, nodes)


def dense(layer: eqx.nn.Linear, inputs: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
    """A linear layer on a whole minibatch.

    The same as `jax.vmap(layer)`, which multiplies from the other side: its results lie in memory
    feature by feature, and everything that reads them example by example takes twice the time.
    """
    outputs = _product(inputs, layer.weight)
    return outputs if layer.bias is None else outputs + layer.bias[None, :]


@jax.custom_jvp
def _product(
    inputs: Float[Array, "n inputs"], weight: Float[Array, "outputs inputs"]
) -> Float[Array, "n outputs"]:
    """inputs weight^T, with a gradient that is computed faster than the one JAX would derive.

    The gradient of the weights is cotangent^T inputs. XLA, on a processor, multiplies by a
    transposed matrix on the left at two thirds of the rate of other products, unless the transpose
    is written to memory first. JAX transposes the derivative to get the gradient: where the one
    writes a product and then its transpose, the other writes the transpose and then a product.
    """
    return inputs @ weight.T


@_product.defjvp
def _product_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]):
    (inputs, weight), (inputs_dot, weight_dot) = primals, tangents
    if inputs.shape[1] == 1:  # A vector, which XLA multiplies faster as it is.
        from_weight = inputs @ weight_dot.T
    else:
        from_weight = jax.lax.optimization_barrier(weight_dot @ inputs.T).T
    return _product(inputs, weight), inputs_dot @ weight.T + from_weight


@jax.custom_jvp
def silu(inputs: Array) -> Array:
    """x times the logistic function of x, as `jax.nn.silu`, by a tanh, which is faster."""
    return inputs * (0.5 + 0.5 * jnp.tanh(0.5 * inputs))


@silu.defjvp
def _silu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (inputs,), (tangent,) = primals, tangents
    logistic = 0.5 + 0.5 * jnp.tanh(0.5 * inputs)
    outputs = inputs * logistic
    return outputs, tangent * (logistic + outputs * (1 - logistic))


def rebuild(network: Callable[[Key[Array, ""]], Any], weights: Any) -> Any:
    """The network with these weights."""
    template = eqx.filter_eval_shape(network, jax.random.key(0))
    _, static = eqx.partition(template, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    return eqx.combine(weights, static)


def normalization(samples: Samples) -> tuple[Array, Array]:
    """Weighted mean [d] and standard deviation [d] of a training set, 1 where it is 0."""
    share, gaps, mean = _about_the_mean(samples)
    variance = share @ gaps**2
    return mean, jnp.where(variance > 0, jnp.sqrt(variance), 1.0)


def standardize(samples: Samples) -> tuple[Samples, Array, Array]:
    """Samples of mean 0 and variance 1 on average over coordinates, their mean [d] and scale [].

    One scale for all coordinates: distances keep their proportions, and coordinates that hardly
    vary stay small. Where all points are the same one the scale is 0, and mean + scale * (whatever
    a network says) is that point.
    """
    share, gaps, mean = _about_the_mean(samples)
    scale = jnp.sqrt(jnp.mean(share @ gaps**2))
    return samples._replace(points=gaps / jnp.where(scale > 0, scale, 1.0)), mean, scale


def _about_the_mean(samples: Samples) -> tuple[Array, Array, Array]:
    """Shares of the weight [n], points less their mean [n, d], and the mean [d]."""
    share = samples.weight / samples.weight.sum()
    # From one of the points: where all are the same, nothing is left, exactly.
    origin = samples.points[jnp.argmax(share)]
    gaps = jnp.where(share[:, None] > 0, samples.points - origin[None, :], 0.0)
    mean = share @ gaps
    return share, gaps - mean[None, :], origin + mean
