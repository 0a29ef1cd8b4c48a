"""Many replicates of the loop: vmapped, sharded over devices, in bounded memory."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Key
from tqdm import tqdm

from madlib.checks import (
    as_arrays,
    check_finite,
    check_grid,
    check_kinds,
    check_memory,
    check_reduced,
    check_rows,
    check_simulation,
    check_sizes,
)
from madlib.generators import Generator
from madlib.loop import Metric, Trajectory, advance, begin, draws, learned_from
from madlib.parameters import check_counts, require
from madlib.regimes import Regime
from madlib.targets import Target

MEMORY_BUDGET = 2**29  # bytes that the rows of one batch, or of one span of generations, may take.
CACHE_BUDGET = 2**22  # bytes that the replicates of one batch may work on: about a cache, measured.
# On a CPU, replicates that work on fewer bytes are computed side by side, in whole vectors of 16
# lanes, and others in turn: a network fills a core and its cache, and EM ends when it is done. So
# a replicate goes through the same program, and comes out the same, whatever is in its batch.
SIDE_BY_SIDE, N_LANES = 2**14, 16


def simulate(
    key: Key[Array, ""],
    generator: Generator,
    regime: Regime,
    target: Target,
    *,
    n_ini: Any,
    n_generations: int,
    n_replicates: int,
    lam: Any = 1.0,
    record: tuple[Metric, ...] = (),
    every: int = 1,
    reduce: Callable[..., np.ndarray] | None = None,
    batch_size: int | None = None,
) -> Trajectory:
    r"""Independent replicates of `run_loop`, jitted, on all devices.

    Compiled once per generator, regime type, n_generations, every and record; new values of lam, of
    the target's parameters, of the key and (where draws are exact) of the sizes compile nothing.
    Those values may also be arrays or lists: lam, n_ini and exact sizes broadcast against each
    other, and the axes of that grid lead the result, so that a phase diagram is one call. Replicate
    i uses `fold_in(key, i)` at every grid point, whatever the batches and devices: each grid point
    equals its own separate run. On a CPU results are the same to the last bit whatever the batch
    size and the number of devices, of which madlib asks JAX for two at least: XLA rounds some
    programs for a single device differently.

    Args:
        key, generator, regime, target, n_ini, n_generations, lam, record, every: as in `run_loop`.
        n_replicates: independent repetitions.
        reduce: `reduce(values, axis=-2)` collapses the replicates of each (scalar) metric, a span
            of generations at a time, so that a million replicates fit in memory; for instance
            `np.median`, or `functools.partial(np.quantile, q=[0.05, 0.5, 0.95])`. Parameters are
            not kept.
        batch_size: replicates times grid points per compiled call, about; by default what fits
            `MEMORY_BUDGET` and, on a CPU, `CACHE_BUDGET`, or one network per core.

    Returns:
        Trajectory of NumPy arrays, axes [*grid, n_replicates, n_rows] leading; reduced, that axis
        is gone.

    Raises:
        ParameterError: for anything that cannot be simulated, before any computation; and for a
            network whose training diverged, after the batch in which it did.
    """
    record = tuple(record) if isinstance(record, list | tuple) else (record,)
    check_kinds(key, generator, regime, target)
    regime, n_ini, lam = map(as_arrays, (regime, n_ini, lam))
    check_simulation(key, generator, target, lam, record, reduce)
    check_counts(n_generations=n_generations, n_replicates=n_replicates, every=every)
    check_counts(batch_size=1 if batch_size is None else batch_size)
    require(
        (n_generations - 1) % every == 0,
        "every must divide n_generations - 1",
        f"{every} and {n_generations}",
        f"Use n_generations={1 + every * math.ceil((n_generations - 1) / every)}.",
    )
    exact_sizes = check_sizes(generator, regime, target, n_ini)
    settings = {"regime": regime, "n_ini": n_ini, "lam": lam}
    varying = settings if exact_sizes else {"lam": lam}
    grid = check_grid(*(np.shape(leaf) for leaf in jax.tree.leaves(varying)))
    n_items = math.prod(grid) * n_replicates
    learned = *learned_from(generator, regime, target), record, reduce is None

    def items(start: int, stop: int, size: int) -> tuple[Array, Any]:
        """Replicate and settings of items start to stop, padded to size by repeating the last."""
        item = np.minimum(np.arange(start, start + size), stop - 1)

        def pick(leaf: Any) -> Array:
            leaf = np.broadcast_to(leaf, grid).ravel()[item // n_replicates]
            return jnp.asarray(leaf, jnp.float32)

        return jnp.asarray(item % n_replicates, jnp.uint32), settings | jax.tree.map(pick, varying)

    spans = np.arange(2, n_generations + 1).reshape(-1, every)
    row, work = _shapes(key, items(0, 1, 1)[1], n_generations, *learned)
    check_rows(row[1], reduce)
    row_bytes, work_bytes = _n_bytes(row), _n_bytes(work)
    n_devices, on_cpu = jax.local_device_count(), jax.default_backend() == "cpu"
    trained = hasattr(generator, "training")
    in_turn = on_cpu and (trained or work_bytes > SIDE_BY_SIDE)
    plan = (in_turn, *learned)
    if batch_size is None:
        n_rows_kept = 1 + len(spans) if reduce is None else 1
        batch_size = MEMORY_BUDGET // max(row_bytes * n_rows_kept, work_bytes)
        if on_cpu:
            batch_size = min(batch_size, n_devices if trained else CACHE_BUDGET // work_bytes)
    n_batches = math.ceil(n_items / max(batch_size, 1))
    lanes = n_devices * (N_LANES if on_cpu and not in_turn else 1)
    batch_size = lanes * math.ceil(n_items / n_batches / lanes)
    span = max(1, len(spans) if reduce is None else MEMORY_BUDGET // (row_bytes * n_items))
    check_memory(row_bytes * n_items * (1 + min(span, len(spans))))
    spans = [jnp.asarray(spans[i : i + span]) for i in range(0, len(spans), span)]
    starts = range(0, n_items, batch_size)
    progress = tqdm(
        total=len(starts) * (1 + len(spans)),
        desc=type(regime).__name__,
        delay=5,
        disable=None,
        leave=False,
    )

    def stream(start: int) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
        """The rows of one batch on the host: generation 1, then span after span."""
        stop = min(start + batch_size, n_items)
        replicate, cells = items(start, stop, batch_size)
        first = {name: cells[name] for name in ("n_ini", "lam")}

        def kept(rows: Any, failure: Array, generation: int) -> Any:
            *checked, rows = jax.tree.map(
                lambda leaf: np.asarray(leaf)[: stop - start], (failure, state.params, rows)
            )
            check_finite(*checked, generation)
            progress.update()
            return rows

        state, rows, failure = _begin_batch(key, replicate, first, *plan)
        yield kept(rows, failure, 1)
        if spans:
            state = _remember_batch(state, cells, n_generations, in_turn)
        for span in spans:
            state, rows, failure = _advance_batch(state, cells, span, *plan)
            yield kept(rows, failure, int(span[-1, -1]))

    def unravel(leaf: np.ndarray) -> np.ndarray:
        return leaf.reshape(*grid, n_replicates, *leaf.shape[1:])

    with progress:
        if reduce is None:
            params, values = jax.tree.map(unravel, _join((_join(stream(i), 1) for i in starts), 0))
        else:
            params, reduced = None, []
            streams = map(stream, starts)
            if len(spans) == 1:  # all rows fit: finish each batch before the next one begins.
                streams = ([_join(rows, 1)] for rows in streams)
            for pieces in zip(*streams, strict=True):
                values = jax.tree.map(unravel, _join(pieces, 0)[1])
                reduced.append(
                    {name: np.asarray(reduce(value, axis=-2)) for name, value in values.items()}
                )
                check_reduced(values, reduced[-1])
            values = _join(reduced, -1)
    return Trajectory(np.arange(1, n_generations + 1, every), params, values)


_begin = eqx.filter_jit(begin)  # traced once, for its shapes and for every batch.


@eqx.filter_jit
def _begin_batch(key, replicate, cells, in_turn, generator, target, record, keep_params):
    def one(cell, replicate):
        key_of_it = jax.random.fold_in(key, replicate)
        state, (params, values, failure) = _begin(
            key_of_it, generator, target, cell["n_ini"], cell["lam"], record
        )
        rows = jax.tree.map(lambda leaf: leaf[None], (params if keep_params else None, values))
        return state, rows, failure

    return _map_over_devices(one, cells, replicate, in_turn)


@eqx.filter_jit
def _remember_batch(state, cells, n_generations, in_turn):
    def one(cell, state):
        return state._replace(memory=cell["regime"].init(state.memory, n_generations))

    return _map_over_devices(one, cells, state, in_turn)


@eqx.filter_jit
def _advance_batch(state, cells, generations, in_turn, generator, target, record, keep_params):
    def one(cell, state):
        state, (params, values, failure) = advance(
            state, generations, generator, cell["regime"], target, cell["lam"], record
        )
        return state, (params if keep_params else None, values), failure[-1]

    return _map_over_devices(one, cells, state, in_turn)


def _map_over_devices(function: Callable, cells: Any, batched: Any, in_turn: bool) -> Any:
    """function(cell, batched) over their leading axis, each device taking its share of it."""
    traced, static = eqx.partition(cells, eqx.is_array)

    def one(traced: Any, batched: Any) -> Any:
        return function(eqx.combine(traced, static), batched)

    def one_after_the_other(*items: Any) -> Any:
        first = jax.tree.map(lambda leaf: leaf[0], items)
        if jax.tree.leaves(items)[0].shape[0] > 1:
            return jax.lax.map(lambda item: one(*item), items)
        # Without an axis of length 1, XLA computes nothing twice in another layout.
        return jax.tree.map(lambda leaf: leaf[None], one(*first))

    mapped = one_after_the_other if in_turn else jax.vmap(one)
    mesh, spec = Mesh(jax.local_devices(), ("replicates",)), PartitionSpec("replicates")
    return jax.shard_map(mapped, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)(
        traced, batched
    )


def _shapes(key, cells, n_generations, *plan) -> tuple[Any, Any]:
    """What a row of one item and the work on it look like: `_held`, traced and never computed."""
    cell = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((), leaf.dtype) if eqx.is_array(leaf) else leaf, cells
    )
    return eqx.filter_eval_shape(_held, key, cell, n_generations, *plan)


def _n_bytes(tree: Any) -> int:
    return 4 + sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


@eqx.filter_jit
def _held(key, cell, n_generations, generator, target, record, keep_params):
    """A row of results, and the model, memory and training set behind the next row."""
    state, (params, values, _) = _begin(key, generator, target, cell["n_ini"], cell["lam"], record)
    memory = cell["regime"].init(state.memory, n_generations)
    verbs = draws(generator, target, state.params, cell["lam"])
    data, memory = cell["regime"].training_set(key, memory, *verbs)
    return (params if keep_params else None, values), (state.params, memory, data)


def _join(trees: Any, axis: int) -> Any:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis), *trees)
