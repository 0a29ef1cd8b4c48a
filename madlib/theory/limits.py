r"""Where the moments settle as t grows: exact fixed points of the recursions.

Let every training set hold n_r real examples of weight w and n_s of the last model, with the total
weight W = w n_r + n_s, the shares a_r = w n_r/W and a = n_s/W, and q as in `recursions`. Then

    v (1 - a^2)    = w/W (a_r + 2 a [fixed]) + (a/W) lam s
    s (1 - ddof q) = a_r - w/W (1 + a [fixed] or a_r [fresh]) + (a - a/W) lam s + a_r a v

in which a fixed real set enters by E (mu - mu_0)(xbar_r - mu_0)^T = Sigma_0/n_r at the end.
Derived.
"""

import functools
from typing import Any

import numpy as np
import scipy

from madlib import regimes
from madlib.errors import Shares, require
from madlib.protocols import Regime
from madlib.theory.arguments import AnyRegime, Sizes, Values, broadcast
from madlib.theory.law import law
from madlib.theory.recursions import Batch, GaussianMoments, recursion


@functools.singledispatch
def steady(regime: Any) -> tuple[Batch, ...]:
    """Two batches, a real one and the last model's: the training set at every generation.

    The rule behind `limit`, of regimes whose training sets do not change with t.

    Example:
        >>> from madlib import FreshData, theory
        >>> real, synthetic = theory.steady(FreshData(n_r=100, n_s=900))
        >>> real
        Batch(of=0, n=100, w=1.0)
    """
    required = "a regime with a limit in closed form is required (FreshData, SyntheticAugmentation)"
    require(False, required, repr(regime), "Take the moments after many generations.")
    raise AssertionError


@steady.register(regimes.FreshData)
@steady.register(regimes.SyntheticAugmentation)
def _(regime: Regime) -> tuple[Batch, ...]:
    return recursion(regime, 3).batches


@steady.register
def _(regime: regimes.Weighted) -> tuple[Batch, ...]:
    steady(regime.regime)
    return recursion(regime, 3).batches


@law
def limit(
    regime: AnyRegime, *, n_ini: Sizes = None, lam: Shares = 1, ddof: Shares = 1
) -> GaussianMoments:
    r"""Limit of `moments` as t grows, exact.

    *Fresh data*: independent of n_ini (Alemohammad et al. 2023, Fig. 10; the value is derived). For
    ddof = 0 and lam = 1, v = 1/D and s = 1 - 1/D with D = 1 - f + f n (2 - f), f = n_r/n.
    *Synthetic augmentation*: the model degrades, and saturates. *Accumulate*, for lam = 1 and
    ddof = 0: s = sinc(1/sqrt n) = sin(pi/sqrt n)/(pi/sqrt n) where n_ini = n_s = n, and v = 1 - s:
    bounded, unlike the fully synthetic loop (Kazdan et al. 2024).

    Args:
        regime: FreshData or SyntheticAugmentation, also Weighted, with real data; or Accumulate.
        n_ini: [...], real samples for generation 1; FreshData does without.
        lam, ddof: as in `moments`.

    Returns:
        v and s, each [...].

    Raises:
        ParameterError: for a loop without a limit in closed form.

    Example:
        >>> from madlib import FreshData, theory
        >>> v, s = theory.limit(FreshData(n_r=100, n_s=900), lam=0.9)
        >>> round(float(s), 3)
        0.528
    """
    return settled(regime, n_ini, lam, ddof)


@functools.singledispatch
def settled(regime: Any, n_ini: Any, lam: Any, ddof: Any) -> GaussianMoments:
    """`limit` of a regime, by its class."""
    return GaussianMoments(*fixed_point(regime, n_ini, lam, ddof)[:2])


@settled.register
def _(regime: regimes.Accumulate, n_ini: Any, lam: Any, ddof: Any) -> GaussianMoments:
    fine = n_ini is not None and np.all(lam == 1) and np.all(ddof == 0)
    settings = f"n_ini={n_ini}, lam={lam}, ddof={ddof}"
    require(fine, "n_ini, lam=1 and ddof=0 are required here", settings, "Take late moments.")
    n_s, n_ini = broadcast(regime.n_s, n_ini)
    # prod_{i > 0} (1 - b^2/(n_ini/n_s + i)^2) by polygamma functions; b is below y/2.
    y, b, k = n_ini / n_s + 1, 1 / np.sqrt(n_s), np.arange(1, 27)
    terms = scipy.special.polygamma(2 * k - 1, y[..., None]) * b[..., None] ** (2 * k)
    log_s = np.log1p(-1 / n_ini) - np.sum(2 * terms / scipy.special.factorial(2 * k), axis=-1)
    return GaussianMoments(-np.expm1(log_s), np.exp(log_s))


def real_and_synthetic(regime: Regime, n_ini: Any) -> tuple[Any, Any, Any, bool]:
    """n_r, n_s, w, and whether the real batch is always the same."""
    real, synthetic = steady(regime)
    fixed = real.n is None
    require(n_ini is not None or not fixed, "n_ini, the size of the fixed set, is required", n_ini)
    n_ini = real.n if n_ini is None else n_ini  # an axis of the grid in either regime.
    n_ini, n_r, n_s, w = broadcast(n_ini, n_ini if fixed else real.n, synthetic.n, real.w)
    return n_r, n_s, w, fixed


def fixed_point(
    regime: Regime, n_ini: Any, lam: Any, ddof: Any = 1.0
) -> tuple[Values, Values, Values]:
    """v, s and f, [...] each, in the limit; ParameterError if there is none."""
    n_r, n_s, w, fixed = real_and_synthetic(regime, n_ini)
    n_r, n_s, w, lam, ddof = broadcast(n_r, n_s, w, lam, ddof)
    fine = np.all((n_r >= 1) & (w > 0)) and np.all((n_r if fixed else n_r + n_s) > ddof)
    require(fine, "a limit takes real data, more of it than ddof", regime, "Increase its size.")
    return solve(n_r, n_s, w, lam, ddof, fixed)


def solve(
    n_r: Any, n_s: Any, w: Any, lam: Any, ddof: Any, fixed: bool = False, memory: float = 1.0
) -> tuple[Values, Values, Values]:
    """v, s and f of `fixed_point`, where nothing that could cancel is subtracted.

    The synthetic examples may come in equal parts from the last `memory` models: the covariances of
    two means at lags up to K then are a/(K a_r + a) v, by the equations of Yule and Walker.
    """
    total = w * n_r + n_s
    real, each, a_r, a = w / total, 1 / total, w * n_r / total, n_s / total
    lag = memory * a_r + a
    v_of_v, v_of_s = a_r * (memory + a) / lag, a * each * lam
    s_of_v = a_r * a * (1 + a * (memory - 1) / lag)
    s_of_s = a_r * (1 - ddof * real) + a * (1 - lam) - (ddof - lam) * a * each
    v_alone, s_alone = real * (a_r + 2 * a * fixed), a_r - real * (1 + a if fixed else a_r)
    determinant = v_of_v * s_of_s - v_of_s * s_of_v
    v = (s_of_s * v_alone + v_of_s * s_alone) / determinant
    s = np.maximum((v_of_v * s_alone + s_of_v * v_alone) / determinant, 0)
    gain = lam * a
    loss = a_r + a * (1 - lam)  # 1 - gain
    noise = a_r * real + a * each * (lam * s) ** 2 + fixed * 2 * gain * a_r * real / loss
    return v, s, noise * (memory * loss + gain) / (loss * (memory + gain))


@law
def plateau(real_fraction: Shares, lam: Shares) -> Values:
    """Fresh-data limit of s as n grows at a constant real fraction p: p/(p + (1 - lam)(1 - p)).

    Any biased loop stays at E W2^2 = dim (1 - sqrt s)^2 however much data it is given: the plateau
    of Alemohammad et al. 2023, Fig. 31. Derived.

    Args:
        real_fraction: [...], p = n_r/n, above 0 where lam = 1.
        lam: [...], sampling bias.

    Returns:
        [...], s.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.plateau(0.1, lam=0.9)), 3)
        0.526
    """
    p, lam = broadcast(real_fraction, lam)
    return p / (p + (1 - lam) * (1 - p))
