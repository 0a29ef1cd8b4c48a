"""Annotations of the closed forms: the ranges of their arguments, the arrays that they return."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from madlib.errors import MAX_SIZE, Rule, as_reals, require
from madlib.protocols import Regime
from madlib.sizes import map_numbers


class RegimeRule(Rule):
    """A regime; its numbers come back as float64, and sizes are 0, or from 1 to the largest."""

    def __call__(self, name: str, value: Any) -> Any:
        def number(name: str, kind: str, value: Any) -> Any:
            value = as_reals(value, name)
            fine = (value == 0) | ((value >= 1) & (value <= MAX_SIZE)) | (kind != "size")
            require(fine.all(), f"{name} must be 0, or from 1 to {MAX_SIZE:g}", repr(value))
            return value

        require(isinstance(value, Regime), f"{name} must be a madlib.Regime", repr(value))
        return map_numbers(number, value)


AnyRegime = Annotated[Any, RegimeRule()]
Sizes = Annotated[Any, Rule(1, MAX_SIZE, array=True)]
# Generations of a recursion, which takes about 50 microseconds for each.
Length = Annotated[int, Rule(1, 10**5, whole=True)]

Array = NDArray[np.float64]
Values = Array | np.float64  # where there may be no axis.
