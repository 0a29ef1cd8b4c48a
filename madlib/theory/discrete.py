"""Discrete distributions in the loop, lam = 1.

A fit is the vector of relative frequencies, and E p_t = p_0 in every regime.
"""

from typing import Any

import numpy as np
import scipy

from madlib.errors import Count, NonNegatives, Shares, require
from madlib.theory.arguments import AnyRegime, Array, Length, Sizes, Values, broadcast
from madlib.theory.law import check_work, law
from madlib.theory.recursions import run


@law
def heterozygosity(
    regime: AnyRegime, probs: Shares, *, n_ini: Sizes, n_generations: Length
) -> Array:
    """E[1 - sum_i p_i^2] for t = 1..n_generations in any regime, lam = 1: exact.

    The heterozygosity of population genetics, elsewhere the Gini-Simpson index: resampling is
    Wright-Fisher drift, real data are migration. A frequency is the mean of indicator variables,
    p(1 - p) is their variance, and the recursion of the first two moments asks for nothing else; so
    diversity decays exactly as s_t of a Gaussian fitted with ddof = 0. Fully synthetic, n_ini = n_s
    = n: (1 - sum p_0^2)(1 - 1/n)^t. Derived.

    Args:
        regime, n_ini, n_generations: as in `moments`.
        probs: [k], probability of each symbol in the target.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import FullySynthetic, theory
        >>> loop = {"n_ini": 10, "n_generations": 3}
        >>> theory.heterozygosity(FullySynthetic(10), [0.5, 0.5], **loop).round(4)
        array([0.45  , 0.405 , 0.3645])
    """
    _check_probs(probs)
    return (1 - np.sum(probs**2)) * run(regime, n_ini, n_generations, 1.0, 0.0)[1]


@law
def extinction_probability(
    probs: Shares, *, n_ini: Count, n_s: Count, n_generations: Length
) -> Array:
    """P(a symbol of probability p is absent from G^t), fully synthetic, lam = 1: exact.

    The count of one symbol is a Wright-Fisher chain, x' ~ Binomial(n_s, x/n), and absence is for
    ever. `extinction_probability(1 - p)` is the probability that the symbol is the only one left;
    it tends to p, so P(absorbed in i) = p_i (Shumailov et al. 2024).

    Args:
        probs: [*probs], p.
        n_ini, n_s: draws for generation 1 and for later ones, at most 5000: the transition matrix
            of the chain is formed.
        n_generations: number of generations, G^1 included.

    Returns:
        [*probs, n_generations].

    Example:
        >>> from madlib import theory
        >>> theory.extinction_probability(0.1, n_ini=10, n_s=10, n_generations=3).round(3)
        array([0.349, 0.506, 0.598])
    """
    fine = max(n_ini, n_s) <= 5000 and n_s * (n_s + n_ini) * n_generations <= 5e9
    required = "n_ini and n_s of at most 5000, and n_s^2 n_generations of about 5e9, are required"
    sizes = f"n_ini={n_ini}, n_s={n_s}, n_generations={n_generations}"
    require(fine, required, sizes, "Use poisson_survival_probability, within 1/n of it.")
    check_work((probs.size + n_ini) * (n_generations + n_ini))
    counts, first_counts = np.arange(n_s + 1), np.arange(n_ini + 1)
    drift = scipy.stats.binom.pmf(counts, n_s, (counts / n_s)[:, None])
    first_drift = drift
    if n_ini != n_s:
        first_drift = scipy.stats.binom.pmf(counts, n_s, (first_counts / n_ini)[:, None])
    absent = [(counts == 0).astype(float)]
    for _ in range(n_generations - 2):
        absent.append(drift @ absent[-1])
    later = first_drift @ np.stack(absent, axis=-1)
    given_first = np.column_stack([first_counts == 0, later])[:, :n_generations]
    # The words of a text share few frequencies: each is computed once.
    distinct, where = np.unique(probs, return_inverse=True)
    first = scipy.stats.binom.pmf(first_counts, n_ini, distinct[:, None])
    return (first @ given_first)[where.reshape(probs.shape)]


@law
def expected_support_size(
    probs: Shares, *, n_ini: Count, n_s: Count, n_generations: Length
) -> Array:
    """Expected number of symbols that G^t can still produce, fully synthetic, lam = 1: exact.

    Args:
        probs: [k], probability of each symbol.
        n_ini, n_s, n_generations: as in `extinction_probability`.

    Returns:
        [n_generations], the sum over symbols of 1 - `extinction_probability`.

    Example:
        >>> from madlib import theory
        >>> probs = [0.6, 0.3, 0.1]
        >>> theory.expected_support_size(probs, n_ini=10, n_s=10, n_generations=3).round(2)
        array([2.62, 2.39, 2.2 ])
    """
    extinct = extinction_probability(probs, n_ini=n_ini, n_s=n_s, n_generations=n_generations)
    return np.sum(1 - extinct, axis=tuple(range(extinct.ndim - 1)))


@law
def poisson_survival_probability(probs: Shares, *, n: Sizes, n_generations: Length) -> Array:
    """P(a symbol is present in G^t) when counts are Poisson with mean n p.

    1 - exp(-n p g_t), g_1 = 1, g_{t+1} = 1 - exp(-g_t), about 2/t: exact for Poisson counts, and
    within O(1/n) of the multinomial loop with n_ini = n_s = n, for any n. Summed over symbols: the
    expected vocabulary. Source: Suresh et al. 2024.

    Args:
        probs: [...], probability of each symbol.
        n: [...], draws of a generation.
        n_generations: number of generations, G^1 included.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import theory
        >>> theory.poisson_survival_probability(1e-3, n=1000, n_generations=3).round(3)
        array([0.632, 0.469, 0.374])
    """
    probs, n = broadcast(probs, n)
    check_work(probs.size * n_generations)
    g = np.ones(n_generations)
    for t in range(1, n_generations):
        g[t] = -np.expm1(-g[t - 1])
    return -np.expm1(-(n * probs)[..., None] * g)


@law
def expected_sample_coverage(probs: Shares, n: NonNegatives) -> Values:
    """E sum_i p_i 1{i is among n draws} = sum_i p_i (1 - (1 - p_i)^n).

    The real mass that a model fitted to n real draws can still produce. Its complement is Good's
    missing mass.

    Args:
        probs: [k], probability of each symbol.
        n: [*n], draws.

    Returns:
        [*n].

    Example:
        >>> from madlib import theory
        >>> theory.expected_sample_coverage([0.9, 0.1], [1, 10]).round(3)
        array([0.82 , 0.965])
    """
    _check_probs(probs)
    check_work(probs.size * n.size)
    return np.sum(-probs * np.expm1(scipy.special.xlog1py(n[..., None], -probs)), axis=-1)


def _check_probs(probs: Any) -> None:
    fine = probs.ndim == 1 and np.isclose(probs.sum(), 1)
    require(fine, "probs must be [k] with sum 1", probs, "Divide counts by their sum.")
