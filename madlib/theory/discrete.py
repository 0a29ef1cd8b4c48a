"""Discrete distributions in the loop, lam = 1.

A fit is the vector of relative frequencies, and E p_t = p_0 in every regime.
"""

import math
from typing import Any

import numpy as np
import scipy

from madlib.errors import Count, Flag, NonNegatives, OpenShares, Shares, require
from madlib.theory.arguments import AnyRegime, Array, Length, Sizes, Values, broadcast
from madlib.theory.law import check_work, law
from madlib.theory.recursions import run, training_sets


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
    check_work((probs.size + n_ini) * (n_generations + n_ini))
    first_drift, drift = _drift(n_ini, n_s, n_generations)
    counts, first_counts = np.arange(n_s + 1), np.arange(n_ini + 1)
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
def surviving_sample_size(regime: AnyRegime, *, n_ini: Sizes, n_generations: Length) -> Array:
    r"""Real draws $m_t$ that would hold as many symbols as $G^t$, for rare symbols and lam = 1.

    A symbol of probability p is present with probability $1 - e^{-m_t p}$. An occurrence in the
    training set of t, of total size $N_t$, comes to a Poisson number of occurrences, $n/N_t$ on
    average, in a batch of n draws from the model of t; and $m_t$ is the number of real draws so
    far, each counted with the probability that it has descendants.

    *Fully synthetic*, n_ini = n_s = n: $m_t = n g_t$ with $g_1 = 1$ and $g_{t+1} = 1 - e^{-g_t}$,
    about 2/t (Suresh et al. 2024). *Fresh data*: $n_r \sum_k g_k$ in the long run, with $g_{k+1} =
    1 - e^{-a g_k}$, a = n_s/(n_r + n_s). *Synthetic augmentation*: n_ini for ever. Exact for
    Poisson counts, and to O(1/n) in the multinomial loop. Derived, but for the first.

    Args:
        regime: without weights or subsamples.
        n_ini, n_generations: as in `moments`.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import FullySynthetic, theory
        >>> loop = {"n_ini": 1000, "n_generations": 3}
        >>> theory.surviving_sample_size(FullySynthetic(1000), **loop).round(1)
        array([1000. ,  632.1,  468.5])
    """
    sets, grid = training_sets(regime, n_ini, n_generations)
    plain = all(subsample is None and all(np.all(b.w == 1) for b in b_) for b_, subsample in sets)
    require(plain, "a regime without weights and subsamples is required", regime, "Simulate it.")
    total, heirs = [0.0], [[] for _ in range(n_generations + 1)]
    for t, (batches, _) in enumerate(sets, 1):
        total.append(sum(total[of] if n is None else n for of, n, _ in batches))
        for of, n, _ in batches:
            heirs[of].append((t, n))
    check_work(math.prod(grid) * n_generations * sum(map(len, heirs)))
    rows = []
    for end in range(1, n_generations + 1):
        survival = {end: np.ones(grid)}
        for t in range(end - 1, 0, -1):
            log_lost = np.zeros(grid)
            for heir, n in heirs[t]:
                if heir <= end:
                    now = survival[heir]
                    log_lost = log_lost + (np.log1p(-now) if n is None else -n / total[t] * now)
            survival[t] = -np.expm1(log_lost)
        rows.append(sum(n * survival[t] for t, n in heirs[0] if t <= end))
    return np.stack(rows, axis=-1)


@law
def poisson_survival_probability(
    regime: AnyRegime, probs: Shares, *, n_ini: Sizes, n_generations: Length
) -> Array:
    """P(a symbol is present in G^t) for Poisson counts: 1 - exp(-p m_t), `surviving_sample_size`.

    Summed over symbols: the expected vocabulary. Source: Suresh et al. 2024 (fully synthetic).

    Args:
        regime, n_ini, n_generations: as in `surviving_sample_size`; single sizes.
        probs: [*probs], probability of each symbol.

    Returns:
        [*probs, n_generations].

    Example:
        >>> from madlib import FullySynthetic, theory
        >>> loop = {"n_ini": 1000, "n_generations": 3}
        >>> theory.poisson_survival_probability(FullySynthetic(1000), 1e-3, **loop).round(3)
        array([0.632, 0.469, 0.374])
    """
    size = surviving_sample_size(regime, n_ini=n_ini, n_generations=n_generations)
    require(size.ndim == 1, "single sizes are required", f"a grid {size.shape[:-1]}", "Loop.")
    check_work(probs.size * n_generations)
    return -np.expm1(-probs[..., None] * size)


@law
def expected_missing_mass(
    probs: Shares, n_r: NonNegatives, *, synthetic: Shares = None, n_s: NonNegatives = 0
) -> Values:
    r"""Real mass that a training set does not hold: $\sum_i p_i (1 - p_i)^{n_r} (1 - q_i)^{n_s}$.

    Good's missing mass, of n_r real draws and n_s from a model q. For a power law $p_i \sim
    i^{-b}$ and real draws alone it falls as $n^{-(b-1)/b}$; where q is p without its tail beyond
    rank k, and the real share is $\pi$, it falls until $n \approx k^b$, rests until $k^b/\pi$ and
    falls again (derived; in the setting of Dohmatob et al. 2024 and Wang et al. 2025).

    Args:
        probs: [k], p.
        n_r, n_s: [*n], draws.
        synthetic: [k], q; by default p.

    Returns:
        [*n].

    Example:
        >>> from madlib import theory
        >>> theory.expected_missing_mass([0.9, 0.1], [1, 10]).round(3)
        array([0.18 , 0.035])
    """
    q = probs if synthetic is None else synthetic
    _check_probs(probs)
    _check_probs(q)
    fine, shapes = q.shape == probs.shape, f"{q.shape} and {probs.shape}"
    require(fine, "synthetic and probs must have one shape", shapes, "Give 0 where q is 0.")
    n_r, n_s = broadcast(n_r, n_s)
    check_work(2 * probs.size * n_r.size)
    missed = scipy.special.xlog1py(n_r[..., None], -probs) + scipy.special.xlog1py(
        n_s[..., None], -q
    )
    return np.sum(probs * np.exp(missed), axis=-1)


@law
def group_heterozygosity(
    share: OpenShares,
    *,
    n_ini: Count,
    n_s: Count,
    n_generations: Length,
    reparation: Flag = False,
) -> Array:
    r"""Heterozygosity within a group, over its first: exact, 0 where the group is lost.

    A group has a share s of the real distribution, and any number of symbols. One training set
    with N draws of the group keeps $1 - 1/N$ of the chance that two of its draws differ. In the
    fully synthetic loop N drifts; where `selectors.Reparation` weighs every training set after
    the first, real one, N is drawn from Binomial(n_s, s) from generation 3 on, and the factor of a
    generation is E [1 - 1/N; N >= 1], about $e^{-1/(n_s s)}$. Derived.

    Args:
        share: [*share], s.
        n_ini, n_s, n_generations: as in `extinction_probability`.
        reparation: whether weights restore the share in every training set from generation 2 on.

    Returns:
        [*share, n_generations].

    Example:
        >>> from madlib import theory
        >>> loop = {"n_ini": 100, "n_s": 100, "n_generations": 3}
        >>> theory.group_heterozygosity(0.1, reparation=True, **loop).round(3)
        array([0.888, 0.776, 0.69 ])
    """
    first_drift, drift = _drift(n_ini, n_s, n_generations)
    kept, first_kept = (1 - 1 / np.maximum(np.arange(n + 1), 1) for n in (n_s, n_ini))
    rows = [scipy.stats.binom.pmf(np.arange(n_ini + 1), n_ini, share[..., None]) * first_kept]
    anew = scipy.stats.binom.pmf(np.arange(n_s + 1), n_s, share[..., None])
    for t in range(1, n_generations):
        drawn = rows[-1] @ (first_drift if t == 1 else drift)
        if reparation and t > 1:
            drawn = rows[-1].sum(-1, keepdims=True) * anew
        rows.append(drawn * kept)
    return np.stack([row.sum(-1) for row in rows], axis=-1)


def _drift(n_ini: int, n_s: int, n_generations: int) -> tuple[Array, Array]:
    """Chances of the next count [n_s + 1] of a symbol, from each count of n_ini and of n_s."""
    fine = max(n_ini, n_s) <= 5000 and n_s * (n_s + n_ini) * n_generations <= 5e9
    required = "n_ini and n_s of at most 5000, and n_s^2 n_generations of about 5e9, are required"
    sizes = f"n_ini={n_ini}, n_s={n_s}, n_generations={n_generations}"
    require(fine, required, sizes, "Use poisson_survival_probability, within 1/n of it.")
    pmf, counts = scipy.stats.binom.pmf, np.arange(n_s + 1)
    drift = pmf(counts, n_s, (counts / n_s)[:, None])
    return drift if n_ini == n_s else pmf(counts, n_s, np.arange(n_ini + 1)[:, None] / n_ini), drift


def _check_probs(probs: Any) -> None:
    fine = probs.ndim == 1 and np.isclose(probs.sum(), 1)
    require(fine, "probs must be [k] with sum 1", probs, "Divide counts by their sum.")
