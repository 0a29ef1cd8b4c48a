"""Kernel density estimates in the loop: points x_i, kernel N(0, h^2)."""

import numpy as np

from madlib.errors import Count, Positives, Shares
from madlib.theory.arguments import AnyRegime, Array, Length, Sizes
from madlib.theory.law import law
from madlib.theory.recursions import run


@law
def kernel_variance(
    regime: AnyRegime, bandwidth: Positives, *, n_ini: Sizes, n_generations: Length, lam: Shares = 1
) -> Array:
    """E variance (divided by n) of the points that G^t remembers, per coordinate: exact.

    A draw has the variance of the points plus lam h^2, and the moments follow the recursion of the
    Gaussian, whose draws have lam times the variance of the model. The variance of G^t itself is
    s_t + h^2, where s_t is what is returned. Derived.

    *Fully synthetic*, n draws keep 1 - 1/n of theirs: s_t = (1 - 1/n)(s_(t-1) + lam h^2), so with
    n_ini = n_s = n

        s_t = (1 - 1/n)^t + (n - 1) lam h^2 [1 - (1 - 1/n)^(t-1)],

    one step less in the bracket than for a loop that begins with a kernel density of known points.
    It does not collapse but grows to (n - 1) lam h^2. *Accumulate*, n_ini = n_s -> infinity: it is
    1 + lam h^2 (H_t - 1) with the harmonic numbers H_t, which grows like the logarithm of t:
    accumulating does not bound it.

    Args:
        regime, n_ini, n_generations: as in `moments`.
        bandwidth: [...], h, in standard deviations of the target.
        lam: [...], sampling bias, of the variance of the kernel.

    Returns:
        [..., n_generations], s_t in units of the target's variance.

    Example:
        >>> from madlib import FullySynthetic, theory
        >>> loop = {"n_ini": 100, "n_generations": 3}
        >>> theory.kernel_variance(FullySynthetic(100), bandwidth=0.3, **loop).round(3)
        array([0.99 , 1.069, 1.148])
    """
    return run(regime, n_ini, n_generations, 1.0, 0.0, kernel=lam * bandwidth**2)[1]


@law
def kernel_squared_error(
    bandwidth: Positives, *, n_ini: Sizes, n_s: Sizes, n_generations: Length, dim: Count = 1
) -> Array:
    r"""$E \int (p_t - p_0)^2$, fully synthetic, for a target N(0, I): exact.

    On average $p_t = N(0, (1 + t h^2) I)$, and its square follows from pairs of points: a pair
    shares its parent with probability 1/n, and its distance else gains a variance of $2 h^2$. For t
    = 1 it is the mean integrated squared error of a kernel density estimate (Fryer 1976). Derived.

    Args:
        bandwidth: [...], h, in standard deviations of the target.
        n_ini, n_s: [...], real points for generation 1, synthetic ones for later ones.
        n_generations: number of generations, G^1 included.
        dim: d.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import theory
        >>> loop = {"n_ini": 100, "n_s": 100, "n_generations": 3}
        >>> theory.kernel_squared_error([0.1, 0.4], **loop).round(4)
        array([[0.0254, 0.0424, 0.0557],
               [0.0056, 0.0109, 0.0164]])
    """

    def overlap(variance):  # of two normal densities, the sum of whose variances is this
        return (2 * np.pi * variance) ** (-dim / 2)

    bandwidth, n_ini, n_s = bandwidth[..., None], n_ini[..., None], n_s[..., None]
    t = np.arange(1, n_generations + 1)
    added = t * bandwidth**2
    keep = (1 - 1 / n_s) ** (t - 1)  # pairs of G^t whose parents differ back to G^1
    same = overlap(2 * added)
    siblings = np.cumsum(keep / n_s * same, -1) - keep / n_s * same
    pairs = same / n_ini + (1 - 1 / n_ini) * overlap(2 + 2 * added)
    return siblings + keep * pairs - 2 * overlap(2 + added) + overlap(2.0)
