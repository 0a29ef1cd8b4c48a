r"""A verdict on a sequence of generations: degrading, stable or undecided.

*Degrading*, of the models that were seen: variance is lost from one generation to the next, or the
distance from the real items grows, or entropy, recall or coverage fall, each beyond what chance
does once in thousands of audits; and, over four generations or more, the second half still goes the
same way. *Stable*: no such sign, and a loss of a tenth of the variance per generation is excluded.
A set that is worse than real items from the first generation on, and gets no worse, is no sign.

`lam` is of the rule that made them: another run of it, with other noise, keeps the same share. A
loop may so have lost variance by chance and for good while the interval of `lam` holds 1.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

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


def increment_noise(
    se: NDArray, n: NDArray, *, trained: bool = False, n_train: int | None = None
) -> NDArray:
    r"""Covariance [T, T] of the noise of $\Delta_t = \log v_t - \log v_{t-1}$, t = 1 to T.

    A model is fitted to finitely many items, and all later models inherit the noise of that fit:
    the log variance of the models is a random walk about $t \log \lambda$. Each set adds the noise
    of its own sampling, of relative standard error $s_t$ in n_t items,

    $$ \log v_t = \log m_t + e_t, \quad \log m_t = \log m_{t-1} + \log \lambda + w_t,
       \quad \operatorname{Var} e_t = s_t^2, $$

    where $s_t^2 = 2/(n_t d_\mathrm{eff})$ for a normal distribution. A model that was trained on
    the items of the set before, as is assumed unless `n_train` is given, has $w_t = e_{t-1}$, and
    the increment is $\log \lambda + e_t$. One that was trained on `n_train` other items has
    $\operatorname{Var} w_t = s_{t-1}^2 n_{t-1} / n_\mathrm{train}$, and $e_{t-1}$ stays. Derived.

    Args:
        se: [T + 1], relative standard errors of the variances of the real items and the sets.
        n: [T + 1], numbers of items.
        trained: whether generation 1 was trained on these real items, and not on others.
        n_train: number of items that generation 1 and all later ones were trained on, where the
            sets are others. Generation 1 is otherwise taken to have had as many as its own set.
    """
    se = np.maximum(se, 1e-9)
    inherited = np.full(len(n) - 1, n_train is None)
    inherited[0] = trained
    own = np.eye(len(se))[1:] - ~inherited[:, None] * np.eye(len(se))[:-1]
    fits = np.where(inherited, 0.0, se[:-1] ** 2 * n[:-1] / (n_train or n[1]))
    return own * se**2 @ own.T + np.diag(fits)


def trend(variance: NDArray, noise: NDArray) -> Trend:
    r"""Variance kept per generation, by generalized least squares of the increments of its log.

    $\log \hat\lambda = 1^\top \Omega^{-1} \Delta / 1^\top \Omega^{-1} 1$, with the error
    $(1^\top \Omega^{-1} 1)^{-1/2}$. Of more than two generations the first is left out, which may
    lose what its model cannot express. Increments that scatter more than $\Omega$ allows, as those
    of networks that are trained anew do, give the error themselves, with Student's t.

    Args:
        variance: [T + 1], of the real items and of T sets.
        noise: [T, T], $\Omega$, of `increment_noise`.
    """
    first = 1 if len(variance) > 3 else 0
    steps, weight = np.diff(np.log(variance))[first:], np.linalg.inv(noise[first:, first:])
    information = weight.sum()
    slope = weight.sum(axis=0) @ steps / information
    rest, degrees = steps - slope, max(len(steps) - 1, 1)
    scatter = rest @ weight @ rest / degrees
    error = np.sqrt(max(scatter, 1.0) / information)
    degrees = degrees if scatter > 1 else 1e9  # Student's t, or the normal distribution
    ends = slope + special.stdtrit(degrees, 0.95) * error * np.array([-1, 1])
    low, high = np.exp(ends.clip(-690, 690))
    z = np.copysign(special.ndtri(special.stdtr(degrees, -abs(slope / error))), slope)
    return Trend(float(np.exp(slope)), float(low), float(high), float(z))


def falls(variance: NDArray, se: NDArray) -> float:
    """z statistic of a weighted regression of log variances [T], errors se [T], on t.

    Of these models, whatever made them differ: equal ones give a standard normal distribution.
    Where points scatter more than their errors allow, the error of the slope grows with them.
    """
    t, weight = np.arange(len(variance)), 1 / np.maximum(se, 1e-9) ** 2
    gaps, logs = t - np.average(t, weights=weight), np.log(variance)
    information = weight @ gaps**2
    slope = weight * gaps @ logs / information
    rest = logs - np.average(logs, weights=weight) - slope * gaps
    scatter = weight @ rest**2 / (len(t) - 2) if len(t) > 2 else 1.0
    return float(slope * np.sqrt(information / max(scatter, 1.0)))


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
    logs = np.log(variance[first:])
    if falls(variance[first:], se[first:]) < -Z_ALARM and goes_on(-logs):
        since = "generation 1" if first else "the real items"
        found.append(f"variance fell to {np.exp(logs[-1] - logs[0]):.3g} of that of {since}")
    if n > 1 and distance[-1, 1] > distance[0, 2] and goes_on(distance[:, 0]):
        ratio = distance[-1, 0] / max(distance[0, 0], np.finfo(float).tiny)
        found.append(f"the distance from the real items grew {ratio:.3g} times since generation 1")
    for name, values in scores.items():
        change, error = values[-1, 0] - values[0, 0], np.hypot(values[-1, 1], values[0, 1])
        if n > 1 and change < -N_SE * error and goes_on(-values[:, 0]):
            found.append(f"{name} fell by {-change:.3g} since generation 1")
    return found


def verdict(found: list[str], kept: Trend, doubt: str) -> str:
    """degrading, stable or undecided: where variance is kept, unless there is a doubt."""
    if found:
        return "degrading"
    return "stable" if kept.low > TOLERABLE and not doubt else "undecided"


def definitions(
    kept: Trend, distance: NDArray, tail: NDArray, outside: NDArray
) -> dict[str, bool | None]:
    """Of the eight definitions of collapse those that sets of items can decide; None where unsure.

    Args:
        kept: of the variance.
        distance: [T, 2], and its standard error.
        tail: [T, 2], share of the real tail that is left, and its standard error.
        outside: [T, 2], share of items outside the real manifold, and its standard error.
    """
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


def goes_on(values: NDArray) -> bool:
    """Whether a rise of values [T] has a due part in the second half of four or more."""
    values = np.nan_to_num(values, posinf=1e30, neginf=-1e30)
    if len(values) < 4:
        return True
    middle = values[(len(values) - 1) // 2]
    return bool(values[-1] - middle >= GOING_ON * (values[-1] - values[0]))
