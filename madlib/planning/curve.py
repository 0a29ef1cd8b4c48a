"""Sample sizes read off a measured curve."""

import numpy as np
from numpy.typing import NDArray

from madlib.errors import Positives, checked, require


@checked
def effective_sample_size(
    distance: Positives, n: Positives, real_distance: Positives, *, extrapolate: bool = False
) -> NDArray[np.float64] | np.float64:
    """The number n_e of real samples of which a single fit is as far from the target as `distance`.

    Interpolates log n linearly in the log of the distance. Where distance ~ 1/n the curve is a
    straight line and the interpolation exact; the relative standard error of n_e is then that of
    the distance.

    Args:
        distance: [...], expected distance of a model to the target: a mean over replicates.
        n: [m], increasing: sizes of real samples.
        real_distance: [m], strictly decreasing: expected distance of a fit to n real samples.
        extrapolate: whether a distance beyond the curve continues it as distance ~ 1/n, the
            asymptote of W2 squared for n much larger than the dimension; a good guess at the end
            of large n only.

    Returns:
        [...], n_e, not rounded. Source: Alemohammad et al. 2023, Section 5.

    Raises:
        ParameterError: for a curve that is not as described, or a distance beyond it.

    Example:
        >>> from madlib import planning
        >>> n_e = planning.effective_sample_size(0.05, n=[10, 1000], real_distance=[0.5, 0.005])
        >>> round(float(n_e), 6)
        100.0
    """
    one_axis = n.ndim == 1 and n.shape == real_distance.shape and n.size >= 2
    shapes = f"shapes {n.shape} and {real_distance.shape}"
    required = "n and real_distance must both be [m] with m >= 2"
    require(one_axis, required, shapes, "Average the replicates of each n.")
    monotone = (np.diff(n) > 0).all() and (np.diff(real_distance) < 0).all()
    required = "n must increase and real_distance strictly decrease"
    require(monotone, required, real_distance, "Use more replicates, or sizes further apart.")
    far, near = real_distance[0], real_distance[-1]
    where = "smaller" if (distance > far).any() else "larger"
    on_curve = extrapolate or ((distance <= far) & (distance >= near)).all()
    ends = f"from {near:.4g} (n={n[-1]:g}) to {far:.4g} (n={n[0]:g})"
    given = f"{distance.min():.4g} to {distance.max():.4g}"
    remedy = f"Measure the curve at {where} n, or pass extrapolate=True."
    require(on_curve, f"distance must lie on the curve, {ends}", given, remedy)
    on_curve = np.clip(distance, near, far)
    log_n = np.interp(np.log(on_curve), np.log(real_distance[::-1]), np.log(n[::-1]))
    return np.exp(log_n) * on_curve / distance
