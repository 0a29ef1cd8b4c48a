"""Sample sizes read off a measured curve."""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from madlib.errors import Positive, Positives, checked, require


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


@checked
def learning_curve_dimension(
    n: Positives, loss: Positives, *, at: Positive
) -> tuple[float, float, float]:
    r"""The d of a Gaussian that is as far from the truth as the reader's own model, by its losses.

    A Gaussian fitted to n examples loses $d(d+3)/(4n)$ nats per held-out example beyond the
    truth. The curve $\ell_0 + A n^{-\beta}$ is fitted by least squares, and d solves
    $d(d+3)/4 = A\,n^{1-\beta}$ at the size of the plan. The 90 % interval is that of all exponents
    that an F test does not reject, for independent errors of one size.

    Args:
        n: [m], m >= 4 sizes of training sets of real examples.
        loss: [m], held-out losses, in nats per example (bits times log 2).
        at: n_r of the plan.

    Returns:
        d and the ends of its interval.

    Example:
        >>> from madlib import planning
        >>> n = [100, 200, 400, 800, 1600]
        >>> loss = [3 + 10 * 13 / 4 / m for m in n]
        >>> [round(d, 6) for d in planning.learning_curve_dimension(n, loss, at=1000)]
        [10.0, 10.0, 10.0]
    """
    fine = n.ndim == 1 and n.shape == loss.shape and len(np.unique(n)) >= 4
    shapes = f"shapes {n.shape} and {loss.shape}"
    require(fine, "n and loss must both be [m], of 4 different n or more", shapes, "Measure more.")
    rest = len(n) - 3
    student = special.stdtrit(rest, 0.95)
    found = []
    for beta in np.linspace(0.05, 2, 391):
        power = (n / at) ** -beta
        slope, error = power - power.mean(), loss - loss.mean()
        excess = slope @ error / (slope @ slope)
        squares = np.sum((error - excess * slope) ** 2)
        spread = student * np.sqrt(squares / (rest + 1) / (slope @ slope))
        found.append((squares, excess, excess - spread, excess + spread))
    squares, *excess = np.transpose(found)
    best = int(np.argmin(squares))
    falls = excess[0][best] > 0
    require(falls, "held-out loss must fall as n grows", loss, "Use more replicates or sizes.")
    rounding = 1e-24 * np.sum(loss**2)
    kept = squares <= squares[best] * (1 + student**2 / rest) + rounding
    ends = excess[0][best], excess[1][kept].min(), excess[2][kept].max()
    d, low, high = ((np.sqrt(9 + 16 * at * max(end, 0.0)) - 3) / 2 for end in ends)
    return max(float(d), 1.0), max(float(low), 1.0), max(float(high), 1.0)
