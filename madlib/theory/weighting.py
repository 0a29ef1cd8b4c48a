r"""What a source is worth: weights, provenance, bias, and shares that dwindle.

Means of normal distributions of known variance, in units of it. Unless a source is named, results
were derived for this book, in the setting of the work that the book cites beside them.
"""

from typing import Literal

import numpy as np

from madlib.errors import Counts, NonNegatives, Positives, Rule, Shares, require
from madlib.theory.arguments import AnyRegime, Length, Sizes, Values, broadcast
from madlib.theory.law import law
from madlib.theory.recursions import run


@law
def best_real_share(ratio: Positives) -> Values:
    r"""Best share of the weight for real data in the fresh-data loop: $(\sqrt{k^2+4k}-k)/2$.

    k = n_r / n_s. At k = 1 it is the golden ratio, 0.618; the gain is n_e / n_r = 1 / share. A real
    example then weighs share n_s / ((1 - share) n_r) times as much as a synthetic one, the w of
    `Weighted`. Source: He, Xu & Cheng 2025 (arXiv 2502.18049).

    Example:
        >>> from madlib import theory
        >>> float(theory.best_real_share(1.0).round(3))
        0.618
    """
    return (np.sqrt(ratio**2 + 4 * ratio) - ratio) / 2


@law
def biased_effective_sample_size(
    n_r: NonNegatives, n_s: NonNegatives, *, bias: NonNegatives, weighted: bool = True
) -> Values:
    r"""n_e of real data beside somebody else's synthetic data that is off by a bias $\Delta$.

    With the best weights $n_e = n_r + 1/(\Delta^2 + 1/n_s)$, at most $n_r + 1/\Delta^2$ however
    much synthetic data there is; pooled without weights $1/[(n_s \Delta / n)^2 + 1/n]$ with n =
    n_r + n_s, which can be less than n_r. One coordinate of a mean, $\Delta$ known, in standard
    deviations.

    Example:
        >>> from madlib import theory
        >>> float(theory.biased_effective_sample_size(100, 1000, bias=0.1).round(1))
        190.9
    """
    n = n_r + n_s
    require(np.all(n > 0), "n_r + n_s must be > 0", n, "Give some data.")
    if not weighted:
        return 1 / ((n_s * bias / n) ** 2 + 1 / n)
    return n_r + n_s / (1 + n_s * bias**2)


@law
def provenance_variance(
    share: Shares,
    *,
    n: Counts,
    generation: Counts,
    known: Literal["nothing", "share", "labels"] = "nothing",
) -> Values:
    r"""Error of a mean when batches that are part real accumulate: the worth of provenance.

    Batch 1 is n real examples; each later one has a share $\alpha$ of real ones, the rest from the
    last model. "nothing" known: the pooled mean, $v_t = (1 - \alpha/t)^2 v_{t-1} + 1/(n t^2)$,
    which falls as 1/t if more than half is real, and as $t^{-2\alpha}$ if less. "share": the
    average of $[Y_t - (1 - \alpha) \theta_{t-1}]/\alpha$, about $1/(n \alpha^2 t)$. "labels": the
    real examples alone, about $1/(n \alpha t)$.

    Args:
        share: [...], $\alpha$ in (0, 1] where it is known.
        n: [...], examples in a batch.
        generation: [...], t, up to 10^6.

    Returns:
        [...], E $|\theta_t - \theta_0|^2$ in one coordinate.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.provenance_variance(0.1, n=1, generation=2000, known="labels")), 4)
        0.005
    """
    alpha, n, t = broadcast(share, n, generation)
    if known == "labels":
        return 1 / (n * (1 + alpha * (t - 1)))
    if known == "share":
        require(np.all(alpha > 0), "share must be > 0", alpha, "Without real data none is worth.")
        return (1 + (t - 1) / alpha**2) / (n * t**2)
    require(known == "nothing", "known must be nothing, share or labels", known, "Choose one.")
    Rule(1, 10**5, whole=True)("generation", int(np.max(t)))
    v = 1 / n
    for i in range(2, int(np.max(t)) + 1):
        v = np.where(i <= t, (1 - alpha / i) ** 2 * v + 1 / (n * i**2), v)
    return v


@law
def location_variance(
    regime: AnyRegime, *, n_ini: Sizes, n_generations: Length, lam: Shares = 1
) -> Values:
    r"""E $|\mu_t - \mu_0|^2$ per coordinate where the variance is known: exact, in any regime.

    The model is `generators.Location`, every example has variance 1 (synthetic ones lam), and only
    means are learned. Times $\sigma^2 d$ it is the excess risk of a regression on d features, to
    first order in 1/n.

    Args:
        regime: any with a rule of `recursion`, wrappers included.
        n_ini, n_generations, lam: as for `moments`.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import FullySynthetic, theory
        >>> theory.location_variance(FullySynthetic(100), n_ini=100, n_generations=3)
        array([0.01, 0.02, 0.03])
    """
    return run(regime, n_ini, n_generations, 0.0, 0.0, lam)[0]


@law
def dwindling_share_coefficient(c: Positives, growth: NonNegatives) -> Values:
    r"""K of $v_t \sim K t^{1-g}$ where the real share is c/t and batches grow as $n t^g$.

    $K = 1/(1 - g + 2c)$ in units of 1/n, where that is positive: constant batches (g = 0) diverge
    linearly, g = 1 leaves a floor, faster growth finds the truth although the real share vanishes.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.dwindling_share_coefficient(1, 0)), 3)
        0.333
    """
    below = 1 - growth + 2 * c
    require(np.all(below > 0), "1 - growth + 2 c must be > 0", below, "Use a larger c.")
    return 1 / below
