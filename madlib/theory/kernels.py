"""Kernel density estimates in the loop: points x_i, kernel N(0, h^2)."""

from madlib.errors import Positives, Shares
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
