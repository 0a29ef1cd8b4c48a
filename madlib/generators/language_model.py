r"""Neural language model over characters, an n-gram MLP (Bengio et al. 2003).

A passage is a sequence of L symbols, and its probability is that of one symbol after the other,
given the c before it:

    log p(x) = sum_l log p(x_l | x_{l-c}, ..., x_{l-1})
    p(. | context) = softmax(V tanh(b + sum_j W_j e(x_{l-j})) + a),

with an embedding e of symbols and a start symbol before the passage. The fit's objective is the
mean of -log p(x_l | context) over all positions of the passages of a minibatch.

Sampling with bias $\lambda$ divides the logits by $\lambda$: at 0 only the most probable symbol of
each position is left.
"""

import dataclasses
import math
from collections.abc import Callable
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
from madlib.generators.sequences import SequenceGenerator
from madlib.generators.training import Training, train


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

    @classmethod
    def untrained(
        cls, key: Key[Array, ""], n_symbols: int, context: int, embedding: int, hidden: int
    ) -> "NextSymbol":
        """Weights of variance 1 in the embedding and 1 / fan-in elsewhere; biases of 0."""
        shapes = (n_symbols + 1, embedding), (context, embedding, hidden), (hidden, n_symbols)
        fan_in = (1, context * embedding, hidden)
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        # One draw for all, which compiles faster than three.
        uniform = jax.random.uniform(key, (ends[-1],), minval=-1, maxval=1)
        embedded, inner, outer = (
            math.sqrt(3 / n) * part.reshape(shape)
            for n, part, shape in zip(fan_in, jnp.split(uniform, ends[:-1]), shapes, strict=True)
        )
        return cls(embedded, inner, jnp.zeros(hidden), outer, jnp.zeros(n_symbols))

    def logits(self, passages: Int[Array, "n l"]) -> Float[Array, "n l k"]:
        """Logits at every position of whole passages, given the symbols before it."""
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

    def log_prob(self, passages: Int[Array, "n l"]) -> Float[Array, "n l"]:
        """Log-probability of each symbol given those before it, in nats."""
        log_probs = jax.nn.log_softmax(self.logits(passages))
        return jnp.sum(log_probs * jax.nn.one_hot(passages, log_probs.shape[-1]), axis=-1)


@dataclasses.dataclass(frozen=True)
class LanguageModel(SequenceGenerator, TrainedGenerator):
    """Language model fitted by maximum likelihood.

    Attributes:
        n_symbols: K, size of the alphabet.
        length: L, symbols of a passage.
        context: c.
        embedding: E.
        hidden: H.
        training: minibatches; their batch_size counts passages.

    Example:
        >>> model = LanguageModel(n_symbols=3, length=4, hidden=8, training=Training(5, 4, 1e-2))
        >>> params = model.fit(jax.random.key(0), Samples.of(jnp.array([[0.0, 1.0, 2.0, 0.0]])))
        >>> model.sample(jax.random.key(1), params, 2).shape
        (2, 4)
    """

    n_symbols: Count
    length: Count
    context: Count = 5
    embedding: Count = 24
    hidden: Count = 128
    training: Training = Training(n_steps=500, batch_size=4, learning_rate=2e-2)

    def network(self, key: Key[Array, ""]) -> NextSymbol:
        return NextSymbol.untrained(key, self.n_symbols, self.context, self.embedding, self.hidden)

    def fit(self, key: Key[Array, ""], dataset: Samples) -> LanguageParams:
        def loss(network: NextSymbol, _: None, batch: Samples) -> Float[Array, ""]:
            return -jnp.mean(network.log_prob(batch.points.astype(int)))

        return LanguageParams(train(key, self.network, loss, dataset, self.training))

    def next_symbol(self, params: LanguageParams, lam: Any) -> Callable[[Array], Array]:
        network = rebuild(self.network, params.weights)
        # The first layer is linear in what it embeds: a row for each symbol at each place before.
        rows = jnp.einsum("ve,ceh->cvh", network.embedding, network.inner)
        places = jnp.arange(self.context)

        def weights(context: Int[Array, "n c"]) -> Float[Array, "n k"]:
            hidden = jnp.tanh(rows[places[None, :], context].sum(1) + network.inner_bias[None, :])
            logits = hidden @ network.outer + network.outer_bias[None, :]
            return tempered(logits, lam)

        return weights

    def log_prob(self, params: LanguageParams, points: Float[Array, "n l"]) -> Float[Array, " n"]:
        """Log-probability of whole passages in nats, [n]."""
        network = rebuild(self.network, params.weights)

        def one(passage: Int[Array, " l"]) -> Float[Array, ""]:
            return jnp.sum(network.log_prob(passage[None, :]))

        # A few at a time, so that the activations stay in the cache.
        return jax.lax.map(one, points.astype(int), batch_size=min(16, len(points)))


def tempered(logits: Float[Array, "n k"], lam: Any) -> Float[Array, "n k"]:
    r"""Weights proportional to $p^{1/\lambda}$, the largest 1; at 0, the mode(s) only."""
    below = logits - logits.max(axis=1, keepdims=True)
    modes = (below == 0).astype(logits.dtype)
    return jnp.where(lam > 0, jnp.exp(below / jnp.where(lam > 0, lam, 1.0)), modes)
