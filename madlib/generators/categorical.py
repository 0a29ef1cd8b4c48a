r"""The categorical distribution over k symbols: words, letters, alleles.

$p_t$ is the vector of probabilities. Sampling with bias $\lambda$ is sampling at temperature
$\lambda$: probabilities proportional to $p^{1/\lambda}$, which as $\lambda \to 0$ leaves only the
mode(s). n draws enter the next fit only through their counts, one multinomial. At $\lambda = 1$ the
fully synthetic loop is the Wright-Fisher model of genetic drift, and real data is migration (Wright
1931).
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from madlib.datasets import Counts, Dataset, Samples
from madlib.parameters import check_counts

ABOVE_MINUS_ONE = np.nextafter(np.float32(-1), np.float32(0))  # where erf_inv is finite.


class CategoricalParams(NamedTuple):
    """A distribution over symbols.

    Attributes:
        probs: [k], $p_t$; zero for a symbol that is lost.
    """

    probs: Float[Array, " k"]


@dataclasses.dataclass(frozen=True)
class Categorical:
    """Categorical distribution fitted by relative frequencies (maximum likelihood).

    Attributes:
        n_symbols: k.
        exact: True draws counts by one multinomial; False draws the symbols and counts them.
    """

    n_symbols: int
    exact: bool = True
    learns_from = (Samples, Counts)

    def __post_init__(self):
        check_counts(n_symbols=self.n_symbols)

    @property
    def dim(self) -> int:
        return 1

    @property
    def minimum_weight(self) -> int:
        return 1

    def summarize(self, dataset: Dataset) -> Counts:
        if not isinstance(dataset, Samples):
            return dataset
        symbols = dataset.points[:, 0].astype(int)
        return Counts(jnp.zeros(self.n_symbols).at[symbols].add(dataset.weight))

    def fit(self, key: Key[Array, ""], dataset: Counts) -> CategoricalParams:
        """Relative frequencies; deterministic, the key is not used."""
        del key
        return CategoricalParams(dataset.count / dataset.count.sum())

    def draw(self, key: Key[Array, ""], params: CategoricalParams, n, lam=1.0) -> Dataset:
        """Counts of n draws, without the draws: the cost does not depend on n."""
        if not self.exact:
            return Samples.of(self.sample(key, params, n, lam))
        return Counts(multinomial(key, n, tempered(params.probs, lam)))

    def sample(self, key: Key[Array, ""], params: CategoricalParams, n: int, lam=1.0) -> Array:
        """n symbols as whole numbers stored in floats, [n, 1]."""
        logits = jnp.log(tempered(params.probs, lam))
        return jax.random.categorical(key, logits, shape=(n, 1)).astype(params.probs.dtype)


def tempered(probs: Float[Array, " k"], lam) -> Float[Array, " k"]:
    r"""$p^{1/\lambda}$, normalized: probs [k] at temperature $\lambda$; at 0, the mode(s) only."""
    relative = probs / probs.max()
    modes = (relative == 1).astype(probs.dtype)
    powered = jnp.where(lam > 0, relative ** (1 / jnp.where(lam > 0, lam, 1.0)), modes)
    return powered / powered.sum()


def multinomial(key: Key[Array, ""], n, probs: Float[Array, " k"]) -> Float[Array, " k"]:
    """Counts [k] of n draws from probs [k]: binomials that halve the symbols, level by level."""
    (k,) = probs.shape
    n_levels = max(k - 1, 1).bit_length()
    width = 2**n_levels
    total = jnp.pad(probs, (0, width - k))
    shares = []
    for _ in range(n_levels):
        left = total[0::2]
        total = left + total[1::2]
        share = left / jnp.where(total > 0, total, 1.0)
        shares.append(jnp.pad(share, (0, width - share.size)))

    def halve(count, level):
        k_level, share = level
        left = binomial(k_level, count, share)
        return jnp.stack([left, count - left], axis=-1).reshape(-1)[:width], None

    start = jnp.zeros(width, probs.dtype).at[0].set(n)
    levels = jax.random.split(key, n_levels), jnp.stack(shares[::-1])
    return jax.lax.scan(halve, start, levels)[0][:k]


def binomial(key: Key[Array, ""], n: Array, prob: Array) -> Array:
    """Binomial counts for any n up to 10^12 and beyond, elementwise.

    `jax.random.binomial` loses its exactness in single precision (its acceptance test cancels: the
    variance is 40 % too large at n = 10^8), is slow for rare events and slow to compile. Instead:

    * mean <= 10: inversion of the distribution function, term by term;
    * variance > 1000: the normal quantile corrected to second order (Cornish & Fisher 1938), within
      2e-5 of the binomial distribution function;
    * between: rejection, with n over 10^6 (necessarily a rare event) cut to 10^6 at the same mean.
    """
    k_quantile, k_rejection = jax.random.split(key)
    rare = jnp.minimum(prob, 1 - prob)
    mean = n * rare
    variance = mean * (1 - rare)
    is_few = mean <= 10
    is_some = ~is_few & (variance <= 1000)
    # One number for both inverse distribution functions, of which each count needs one.
    signed = jax.random.uniform(k_quantile, n.shape, minval=ABOVE_MINUS_ONE, maxval=1.0)
    few = _binomial_by_inversion(
        (1 + signed) / 2, jnp.where(is_few, n, 0.0), jnp.where(is_few, rare, 0.0)
    )
    normal = math.sqrt(2) * jax.lax.erf_inv(signed)
    many = _binomial_by_normal_quantile(normal, n, rare)
    trials = jnp.clip(n, 1.0, 1e6)
    some = _binomial_by_rejection(k_rejection, trials, mean / trials, is_some)
    count = jnp.where(is_few, few, jnp.where(is_some, some, many))
    return jnp.where(prob > 0.5, n - count, count)


def _binomial_by_inversion(uniform: Array, n: Array, prob: Array) -> Array:
    """The smallest count whose distribution function exceeds a uniform, found by counting up."""
    odds = prob / (1 - prob)

    def climb(state):
        count, term, rest, found = state
        rest = rest - term
        found = found | (rest < 0) | (count >= n)
        following = term * odds * (n - count) / (count + 1)
        return jnp.where(found, count, count + 1), following, rest, found

    first = jnp.exp(n * jnp.log1p(-prob))
    start = jnp.zeros_like(n), first, uniform, jnp.zeros(n.shape, bool)
    more = lambda state: ~(state[3] | (state[1] == 0)).all()  # noqa: E731
    return jax.lax.while_loop(more, climb, start)[0]


def _binomial_by_rejection(key: Key[Array, ""], n: Array, prob: Array, wanted: Array) -> Array:
    """Hormann 1993, algorithm BTRS without its squeeze: a transformed uniform, mostly accepted."""
    mean = n * prob
    deviation = jnp.sqrt(mean * (1 - prob))
    width = 1.15 + 2.53 * deviation
    tilt = -0.0873 + 0.0248 * width + 0.01 * prob
    height = (2.83 + 5.1 / width) * deviation
    mode = jnp.floor((n + 1) * prob)

    def propose(state):
        key, value, accepted = state
        key, k_uniform = jax.random.split(key)
        place, level = jax.random.uniform(k_uniform, (2, *n.shape))
        place = place - 0.5
        room = jnp.maximum(0.5 - jnp.abs(place), 1e-7)
        count = jnp.floor((2 * tilt / room + width) * place + mean + 0.5)
        inside = (count >= 0) & (count <= n)
        count = jnp.where(inside, count, mode)
        ratio = _log_binomial_ratio(n, prob, mode, count)
        good = inside & (jnp.log(level * height / (tilt / room**2 + width)) <= ratio)
        return key, jnp.where(accepted, value, count), accepted | good

    start = key, jnp.zeros_like(n), ~wanted
    return jax.lax.while_loop(lambda state: ~state[2].all(), propose, start)[1]


def _log_binomial_ratio(n: Array, prob: Array, mode: Array, count: Array) -> Array:
    """log P(count)/P(mode) by Stirling's series, arranged so that nothing large cancels."""
    gap = count - mode
    drift = gap * jnp.log((n - mode + 1) / (mode + 1) * prob / (1 - prob))
    lower = (count + 0.5) * jnp.log1p(gap / (mode + 1))
    upper = (n - count + 0.5) * jnp.log1p(-gap / (n - mode + 1))
    stirling = _stirling(mode) + _stirling(n - mode) - _stirling(count) - _stirling(n - count)
    return drift - lower - upper + stirling


def _stirling(count: Array) -> Array:
    """log(count!) less its leading terms in count + 1."""
    inverse = 1 / (count + 1)
    return inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))


def _binomial_by_normal_quantile(z: Array, n: Array, prob: Array) -> Array:
    """The binomial quantile at the normal quantile z."""
    deviation = jnp.sqrt(jnp.maximum(n * prob * (1 - prob), 1.0))
    skewness = (1 - 2 * prob) / deviation
    kurtosis = (1 - 6 * prob * (1 - prob)) / deviation**2
    hermite_2, hermite_3 = z**2 - 1, z**3 - 3 * z
    quantile = z + skewness * hermite_2 / 6
    quantile = quantile + kurtosis * hermite_3 / 24 - skewness**2 * (2 * z**3 - 5 * z) / 36
    return jnp.clip(jnp.round(n * prob + deviation * quantile), 0.0, n)
