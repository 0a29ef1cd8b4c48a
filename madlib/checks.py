"""What `simulate` refuses, before computing: what is required, what came, what to do about it."""

import dataclasses
import inspect
import os
from typing import Any

import equinox as eqx
import jax
import numpy as np

from madlib.generators import pointwise
from madlib.parameters import ParameterError, require


def as_arrays(values: Any) -> Any:
    """Lists of sizes or of lam, alone or in a regime, as arrays; anything else as it is."""

    def convert(leaf: Any) -> Any:
        if not isinstance(leaf, list | tuple):
            return leaf
        try:
            return np.asarray(leaf)
        except ValueError:
            raise ParameterError(
                f"a list of sizes or of lam must be rectangular; got {leaf!r}. "
                "Give rows of equal length."
            ) from None

    return jax.tree.map(convert, values, is_leaf=lambda leaf: isinstance(leaf, list | tuple))


def check_kinds(key: Any, generator: Any, regime: Any, target: Any) -> None:
    """Each is what its name says, a reader's own included."""
    require(
        isinstance(key, jax.Array)
        and jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
        and key.shape == (),
        "key must be one JAX PRNG key",
        f"{type(key).__name__} of shape {np.shape(key)}",
        "Use jax.random.key(seed).",
    )
    settings, verbs = ("dim", "exact", "minimum_weight"), ("summarize", "fit", "draw", "sample")
    for name, value, parts in (
        ("generator", generator, (*settings, "learns_from", *verbs)),
        ("regime", regime, ("needs_points", "init", "training_set", "smallest_size")),
        ("target", target, ("params", "reference", "family")),
    ):
        missing = [part for part in parts if not hasattr(value, part)]
        lacking = f" without {', '.join(missing)}" if 0 < len(missing) < len(parts) else ""
        require(
            not missing and not isinstance(value, type),
            f"{name} must be a {name} object",
            f"{value!r}{lacking}",
            f"See madlib.{name}s.",
        )
    require(
        isinstance(regime, eqx.Module),
        "regime must be an equinox.Module, whose fields are sizes",
        repr(regime),
        "Derive its class from equinox.Module.",
    )
    require(
        type(generator).__hash__ is not None,
        "generator must be hashable, for JAX to tell one from another",
        repr(generator),
        "Write @dataclasses.dataclass(frozen=True) above its class.",
    )


def check_simulation(
    key: Any, generator: Any, target: Any, lam: Any, record: tuple, reduce: Any
) -> None:
    """The parts fit together."""
    require(
        generator.dim == target.dim,
        "generator and target must share a dimension",
        f"{generator.dim} and {target.dim}",
        f"Use a generator of dimension {target.dim}.",
    )
    family = target.family if generator.exact else pointwise(target.family)
    drawn = jax.eval_shape(lambda key: family.draw(key, target.params, 1), key)
    require(
        isinstance(drawn, generator.learns_from),
        f"{type(generator).__name__} cannot learn from what the target draws",
        f"a target of the {type(target.family).__name__} kind",
        "Choose a generator for it.",
    )
    for name, hint in (
        ("n_symbols", "Words and texts are made of symbols, and so are their generators."),
        ("n_classes", "Use labeled=True with a generator of classes, labeled=False with others."),
    ):
        ours, theirs = (getattr(kind, name, 0) for kind in (generator, target.family))
        require(
            ours == theirs,
            f"generator and target must have the same {name} (0: none)",
            f"{ours} and {theirs}",
            f"Use a generator with {name}={theirs}." if ours and theirs else hint,
        )
    require(
        is_finite(lam) and np.all((np.asarray(lam) >= 0) & (np.asarray(lam) <= 1)),
        "lam must lie in [0, 1]",
        repr(lam),
        "1 is unbiased sampling, 0 keeps only the modes.",
    )
    if hasattr(generator, "check_lam"):
        generator.check_lam(lam)
    for metric in record:
        named = hasattr(metric, "n_samples") or hasattr(metric, "__name__")
        require(
            named and not isinstance(metric, type) and _takes(metric, None, None),
            "record must hold metrics: functions of (params, reference) with a name, or objects "
            "with n_samples",
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


def check_memory(n_bytes: int) -> None:
    """What is held at once is smaller than the memory of the machine, where that is known."""
    if not hasattr(os, "sysconf"):
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    require(
        n_bytes <= memory,
        f"the rows that are kept must fit in memory, {memory / 2**30:.3g} GiB",
        f"{n_bytes / 2**30:.3g} GiB",
        "Pass reduce, a larger every, a smaller grid or fewer replicates.",
    )


def check_rows(row: Any, reduce: Any) -> None:
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


def check_finite(failure: Any, params: Any, generation: int) -> None:
    """No network diverged, and no model is NaN or infinite.

    Args:
        failure: [n, 2], generation and step at which a training diverged, else 0.
        params: of the models of this generation, [n, ...] each.
    """
    failed = np.flatnonzero(failure[:, 0])
    if failed.size:
        generation, step = failure[failed[0]]
        raise ParameterError(
            f"the loss must stay finite; got NaN or infinity in generation {generation}, step "
            f"{step} of the training ({failed.size} of {len(failure)} replicates). Lower the "
            "learning rate, or look for outliers in the data."
        )
    finite = [np.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in jax.tree.leaves(params)]
    n_lost = len(failure) - np.count_nonzero(np.all(finite, axis=0))
    require(
        n_lost == 0,
        "models must stay finite",
        f"NaN or infinity by generation {generation} ({n_lost} of {len(failure)} replicates)",
        "Single precision holds no squares beyond 1e38: scale the data, or mend fit.",
    )


def check_sizes(generator: Any, regime: Any, target: Any, n_ini: Any) -> bool:
    """Sizes are possible; returns whether they may be arrays, and traced."""
    exact = generator.exact and target.exact and not regime.needs_points
    settings = {"n_ini": n_ini} | {
        field.name: getattr(regime, field.name) for field in dataclasses.fields(regime)
    }
    check_grid(*map(np.shape, settings.values()))
    for name, value in settings.items():
        if not name.startswith("n_") and name not in ("n", "memory"):
            continue  # a share, say: what it may be is for the regime to know.
        require(
            is_finite(value) and np.all(np.mod(value, 1) == 0) and np.all(np.asarray(value) >= 0),
            f"{name} must be a whole number >= 0",
            repr(value),
            "Give a number of samples.",
        )
        require(
            isinstance(value, (int, np.integer)) or (exact and name != "memory"),
            f"{name} must be a single int" + ("" if exact else " where points are drawn"),
            repr(value),
            "Call simulate once per value.",
        )
    smallest = {"n_ini": n_ini, f"the training set of {regime}": regime.smallest_size(n_ini)}
    for name, size in smallest.items():
        require(
            np.min(size) >= generator.minimum_weight,
            f"{name} must hold at least {generator.minimum_weight} samples to fit {generator}",
            f"{np.min(size):g}",
            "Increase it.",
        )
    return exact


def check_grid(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that sizes, n_ini and lam broadcast to."""
    try:
        grid = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ParameterError(
            f"sizes, n_ini and lam must broadcast to one grid; got shapes "
            f"{', '.join(map(str, shapes))}. Add axes of length 1."
        ) from None
    require(0 not in grid, "sizes, n_ini and lam must not be empty", f"shape {grid}", "Give one.")
    return grid


def is_finite(value: Any) -> bool:
    """Whether value is a real number, or an array of them, without NaN or infinity."""
    kind = np.asarray(value).dtype
    is_real = np.issubdtype(kind, np.integer) or np.issubdtype(kind, np.floating)
    return is_real and bool(np.isfinite(value).all())
