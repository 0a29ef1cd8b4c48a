"""Random variables at a cost that does not grow with n: chi-square, binomial, multinomial, rows.

`jax.random.chisquare` and `jax.random.binomial` lose their accuracy in single precision at large n
(their acceptance tests cancel) and take most of the time of an exact loop.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

ABOVE_MINUS_ONE = np.nextafter(np.float32(-1), np.float32(0))  # where erf_inv is finite.


def wishart_root(
    key: Key[Array, ""], normals: Float[Array, " m"], dof: Float[Array, ""]
) -> Float[Array, "d d"]:
    """Lower triangular B with B B^T ~ Wishart(I, dof): Bartlett's decomposition (1933).

    Chi variables of dof, dof - 1, ... degrees of freedom on the diagonal, normals below. With fewer
    degrees of freedom than dimensions only the first dof columns are not zero.

    Args:
        key: PRNG key, of the chi variables.
        normals: [d (d + 1) / 2], standard normal, those of the diagonal first.
        dof: [], degrees of freedom, a whole number; at most 0 gives zeros.
    """
    d = math.isqrt(2 * len(normals))
    below = jnp.zeros((d, d), normals.dtype).at[jnp.tril_indices(d, -1)].set(normals[d:])
    each = dof - jnp.arange(d, dtype=dof.dtype)
    alive = each > 0
    chi = jnp.sqrt(chi_square(key, normals[:d], jnp.where(alive, each, 1.0)))
    return jnp.where(alive, below + jnp.diag(chi), 0.0)


def chi_square(
    key: Key[Array, ""], normal: Float[Array, " d"], dof: Float[Array, " d"]
) -> Float[Array, " d"]:
    """Independent chi-square variables [d] from standard normals [d].

    From 30 degrees of freedom on, the chi-square quantile of the normal, whose distribution
    function is exact to 6e-8, the resolution of a single-precision uniform; for 1, its square;
    between, rejection, with random numbers from key.

    Args:
        key: PRNG key.
        normal: [d], standard normal.
        dof: [d], degrees of freedom, whole numbers of at least 1.
    """
    large = dof >= 30
    quantile = chi_square_quantile(normal, jnp.where(large, dof, 30.0))
    value = jnp.where(large, quantile, normal**2)
    return _chi_square_by_rejection(key, dof, value, large | (dof == 1))


def chi_square_quantile(z: Array, dof: Array) -> Array:
    r"""Quantile of the chi-square distribution at the normal quantile z, for dof >= 30.

    $\chi^2 = k (1 + w / \sqrt k)^3$ (Wilson & Hilferty 1931), with w carried to the sixth power of
    $1 / \sqrt k$ by matching the two densities term by term. The error of the distribution function
    is 6e-8 at k = 30 and falls as $k^{-7/2}$.
    """
    s = 1 / jnp.sqrt(dof)
    z2 = z**2
    root2 = math.sqrt(2)
    terms = (
        root2 / 3 * z,
        -2 / 9,
        -root2 / 162 * z * (z2 - 3),
        4 / 1215 * ((z2 + 4) * z2 - 7),
        -root2 / 5832 * z * ((3 * z2 + 40) * z2 + 45),
        8 / 229635 * (((z2 + 90) * z2 + 402) * z2 + 363),
        root2 / 7873200 * z * (((301 * z2 - 1519) * z2 - 32769) * z2 - 79349),
    )
    w = functools.reduce(lambda total, term: term + s * total, reversed(terms))
    excess = s * w  # of the order of 1e-6 at k = 10^12: 1 + excess would lose its digits.
    return dof + dof * excess * (3 + excess * (3 + excess))


def _chi_square_by_rejection(
    key: Key[Array, ""], dof: Array, value: Array, accepted: Array
) -> Array:
    """Marsaglia & Tsang 2000: the cube (1 + y)^3 of a normal y, mostly accepted."""
    scale = jnp.maximum(dof / 2, 1.0) - 1 / 3
    spread = 1 / jnp.sqrt(9 * scale)

    def propose(state: tuple[Array, ...]) -> tuple[Array, ...]:
        key, value, accepted = state
        key, k_normal, k_uniform = jax.random.split(key, 3)
        y = jnp.maximum(spread * jax.random.normal(k_normal, dof.shape, dof.dtype), -1 + 1e-6)
        bound = scale * (3 * (jnp.log1p(y) - y + y**2 / 2) - y**3)
        good = jnp.log(jax.random.uniform(k_uniform, dof.shape, dof.dtype)) < bound
        return key, jnp.where(accepted, value, 2 * scale * (1 + y) ** 3), accepted | good

    start = key, value, accepted
    return jax.lax.while_loop(lambda state: ~state[2].all(), propose, start)[1]


def multinomial(key: Key[Array, ""], n: Any, probs: Float[Array, " k"]) -> Float[Array, " k"]:
    """Counts [k] of n draws from probs [k], by binomial splits of a binary tree of the symbols."""
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

    def split(count: Array, level: tuple[Array, Array]) -> tuple[Array, None]:
        k_level, share = level
        left = binomial(k_level, count, share)
        return jnp.stack([left, count - left], axis=-1).reshape(-1)[:width], None

    start = jnp.zeros(width, probs.dtype).at[0].set(jnp.asarray(n, probs.dtype))
    levels = jax.random.split(key, n_levels), jnp.stack(shares[::-1])
    return jax.lax.scan(split, start, levels)[0][:k]


def binomial(key: Key[Array, ""], n: Array, prob: Array) -> Array:
    """Binomial counts, elementwise, for n up to 10^15.

    `jax.random.binomial` is inexact in single precision (its variance is 40 % too large at n =
    10^8), slow for rare events and slow to compile. In its place:

    * mean <= 10: inversion of the distribution function, term by term;
    * variance > 1000: the normal quantile corrected to second order (Cornish & Fisher 1938), within
      2e-5 of the binomial distribution function;
    * between: rejection, with n over 10^6 (necessarily a rare event) cut to 10^6 at the same mean.

    Args:
        key: PRNG key.
        n: trials, whole numbers stored in floats.
        prob: probabilities, of the shape of n.
    """
    k_quantile, k_rejection = jax.random.split(key)
    rare = jnp.minimum(prob, 1 - prob)
    mean = n * rare
    variance = mean * (1 - rare)
    is_few = mean <= 10
    is_some = ~is_few & (variance <= 1000)
    # One number for both inverse distribution functions: a count uses one of them.
    signed = jax.random.uniform(k_quantile, n.shape, n.dtype, ABOVE_MINUS_ONE, 1.0)
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
    """The smallest count whose distribution function exceeds a uniform, by summing up terms."""
    odds = prob / (1 - prob)

    def next_count(state: tuple[Array, ...]) -> tuple[Array, ...]:
        count, term, rest, found = state
        rest = rest - term
        found = found | (rest < 0) | (count >= n)
        following = term * odds * (n - count) / (count + 1)
        return jnp.where(found, count, count + 1), following, rest, found

    first = jnp.exp(n * jnp.log1p(-prob))
    start = jnp.zeros_like(n), first, uniform, jnp.zeros(n.shape, bool)
    return jax.lax.while_loop(lambda state: ~(state[3] | (state[1] == 0)).all(), next_count, start)[
        0
    ]


def _binomial_by_rejection(key: Key[Array, ""], n: Array, prob: Array, wanted: Array) -> Array:
    """Hörmann 1993, algorithm BTRS without its squeeze: a transformed uniform, mostly accepted."""
    mean = n * prob
    deviation = jnp.sqrt(mean * (1 - prob))
    width = 1.15 + 2.53 * deviation
    tilt = -0.0873 + 0.0248 * width + 0.01 * prob
    height = (2.83 + 5.1 / width) * deviation
    mode = jnp.floor((n + 1) * prob)

    def propose(state: tuple[Array, ...]) -> tuple[Array, ...]:
        key, value, accepted = state
        key, k_uniform = jax.random.split(key)
        u, v = jax.random.uniform(k_uniform, (2, *n.shape), n.dtype)
        u = u - 0.5
        us = jnp.maximum(0.5 - jnp.abs(u), 1e-7)
        count = jnp.floor((2 * tilt / us + width) * u + mean + 0.5)
        inside = (count >= 0) & (count <= n)
        count = jnp.where(inside, count, mode)
        ratio = _log_binomial_ratio(n, prob, mode, count)
        good = inside & (jnp.log(v * height / (tilt / us**2 + width)) <= ratio)
        return key, jnp.where(accepted, value, count), accepted | good

    start = key, jnp.zeros_like(n), ~wanted
    return jax.lax.while_loop(lambda state: ~state[2].all(), propose, start)[1]


def _log_binomial_ratio(n: Array, prob: Array, mode: Array, count: Array) -> Array:
    """log P(count) / P(mode) by Stirling's series, arranged so that no large terms cancel."""
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


def rows_at(uniform: Float[Array, "..."], weight: Float[Array, " n"]) -> Int[Array, "..."]:
    """Rows that uniform numbers in [0, 1] select in proportion to weights [n].

    Rows of weight 0 are never selected if all weights are whole numbers with a sum below 2^24. The
    sum of other weights is rounded, and one row in millions may be such a one.
    """
    cumulative = jnp.cumsum(weight)
    rows = jnp.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    # The last row of positive weight, where rounding exceeds it.
    # It is counted, which takes a fifth of the time of argmax.
    return jnp.minimum(rows, jnp.sum(cumulative < cumulative[-1]))


def rows_and_normals(
    key: Key[Array, ""], weight: Float[Array, " m"], n: int, d: int
) -> tuple[Array, Array]:
    """n row numbers drawn by weight [m], and as many standard normal points [n, d]."""
    # One call for both, which compiles faster than two.
    normals = jax.random.normal(key, (d + 1, n))
    return rows_at(jax.scipy.special.ndtr(normals[0]), weight), normals[1:].T
