r"""Neural language model over characters, an n-gram MLP (Bengio et al. 2003).

A passage is a sequence of L symbols, and its probability is that of one symbol after the other,
given the c before it:

    log p(x) = sum_l log p(x_l | x_{l-c}, ..., x_{l-1})
    p(. | context) = softmax(V tanh(b + sum_j W_j e(x_{l-j})) + a),

with an embedding e of symbols and a start symbol where the passage has not begun yet. The fit's
objective is the mean of -log p(x_l | context) over the passages of a minibatch, drawn by weight,
and all their positions.

Sampling with bias $\lambda$ is sampling at temperature $\lambda$: logits over $\lambda$, which as
$\lambda \to 0$ leaves the likeliest symbol at every position.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from madlib.datasets import Samples
from madlib.errors import Count
from madlib.generators.layers import rebuild
from madlib.generators.points import TrainedGenerator
from madlib.generators.training import Training, train
from madlib.protocols import Space


class LanguageParams(NamedTuple):
    """A trained language model.

    Attributes:
        weights: of the network.
    """

    weights: Any


class NextSymbol(eqx.Module):
    """The network: contexts to logits.

    Attributes:
        embedding: [K + 1, E], of the symbols and the start symbol K.
        inner: [c, E, H], W_j, the nearest symbol first.
        inner_bias: [H], b.
        outer: [H, K], V.
        outer_bias: [K], a.
    """

    embedding: Float[Array, "k1 e"]
    inner: Float[Array, "c e h"]
    inner_bias: Float[Array, " h"]
    outer: Float[Array, "h k"]
    outer_bias: Float[Array, " k"]

    def __init__(self, n_symbols, context, embedding, hidden, key):
        # Variance 1 for the embedding, 1 / fan-in for the rest; one draw, which compiles faster.
        shapes = (n_symbols + 1, embedding), (context, embedding, hidden), (hidden, n_symbols)
        fan_in = (1, context * embedding, hidden)
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        uniform = jax.random.uniform(key, (ends[-1],), minval=-1, maxval=1)
        self.embedding, self.inner, self.outer = (
            math.sqrt(3 / n) * weights.reshape(shape)
            for n, weights, shape in zip(fan_in, jnp.split(uniform, ends[:-1]), shapes, strict=True)
        )
        self.inner_bias = jnp.zeros(hidden)
        self.outer_bias = jnp.zeros(n_symbols)

    def logits(self, passages: Int[Array, "n l"]) -> Float[Array, "n l k"]:
        """Of every symbol of whole passages, given those before it."""
        n, length = passages.shape
        n_symbols, context = self.outer.shape[1], len(self.inner)
        padded = jnp.pad(passages[:, :-1], ((0, 0), (context, 0)), constant_values=n_symbols)
        # A product with ones and zeros: its gradient is a product too, where that of a gather is
        # a scatter, which is slow on CPU.
        embedded = jax.nn.one_hot(padded, n_symbols + 1) @ self.embedding
        windows = [embedded[:, context - 1 - j :][:, :length] for j in range(context)]
        inner = self.inner.reshape(-1, self.inner.shape[-1])
        hidden = jnp.tanh(jnp.concatenate(windows, axis=-1) @ inner + self.inner_bias[None, None])
        return hidden @ self.outer + self.outer_bias[None, None, :]


@dataclasses.dataclass(frozen=True)
class LanguageModel(TrainedGenerator):
    """Language model fitted by maximum likelihood.

    Attributes:
        n_symbols: K, size of the alphabet.
        length: L, symbols of a passage.
        context: c.
        embedding: E.
        hidden: H.
        training: batch_size counts passages.
    """

    n_symbols: Count
    length: Count
    context: Count = 5
    embedding: Count = 24
    hidden: Count = 128
    training: Training = Training(n_steps=500, batch_size=4, learning_rate=2e-2)

    @property
    def dim(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.length

    @property
    def space(self) -> Space:
        return Space(self.length, n_symbols=self.n_symbols)

    def network(self, key: Key[Array, ""]) -> NextSymbol:
        return NextSymbol(self.n_symbols, self.context, self.embedding, self.hidden, key)

    def fit(self, key: Key[Array, ""], dataset: Samples) -> LanguageParams:
        def loss(network, noise, batch):
            del noise
            return -jnp.mean(_log_prob(network, batch.points.astype(int)))

        return LanguageParams(train(key, self.network, loss, dataset, self.training))

    def sample(self, key: Key[Array, ""], params: LanguageParams, n: int, lam=1.0) -> Array:
        """n passages as whole numbers stored in floats, [n, length]."""
        network = rebuild(self.network, params.weights)
        # The first layer is linear in what it embeds: a row for each symbol at each place before.
        rows = jnp.einsum("ve,ceh->cvh", network.embedding, network.inner)
        places = jnp.arange(self.context)

        def step(recent, uniform):
            hidden = jnp.tanh(rows[places[None, :], recent].sum(1) + network.inner_bias[None, :])
            logits = hidden @ network.outer + network.outer_bias[None, :]
            symbol = pick(uniform, tempered(logits, lam))
            return jnp.concatenate([symbol[:, None], recent[:, :-1]], axis=1), symbol

        start = jnp.full((n, self.context), self.n_symbols)
        uniform = jax.random.uniform(key, (self.length, n))
        _, symbols = jax.lax.scan(step, start, uniform)
        return symbols.T.astype(uniform.dtype)

    def log_prob(self, params: LanguageParams, points: Float[Array, "n l"]) -> Float[Array, " n"]:
        """Log-probability of whole passages in nats, [n]."""
        network = rebuild(self.network, params.weights)

        def one(passage):
            return jnp.sum(_log_prob(network, passage[None, :]))

        # A few at a time, so that what is between the layers stays in the cache.
        return jax.lax.map(one, points.astype(int), batch_size=min(16, len(points)))


def _log_prob(network: NextSymbol, passages: Int[Array, "n l"]) -> Float[Array, "n l"]:
    """Log-probability of each symbol given those before it."""
    log_probs = jax.nn.log_softmax(network.logits(passages))
    return jnp.sum(log_probs * jax.nn.one_hot(passages, log_probs.shape[-1]), axis=-1)


def tempered(logits: Float[Array, "n k"], lam) -> Float[Array, "n k"]:
    r"""Weights proportional to $p^{1/\lambda}$, the largest 1; at 0, the mode(s) only."""
    below = logits - logits.max(axis=1, keepdims=True)
    modes = (below == 0).astype(logits.dtype)
    return jnp.where(lam > 0, jnp.exp(below / jnp.where(lam > 0, lam, 1.0)), modes)


def pick(uniform: Float[Array, " n"], weights: Float[Array, "n k"]) -> Int[Array, " n"]:
    """The symbol at which the running sum of weights passes that share of their total, [n]."""
    # A product with a triangle of ones: a running sum is slow on CPU, and slow to compile.
    below = weights @ jnp.triu(jnp.ones((weights.shape[1], weights.shape[1])))
    return jnp.sum(below < (1 - uniform)[:, None] * below[:, -1:], axis=1)
