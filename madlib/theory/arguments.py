"""Annotations of the closed forms: the ranges of their arguments, the arrays that they return."""

import functools
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from madlib.errors import MAX_SIZE, Int, Rule, as_reals, require
from madlib.protocols import Regime
from madlib.sizes import map_numbers

Array = NDArray[np.float64]
Values = Array | np.float64  # where there may be no axis.


def broadcast(*arrays: Any) -> list[Array]:
    """The arrays, as float64, on the grid that they span; ParameterError if they span none."""
    grid = grid_of(*map(np.shape, arrays))
    return [np.broadcast_to(np.asarray(array, float), grid) for array in arrays]


def grid_of(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that these broadcast to."""
    try:
        grid = np.broadcast_shapes(*shapes)
    except ValueError:
        grid = (0,)
    required, given = "arguments must broadcast to one grid, not an empty one", f"shapes {shapes}"
    require(0 not in grid, required, given, "Give axes lengths that agree, or 1.")
    return grid


class RegimeRule(Rule):
    """A regime; its numbers come back as float64, and sizes are 0, or from 1 to the largest."""

    def __call__(self, name: str, value: Any) -> Any:
        require(isinstance(value, Regime), f"{name} must be a madlib.Regime", repr(value))
        shapes: list[tuple[int, ...]] = []
        regime = map_numbers(functools.partial(_number, shapes), value)
        grid_of(*shapes)
        return regime


def _number(shapes: list[tuple[int, ...]], name: str, kind: str, value: Any) -> Array:
    value = as_reals(value, name)
    fine = (value == 0) | ((value >= 1) & (value <= MAX_SIZE)) | (kind != "size")
    require(fine.all(), f"{name} must be 0, or from 1 to {MAX_SIZE:g}", repr(value))
    shapes.append(value.shape)
    return value


AnyRegime = Annotated[Any, RegimeRule()]
Sizes = Annotated[Any, Rule(1, MAX_SIZE, array=True)]
# Generations of a recursion, which takes about 50 microseconds for each.
Length = Annotated[Int, Rule(1, 10**5, whole=True)]
