r"""A verdict on a sequence of generations: degrading, stable or undecided.

*Degrading*: variance is lost from one generation to the next, or the distance from the real items
grows, or entropy, recall or coverage fall, each beyond what chance does once in thousands of
audits; and, over four generations or more, the second half still goes the same way. *Stable*: no
such sign, and a loss of a tenth of the variance per generation is excluded. A set that is worse
than real items from the first generation on, and gets no worse, is no sign.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from madlib.metrics import Evidence

Z_ALARM = 3.5  # standard errors of a normal statistic
N_SE = 5.0  # of scores whose standard errors come from a dozen halves
GOING_ON = 0.25  # share of the decline that the second half must have.
TOLERABLE = 0.9  # least variance kept per generation of what is called stable.


class Trend(NamedTuple):
    """Variance kept per generation, with its interval of 90 %, and its z statistic."""

    lam: float
    low: float
    high: float
    z: float

    @property
    def half_life(self) -> tuple[float, float, float]:
        """Generations until half of the variance is left, with their interval."""
        rates = (-math.log(max(lam, 1e-300)) for lam in (self.lam, self.low, self.high))
        value, low, high = (math.log(2) / rate if rate > 0 else math.inf for rate in rates)
        return value, low, high


def trend(variance: NDArray, se: NDArray) -> Trend:
    """Weighted regression of log variances [T] with relative standard errors [T] on t.

    Where the points scatter more than their errors allow, as models do that are trained anew, the
    error of the slope grows with the scatter.
    """
    t, weight = np.arange(len(variance)), 1 / np.maximum(se, 1e-9) ** 2
    gaps, logs = t - np.average(t, weights=weight), np.log(variance)
    information = weight @ gaps**2
    slope = weight * gaps @ logs / information
    rest = logs - np.average(logs, weights=weight) - slope * gaps
    scatter = weight @ rest**2 / (len(t) - 2) if len(t) > 2 else 1.0
    error = np.sqrt(max(scatter, 1.0) / information)
    low, high = np.exp(slope + 1.645 * error * np.array([-1, 1]))
    return Trend(float(np.exp(slope)), float(low), float(high), float(slope / error))


def signs(
    variance: NDArray, se: NDArray, distance: NDArray, scores: dict[str, NDArray]
) -> list[str]:
    """Signs of a decline, in words.

    Args:
        variance: [T + 1], of the real items and of T generations.
        se: [T + 1], their relative standard errors.
        distance: [T, 3], from the real distribution, with the ends of an interval of 99 %.
        scores: [T, 2] each, values and standard errors of what falls as models degrade.
    """
    n = len(distance)
    found = []
    first = 1 if n > 2 else 0  # what the first model lost at once is no trend.
    kept = trend(variance[first:], se[first:])
    logs = np.log(variance[first:])
    if kept.z < -Z_ALARM and _goes_on(-logs):
        found.append(f"variance falls to {kept.lam:.3g} of itself with each generation")
    if n > 1 and distance[-1, 1] > distance[0, 2] and _goes_on(distance[:, 0]):
        ratio = distance[-1, 0] / max(distance[0, 0], np.finfo(float).tiny)
        found.append(f"the distance from the real items grew {ratio:.3g} times since generation 1")
    for name, values in scores.items():
        change, error = values[-1, 0] - values[0, 0], np.hypot(values[-1, 1], values[0, 1])
        if n > 1 and change < -N_SE * error and _goes_on(-values[:, 0]):
            found.append(f"{name} fell by {-change:.3g} since generation 1")
    return found


def verdict(found: list[str], kept: Trend, told_apart: bool, n_generations: int) -> str:
    """degrading, stable or undecided; one set that is worse than real items shows no trend."""
    if found:
        return "degrading"
    single = n_generations == 1 and told_apart
    return "stable" if kept.low > TOLERABLE and not single else "undecided"


def definitions(
    variance: NDArray, se: NDArray, distance: NDArray, tail: NDArray, outside: NDArray
) -> dict[str, bool | None]:
    """Of the eight definitions of collapse those that sets of items can decide; None where unsure.

    Args:
        variance, se: as in `signs`.
        distance: [T, 2], and its standard error.
        tail: [T, 2], share of the real tail that is left, and its standard error.
        outside: [T, 2], share of items outside the real manifold, and its standard error.
    """
    kept = trend(variance, se)
    many = 10**6  # so that Student's t is normal
    slope = -np.log(kept.lam)

    def rise(values: NDArray, factor: float) -> Evidence:
        error = float(np.hypot(values[-1, 1], factor * values[0, 1]))
        return Evidence(float(values[-1, 0]), error, float(factor * values[0, 0]), many)

    evidence = {
        "any increase of population risk": rise(distance, 1.0),
        "catastrophic increase of population risk": rise(distance, 10.0),
        "collapsing variance": Evidence(slope, abs(slope / kept.z) if kept.z else 0.0, 0.0, many),
        "disappearance of real tail data": Evidence(1 - tail[-1, 0], tail[-1, 1], 0.5, many),
        "appearance of hallucinated data": rise(outside, 2.0),
    }
    return {name: found.holds for name, found in evidence.items()}


def _goes_on(values: NDArray) -> bool:
    """Whether a rise of values [T] has a due part in the second half of four or more."""
    values = np.nan_to_num(values, posinf=1e30, neginf=-1e30)
    if len(values) < 4:
        return True
    middle = values[(len(values) - 1) // 2]
    return bool(values[-1] - middle >= GOING_ON * (values[-1] - values[0]))
