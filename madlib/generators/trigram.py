r"""n-gram language model of third order with interpolated Kneser-Ney smoothing.

A baseline for neural language models (Kneser & Ney 1995, in the interpolated form of Chen & Goodman
1999). With c(uvw) the number of times that w followed u v, and a discount D,

    p(w | u v) = [max(c(uvw) - D, 0) + D N(uv.) p(w | v)] / c(uv.)
    p(w | v)   = the same with c'(vw) = N(.vw), the number of different symbols before v w
    p(w)       = the same with c''(w) = N(.w), over the uniform distribution at the end,

where N counts different symbols in the place of a dot, D = n_1 / (n_1 + 2 n_2) for each order, and
n_i is the number of n-grams that occur i times. Passages begin with start symbols.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from madlib.datasets import Samples
from madlib.errors import Count, require
from madlib.generators.categorical import tempered
from madlib.generators.sequences import SequenceGenerator

MAX_SYMBOLS = 512  # a table of half a gigabyte.


class TrigramParams(NamedTuple):
    """A table of conditional distributions.

    Attributes:
        probs: [K + 1, K + 1, K], p(w | u v); row K stands for the start symbol.
    """

    probs: Float[Array, "k1 k1 k"]


@dataclasses.dataclass(frozen=True)
class Trigram(SequenceGenerator):
    """Interpolated Kneser-Ney trigram.

    Attributes:
        n_symbols: K, size of the alphabet, at most 512.
        length: L, symbols of a passage.

    Example:
        >>> passages = Samples.of(jnp.array([[0.0, 1.0, 0.0]]))
        >>> Trigram(n_symbols=2, length=3).fit(None, passages).probs.shape
        (3, 3, 2)
    """

    n_symbols: Count
    length: Count
    minimum_weight = 1
    context = 2

    def __post_init__(self):
        super().__post_init__()
        required = f"a table of K^3 trigrams holds at most {MAX_SYMBOLS} symbols"
        require(self.n_symbols <= MAX_SYMBOLS, required, self.n_symbols, "Take a LanguageModel.")

    def fit(self, key: Key[Array, ""] | None, dataset: Samples) -> TrigramParams:
        """Weighted counts of trigrams, smoothed; deterministic, the key is not used."""
        del key
        k = self.n_symbols
        count = jnp.zeros((k + 1, k + 1, k))
        count = count.at[self._trigrams(dataset.points)].add(dataset.weight[:, None])
        before = jnp.sum(count > 0, axis=0).astype(count.dtype)
        lower = jnp.sum(before > 0, axis=0).astype(count.dtype)
        probs = jnp.full(k, 1 / k)
        for level in (lower, before, count):
            probs = _interpolate(level, probs)
        return TrigramParams(probs)

    def next_symbol(self, params: TrigramParams, lam: Any) -> Callable[[Array], Array]:
        rows = params.probs.reshape(-1, self.n_symbols)
        biased = jax.vmap(tempered, (0, None))(rows, lam).reshape(params.probs.shape)
        return lambda context: biased[context[:, 1], context[:, 0]]

    def log_prob(self, params: TrigramParams, points: Float[Array, "n l"]) -> Float[Array, " n"]:
        """Log-probability of whole passages in nats, [n]."""
        return jnp.sum(jnp.log(params.probs[self._trigrams(points)]), axis=1)

    def _trigrams(self, points: Float[Array, "n l"]) -> tuple[Int[Array, "n l"], ...]:
        """The symbols two before, one before and at each position of each passage."""
        padded = jnp.pad(points.astype(int), ((0, 0), (2, 0)), constant_values=self.n_symbols)
        return padded[:, :-2], padded[:, 1:-1], padded[:, 2:]


def _interpolate(count: Float[Array, "... k"], lower: Float[Array, "... k"]) -> Array:
    """One order of Kneser-Ney: discounted counts, the remaining mass distributed as `lower`."""
    once, twice = (jnp.sum(count == times).astype(count.dtype) for times in (1, 2))
    # No discount can be estimated where nothing occurs once; a half is usual.
    discount = jnp.where(once > 0, once / jnp.maximum(once + 2 * twice, 1.0), 0.5)
    total = count.sum(axis=-1, keepdims=True)
    taken = jnp.minimum(count, discount)
    lower = jnp.broadcast_to(lower, count.shape)
    mixed = count - taken + taken.sum(axis=-1, keepdims=True) * lower
    return jnp.where(total > 0, mixed / jnp.where(total > 0, total, 1.0), lower)
