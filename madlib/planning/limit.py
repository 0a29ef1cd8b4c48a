"""Loops run for as long as theory says that they take to settle."""

import math
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from madlib import theory
from madlib.errors import Count, OpenShares, Positive, Rule, Shares, checked, require
from madlib.generators import Gaussian
from madlib.metrics import wasserstein2_squared
from madlib.regimes import FreshData
from madlib.simulate import simulate
from madlib.targets import standard_normal
from madlib.theory.arguments import AnyRegime, Length, Sizes, broadcast

# Every distinct number of generations is compiled once, so grid points share a few.
LENGTHS = (10, 50, 240, 1000)
BATCH_SIZE = 64
Several = Annotated[int, Rule(2, 10**5, whole=True)]


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
    sizes, structure = jax.tree.flatten(regime)
    *sizes, n_ini, lam = broadcast(*sizes, n_ini, lam)
    length = _lengths(generator, regime, n_ini, lam, tolerance)
    regime = jax.tree.unflatten(structure, [size.ravel() for size in sizes])
    grid = {"n_ini": n_ini.ravel(), "lam": lam.ravel()}
    settings = {"n_replicates": n_replicates, "record": record}
    rows = _last_rows((key, generator, regime, target), length.ravel(), grid, settings)
    shape = (*length.shape, n_replicates)
    return Limit(length, {name: value.reshape(shape) for name, value in rows.items()})


@checked
def simulate_worth(
    key: Any,
    generator: Any,
    regime: AnyRegime,
    target: Any,
    *,
    n_ini: Sizes,
    n_replicates: Several,
    lam: Shares = 1,
    tolerance: Positive = 0.01,
    n_generations: Several | None = None,
) -> NDArray[np.float64]:
    """Simulates n_e/n_r of a grid of fresh-data loops, each beside its real data alone.

    The distance of a loop is compared with that of a model fitted to the n_r real samples of its
    last generation alone: what the two have in common cancels, and little synthetic data can be
    told from none. Both distances are read as numbers of samples by `theory.effective_sample_size`.

    Args:
        regime: FreshData, of at least 2 real samples, sizes [...].
        key, generator, target, n_ini, n_replicates, lam, tolerance: as in `simulate_to_limit`.
        n_generations: at least 2, of which the last is looked at; by default in the limit.

    Returns:
        [*grid, n_replicates], of which the mean estimates n_e/n_r, and the standard error of the
        mean is that of the estimate (jackknife: Quenouille 1956, Tukey 1958).

    Raises:
        ParameterError: for another regime, and as `simulate_to_limit` does.

    Example:
        >>> import jax
        >>> from madlib import FreshData, Gaussian, planning, targets
        >>> worth = planning.simulate_worth(
        ...     jax.random.key(0), Gaussian(1), FreshData(n_r=100, n_s=[0, 100]),
        ...     targets.standard_normal(1), n_ini=100, n_replicates=16, tolerance=0.1)
        >>> worth.shape, float(worth.mean(-1)[0])
        ((2, 16), 1.0)
    """
    require(isinstance(regime, FreshData), "regime must be FreshData", repr(regime))
    n_r, n_s, n_ini, lam = broadcast(regime.n_r, regime.n_s, n_ini, lam)
    length = np.full(n_r.shape, n_generations)
    if n_generations is None:
        length = _lengths(generator, regime, n_ini, lam, tolerance)
    # Real data alone: one cell for all loops with its n_r and its number of generations.
    pairs, alone = np.unique([n_r.ravel(), length.ravel()], axis=1, return_inverse=True)
    cells = np.stack([n_r.ravel(), n_s.ravel(), n_ini.ravel(), lam.ravel(), length.ravel()])
    real = [pairs[0], 0 * pairs[0], np.full(pairs.shape[1], n_ini.flat[0]), 0 * pairs[0] + 1]
    n_r, n_s, n_ini, lam, lengths = np.concatenate([cells, [*real, pairs[1]]], axis=1)
    parts, grid = (key, generator, FreshData(n_r, n_s), target), {"n_ini": n_ini, "lam": lam}
    settings = {"n_replicates": n_replicates, "record": (wasserstein2_squared,)}
    distance = _last_rows(parts, lengths.astype(int), grid, settings)["wasserstein2_squared"]
    split = length.size
    both = np.stack([distance[:split], distance[split:][alone.ravel()]]).astype(float)
    left_out = (both.sum(-1, keepdims=True) - both) / (n_replicates - 1)
    means = np.concatenate([both.mean(-1, keepdims=True), left_out], axis=-1)
    n_e = np.asarray(theory.effective_sample_size(means, generator.dim))
    ratio = n_e[0] / n_e[1]
    values = n_replicates * ratio[:, :1] - (n_replicates - 1) * ratio[:, 1:]
    return values.reshape(*length.shape, n_replicates)


@checked
def simulate_border(
    key: Any, n_r: Sizes, *, dim: Count, lam: OpenShares, n_replicates: Several
) -> NDArray[np.float64]:
    """Measures the border of harm: the n_s beyond which n_e/n_r falls below 1, fresh data.

    `simulate_worth` at `theory.admissible_n_s` and at a factor of sqrt 2 to both sides, and linear
    interpolation in n_s.

    Args:
        n_r: [...], fresh real samples, from about 2 dim on.
        dim: d, of the Gaussian.
        lam: [...], sampling bias.
        key, n_replicates: as in `simulate`.

    Returns:
        [*grid, n_replicates], of which the mean estimates the border, as in `simulate_worth`.

    Example:
        >>> import jax
        >>> from madlib import planning
        >>> loop = {"dim": 1, "lam": 0.5, "n_replicates": 9}
        >>> planning.simulate_border(jax.random.key(0), [10, 100], **loop).shape
        (2, 9)
    """
    about = theory.admissible_n_s(n_r, dim=dim, lam=lam)
    n_s = np.round(np.multiply.outer(2.0 ** np.array([-0.5, 0, 0.5]), about))
    generator, regime = Gaussian(dim), FreshData(n_r, n_s)
    grid = {"n_ini": 10 * dim, "lam": lam}
    lengths = _lengths(generator, regime, **grid, tolerance=0.01)
    fewer, at, more = simulate_worth(
        key,
        generator,
        regime,
        standard_normal(dim),
        **grid,
        n_replicates=n_replicates,
        n_generations=int(lengths.max()),  # one program for all
    )
    slope = (more - fewer).mean(-1) / (n_s[2] - n_s[0])
    return n_s[1][..., None] + (1 - at) / slope[..., None]


def _lengths(generator: Any, regime: Any, n_ini: Any, lam: Any, tolerance: float) -> NDArray:
    """[*grid], generations that each loop is run for."""
    exact = isinstance(generator, Gaussian) and generator.exact
    settle = "Run simulate until its metrics settle."
    require(exact, "generator must be an exact Gaussian", repr(generator), settle)
    law = {"dim": generator.dim, "n_ini": n_ini, "lam": lam, "tolerance": tolerance}
    needed = generations_to_limit(regime, **law)
    return np.array(LENGTHS)[np.searchsorted(LENGTHS, needed)]


def _last_rows(
    parts: tuple, length: NDArray, grid: dict[str, Any], settings: dict[str, Any]
) -> dict[str, NDArray]:
    """The last row of loops of several lengths; axes [n_loops, n_replicates]."""
    key, generator, regime, target = parts
    n_replicates = settings["n_replicates"]
    values: dict[str, NDArray] = {}
    for n in map(int, np.unique(length)):
        here = np.flatnonzero(length == n)
        # Whole batches, filled up by repetition, so that all groups of one length share a program.
        whole = BATCH_SIZE // math.gcd(BATCH_SIZE, n_replicates)
        here = np.resize(here, whole * math.ceil(here.size / whole))
        cells = jax.tree.map(lambda size, here=here: size[here], regime)
        at = {name: value[here] for name, value in grid.items()}
        history = {"n_generations": n, "every": n - 1, "batch_size": BATCH_SIZE}
        rows = simulate(key, generator, cells, target, **at, **history, **settings).record
        for name, value in rows.items():
            last = value[..., -1]
            values.setdefault(name, np.empty((length.size, n_replicates), last.dtype))[here] = last
    return values
