"""The public door of `simulate`: what it refuses, before anything is computed."""

import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from madlib.errors import MAX_SIZE, Diverged, ParameterError, as_reals, require
from madlib.loop import Loop, draw_real, first, matched, training_set
from madlib.protocols import Generator, Model, Regime, Target
from madlib.sizes import map_numbers


def check_loop(loop: Loop, key: Any, every: int, reduce: Any) -> tuple[Loop, Loop]:
    """The loop with its numbers converted, if its parts are what they should be and fit together.

    Returns:
        The loop, and the same tree with True in place of what may be an axis of a grid: lam and,
        where draws are exact, n_ini and the numbers of the regime. These are arrays of float64;
        where points are drawn, a size is one int.
    """
    record = loop.record if isinstance(loop.record, list | tuple) else (loop.record,)
    _check_parts(key, *loop[:3], record, reduce)
    n_generations, lam = loop.n_generations, as_reals(loop.lam, "lam")
    require(
        (n_generations - 1) % every == 0,
        "every must divide n_generations - 1",
        f"{every} and {n_generations}",
        f"Use n_generations={1 + every * -(-(n_generations - 1) // every)}.",
    )
    low, high = loop.generator.lam_range
    require(
        ((lam >= low) & (lam <= high)).all(),
        f"lam must lie in [{low:g}, {high:g}]",
        lam,
        "1 is unbiased sampling, 0 keeps only the modes.",
    )
    generator, regime, target = matched(*loop[:3])
    exact = generator.exact and target.family.exact

    def number(name: str, kind: str, value: Any) -> Any:
        return _size(name, value, exact) if kind == "size" else _number(name, value, exact)

    loop = Loop(
        generator,
        map_numbers(number, regime),
        target,
        _size("n_ini", loop.n_ini, exact),
        n_generations,
        lam,
        tuple(record),
    )
    constant = jax.tree.map(lambda _: False, loop)
    varies = map_numbers(lambda *_: exact, constant.regime)
    varying = constant._replace(regime=varies, n_ini=exact, lam=True)
    grid_of(eqx.filter(loop, varying))
    _check_smallest(loop)
    return loop, varying


def grid_of(varying: Any) -> tuple[int, ...]:
    """The shape that sizes, n_ini and lam broadcast to."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(varying)]
    try:
        grid = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ParameterError(
            f"sizes, n_ini and lam must broadcast to one grid; got shapes "
            f"{', '.join(map(str, shapes))}. Add axes of length 1."
        ) from None
    require(0 not in grid, "sizes, n_ini and lam must not be empty", f"shape {grid}", "Give one.")
    return grid


def check_row(row: dict[str, Any], reduce: Any) -> None:
    """What is to be reduced is one number per metric and replicate; `row` has their shapes."""
    for name, value in row.items():
        require(
            reduce is None or value.ndim == 0,
            "reduce takes metrics of one number",
            f"{name} of shape {value.shape}",
            "Leave it out of record, or reduce its trajectory yourself.",
        )


def check_reduced(values: Any, reduced: Any) -> None:
    """The axis of generations is still the last one."""
    for name, value in reduced.items():
        require(
            value.shape[-1:] == values[name].shape[-1:],
            "reduce must return an array whose last axis is that of the generations",
            f"shape {value.shape} for {name} of shape {values[name].shape}",
            "Reduce along axis, and along no other.",
        )


def check_finite(diverged: np.ndarray, generator: Generator) -> None:
    """Every model was finite; `diverged` [n] has the first generation of each loop that was not."""
    lost = diverged[diverged > 0]
    remedy = "Lower the learning rate, or look for outliers in the data."
    if not generator.sequential:
        remedy = "Single precision holds no squares beyond 1e38: scale the data, or mend fit."
    require(
        not lost.size,
        "models must stay finite",
        f"NaN or infinity in generation {lost.min(initial=2**31 - 1)} "
        f"({lost.size} of {diverged.size} replicates)",
        remedy,
        Diverged,
    )


def check_memory(n_bytes: int) -> None:
    """What is held at once is smaller than the memory of the machine, where that is known."""
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        require(
            n_bytes <= memory,
            f"the rows that are kept must fit in memory, {memory / 2**30:.3g} GiB",
            f"{n_bytes / 2**30:.3g} GiB",
            "Pass reduce, a larger every, a smaller grid or fewer replicates.",
        )


def guilty(key: Any, loop: Loop) -> ParameterError | None:
    """The part that JAX cannot trace, each method of each part tried alone; None if all will do."""
    for name, trace in _rehearsals(key, loop):
        try:
            trace()
        except ParameterError as error:
            return ParameterError(f"{name}: {error}")
        except Exception as error:  # whatever a reader's own code may raise
            reason = next(iter(str(error).splitlines()), "")[:160]
            return ParameterError(
                f"{name} must be written for JAX; got {type(error).__name__}: {reason} Use "
                "jax.numpy and jax.random, fixed shapes and whole sizes; see the page on parts of "
                "your own."
            )
    return None


def check_randomness(key: Any, loop: Loop, params: Any) -> None:
    """A reader's own sampler draws its random numbers from its key, which NumPy would not."""
    for part, shapes in ((loop.generator, params), (loop.target.family, loop.target.params)):
        if type(part).__module__.partition(".")[0] == "madlib":
            continue

        def draw(key: Any, params: Any, part: Any = part) -> Any:
            return part.draw(key, params, 2, 1.0)

        drawn = jax.make_jaxpr(draw)(key, shapes)
        used = {id(v) for equation in drawn.jaxpr.eqns for v in equation.invars}
        require(
            id(drawn.jaxpr.invars[0]) in used,
            f"{type(part).__name__}.draw must take its random numbers from key",
            "a key that it never uses",
            "Replace numpy.random by jax.random, or every replicate is the same.",
        )


def _rehearsals(key: Any, loop: Loop) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The steps of two generations, one method at a time: its name, and what traces it."""
    generator, regime, target = (type(part).__name__ for part in loop[:3])
    trace = eqx.filter_eval_shape

    def model(params: Any) -> Model:
        return Model(loop.generator, params, 1.0, key)

    def real() -> Any:
        return draw_real(loop, key, 1, key, loop.n_ini)

    yield f"{target}.draw", lambda: trace(loop.target.draw, key, loop.n_ini)
    yield f"{generator}.summarize", lambda: trace(real)
    learned = trace(lambda: loop.generator.summarize(real()))
    yield f"{generator}.fit", lambda: trace(loop.generator.fit, key, learned)
    params = trace(loop.generator.fit, key, learned)
    yield f"{generator}.draw", lambda: trace(lambda p: model(p).draw(key, loop.n_ini), params)
    for metric in loop.record:
        name = f"the metric {getattr(metric, '__name__', type(metric).__name__)}"
        yield name, lambda metric=metric: trace(lambda p: metric(model(p), loop.target), params)
    yield f"{regime}.init", lambda: trace(lambda: loop.regime.init(real(), loop.n_generations))
    state, _ = trace(first, key, loop._replace(record=()))
    state = state._replace(memory=trace(loop.regime.init, state.memory, loop.n_generations))
    yield (
        f"{regime}.training_set",
        lambda: trace(lambda s: training_set(key, s, loop, jnp.asarray(2)), state),
    )
    data, memory = trace(lambda s: training_set(key, s, loop, jnp.asarray(2)), state)
    yield f"{regime}.training_set", lambda: check_memory_kept(loop, state.memory, memory)
    again = trace(lambda d: loop.generator.fit(key, loop.generator.summarize(d)), data)
    yield (
        f"{generator}.fit",
        lambda: require(
            _layout(again) == _layout(params),
            f"{generator}.fit must return arrays of one shape at every generation",
            f"{_layout(again)} after {_layout(params)}",
            "Make room for the largest training set.",
        ),
    )


def check_memory_kept(loop: Loop, before: Any, after: Any) -> None:
    """The memory of a regime keeps its shape."""
    require(
        _layout(before) == _layout(after),
        f"{type(loop.regime).__name__}.training_set must return a memory of the shape it was given",
        f"{_layout(after)} after {_layout(before)}",
        "Extend room that init made with real.empty(n), and return it.",
    )


def _layout(tree: Any) -> list[Any]:
    return [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(tree)]


def _check_smallest(loop: Loop) -> None:
    """Every training set is large enough to be fitted."""
    smallest = {"n_ini": loop.n_ini}
    if loop.n_generations > 1:
        name = f"the training set of {type(loop.regime).__name__}"
        smallest[name] = loop.regime.smallest_size(loop.n_ini, loop.n_generations)
    least, kind = loop.generator.minimum_weight, type(loop.generator).__name__
    for name, size in smallest.items():
        require(
            np.min(size) >= least,
            f"{name} must hold at least {least} samples to fit {kind}",
            f"{np.min(size):g}",
            "Increase it.",
        )


def _check_parts(key, generator, regime, target, record, reduce) -> None:
    """Each is what its name says, a reader's own included."""
    require(
        isinstance(key, jax.Array)
        and jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
        and key.shape == ()
        and str(jax.random.key_impl(key)) in ("threefry2x32", "fry"),
        "key must be one JAX PRNG key of the threefry kind",
        f"{type(key).__name__} {getattr(key, 'dtype', '')}{np.shape(key)}",
        "Use jax.random.key(seed).",
    )
    for name, part, kind, verbs in (
        ("generator", generator, Generator, ("fit", "draw", "sample")),
        ("regime", regime, Regime, ("training_set", "smallest_size")),
        ("target", target, Target, ()),
    ):
        lacks = [verb for verb in verbs if getattr(type(part), verb, None) is getattr(kind, verb)]
        require(
            isinstance(part, kind) and not lacks,
            f"{name} must derive from madlib.{kind.__name__}"
            + ", with fit, draw and sample" * (name == "generator"),
            f"{part!r}" + (f" without {', '.join(lacks)}" if lacks else ""),
            f"See madlib.{name}s.",
        )
    require(
        type(generator).__hash__ is not None,
        "generator must be hashable, for JAX to tell one from another",
        repr(generator),
        "Write @dataclasses.dataclass(frozen=True) above its class.",
    )
    require(
        generator.space == target.space,
        f"{type(generator).__name__} and the target must share a space",
        f"{generator.space} and {target.space}",
        "Match dimension, number of symbols and number of classes (labeled=True or False).",
    )
    for metric in record:
        require(
            not isinstance(metric, type) and _takes(metric, None, None),
            "record must hold metrics, functions of (model, target)",
            repr(metric),
            "See madlib.metrics.",
        )
    require(
        reduce is None or (record and _takes(reduce, None, axis=-2)),
        "reduce must be a function of (values, axis), such as np.median, of metrics in record",
        f"reduce={reduce!r} and {len(record)} metrics",
        "Name the metrics in record.",
    )


def _takes(function: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether it can be called like this, as far as its signature says."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # written in C, and without one
        return callable(function)
    return True


def _size(name: str, value: Any, exact: bool) -> Any:
    """A size as float64, or as one int where points are drawn."""
    size = as_reals(value, name)
    require(
        ((size % 1 == 0) & (size >= 0) & (size <= MAX_SIZE)).all(),
        f"{name} must be a whole number from 0 to {MAX_SIZE:g}",
        repr(value),
        "Give a number of samples.",
    )
    require(
        exact or size.ndim == 0,
        f"{name} must be a single int where points are drawn",
        repr(value),
        "Call simulate once per value.",
    )
    return size if exact else int(size)


def _number(name: str, value: Any, exact: bool) -> Any:
    """A weight or share as float64, or as one float where points are drawn."""
    number = as_reals(value, name)
    fine = exact or number.ndim == 0
    require(fine, f"{name} must be a single number where points are drawn", repr(value))
    return number if exact else float(number)
