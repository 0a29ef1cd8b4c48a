"""The numbers in a regime: which of its fields are sizes, and which are constants."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.tree_util import GetAttrKey

T = TypeVar("T")


def map_numbers(function: Callable[[str, str, Any], Any], regime: T) -> T:
    """The regime with function(name, kind, value) in place of its numbers, wrapped regimes' too.

    Numbers are the fields annotated `Size` or `Number`; kind is "size" or "number".
    """

    return jax.tree_util.tree_map_with_path(
        lambda path, value: _apply(function, *_field(regime, path), value),
        regime,
        is_leaf=lambda path, _: _field(regime, path)[1] is not None,  # lists and None, too.
        is_leaf_takes_path=True,
    )


def _apply(function: Callable, name: str, kind: str | None, value: Any) -> Any:
    return value if kind is None else function(name, kind, value)


def _field(regime: Any, path: tuple) -> tuple[str, str | None]:
    """Name and kind of the field at a path."""
    name, kind, owner = "", None, regime
    for step in path:
        if isinstance(step, GetAttrKey):
            name, kind = step.name, _kind(type(owner), step.name)
            owner = getattr(owner, name)
        else:
            owner = owner[getattr(step, "key", getattr(step, "idx", None))]
    return name, kind


def _kind(cls: type, name: str) -> str | None:
    for base in cls.__mro__:
        hint = inspect.get_annotations(base).get(name)
        if hint is not None:
            return next(iter(getattr(hint, "__metadata__", ())), None)
    return None
