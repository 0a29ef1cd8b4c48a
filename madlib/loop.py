r"""The loop, and the only one: for every generator, every regime, every dataset.

    the target draws real data -> a generator is fitted -> it draws synthetic data
      -> a regime mixes real and synthetic into a training set -> a generator is fitted -> ...

`run_loop` is one replicate, a pure function; `madlib.simulate` runs many of them. Generation 1 is
fitted to real data only and is the first row.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Int, Key

from madlib.generators import Generator, pointwise
from madlib.parameters import require
from madlib.regimes import Regime
from madlib.targets import Target

Metric = Callable[[Any, Any], Any]


class Trajectory(NamedTuple):
    """What a simulation leaves; axes [*grid, n_replicates, n_rows] lead, only rows in `run_loop`.

    Attributes:
        generation: [n_rows], t of each row, counted from 1.
        params: the model's parameters, or None where they were not kept.
        record: metric name -> values.
    """

    generation: Array
    params: Any
    record: dict[str, Array]

    def to_frame(self) -> pd.DataFrame:
        """Tidy: a row per grid point, replicate and generation, a column per scalar metric.

        Raises:
            ParameterError: if the record has metrics, and none is a scalar.
        """
        values = {name: np.asarray(value) for name, value in self.record.items()}
        shapes = [value.shape for value in values.values()]
        shape = min(shapes, key=len, default=(len(self.generation),))
        require(
            shape[-1:] == (len(self.generation),),
            "a table has a column per scalar metric",
            f"only {', '.join(values)}, of more numbers each",
            "Record a scalar metric too, or use the arrays in `record`.",
        )
        values = {name: value for name, value in values.items() if value.shape == shape}
        axes = [f"grid_{i}" for i in range(len(shape) - 2)] + ["replicate"] * (len(shape) > 1)
        index = np.indices(shape).reshape(len(shape), -1)
        columns = dict(zip(axes, index[:-1], strict=True))
        columns["generation"] = np.asarray(self.generation)[index[-1]]
        return pd.DataFrame(columns | {name: value.ravel() for name, value in values.items()})


class State(NamedTuple):
    """A replicate between two generations: key, last model, the regime's memory, first failure."""

    key: Key[Array, ""]
    params: Any
    memory: Any
    failure: Int[Array, "2"]


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
    r"""One replicate of the loop: pure, for use under `jax.jit`, `jax.vmap` and friends.

    Args:
        key: PRNG key.
        generator: what is fitted and sampled.
        regime: what the training set of each generation is.
        target: the real distribution $P_r$.
        n_ini: real samples for generation 1, $n_{ini}$.
        n_generations: generations, counting generation 1.
        lam: sampling bias, $\lambda$ in [0, 1].
        record: metrics `metric(params, target.reference)`, evaluated at each row; one with an
            attribute `n_samples` is called with that many samples of the model instead of params,
            and returns a dict of values.
        every: thinning: rows are generations 1, 1 + every, 1 + 2 every, ...

    Returns:
        Trajectory with leading axis [n_rows].
    """
    generator, target = learned_from(generator, regime, target)
    state, first = begin(key, generator, target, n_ini, lam, record)
    state = state._replace(memory=regime.init(state.memory, n_generations))
    generations = jnp.arange(2, n_generations + 1).reshape(-1, every)
    _, rows = advance(state, generations, generator, regime, target, lam, record)
    params, values, _ = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rows)
    return Trajectory(jnp.arange(1, n_generations + 1, every), params, values)


def learned_from(generator, regime, target) -> tuple[Generator, Target]:
    """Both, drawing what this generator under this regime learns from: statistics, or points."""
    if generator.exact and not regime.needs_points:
        return generator, target
    family = pointwise(target.family)
    return pointwise(generator), dataclasses.replace(target, family=family)


def begin(key, generator, target, n_ini, lam, record) -> tuple[State, tuple]:
    """Generation 1, a model of n_ini real samples, and its row; they are left in `memory`.

    It knows no regime, so it is compiled once for all of them.
    """
    k_real, k_fit, k_loop = jax.random.split(key, 3)
    draw_real, _ = draws(generator, target, None, None)
    real = draw_real(k_real, n_ini)
    params = generator.fit(k_fit, generator.summarize(real))
    state = State(k_loop, params, real, failure(jnp.zeros(2, int), 1, params))
    return state, report(jax.random.fold_in(key, 3), state, generator, target, lam, record)


def advance(state, generations, generator, regime, target, lam, record) -> tuple[State, tuple]:
    """Scans over generations [n_rows, every] and reports after each row of them."""

    def next_generation(state: State, t) -> tuple[State, None]:
        k_data, k_fit = jax.random.split(jax.random.fold_in(state.key, t))
        verbs = draws(generator, target, state.params, lam)
        data, memory = regime.training_set(k_data, state.memory, *verbs)
        params = generator.fit(k_fit, generator.summarize(data))
        return State(state.key, params, memory, failure(state.failure, t, params)), None

    def next_row(state: State, ts) -> tuple[State, tuple]:
        state, _ = jax.lax.scan(next_generation, state, ts)
        k_report = jax.random.fold_in(jax.random.fold_in(state.key, ts[-1]), 2)
        return state, report(k_report, state, generator, target, lam, record)

    return jax.lax.scan(next_row, state, generations)


def draws(generator, target, params, lam) -> tuple[Callable, Callable]:
    """The two verbs of the loop, given `learned_from`."""

    def draw_real(key, n):
        real = target.draw(key, n)
        return generator.summarize(real) if generator.exact else real

    return draw_real, lambda key, n: generator.draw(key, params, n, lam)


def failure(earlier: Int[Array, "2"], t: Any, params: Any) -> Int[Array, "2"]:
    """The first (generation, step) at which training diverged; zeros while it has not."""
    now = jnp.stack([jnp.asarray(t), getattr(params, "diverged", jnp.zeros((), int))])
    return jnp.where((earlier[0] == 0) & (now[1] > 0), now, earlier)


def report(key, state, generator, target, lam, record) -> tuple[Any, dict[str, Array], Array]:
    """The row of a trajectory: the model, its metrics against the target, and its failure."""
    values: dict[str, Array] = {}
    drawn = {}
    for metric in record:
        n = getattr(metric, "n_samples", None)
        if n is None:
            new = {metric.__name__: metric(state.params, target.reference)}
        else:
            if n not in drawn:
                drawn[n] = pointwise(generator).draw(key, state.params, n, lam)
            new = metric(drawn[n], target.reference)
        twice = sorted(set(values) & set(new))
        require(not twice, "each metric needs a name of its own", twice, "Give one a prefix.")
        values |= jax.tree.map(jnp.asarray, new)
    return state.params, values, state.failure
