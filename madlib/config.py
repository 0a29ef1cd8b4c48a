"""Parts of a loop from names and numbers, as a command line or a file of settings has them."""

import contextlib
import dataclasses
import inspect
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from madlib import generators, metrics, regimes, targets
from madlib.errors import ParameterError, closest, require
from madlib.protocols import Generator, Metric, Number, Regime, Size, Target

# Those that numbers alone make; the others hold a regime or a model.
REGIMES: dict[str, type[Regime]] = {
    name: cls
    for name, cls in vars(regimes).items()
    if isinstance(cls, type) and issubclass(cls, Regime)
    if all(field.type in (Size, Number, int) for field in dataclasses.fields(cls))
}
GENERATORS: dict[str, type[Generator]] = {
    name: cls
    for name, cls in vars(generators).items()
    if isinstance(cls, type) and issubclass(cls, Generator)
}
_SHORT = {"mixture": "GaussianMixture", "flow": "CouplingFlow"}
# What is recorded where the best that a generator could learn is params of its own kind.
_USUAL: dict[type[Generator], tuple[type, tuple[str, ...]]] = {
    generators.Gaussian: (generators.NormalParams, ("wasserstein2_squared", "total_variance")),
    generators.Categorical: (
        generators.CategoricalParams,
        ("heterozygosity", "support_size", "total_variation"),
    ),
    generators.GaussianMixture: (
        generators.MixtureParams,
        ("mixture_variance", "mixture_l2_distance"),
    ),
}
_N_SCORED = 1000  # held-out examples, and samples that are compared with them
TARGETS: dict[str, Any] = {
    "normal": targets.standard_normal,
    **{name: getattr(targets, name) for name in ("digits", "mode_grid", "rosenbrock", "zipf")},
}
# Of the parameters and a reference; the others need more than a name.
METRICS: dict[str, Metric] = {
    name: function
    for name, function in vars(metrics).items()
    if getattr(function, "is_of_params", False)
}


def make_regime(name: str, **numbers: Any) -> Regime:
    """A regime by its name, `FreshData` or `fresh_data`, and its numbers.

    Args:
        name: of a class in `madlib.regimes`.
        **numbers: its fields.

    Raises:
        ParameterError: for another name, or numbers that are not its fields.

    Example:
        >>> make_regime("fresh_data", n_r=100, n_s=900)
        FreshData(n_r=100, n_s=900)
    """
    return _make("regime", REGIMES, name, numbers)


def make_generator(name: str, **settings: Any) -> Generator:
    """A generator by its name, `Gaussian` or `gaussian`, and its settings.

    Example:
        >>> make_generator("gaussian", dim=2)
        Gaussian(dim=2, ddof=1, exact=True)
    """
    return _make("generator", GENERATORS, name, settings)


def make_target(name: str, **settings: Any) -> Target:
    """A target by its name and what its function in `madlib.targets` takes.

    Example:
        >>> make_target("normal", dim=3).space.dim
        3
    """
    return _make("target", TARGETS, name, settings)


def make_metric(name: str) -> Metric:
    """A metric of parameters by its name.

    Example:
        >>> make_metric("total_variance").__name__
        'total_variance'
    """
    return METRICS[find("metric", METRICS, name)]


def usual_metrics(generator: Generator, target: Target) -> list[str]:
    """Names of the metrics of params that tell this loop; none if only its samples can be scored.

    Example:
        >>> usual_metrics(make_generator("gaussian", dim=1), make_target("normal", dim=1))
        ['wasserstein2_squared', 'total_variance']
    """
    for kind, (params, names) in _USUAL.items():
        if isinstance(generator, kind) and isinstance(target.reference, params):
            return [*names]
    return []


def make_loop(
    generator: str, target: str, n_points: int, settings: dict[str, Any]
) -> tuple[Generator, Target, tuple[Metric, ...]]:
    """A generator and a target that fit each other, and what is recorded of the loop.

    Args:
        generator: its name.
        target: its name, or the path of a file (`targets.from_file`).
        n_points: room for a training set, for a kernel density estimate without one in settings.
        settings: of either by name. What the target decides, such as `dim`, need not be given;
            `n_components` is 5, if it is not.

    Raises:
        ParameterError: for a setting that neither takes, or a generator of another kind of data.

    Example:
        >>> parts = make_loop("flow", "normal", 100, {"dim": 2, "hidden": 8})
        >>> parts[0].hidden, parts[1].space.dim, [*parts[2][0].__dict__][:2]
        (8, 2, ['real', 'n_samples'])
    """
    cls, own = GENERATORS[find("generator", GENERATORS, generator)], Path(target).suffix
    source = targets.from_file if own else TARGETS[find("target", TARGETS, target)]
    known = {*takes(cls), *takes(source)} - {"path"}
    for name in settings:
        remedy = closest(name, known)
        require(name in known, f"settings are {', '.join(sorted(known))}", name, remedy)
    given = {name: settings[name] for name in takes(source) if name in settings}
    given |= {"dim": 1} if target == "normal" and "dim" not in given else {}
    made: Any
    made, held_out = source(target, **given) if own else (source(**given), None)
    space = made.space
    decided = {"dim": space.dim, "n_symbols": space.n_symbols, "length": space.dim}
    decided |= {"n_classes": space.n_classes, "n_points": n_points}
    decided |= {"n_components": 5} | {name: v for name, v in settings.items() if name not in given}
    made_of = make_generator(generator, **{k: v for k, v in decided.items() if k in takes(cls)})
    return made_of, made, _recorded(made_of, made, held_out)


def _recorded(generator: Generator, target: Target, held_out: Any) -> tuple[Metric, ...]:
    """What is recorded of a loop, if nothing else is asked for."""
    if names := usual_metrics(generator, target):
        return tuple(make_metric(name) for name in names)
    if held_out is None:
        held_out = target.sample(jax.random.key(2**32 - 1), _N_SCORED)
    real = np.asarray(held_out)[:_N_SCORED]
    if target.space.n_symbols:
        k = target.space.n_symbols
        orders = tuple(n for n in (2, 3, 4) if k**n <= 2**32)
        return metrics.HeldOutBits(real), metrics.NgramScores(k, len(real), orders)
    variance = metrics.OfSamples(metrics.sample_variance, len(real))
    return metrics.SampleScores(real, len(real)), variance


def plain(name: str, value: Any) -> Any:
    """Text, a finite number, or a list of them, as JSON has them; 1e12 is a text in YAML 1.1.

    Example:
        >>> plain("n_s", ["1e3", 2.0, "word"])
        [1000, 2, 'word']
    """
    if isinstance(value, list | tuple):
        return [plain(name, item) for item in value]
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(value, str | np.integer | np.floating):
            value = float(value)
        if isinstance(value, float) and value == int(value):
            value = int(value)
    fine = value is None or isinstance(value, str | int | float)
    fine = fine and not (isinstance(value, float) and not math.isfinite(value))
    require(fine, f"{name} must be text, a finite number or a list", repr(value), "Write one.")
    return value


def find(role: str, table: dict[str, Any], name: Any) -> str:
    """The key of a table that a name means, whatever its case and underscores."""
    known = {short: key for short, key in _SHORT.items() if key in table}
    known |= {key.replace("_", "").lower(): key for key in table}
    plain = str(name).replace("_", "").lower()
    required = f"{role} must be one of {', '.join(table)}"
    require(plain in known, required, repr(name), closest(str(name), table))
    return known[plain]


def takes(part: Any) -> list[str]:
    """The names of the settings of a class or a function."""
    return [*inspect.signature(part).parameters]


def _make(role: str, table: dict[str, Any], name: Any, settings: dict[str, Any]) -> Any:
    name = find(role, table, name)
    parameters = inspect.signature(table[name]).parameters
    needed = {key for key, value in parameters.items() if value.default is value.empty}
    wrong = sorted((needed - set(settings)) | (set(settings) - set(parameters)))
    got, remedy = ", ".join(settings) or "nothing", f"Check {', '.join(wrong)}."
    require(not wrong, f"{name} takes {', '.join(parameters)}", got, remedy)
    try:
        return table[name](**settings)
    except ParameterError:
        raise
    except (MemoryError, ValueError) as error:  # NumPy has both for arrays that are too large.
        required = f"{name} must fit in memory"
        require(False, required, error, "Choose smaller sizes.")
