"""What a loop is worth in real samples, n_e, and the border beyond which synthetic data harms."""

from functools import partial
from typing import Any

import numpy as np
import scipy

from madlib.errors import Positives, Shares, require
from madlib.theory.arguments import AnyRegime, Sizes, Values, broadcast
from madlib.theory.distances import real_data, second_order, wasserstein2_squared_limit
from madlib.theory.law import check_work, law
from madlib.theory.limits import real_and_synthetic, solve


@law
def effective_sample_size(distance: Positives, dim: Sizes) -> Values:
    """The n_e with E W2^2(fit to n_e real samples) = distance: Alemohammad et al. 2023, Section 5.

    Inverts `real_data_wasserstein2_squared`, so it is right near n = dim too, where dim (dim +
    5)/(4 distance) is not. Use it for a measured distance.

    Args:
        distance: [...], at least that of 1e18 samples.
        dim: [...], dimension of the Gaussian.

    Returns:
        [...], not rounded, and 1 at any distance beyond that of two samples.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.effective_sample_size(0.035, dim=2)))
        101
    """
    from scipy.optimize import elementwise  # only here: it takes a second

    distance, dim = broadcast(distance, dim)
    fine = np.all(distance >= real_data(1e18, dim))
    require(fine, "distance must be at least that of 1e18 samples", distance, "Use 1/n, say.")
    found = elementwise.find_root(
        lambda log_n, distance, dim: np.log(real_data(np.exp(log_n), dim) / distance),
        (np.log(2), np.log(2e18)),
        args=(distance, dim),
    )
    n_e = np.exp(found.x)
    return np.where(distance > real_data(2.0, dim), 1.0, n_e)


@law
def worth(regime: AnyRegime, *, dim: Sizes, n_ini: Sizes = None, lam: Shares = 1) -> Values:
    """n_e of a loop in the limit, for real data n >> dim: dim (dim + 5)/(4 n_e) = E W2^2.

    Args:
        regime, n_ini, lam: as in `wasserstein2_squared_limit`.
        dim: [...], dimension of the Gaussian.

    Returns:
        [...], n_e. Derived.

    Example:
        >>> from madlib import FreshData, theory
        >>> round(float(theory.worth(FreshData(n_r=1000, n_s=1000), dim=1)))
        1500
    """
    distance = wasserstein2_squared_limit(regime, dim=dim, n_ini=n_ini, lam=lam)
    return dim * (dim + 5) / 4 / distance


@law
def unbiased_worth(regime: AnyRegime, *, n_ini: Sizes = None) -> Values:
    """n_e of a loop in the limit over its number of real samples: lam = 1, n_r >> dim, any dim.

    *Fresh data*: 1 + n_s/(n_r + n_s), between 1 and 2, so unbiased synthetic data are always
    admissible (claim (iv) of Alemohammad et al. 2023, Section 5). *Synthetic augmentation*:
    (n_ini + 2 n_s)/(n_ini + 3 n_s), in (2/3, 1]: the loss is bounded. *Weighted*: with shares a_r
    and a of the training set, (1 - a^2)/(a_r^2 + a^2 n_r/n_s) and (1 - a^2)/(1 - a^2 + a^2
    n_r/n_s), largest at a_r = (sqrt(k^2 + 4 k) - k)/2 for fresh data with k = n_r/n_s: 0.618 at
    k = 1 (He, Xu & Cheng 2025). Derived.

    Args:
        regime: FreshData or SyntheticAugmentation, also Weighted.
        n_ini: [...], real samples for generation 1; FreshData does without.

    Returns:
        [...], n_e/n_r or n_e/n_ini.

    Example:
        >>> from madlib import FreshData, theory
        >>> float(theory.unbiased_worth(FreshData(n_r=100, n_s=100)))
        1.5
    """
    n_r, n_s, w, fixed = real_and_synthetic(regime, n_ini)
    total = w * n_r + n_s
    a_r, a = w * n_r / total, n_s / total
    kept, noise = a_r * (1 + a), n_r * n_s / total**2
    return kept / (noise + (kept if fixed else a_r**2))


@partial(law, infinite=True)
def admissible_n_s(n_r: Sizes, *, dim: Sizes, lam: Shares) -> Values:
    """Largest n_s (a real number) with n_e/n_r >= 1 in the fresh-data limit.

    The phase boundary of Alemohammad et al. 2023, Fig. 11. Found numerically from `worth`, so
    n_r >> dim.

    Args:
        n_r: [...], fresh real samples per generation.
        dim: [...], dimension of the Gaussian.
        lam: [...], sampling bias.

    Returns:
        [...], infinite for lam = 1.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.admissible_n_s(10_000, dim=20, lam=0.95)))
        5384
    """
    n_r, dim, lam = broadcast(n_r, dim, lam)
    check_work(4e3 * n_r.size)
    return np.vectorize(_admissible_n_s, otypes=[float])(n_r, dim, lam)


@partial(law, infinite=True)
def admissible_n_s_limit(lam: Shares, dim: Sizes) -> Values:
    """Limit of `admissible_n_s` as n_r -> infinity.

    [4 (2 - lam) + (dim + 1)(1 + 3 lam - 2 lam^2)/2]/(1 - lam)^2. It is finite for every lam < 1 and
    grows with lam (claims (ii) and (iii) of Alemohammad et al. 2023, Section 5). Derived: at
    a = n_s/n_r << 1 the squared bias dim (a (1 - lam)/2)^2 of the covariance balances the noise
    that the synthetic samples average away.

    Args:
        lam: [...], sampling bias.
        dim: [...], dimension of the Gaussian.

    Returns:
        [...], infinite for lam = 1.

    Example:
        >>> from madlib import theory
        >>> round(float(theory.admissible_n_s_limit(0.7, dim=100)))
        1247
    """
    lam, dim = broadcast(lam, dim)
    gain = 4 * (2 - lam) + (dim + 1) * (1 + 3 * lam - 2 * lam**2) / 2
    return gain / (1 - lam) ** 2


def _admissible_n_s(n_r: float, dim: float, lam: float) -> float:
    if lam == 1:
        return np.inf

    def advantage(log_n_s: Any) -> Any:
        v, s, f = solve(n_r, np.exp(log_n_s), 1.0, lam, 1.0)
        return 1 - second_order(v, s, f, dim) * 4 * n_r / (dim * (dim + 5))

    # The advantage vanishes at n_s = 0, is positive for small n_s and negative for large: bracket
    # its last change.
    grid = np.log(np.geomspace(1e-3, 1e6 * n_r, 4000))
    positive = np.flatnonzero(advantage(grid) > 0)
    last = positive[-1] if positive.size else grid.size
    required = "n_r must be much larger than dim, and lam not too close to 1"
    given = f"n_r={n_r:g}, dim={dim:g}, lam={lam:g}"
    require(last < grid.size - 1, required, given, "Simulate, or take admissible_n_s_limit.")
    border = scipy.optimize.brentq(advantage, grid[last], grid[last + 1], xtol=1e-13)
    return float(np.exp(border))
