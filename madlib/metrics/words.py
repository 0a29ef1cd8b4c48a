"""Scores of text: how varied are passages, and are their words words?"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from madlib.errors import ParameterError
from madlib.protocols import Model, Target


class NgramScores(eqx.Module):
    r"""How varied generated passages are: different n-grams, and the entropy of n-grams.

    Of all n-grams within passages, with N of them in all and c(g) occurrences of g:
    `distinct_n`, the number of different ones over N (distinct-n of Li et al. 2016), and
    `entropy_n`, $-\sum_g c(g)/N \log_2 c(g)/N$ in bits. Both depend on N: compare with the same
    number of real passages. `entropy_n - entropy_{n-1}` estimates the entropy of a symbol given
    the n - 1 before it, in this metric and not in the model's own opinion.

    Attributes:
        n_symbols: size of the alphabet; its power n must not exceed 2^32.
        n_samples: passages drawn for it.
        orders: n.
    """

    n_symbols: int = eqx.field(static=True)
    n_samples: int = eqx.field(static=True)
    orders: tuple[int, ...] = eqx.field(default=(2, 3, 4), static=True)

    def __check_init__(self):
        for n in self.orders:
            if n < 1 or self.n_symbols**n > 2**32:
                raise ParameterError(
                    f"orders must be >= 1 and n_symbols**order at most 2**32; got {n} with "
                    f"n_symbols={self.n_symbols}. Use smaller orders."
                )

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        symbols = model.samples(self.n_samples).points.astype(jnp.uint32)
        scores = {}
        for n in self.orders:
            n_places = symbols.shape[1] - n + 1
            code = jnp.zeros((len(symbols), n_places), jnp.uint32)
            for i in range(n):
                code = code * np.uint32(self.n_symbols) + symbols[:, i : i + n_places]
            code = jnp.sort(code.ravel())
            # Where a run begins and ends, by bisection: running maxima take long to compile.
            first, after = (jnp.searchsorted(code, code, side) for side in ("left", "right"))
            scores[f"distinct_{n}"] = jnp.mean(first == jnp.arange(code.size))
            scores[f"entropy_{n}"] = -jnp.mean(jnp.log2((after - first) / code.size))
        return scores
