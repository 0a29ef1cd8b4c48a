r"""Linear regression in the loop: $y = x^T \theta + \sigma \varepsilon$, x ~ N(0, I_d).

The excess risk $E|\theta_t - \theta_0|^2$ of one fit to T examples is $\sigma^2 d / (T - d - 1)$.
"""

import numpy as np

from madlib.errors import Count, Counts, NonNegatives, Positives, Shares, require
from madlib.theory.arguments import Length, Values
from madlib.theory.law import law


@law
def regression_risk(n: Counts, *, n_features: Count, noise: Positives = 1.0) -> Values:
    r"""$\sigma^2 d / (T - d - 1)$: excess risk of one fit to T = n examples; n > d + 1. Exact.

    Example:
        >>> from madlib import theory
        >>> float(theory.regression_risk(31, n_features=10))
        0.5
    """
    dof = n - n_features - 1
    require(np.all(dof > 0), f"n must be > n_features + 1 = {n_features + 1}", n, "Use more.")
    return noise**2 * n_features / dof


@law
def replaced_regression_risk(
    n: Counts, *, n_features: Count, n_generations: Length, noise: Positives = 1.0
) -> Values:
    r"""$t \sigma^2 d / (T - d - 1)$, t = 1, 2, ...: every model fits T labels of the last. Exact.

    Source: Dohmatob et al. 2024; Gerstgrasser et al. 2024.

    Example:
        >>> from madlib import theory
        >>> theory.replaced_regression_risk(31, n_features=10, n_generations=3)
        array([0.5, 1. , 1.5])
    """
    risk = np.asarray(regression_risk(n, n_features=n_features, noise=noise))
    return risk[..., None] * np.arange(1, n_generations + 1)


@law
def accumulated_regression_risk(
    n: Counts, *, n_features: Count, n_generations: Length, noise: Positives = 1.0
) -> Values:
    r"""$\sum_{i \le t} \sigma^2 d / [i (i T - d - 1)]$, t = 1, 2, ...: data accumulate. Exact.

    Each generation adds T labels of the last model and fits all there are. For T >> d the factors
    are 1/i^2, and their sum at most $\pi^2/6$. Source: Gerstgrasser et al. 2024 (arXiv 2404.01413),
    who give that bound; exact for finite T: derived.

    Example:
        >>> from madlib import theory
        >>> loop = {"n_features": 10, "n_generations": 3}
        >>> theory.accumulated_regression_risk(1000, **loop).round(5)
        array([0.01011, 0.01263, 0.01374])
    """
    regression_risk(n, n_features=n_features)  # refuses n that are too small
    i = np.arange(1.0, n_generations + 1)
    return np.cumsum(noise**2 * n_features / (i * (i * n[..., None] - n_features - 1)), axis=-1)


@law
def shifted_regression_risk(
    n: Counts, *, n_features: Count, share: Shares, shift: NonNegatives, noise: Positives = 1.0
) -> Values:
    r"""Excess risk when a share $p_2$ of T labels comes from coefficients off by $\Delta$.

    $\sigma^2 d/(T - d - 1) + p_2^2 |\Delta|^2 + p_2 (1 - p_2)(d + 1)|\Delta|^2 / T$, to first order
    in 1/T: the floor $p_2^2 |\Delta|^2$ does not fall with T.

    Example:
        >>> from madlib import theory
        >>> risk = theory.shifted_regression_risk(2000, n_features=20, share=0.1, shift=1.0)
        >>> float(risk.round(4))
        0.0211
    """
    floor = share**2 * shift**2
    mixing = share * (1 - share) * (n_features + 1) * shift**2 / n
    return regression_risk(n, n_features=n_features, noise=noise) + floor + mixing
