r"""What selection does to a loop: verifiers, ranks, detectors, preferences, temperature, guidance.

In units of the standard deviation of what is selected. Unless a source is named, results were
derived for this book, in the setting of the work that the book cites beside them.
"""

import numpy as np
from scipy import special

from madlib.errors import (
    Count,
    OpenShares,
    Positives,
    Reals,
    Shares,
    require,
)
from madlib.theory.arguments import Length, Values
from madlib.theory.law import law


def _density(z: Values) -> Values:
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


@law
def verifier_contraction(half_width: Positives) -> Values:
    r"""$\rho(b) = 1 - 2 b \varphi(b) / (2 \Phi(b) - 1)$: a mean's gap to the verifier, per round.

    A loop that keeps only examples within b standard deviations of the verifier's own center moves
    its mean to that center: the gap shrinks by $\rho$ per generation, near the center and for large
    samples. A strict verifier draws it faster; none leaves it where it is.

    Args:
        half_width: [...], b.

    Example:
        >>> from madlib import theory
        >>> float(theory.verifier_contraction(1.0).round(4))
        0.2911
    """
    b = half_width
    inside = special.erf(b / np.sqrt(2))
    small = b**2 / 3 - b**4 / 45
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(b < 1e-2, small, 1 - 2 * b * _density(b) / inside)


@law
def verifier_limit(half_width: Positives, real_share: Shares) -> Values:
    r"""$(\theta_\infty - \theta_0) / (\theta_c - \theta_0)$: how far a verifier draws the limit.

    With a fresh real share a the loop rests at $(1 - a)(1 - \rho) / (1 - (1 - a) \rho)$ of the way
    from the truth to the verifier's center, to first order in that way; a is the share among what
    is trained on.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.verifier_limit(1, real_share=0.5)), 3)
        0.415
    """
    rho, rest = verifier_contraction(half_width), 1 - real_share
    return rest * (1 - rho) / (1 - rest * rho)


@law
def selection_factor(share: OpenShares, *, likeliest: bool = True) -> Values:
    r"""Variance of a normal distribution of which only a share is kept, over its variance.

    The likeliest share $\alpha$ has $1 - 2 q \varphi(q) / \alpha$ with $P(|z| < q) = \alpha$; the
    least likely one $1 + 2 q \varphi(q) / \alpha$ with $P(|z| > q) = \alpha$.

    Example:
        >>> from madlib import theory
        >>> [float(theory.selection_factor(a).round(4)) for a in (0.1, 0.5, 0.9)]
        [0.0053, 0.1427, 0.623]
    """
    inside = share if likeliest else 1 - share
    q = np.sqrt(2) * special.erfinv(inside)
    return 1 - (1 if likeliest else -1) * 2 * q * _density(q) / share


@law
def accumulated_selection(share: OpenShares, *, n_generations: Length) -> Values:
    r"""Variance where selected data accumulates: $\prod_{i<t} (1 - (1 - c)/(i + 1)) \sim t^{c-1}$.

    c is `selection_factor(share)`, and every generation adds as many selected examples as there
    were real ones. Replacing them instead, the variance is $c^{t-1}$. Keeping everything does not
    save a loop that selects: it makes the collapse slow.

    Returns:
        [..., n_generations], at t = 1, 2, ..., in units of the real variance, for large samples.

    Example:
        >>> from madlib import theory
        >>> theory.accumulated_selection(0.5, n_generations=3).round(3)
        array([1.   , 0.571, 0.408])
    """
    c = np.asarray(selection_factor(share))[..., None]
    i = np.arange(1, n_generations)
    factors = np.concatenate([np.ones((*share.shape, 1)), 1 - (1 - c) / (i + 1)], axis=-1)
    return np.cumprod(factors, axis=-1, dtype=np.float64)


@law
def detected_share(share: Shares, *, false_positive: Shares, false_negative: Shares) -> Values:
    r"""Synthetic share of a crawl after a detector: $s f_n / [s f_n + (1 - s)(1 - f_p)]$.

    Args:
        share: [...], s, synthetic share of the crawl.
        false_positive: [...], $f_p$, share of human examples that are thrown away.
        false_negative: [...], $f_n$, share of synthetic examples that pass.

    Example:
        >>> from madlib import theory
        >>> float(theory.detected_share(0.9, false_positive=0.042, false_negative=0.006).round(3))
        0.053
    """
    passed, kept = share * false_negative, (1 - share) * (1 - false_positive)
    total = passed + kept
    require(np.all(total > 0), "a detector must let something pass", total, "Lower its rates.")
    return passed / total


@law
def plural_preference(weight: Shares, reward: Positives) -> Values:
    r"""Where two groups of opposed tastes lead a loop: the share of the first group's answer.

    Groups of weight w and 1 - w reward one of two answers with r, and a loop keeps the best of
    many: the share rests at $w + (2 w - 1)/(e^r - 1)$, within [0, 1]. With choices between two the
    winner takes all.

    Example:
        >>> from madlib import theory
        >>> [float(theory.plural_preference(w, 2.0).round(4)) for w in (0.5, 0.6, 0.8)]
        [0.5, 0.6313, 0.8939]
    """
    return np.clip(weight + (2 * weight - 1) / np.expm1(reward), 0, 1)


@law
def temperature_stability(temperature: OpenShares) -> Values:
    r"""Smallest real share with which equal answers stay equally likely: $1 - \tau$.

    M equally likely answers, real share a, temperature $\tau$ < 1, infinite samples: $p' = a/M +
    (1 - a) p^{1/\tau} / Z$. Their equality is stable iff a > 1 - $\tau$, whatever M.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.temperature_stability(0.8)), 3)
        0.2
    """
    return 1 - temperature


@law
def temperature_cure(temperature: OpenShares, *, n_answers: Count) -> Values:
    r"""Smallest real share that brings M answers back once a single one has taken over.

    Above it no state in which one answer prevails is left: the largest a for which $x = a/M +
    (1 - a) x^{1/\tau} / [x^{1/\tau} + (M - 1) ((1 - x)/(M - 1))^{1/\tau}]$ has a solution x > 1/M.
    For M = 2 it is $1 - \tau$, the border of `temperature_stability`; for more answers it is
    larger, and between the two borders the past decides (hysteresis). Infinite samples: finite ones
    can fall over the barrier.

    Example:
        >>> from madlib import theory
        >>> float(theory.temperature_cure(0.5, n_answers=10).round(3))
        0.625
    """
    require(n_answers >= 2, "n_answers must be >= 2", n_answers, "One answer has no rival.")
    gap = np.geomspace(1e-9, 1 - 1 / n_answers - 1e-7, 200_000)
    x = 1 - gap  # from one answer alone to all alike

    def cure(tau: float) -> float:
        rest = special.xlogy(1, gap / (n_answers - 1)) - np.log(x)
        preferred = 1 / (1 + (n_answers - 1) * np.exp(rest / tau))
        share = (preferred - x) / (preferred - 1 / n_answers)
        return float(max(share.max(), 1 - tau))

    return np.vectorize(cure, otypes=[float])(temperature)


@law
def negative_guidance_weight(deviation: Positives, factor: OpenShares) -> Values:
    r"""Weight with which extrapolation away from oneself mends a width: $\log\sigma / \log\tau$.

    A model of standard deviation $\sigma$ (real: 1) whose own samples teach a second model of
    $\sigma \tau$. In logarithms $(1 + w) \log \sigma - w \log(\sigma \tau) = 0$ at this w.

    Example:
        >>> from madlib import theory
        >>> float(theory.negative_guidance_weight(0.9, 0.8).round(3))
        0.472
    """
    return np.log(deviation) / np.log(factor)


@law
def negative_guidance_variance(base: Positives, own: Positives, *, weight: Reals) -> Values:
    r"""Variance of scores extrapolated away from oneself: $1 / [(1 + w)/v_b - w/v_s]$, Gaussian.

    Args:
        base: [...], $v_b$, variance of the model.
        own: [...], $v_s$, of the model of its own samples.
        weight: [...], w.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.negative_guidance_variance(1, 2, weight=1)), 3)
        0.667
    """
    precision = (1 + weight) / base - weight / own
    fine = np.all(precision > 0)
    require(fine, "the precision must stay positive", precision, "Lower the weight.")
    return 1 / precision
