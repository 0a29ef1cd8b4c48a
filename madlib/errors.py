"""What is refused, and how it is said: what is required, what was received, what to do about it.

Public functions are held to their annotations by `checked`, settings of frozen dataclasses by
`check_fields`: `n_steps: Count` is a whole number of at least 1. Inner code trusts its types.
"""

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import numpy as np
from jax.core import Tracer
from numpy.typing import NDArray

MAX_SIZE = 10**15  # the largest size of a data set; exact draws keep their accuracy up to here.


class MadlibError(Exception):
    """Whatever madlib refuses or cannot do, told in one line."""

    def _render_traceback_(self) -> list[str]:
        """One line in place of a traceback, in IPython, Jupyter and papermill."""
        return [f"{type(self).__name__}: {self}"]


class ParameterError(MadlibError, ValueError):
    """A mistake of the caller's."""


class Diverged(MadlibError, ArithmeticError):
    """A model that is no longer finite."""


class Unavailable(MadlibError, OSError):
    """A package, a network or a disk that is out of reach."""


def require(
    condition: Any, required: str, received: Any, remedy: str = "", error: type = ParameterError
) -> None:
    """Raises "required; got received. remedy", one line, unless condition holds."""
    if not condition:
        received = " ".join(str(received).split())
        if len(received) > 200:  # an array, say: its beginning and its end
            received = f"{received[:120]} ... {received[-60:]}"
        raise error(f"{required}; got {received}. {remedy}".strip())


def closest(name: str, allowed: Iterable[str]) -> str:
    """A remedy: the allowed name that is nearest to a mistyped one, or all of them."""
    allowed = list(allowed)
    match = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    return f"Did you mean {match[0]!r}?" if match else f"Choose one of {', '.join(allowed)}."


def is_number(value: Any) -> bool:
    """Whether value is one real number, finite; True and False are none."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    return is_real and bool(np.isfinite(float(value) if _fits(value) else np.inf))


def as_reals(value: Any, name: str = "a number or an array of them") -> NDArray[np.float64]:
    """As an array of finite numbers; text, True, None, NaN, infinity and complex numbers are none.

    Arrays of truth values are taken as 0 and 1. Missing values of pandas and masked entries of
    NumPy are refused too, and never filled in.
    """
    array = None
    if not isinstance(value, np.ma.MaskedArray) or not np.ma.is_masked(value):
        try:
            given = np.asarray(value)  # of kind V: bfloat16
            kind = given.dtype.kind
            truths = kind == "b" and given.ndim > 0
            if truths or kind in "iufV" or (kind == "O" and _are_numbers(given)):
                array = given.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            pass
    fine = array is not None and bool(np.isfinite(array).all())
    received = "" if fine else repr(value)  # which takes its time
    require(fine, f"{name} must be finite and real", received, "Give numbers without gaps.")
    return array  # pyright: ignore[reportReturnType]


def as_points(value: Any, name: str = "points") -> Any:
    """As points [n, d], n and d >= 1, finite in single precision, as float64.

    Takes whatever `as_reals` takes, tables of pandas among them. A traced array comes back as it
    is: its shape is checked, its values cannot be.
    """
    traced = isinstance(value, Tracer)
    points = value if traced else as_reals(value, name)
    required = f"{name} must be points [n, d], one row per example, at least one"
    remedy = "Use x[:, None] for points on a line, and jax.vmap for many sets."
    require(points.ndim == 2 and 0 not in points.shape, required, f"shape {points.shape}", remedy)
    largest = 0.0 if traced else np.abs(points).max()
    fits = largest <= np.finfo(np.float32).max
    require(fits, f"{name} must be finite in single precision", f"{largest:.3g}", "Scale them.")
    return points


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value must be; it stands in an annotation, as in `Annotated[int, Rule(1)]`.

    Attributes:
        low, high: ends of the range.
        whole: whether only whole numbers will do; they come back as int.
        open: whether the ends are excluded.
        array: whether arrays will do too; they come back as float64.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    open: bool = False
    array: bool = False

    def __call__(self, name: str, value: Any) -> Any:
        """The value, converted; ParameterError if it is not as it must be."""
        if self.array:
            array = as_reals(value, name)
            fine = (self._holds(array) & (not self.whole or array % 1 == 0)).all()
        else:
            fine = is_number(value) and (not self.whole or value == int(value))
            fine = fine and bool(self._holds(value))
        require(fine, f"{name} must be {self}", repr(value), f"Use {self._example()}, say.")
        if self.array:
            return array
        return int(value) if self.whole else float(value)

    def __str__(self) -> str:
        kind = "numbers" if self.array else "a number"
        kind = kind.replace("number", "whole number") if self.whole else kind
        if math.isinf(self.low) and math.isinf(self.high):
            return kind
        if math.isinf(self.high):
            return f"{kind} {'>' if self.open else '>='} {self.low:g}"
        return f"{kind} {'between' if self.open else 'from'} {self.low:g} " + (
            f"{'and' if self.open else 'to'} {self.high:g}"
        )

    def _holds(self, value: Any) -> Any:
        value = np.asarray(value, dtype=object if isinstance(value, int) else None)
        if self.open:
            return (value > self.low) & (value < self.high)
        return (value >= self.low) & (value <= self.high)

    def _example(self) -> str:
        if math.isinf(self.low):
            return "1"
        if not self.open:
            return f"{self.low:g}"
        return f"{self.low + 1:g}" if math.isinf(self.high) else f"{(self.low + self.high) / 2:g}"


def one_of(*names: str) -> Callable[[str, Any], str]:
    """A rule for an annotation: `Annotated[str, one_of("closed", "open")]`."""

    def rule(name: str, value: Any) -> str:
        fine = isinstance(value, str) and value in names
        required = f"{name} must be one of {', '.join(map(repr, names))}"
        require(fine, required, repr(value), "Choose one.")
        return value

    return rule


def flag(name: str, value: Any) -> bool:
    """True or False; ParameterError for anything else."""
    require(isinstance(value, bool | np.bool_), f"{name} must be True or False", repr(value))
    return bool(value)


if TYPE_CHECKING:
    Int, Float, Bool = int, float, bool
else:  # Rules convert: at run time whatever converts will do.
    Int = Float = Bool = Any
Count = Annotated[Int, Rule(1, MAX_SIZE, whole=True)]
Natural = Annotated[Int, Rule(0, MAX_SIZE, whole=True)]
AtLeastTwo = Annotated[Int, Rule(2, MAX_SIZE, whole=True)]
Binary = Annotated[Int, Rule(0, 1, whole=True)]
Flag = Annotated[Bool, flag]
Positive = Annotated[Float, Rule(0, open=True)]
NonNegative = Annotated[Float, Rule(0)]
Share = Annotated[Float, Rule(0, 1)]
OpenShare = Annotated[Float, Rule(0, 1, open=True)]
Reals = Annotated[Any, Rule(array=True)]
Positives = Annotated[Any, Rule(0, open=True, array=True)]
NonNegatives = Annotated[Any, Rule(0, array=True)]
Counts = Annotated[Any, Rule(1, array=True)]
Shares = Annotated[Any, Rule(0, 1, array=True)]
OpenShares = Annotated[Any, Rule(0, 1, open=True, array=True)]

F = TypeVar("F", bound=Callable[..., Any])


def checked(function: F) -> F:
    """Holds the arguments of a function to the rules in its annotations, and converts them."""
    signature = inspect.signature(function)
    rules = _rules(inspect.get_annotations(function))
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs)
        arguments.apply_defaults()
        for name, rule in rules.items():
            value = arguments.arguments[name]
            if not (value is None and defaults[name] is None):
                arguments.arguments[name] = rule(name, value)
        return function(*arguments.args, **arguments.kwargs)

    return call  # pyright: ignore[reportReturnType]


def check_fields(settings: Any) -> None:
    """Holds the fields of a frozen dataclass to the rules in their annotations, converting them."""
    for cls in type(settings).__mro__:
        for name, rule in _rules(inspect.get_annotations(cls)).items():
            if (value := getattr(settings, name)) is not None:
                object.__setattr__(settings, name, rule(name, value))


def _rules(annotations: dict[str, Any]) -> dict[str, Callable[[str, Any], Any]]:
    return {
        name: rule
        for name, hint in annotations.items()
        for part in (hint, *get_args(hint))  # as in Count | None
        for rule in getattr(part, "__metadata__", ())
        if callable(rule)
    }


def _fits(value: Any) -> bool:
    """Whether a number is one that float64 can hold."""
    try:
        float(value)
    except (OverflowError, TypeError, ValueError):
        return False
    return True


def _are_numbers(values: NDArray) -> bool:
    return all(is_number(value) for value in values.ravel())
