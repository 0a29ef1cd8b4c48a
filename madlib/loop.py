"""The loop, and the only one: for every generator, every regime, every dataset."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from madlib.errors import require
from madlib.protocols import Generator, Metric, Model, Regime, Target, Turn
from madlib.trajectory import Trajectory


class Loop(NamedTuple):
    """The arguments of `run_loop`: what does not change from generation to generation."""

    generator: Generator
    regime: Regime
    target: Target
    n_ini: Any
    n_generations: int
    lam: Any
    record: tuple[Metric, ...]


class State(NamedTuple):
    """A replicate between two generations; `diverged` is the first t not finite, or 0."""

    key: Key[Array, ""]
    params: Any
    memory: Any
    diverged: Int[Array, ""]


def run_loop(
    key: Key[Array, ""],
    generator: Generator,
    regime: Regime,
    target: Target,
    *,
    n_ini: Any,
    n_generations: int,
    lam: Any = 1.0,
    record: tuple[Metric, ...] = (),
    every: int = 1,
) -> Trajectory:
    r"""One replicate of the loop: pure, for `jax.jit`; `madlib.simulate` takes its steps for many.

    Args:
        key, generator, regime, target: who draws, fits, mixes, and is real.
        n_ini: real samples for generation 1, which sees nothing else.
        n_generations: counting generation 1.
        lam: sampling bias, $\lambda$ in [0, 1].
        record: metrics `metric(model, target)` of each row.
        every: rows are generations 1, 1 + every, 1 + 2 every, ...

    Returns:
        Trajectory with leading axis [n_rows].
    """
    loop = Loop(*matched(generator, regime, target), n_ini, n_generations, lam, tuple(record))
    state, row = first(key, loop)
    state = state._replace(memory=loop.regime.init(state.memory, n_generations))
    _, rows = later(state, loop, jnp.arange(2, n_generations + 1).reshape(-1, every))
    params, values = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), row, rows)
    return Trajectory(jnp.arange(1, n_generations + 1, every), params, values)


def matched(generator: Generator, regime: Regime, target: Target) -> tuple[Any, Regime, Target]:
    """The parts, drawing points where statistics would not do for this generator and regime."""
    if generator.exact and not regime.needs_points:
        return generator, regime, target
    family = target.family.pointwise()
    return generator.pointwise(), regime, dataclasses.replace(target, family=family)


def first(key: Key[Array, ""], loop: Loop) -> tuple[State, Any]:
    """Generation 1 and its row; the real samples are left in `memory`. Does not use the regime."""
    k_real, k_fit, k_loop = jax.random.split(key, 3)
    real = draw_real(loop, k_loop, 1, k_real, loop.n_ini)
    params = loop.generator.fit(k_fit, loop.generator.summarize(real))
    state = State(k_loop, params, real, first_failure(jnp.zeros((), int), 1, params))
    return state, row_of(jax.random.fold_in(key, 3), params, loop)


def later(state: State, loop: Loop, generations: Int[Array, "n_rows every"]) -> tuple[State, Any]:
    """Scans over generations and returns a row for each row of them."""

    def next_generation(state: State, t: Int[Array, ""]) -> tuple[State, None]:
        k_data, k_fit = jax.random.split(jax.random.fold_in(state.key, t))
        data, memory = training_set(k_data, state, loop, t)
        params = loop.generator.fit(k_fit, loop.generator.summarize(data))
        return State(state.key, params, memory, first_failure(state.diverged, t, params)), None

    def next_row(state: State, ts: Int[Array, " every"]) -> tuple[State, Any]:
        state, _ = jax.lax.scan(next_generation, state, ts)
        k_row = jax.random.fold_in(jax.random.fold_in(state.key, ts[-1]), 2)
        return state, row_of(k_row, state.params, loop)

    return jax.lax.scan(next_row, state, generations)


def training_set(key: Key[Array, ""], state: State, loop: Loop, t: Any) -> tuple[Any, Any]:
    """What the model of generation t learns from, and the regime's memory after it."""
    model = Model(loop.generator, state.params, loop.lam)
    real = partial(draw_real, loop, state.key, t)
    turn = Turn(t, loop.n_generations, real, model.draw, model)
    return loop.regime.training_set(key, turn, state.memory)


def draw_real(loop: Loop, k_loop: Key[Array, ""], t: Any, key: Key[Array, ""], n: Any) -> Any:
    """n real examples for generation t, in the form of synthetic ones, so that they add."""
    real = loop.target.at(k_loop, t, loop.n_ini, loop.n_generations).draw(key, n)
    return loop.generator.summarize(real) if loop.generator.exact else real


def first_failure(earlier: Int[Array, ""], t: Any, params: Any) -> Int[Array, ""]:
    """The first generation whose model was not finite; 0 if all were."""
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]).all()
    return jnp.where((earlier == 0) & ~finite, t, earlier)


def row_of(key: Key[Array, ""], params: Any, loop: Loop) -> tuple[Any, dict[str, Array]]:
    """A row of the trajectory: the model and its metrics against the target."""
    model = Model(loop.generator, params, loop.lam, key)
    values: dict[str, Array] = {}
    for metric in loop.record:
        new = metric(model, loop.target)
        new = new if isinstance(new, dict) else {getattr(metric, "__name__", repr(metric)): new}
        twice = sorted(set(values) & set(new))
        require(not twice, "each metric needs a name of its own", twice, "Give one a prefix.")
        values |= jax.tree.map(jnp.asarray, new)
    return params, values
