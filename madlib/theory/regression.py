r"""Linear regression in the loop: $y = x^T \theta + \sigma \varepsilon$, x ~ N(0, I_d).

The excess risk $E|\theta_t - \theta_0|^2$ of one fit to T examples is $\sigma^2 d / (T - d - 1)$.
"""

from typing import Any, NamedTuple

import numpy as np

from madlib.errors import Count, Counts, Natural, NonNegatives, Positives, Reals, Shares, require
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
    n, noise = n[..., None], noise[..., None]
    return np.cumsum(noise**2 * n_features / (i * (i * n - n_features - 1)), axis=-1)


@law
def shifted_regression_risk(
    n: Counts, *, n_features: Count, share: Shares, shift: NonNegatives, noise: Positives = 1.0
) -> Values:
    r"""Exact excess risk when a share $p_2$ of T = n labels has coefficients off by $\Delta$.

    $\sigma^2 d/(T - d - 1) + |\Delta|^2 [p_2^2 + p_2 (1 - p_2) f]$, in which f, about (d + 1)/T, is
    the fluctuation of the mixture: the floor $p_2^2 |\Delta|^2$ does not fall with T. Derived, from
    the second moments of a matrix beta distribution.

    Example:
        >>> from madlib import theory
        >>> risk = theory.shifted_regression_risk(2000, n_features=20, share=0.1, shift=1.0)
        >>> float(risk.round(4))
        0.0211
    """
    d = n_features
    risk = regression_risk(n, n_features=d, noise=noise)
    above = n**2 * (d + 1) - n * (d + 5) + 2 * (d + 1)
    mixing = above / ((n - 1) * (n + 2) * (n - d - 1))
    return risk + shift**2 * (share**2 + share * (1 - share) * mixing)


class ThreeErrors(NamedTuple):
    r"""The expected squared error of a fitted function, in three parts that add up.

    Attributes:
        statistical: [..., n_generations], variance, of finite samples.
        expressivity: the same shape, of coefficients outside the family.
        approximation: the same shape, squared bias within the family, of an unfinished fit.

    Example:
        >>> from madlib import theory
        >>> sum(theory.ThreeErrors(statistical=0.1, expressivity=0.2, approximation=0.0))
        0.30000000000000004
    """

    statistical: Any
    expressivity: Any
    approximation: Any


@law
def three_errors(
    theta: Reals,
    *,
    n_ini: Counts,
    n_s: NonNegatives,
    n_generations: Length,
    n_r: NonNegatives = 0,
    degree: Natural | None = None,
    learned: Shares = 1,
    noise: Positives = 1.0,
) -> ThreeErrors:
    r"""E $|\theta_t - \theta_0|^2$ of `generators.TrigonometricRegression`, by its causes: exact.

    With $a = n_s/(n_r + n_s)$ and c = `learned`, the family of the first $d = 2k + 1$ coefficients
    has the mean $b_t$ times the true one and the variance $d v_t$,

        b_t = c (1 - a + a b_(t-1)),      v_t = c^2 (a^2 v_(t-1) + sigma^2 / (n_r + n_s)).

    Without fresh data, statistical error alone (c = 1) is $\sigma^2 d (1/n_{ini} + (t-1)/n_s)$ and
    approximation error alone $(1 - c^t)^2 |\theta_0|^2$; expressivity error does not change with t.
    Derived.

    Args:
        theta: [D], the real coefficients.
        n_ini, n_s, n_r: [...], points for generation 1; synthetic and fresh real ones after it.
        n_generations: number of generations, G^1 included.
        degree: k of the family; None for all coefficients.
        learned: [...], share of the way to the least-squares fit that each fit goes.
        noise: [...], $\sigma$.

    Example:
        >>> from madlib import theory
        >>> loop = {"n_ini": 100, "n_s": 100, "n_generations": 3}
        >>> theory.three_errors([0.0, 1.0, 0.5], degree=1, **loop).statistical
        array([0.03, 0.06, 0.09])
    """
    require(theta.ndim == 1, "theta must be [D]", theta.shape, "Use np.ravel.")
    d = theta.size if degree is None else min(2 * degree + 1, theta.size)
    total = n_r + n_s
    require(np.all(total > 0), "n_r + n_s must be > 0", total, "Give some data.")
    a, v = n_s / total, learned**2 * noise**2 / n_ini + 0 * total
    rows = [(learned + 0 * v, v)]
    for _ in range(n_generations - 1):
        b, v = rows[-1]
        b, v = learned * (1 - a + a * b), learned**2 * (a**2 * v + noise**2 / total)
        rows.append((b, v))
    b, v = (np.stack(column, axis=-1) for column in zip(*rows, strict=True))
    outside = np.broadcast_to(np.sum(theta[d:] ** 2), b.shape)
    return ThreeErrors(d * v, outside, (1 - b) ** 2 * np.sum(theta[:d] ** 2))
