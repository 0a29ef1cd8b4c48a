"""Many replicates of the loop: check, plan, run, gather."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from tqdm import tqdm

from madlib.batches import Plan, make_plan
from madlib.checks import (
    check_finite,
    check_loop,
    check_memory,
    check_memory_kept,
    check_randomness,
    check_reduced,
    check_row,
    grid_of,
    guilty,
)
from madlib.errors import Count, Diverged, Natural, Unavailable, checked
from madlib.loop import Loop, first, later, training_set
from madlib.trajectory import Trajectory


@checked
def simulate(
    key: Any,
    generator: Any,
    regime: Any,
    target: Any,
    *,
    n_ini: Any,
    n_generations: Count,
    n_replicates: Count,
    lam: Any = 1.0,
    record: Any = (),
    every: Count = 1,
    reduce: Any = None,
    batch_size: Count | None = None,
    first_replicate: Natural = 0,
) -> Trajectory:
    r"""Independent replicates of `run_loop`, jitted, on all devices.

    Compiled once per generator, regime type, n_generations, every and record; new values of lam, of
    the target's parameters, of the key and (where draws are exact) of the numbers in the regime
    compile nothing. Those values may also be arrays or lists: they broadcast against each other,
    and the axes of that grid lead the result, so that a phase diagram is one call. Replicate i uses
    `fold_in(key, i)` at every grid point: each equals its own separate run. On a CPU results are
    the same to the last bit whatever the batches, the blocks of replicates and the number of
    devices, of which madlib asks JAX for two at least: XLA rounds some programs for a single device
    differently. Single precision, whatever `jax_enable_x64` says.

    Args:
        key, generator, regime, target, n_ini, n_generations, lam, record, every: as in `run_loop`.
        n_replicates: independent repetitions.
        reduce: `reduce(values, axis=-2)` collapses the replicates of each (scalar) metric, a span
            of generations at a time, so that a million replicates fit in memory; for instance
            `np.median`, or `functools.partial(np.quantile, q=[0.05, 0.5, 0.95])`. Parameters are
            not kept.
        batch_size: replicates times grid points per compiled call, about; by default what fits.
        first_replicate: number of the first one; blocks of replicates add up to the whole.

    Returns:
        Trajectory of NumPy arrays, axes [*grid, n_replicates, n_rows] leading; reduced, that axis
        is gone.

    Raises:
        ParameterError: for anything that cannot be simulated, before any computation.
        Diverged: for a model that is no longer finite, after the batch in which it was found.
    """
    loop = Loop(generator, regime, target, n_ini, n_generations, lam, record)
    with jax.enable_x64(False):
        loop, varies = check_loop(loop, key, every, reduce)
        varying, constant = eqx.partition(loop, varies)
        with _naming_the_guilty(key, loop):
            row, work = _shapes(key, varying, constant)
            row = row if reduce is None else (None, row[1])
            check_row(row[1], reduce)
            plan = make_plan(
                grid_of(varying),
                first_replicate=first_replicate,
                n_replicates=n_replicates,
                n_generations=n_generations,
                every=every,
                row_bytes=_n_bytes(row),
                work_bytes=_n_bytes(work),
                sequential=generator.sequential,
                reduced=reduce is not None,
                batch_size=batch_size,
                n_devices=jax.local_device_count(),
                on_cpu=jax.default_backend() == "cpu",
            )
            check_memory(plan.bytes_held)
            return _gather(plan, reduce, _run(plan, key, varying, constant, reduce is None))


@contextlib.contextmanager
def _naming_the_guilty(key: Any, loop: Loop) -> Iterator[None]:
    """What JAX says of a reader's own part, in one line that names it."""
    try:
        yield
    except (Diverged, Unavailable):
        raise
    except Exception as error:
        if (named := guilty(key, loop)) is not None:
            raise named from error
        raise


def _run(
    plan: Plan, key: Any, varying: Any, constant: Loop, keep_params: bool
) -> Iterator[Iterator[Any]]:
    """Of each batch, its rows on the host: generation 1, then span after span."""
    spans = [jnp.asarray(span) for span in plan.spans]
    bar = tqdm(
        total=len(plan.starts) * (1 + len(spans)),
        desc=type(constant.regime).__name__,
        delay=5,
        # Here tqdm would not look for its variable itself. None: no bar where there is no terminal.
        disable="TQDM_DISABLE" in os.environ or (None if "ipykernel" not in sys.modules else False),
        leave=False,
    )

    def stream(start: int) -> Iterator[Any]:
        replicate, cells = plan.items(start, varying)
        settings = constant, plan.in_turn, keep_params

        def kept(state: Any, rows: Any) -> Any:
            n_used = min(plan.batch_size, plan.n_items - start)
            diverged, rows = jax.tree.map(
                lambda leaf: np.asarray(leaf)[:n_used], (state.diverged, rows)
            )
            check_finite(diverged, constant.generator)
            bar.update()
            return rows

        # Generation 1 depends on neither: one program for all regimes and lengths.
        alone = cells._replace(regime=None), constant._replace(regime=None, n_generations=1)
        state, rows = _first_batch(key, replicate, *alone, *settings[1:])
        yield kept(state, rows)
        if spans:
            state = _remember_batch(state, cells, *settings[:2])
        for span in spans:
            state, rows = _later_batch(state, cells, span, *settings)
            yield kept(state, rows)

    with bar:
        yield from map(stream, plan.starts)


def _gather(plan: Plan, reduce: Any, streams: Iterator[Iterator[Any]]) -> Trajectory:
    """The rows of all batches side by side, or what is left of them when reduced."""

    def unravel(leaf: np.ndarray) -> np.ndarray:
        return leaf.reshape(*plan.grid, plan.n_replicates, *leaf.shape[1:])

    generation = np.arange(1, plan.n_generations + 1, plan.every)
    if reduce is None:
        rows = _join((_join(stream, 1) for stream in streams), 0)
        return Trajectory(generation, *jax.tree.map(unravel, rows))
    if len(plan.spans) == 1:  # all rows fit: finish each batch before the next one begins.
        streams = (iter([_join(stream, 1)]) for stream in streams)
    reduced = []
    for pieces in zip(*streams, strict=True):
        values = jax.tree.map(unravel, _join(pieces, 0)[1])
        reduced.append({name: np.asarray(reduce(v, axis=-2)) for name, v in values.items()})
        check_reduced(values, reduced[-1])
    return Trajectory(generation, None, _join(reduced, -1))


# Traced once, not for the shapes of every call; the first generation for every batch, too.
_first, _training_set = eqx.filter_jit(first), eqx.filter_jit(training_set)


@eqx.filter_jit
def _first_batch(key, replicate, cells, constant, in_turn, keep_params):
    def one(replicate, cell):
        state, row = _first(jax.random.fold_in(key, replicate), eqx.combine(cell, constant))
        row = jax.tree.map(lambda leaf: leaf[None], row)
        return state, row if keep_params else (None, row[1])

    return _map_over_devices(one, in_turn, replicate, cells)


@eqx.filter_jit
def _remember_batch(state, cells, constant, in_turn):
    def one(state, cell):
        regime = eqx.combine(cell, constant).regime
        return state._replace(memory=regime.init(state.memory, constant.n_generations))

    return _map_over_devices(one, in_turn, state, cells)


@eqx.filter_jit
def _later_batch(state, cells, generations, constant, in_turn, keep_params):
    def one(state, cell):
        state, rows = later(state, eqx.combine(cell, constant), generations)
        return state, rows if keep_params else (None, rows[1])

    return _map_over_devices(one, in_turn, state, cells)


def _map_over_devices(function: Callable, in_turn: bool, *batched: Any) -> Any:
    """function(*batched) over their leading axis, each device taking its share of it."""

    def one_after_the_other(*items: Any) -> Any:
        if jax.tree.leaves(items)[0].shape[0] > 1:
            return jax.lax.map(lambda item: function(*item), items)
        # Without an axis of length 1, XLA computes nothing twice in another layout.
        only = function(*jax.tree.map(lambda leaf: leaf[0], items))
        return jax.tree.map(lambda leaf: leaf[None], only)

    mapped = one_after_the_other if in_turn else jax.vmap(function)
    mesh, spec = Mesh(jax.local_devices(), ("replicates",)), PartitionSpec("replicates")
    return jax.shard_map(mapped, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)(
        *batched
    )


def _shapes(key: Any, varying: Any, constant: Loop) -> tuple[Any, Any]:
    """A row of one item, and the work on it: model, memory and training set. Never computed."""
    cell = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((), jnp.float32), varying)

    def second_generation(cell: Any) -> Any:
        loop, alone = eqx.combine(cell, constant), constant._replace(regime=None)
        state, row = _first(key, eqx.combine(cell._replace(regime=None), alone))
        state = state._replace(memory=loop.regime.init(state.memory, loop.n_generations))
        data, memory = _training_set(key, state, loop, jnp.asarray(2))
        return row, (state.params, memory, data), state.memory

    row, work, memory = eqx.filter_eval_shape(second_generation, cell)
    check_memory_kept(constant, memory, work[1])
    check_randomness(key, constant, work[0])
    return row, work


def _n_bytes(tree: Any) -> int:
    return 4 + sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _join(trees: Any, axis: int) -> Any:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis), *trees)
