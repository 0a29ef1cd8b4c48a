"""Parts of a loop from names and numbers, as a command line or a file of settings has them."""

import dataclasses
import inspect
from typing import Any

from madlib import generators, metrics, regimes, targets
from madlib.errors import closest, require
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


def find(role: str, table: dict[str, Any], name: Any) -> str:
    """The key of a table that a name means, whatever its case and underscores."""
    known = {key.replace("_", "").lower(): key for key in table}
    plain = str(name).replace("_", "").lower()
    required = f"{role} must be one of {', '.join(table)}"
    require(plain in known, required, repr(name), closest(name, table))
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
    return table[name](**settings)
