"""Planning with real data: what a loop is worth, and how long to run it to find out.

The effective sample size n_e of a model is the number of real samples of which a single fit would
be as far from the target (Alemohammad et al. 2023, Section 5). `effective_sample_size` reads it off
a measured curve, so it needs no closed form and serves any generator and any distance;
`madlib.theory.effective_sample_size` is its counterpart for Gaussians and W2 squared.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from madlib import theory
from madlib.checks import as_arrays, check_grid
from madlib.generators.gaussian import Gaussian
from madlib.parameters import ParameterError, as_reals, check_counts, is_number, require
from madlib.simulation import simulate

__all__ = ["Limit", "effective_sample_size", "generations_to_limit", "simulate_to_limit"]

# Every distinct number of generations is compiled once, so grid points share a few.
LENGTHS = (10, 50, 240, 1000)
BATCH_SIZE = 64


class Limit(NamedTuple):
    """Where a grid of loops settles.

    Attributes:
        generation: [*grid], when each was looked at.
        record: metric name -> [*grid, n_replicates].
    """

    generation: NDArray[np.int64]
    record: dict[str, NDArray]


def effective_sample_size(
    distance: ArrayLike, n: ArrayLike, real_distance: ArrayLike, *, extrapolate: bool = False
) -> NDArray[np.float64]:
    """The number n_e of real samples of which a single fit is as far from the target as `distance`.

    Interpolates log n linearly in the log of the distance. Where distance ~ 1/n the curve is a
    straight line and the interpolation exact; the relative standard error of n_e is then that of
    the distance.

    Args:
        distance: [...], expected distance of a model to the target, positive.
        n: [m], increasing: sizes of real samples.
        real_distance: [m], strictly decreasing: expected distance of a fit to n real samples.
        extrapolate: whether a distance beyond the curve continues it as distance ~ 1/n, the
            asymptote of W2 squared for n much larger than the dimension; a good guess at the end
            of large n only.

    Returns:
        [...], n_e, not rounded. Source: alemohammad2023, Section 5.

    Raises:
        ParameterError: for a curve that is not as described, or a distance beyond it.
    """
    distance, n, real_distance = map(as_reals, (distance, n, real_distance))
    _check_curve(n, real_distance)
    if not (distance > 0).all():
        raise ParameterError(
            f"distance must be positive; got {_range(distance)}. Average over replicates first."
        )
    far, near = real_distance[0], real_distance[-1]
    if not extrapolate and ((distance > far) | (distance < near)).any():
        where = "smaller" if (distance > far).any() else "larger"
        raise ParameterError(
            f"distance must lie on the curve, between {near:.4g} (n={n[-1]:g}) and {far:.4g} "
            f"(n={n[0]:g}); got {_range(distance)}. Measure the curve at {where} n, or pass "
            "extrapolate=True."
        )
    on_curve = np.clip(distance, near, far)
    log_n = np.interp(np.log(on_curve), np.log(real_distance[::-1]), np.log(n[::-1]))
    return np.exp(log_n) * on_curve / distance


def generations_to_limit(
    regime: Any,
    *,
    dim: int,
    n_ini: ArrayLike,
    lam: ArrayLike = 1.0,
    tolerance: float = 0.01,
    n_generations: int = 2000,
) -> NDArray[np.int64]:
    """The first generation from which E W2^2 of a Gaussian loop stays near its limit.

    Args:
        regime: FreshData or SyntheticAugmentation with real data, sizes [...].
        dim: d.
        n_ini: [...], real samples for generation 1.
        lam: [...], sampling bias.
        tolerance: relative.
        n_generations: where the limit is taken; must be well beyond the answer.

    Returns:
        [...], a generation, counted from 1.

    Raises:
        ParameterError: if the loop has no limit or is not near it after n_generations.
    """
    require(is_number(tolerance) and tolerance > 0, "tolerance must be > 0", tolerance, "Use 0.01.")
    distance = theory.wasserstein2_squared(
        regime, dim=dim, n_ini=n_ini, n_generations=n_generations, lam=lam
    )
    far = np.abs(distance / distance[..., -1:] - 1) > tolerance
    last_far = n_generations - np.argmax(far[..., ::-1], axis=-1)
    needed = np.where(far.any(-1), last_far + 1, 1)
    if (2 * needed > n_generations).any():
        raise ParameterError(
            f"the loop must come within {tolerance:g} of its limit in half of n_generations="
            f"{n_generations}; got {needed.max()}. Increase n_generations, or give the loop real "
            "data."
        )
    return needed


def simulate_to_limit(
    key: Any,
    generator: Any,
    regime: Any,
    target: Any,
    *,
    n_ini: ArrayLike,
    n_replicates: int,
    record: tuple,
    lam: ArrayLike = 1.0,
    tolerance: float = 0.01,
) -> Limit:
    """Simulates a grid of exact Gaussian loops, each for as long as theory says it needs to settle.

    Grid points with similar `generations_to_limit` share one call of `simulate`, of which the last
    row is kept.

    Args:
        generator: a Gaussian; other loops have no theory that says how long they need.
        key, regime, target, n_ini, n_replicates, record, lam: as in `simulate`; arrays
            broadcast to the grid.
        tolerance: relative distance of E W2^2 from its limit.

    Returns:
        The limit of each grid point.

    Raises:
        ParameterError: for another generator, and as `generations_to_limit` and `simulate` do.
    """
    require(
        isinstance(generator, Gaussian) and generator.exact,
        "generator must be an exact Gaussian",
        repr(generator),
        "Run simulate until its metrics settle.",
    )
    check_counts(n_replicates=n_replicates)
    regime, n_ini, lam = map(as_arrays, (regime, n_ini, lam))
    sizes, structure = jax.tree.flatten(regime)
    check_grid(*map(np.shape, (*sizes, n_ini, lam)))
    *sizes, n_ini, lam = np.broadcast_arrays(*sizes, n_ini, lam)
    needed = generations_to_limit(
        regime, dim=generator.dim, n_ini=n_ini, lam=lam, tolerance=tolerance
    )
    length = np.array(LENGTHS)[np.searchsorted(LENGTHS, needed)]
    values = {}
    for n_generations in np.unique(length):
        here = np.flatnonzero(length == n_generations)
        # Whole batches, filled up by repetition, so that all groups of one length share a program.
        whole = BATCH_SIZE // math.gcd(BATCH_SIZE, n_replicates)
        here = np.resize(here, whole * math.ceil(here.size / whole))
        trajectory = simulate(
            key,
            generator,
            jax.tree.unflatten(structure, [size.flat[here] for size in sizes]),
            target,
            n_ini=n_ini.flat[here],
            n_generations=int(n_generations),
            n_replicates=n_replicates,
            lam=lam.flat[here],
            record=record,
            every=int(n_generations) - 1,
            batch_size=BATCH_SIZE,
        )
        for name, value in trajectory.record.items():
            last = value[..., -1]
            values.setdefault(name, np.empty((length.size, n_replicates), last.dtype))[here] = last
    shape = (*length.shape, n_replicates)
    return Limit(length, {name: value.reshape(shape) for name, value in values.items()})


def _check_curve(n: NDArray, real_distance: NDArray) -> None:
    if n.ndim != 1 or n.shape != real_distance.shape or n.size < 2:
        raise ParameterError(
            f"n and real_distance must both be [m] with m >= 2; got shapes {n.shape} and "
            f"{real_distance.shape}. Average the replicates of each n."
        )
    positive = (real_distance > 0).all() and n[0] > 0
    if not (positive and (np.diff(n) > 0).all() and (np.diff(real_distance) < 0).all()):
        raise ParameterError(
            "n must increase and real_distance strictly decrease, all positive; got a curve that "
            "does not. Use more replicates, or sizes further apart."
        )


def _range(values: NDArray) -> str:
    return f"{values:.4g}" if values.ndim == 0 else f"{values.min():.4g} to {values.max():.4g}"
