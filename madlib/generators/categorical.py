r"""The categorical distribution over k symbols: words, letters, alleles.

$p_t$ is the vector of probabilities. Sampling with bias $\lambda$ is sampling at temperature
$\lambda$: probabilities proportional to $p^{1/\lambda}$, which as $\lambda \to 0$ leaves only the
mode(s). n draws enter the next fit only through their counts, which are multinomial. At $\lambda =
1$ the fully synthetic loop is the Wright-Fisher model of genetic drift, with real data in the part
of migration (Wright 1931).
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, Flag
from madlib.generators.points import PointGenerator
from madlib.protocols import Space
from madlib.random import multinomial
from madlib.statistics import Counts


class CategoricalParams(NamedTuple):
    """A distribution over symbols.

    Attributes:
        probs: [k], $p_t$; zero for a symbol that is lost.
    """

    probs: Float[Array, " k"]


@dataclasses.dataclass(frozen=True)
class Categorical(PointGenerator):
    """Categorical distribution fitted by relative frequencies (maximum likelihood).

    Attributes:
        n_symbols: k.
        exact: True draws counts from the multinomial distribution; False draws symbols and counts
            them.

    Example:
        >>> Categorical(n_symbols=3).fit(None, Counts(jnp.array([6.0, 2.0, 0.0]))).probs.tolist()
        [0.75, 0.25, 0.0]
    """

    n_symbols: Count
    exact: Flag = True
    dim = 1
    minimum_weight = 1

    @property
    def space(self) -> Space:
        return Space(1, n_symbols=self.n_symbols)

    def summarize(self, dataset: Samples | Counts) -> Counts:
        if not isinstance(dataset, Samples):
            return dataset
        symbols = dataset.points[:, 0].astype(int)
        return Counts(jnp.zeros(self.n_symbols).at[symbols].add(dataset.weight))

    def fit(self, key: Key[Array, ""] | None, dataset: Samples | Counts) -> CategoricalParams:
        """Relative frequencies; deterministic, the key is not used."""
        del key
        (count,) = self.summarize(dataset)
        return CategoricalParams(count / count.sum())

    def draw(self, key: Key[Array, ""], params: CategoricalParams, n: Any, lam=1.0) -> Any:
        """Counts of n draws, without the draws: the cost does not depend on n."""
        if not self.exact:
            return super().draw(key, params, n, lam)
        return Counts(multinomial(key, n, tempered(params.probs, lam)))

    def sample(self, key: Key[Array, ""], params: CategoricalParams, n: int, lam=1.0) -> Array:
        """n symbols as whole numbers stored in floats, [n, 1]."""
        logits = jnp.log(tempered(params.probs, lam))
        return jax.random.categorical(key, logits, shape=(n, 1)).astype(params.probs.dtype)


def tempered(probs: Float[Array, " k"], lam: Any) -> Float[Array, " k"]:
    r"""$p^{1/\lambda}$, normalized: probs [k] at temperature $\lambda$; at 0, the mode(s) only."""
    relative = probs / probs.max()
    modes = (relative == 1).astype(probs.dtype)
    powered = jnp.where(lam > 0, relative ** (1 / jnp.where(lam > 0, lam, 1.0)), modes)
    return powered / powered.sum()
