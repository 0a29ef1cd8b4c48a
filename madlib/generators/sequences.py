r"""Generators of passages: sequences of symbols, drawn one after the other.

$p(x) = \prod_l p(x_l | x_{l-1}, ..., x_{l-c})$, with a start symbol before the passage. Sampling
with bias $\lambda$ is sampling at temperature $\lambda$: each conditional distribution is raised to
the power $1/\lambda$ and normalized, which as $\lambda \to 0$ leaves its mode(s).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from madlib.generators.points import PointGenerator
from madlib.protocols import Space


class SequenceGenerator(PointGenerator):
    """A generator of passages.

    Attributes:
        n_symbols: K, size of the alphabet; the start symbol has the number K.
        length: L, symbols of a passage.
        context: c, symbols on which the next one depends.
        next_symbol: `next_symbol(params, lam)` is a function from contexts [n, c], nearest symbol
            first, to weights of symbols [n, K].
    """

    n_symbols: int
    length: int
    context: int
    next_symbol: Callable[..., Any]

    @property
    def dim(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.length

    @property
    def space(self) -> Space:
        return Space(self.length, n_symbols=self.n_symbols)

    def sample(self, key: Key[Array, ""], params: Any, n: int, lam=1.0) -> Array:
        """n passages as whole numbers stored in floats, [n, L]."""
        weights = self.next_symbol(params, lam)

        def step(context: Array, uniform: Array) -> tuple[Array, Array]:
            symbol = pick(uniform, weights(context))
            return jnp.concatenate([symbol[:, None], context[:, :-1]], axis=1), symbol

        start = jnp.full((n, self.context), self.n_symbols)
        uniform = jax.random.uniform(key, (self.length, n))
        _, symbols = jax.lax.scan(step, start, uniform)
        return symbols.T.astype(uniform.dtype)


def pick(uniform: Float[Array, " n"], weights: Float[Array, "n k"]) -> Int[Array, " n"]:
    """Inverse transform sampling: symbols [n] of unnormalized distributions over k symbols."""
    # A product with a triangle of ones: a running sum is slow on CPU, and slow to compile.
    below = weights @ jnp.triu(jnp.ones((weights.shape[1], weights.shape[1])))
    return jnp.sum(below < (1 - uniform)[:, None] * below[:, -1:], axis=1)
