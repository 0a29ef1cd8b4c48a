"""Loops run for as long as theory says that they take to settle."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from madlib import theory
from madlib.errors import Count, Positive, Shares, checked, require
from madlib.generators import Gaussian
from madlib.simulate import simulate
from madlib.theory.arguments import AnyRegime, Length, Sizes, broadcast

# Every distinct number of generations is compiled once, so grid points share a few.
LENGTHS = (10, 50, 240, 1000)
BATCH_SIZE = 64


class Limit(NamedTuple):
    """Where a grid of loops settles.

    Attributes:
        generation: [*grid], when each was looked at.
        record: metric name -> [*grid, n_replicates].

    Example:
        >>> from madlib import planning
        >>> planning.Limit(generation=50, record={}).generation
        50
    """

    generation: Any
    record: dict[str, Any]


@checked
def generations_to_limit(
    regime: AnyRegime,
    *,
    dim: Sizes,
    n_ini: Sizes,
    lam: Shares = 1,
    tolerance: Positive = 0.01,
    n_generations: Length = 2000,
) -> NDArray[np.int64] | np.int64:
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

    Example:
        >>> from madlib import FreshData, planning
        >>> int(planning.generations_to_limit(FreshData(n_r=10, n_s=90), dim=1, n_ini=10))
        20
    """
    settings = {"dim": dim, "n_ini": n_ini, "n_generations": n_generations, "lam": lam}
    distance = theory.wasserstein2_squared(regime, **settings)
    far = np.abs(distance / distance[..., -1:] - 1) > tolerance
    last_far = n_generations - np.argmax(far[..., ::-1], axis=-1)
    needed = np.where(far.any(-1), last_far + 1, 1)
    required = f"the loop must come within {tolerance:g} of its limit in {n_generations // 2} steps"
    remedy = "Increase n_generations, or give the loop real data."
    require((2 * needed <= n_generations).all(), required, needed.max(), remedy)
    return needed


@checked
def simulate_to_limit(
    key: Any,
    generator: Any,
    regime: AnyRegime,
    target: Any,
    *,
    n_ini: Sizes,
    n_replicates: Count,
    record: tuple,
    lam: Shares = 1,
    tolerance: Positive = 0.01,
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

    Example:
        >>> import jax
        >>> from madlib import FreshData, Gaussian, metrics, planning, targets
        >>> limit = planning.simulate_to_limit(
        ...     jax.random.key(0), Gaussian(1), FreshData(n_r=[10, 20], n_s=10),
        ...     targets.standard_normal(1), n_ini=10, n_replicates=16,
        ...     record=(metrics.wasserstein2_squared,), tolerance=0.1)
        >>> limit.record["wasserstein2_squared"].shape
        (2, 16)
    """
    exact = isinstance(generator, Gaussian) and generator.exact
    settle = "Run simulate until its metrics settle."
    require(exact, "generator must be an exact Gaussian", repr(generator), settle)
    sizes, structure = jax.tree.flatten(regime)
    *sizes, n_ini, lam = broadcast(*sizes, n_ini, lam)
    law = {"dim": generator.dim, "n_ini": n_ini, "lam": lam, "tolerance": tolerance}
    needed = generations_to_limit(regime, **law)
    length = np.array(LENGTHS)[np.searchsorted(LENGTHS, needed)]
    common = {"n_replicates": n_replicates, "record": record, "batch_size": BATCH_SIZE}
    values: dict[str, NDArray] = {}
    for n in map(int, np.unique(length)):
        here = np.flatnonzero(length == n)
        # Whole batches, filled up by repetition, so that all groups of one length share a program.
        whole = BATCH_SIZE // math.gcd(BATCH_SIZE, n_replicates)
        here = np.resize(here, whole * math.ceil(here.size / whole))
        cells = jax.tree.unflatten(structure, [size.flat[here] for size in sizes])
        grid = {"n_ini": n_ini.flat[here], "lam": lam.flat[here]}
        parts = key, generator, cells, target
        rows = simulate(*parts, n_generations=n, every=n - 1, **grid, **common).record
        for name, value in rows.items():
            last = value[..., -1]
            values.setdefault(name, np.empty((length.size, n_replicates), last.dtype))[here] = last
    shape = (*length.shape, n_replicates)
    return Limit(length, {name: value.reshape(shape) for name, value in values.items()})
