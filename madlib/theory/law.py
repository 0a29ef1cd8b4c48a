"""A public closed form, its grid and its size."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from madlib.errors import MadlibError, checked, require

MAX_NUMBERS = 2**27  # that a call may work on: a gigabyte.

F = TypeVar("F", bound=Callable[..., Any])


def law(function: F, infinite: bool = False) -> F:
    """A public closed form: arguments held to their annotations, and results to being finite.

    Args:
        function: the closed form.
        infinite: whether infinity is among its values.
    """
    held = checked(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            with np.errstate(all="ignore"):
                result = held(*args, **kwargs)
        except ValueError as error:
            known = isinstance(error, MadlibError) or "broadcast" not in str(error)
            require(known, "arguments must broadcast to one grid", error, "Add axes of length 1.")
            raise
        for values in result if isinstance(result, tuple) else (result,):
            fine = ~np.isnan(values) if infinite else np.isfinite(values)
            required = f"{function.__name__} must stay within double precision"
            remedy = "Use fewer generations, or numbers closer to each other."
            require(np.size(fine) and np.all(fine), required, np.extract(~fine, values)[:1], remedy)
        return result

    return call  # pyright: ignore[reportReturnType]


def check_work(n_numbers: float) -> None:
    """The numbers that a call works on fit into memory."""
    required = f"grid, generations and sizes must make at most {MAX_NUMBERS:.3g} numbers"
    remedy = "Use fewer generations or a smaller grid."
    require(n_numbers <= MAX_NUMBERS, required, f"{n_numbers:.3g}", remedy)
