"""What a chapter is told from outside: its parameters, checked, and where its results land.

papermill checks nothing: an unknown name is injected with a log line, and a list given on the
command line stays a string. So the first cell after the parameters cell calls
``check_parameters(globals())``.
"""

import ast
import difflib
import math
import numbers
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

__all__ = ["ParameterError", "check_parameters", "results_dir", "write_result"]

_INF = math.inf
# jax.random.key folds larger seeds back onto smaller ones: two seeds would silently be one.
_SEED_MAX = 2**32 - 1

SHARED_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, _SEED_MAX),
    "n_ini": (1, _INF),
    "n_r": (0, _INF),
    "n_s": (0, _INF),
    "n_generations": (1, _INF),
    "n_replicates": (1, _INF),
    "lam": (0, 1),
    "dim": (1, _INF),
    "ddof": (0, 1),
}

_IPYTHON_NAMES = frozenset({"In", "Out", "exit", "quit", "open", "get_ipython"})
# What papermill can write into a cell; arrays, trajectories and figures are the chapter's own.
_INJECTABLE = (bool, int, float, str, list, tuple, dict, set, type(None))
_CHECKED = "__madlib_checked__"


class ParameterError(ValueError):
    """A user's mistake, told in one line: what was required, what came, what to do."""

    def _render_traceback_(self) -> list[str]:
        """Show one clear line, not a traceback, in IPython, Jupyter and papermill."""
        return [f"{type(self).__name__}: {self}"]


def require(condition: Any, required: str, received: Any, remedy: str = "") -> None:
    """Raise ParameterError("required; got received. remedy"), one line, unless condition holds."""
    if not condition:
        received = " ".join(str(received).split())
        if len(received) > 200:  # an array, say: its beginning and its end
            received = f"{received[:120]} ... {received[-60:]}"
        raise ParameterError(f"{required}; got {received}. {remedy}".strip())


def is_number(value: Any) -> bool:
    """Whether value is one real number, finite; True and False are none."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def as_reals(value: Any) -> NDArray[np.float64]:
    """As an array of finite numbers; text, True, None, NaN and infinity are none."""
    try:
        kind, array = np.asarray(value).dtype.kind, np.asarray(value, float)
        fine = kind not in "USb" and bool(np.isfinite(array).all())
    except (TypeError, ValueError):
        fine = False
    require(fine, "finite numbers are required", repr(value), "Give one, or an array of them.")
    return array


def check_counts(**counts: Any) -> None:
    """Each is a whole number of at least 1."""
    for name, value in counts.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        require(
            whole and value >= 1,
            f"{name} must be a whole number >= 1",
            repr(value),
            "Give an int of at least 1.",
        )


def results_dir() -> Path:
    """Return the folder of figures and verdicts: ``$MADLIB_RESULTS``, or ``_build/madlib`` here."""
    root = os.environ.get("MADLIB_RESULTS", "").strip()
    return Path(root).expanduser().absolute() if root else Path.cwd() / "_build" / "madlib"


def write_result(relative: str, content: bytes) -> Path:
    """Write one file under ``results_dir()``, whole or not at all.

    Args:
        relative: path inside the results folder, such as ``figures/fig-loop.svg``.
        content: the bytes of the file.

    Returns:
        The path written.

    Raises:
        ParameterError: if the folder cannot be written.
    """
    path = results_dir() / relative
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(part, 0o666 & ~umask)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ParameterError(
            f"the results folder must be writable; got {results_dir()} ({error.strerror}). "
            "Set MADLIB_RESULTS to a folder you can write to."
        ) from error
    return path


def check_parameters(namespace: dict[str, Any], **ranges: tuple[float, float]) -> dict[str, Any]:
    """Check the parameters of a chapter: names, types and ranges.

    The allowed names and types are the annotations of the parameters cell (``n_s: int = 100``). A
    whole float such as ``1e12`` is accepted for ``int`` and an ``int`` for ``float``; the converted
    value is written back.

    Args:
        namespace: the notebook's ``globals()``.
        **ranges: ``name=(low, high)``, inclusive; ``None`` is no bound. It replaces the range of a
            shared name.

    Returns:
        ``{name: value}`` in the order of the parameters cell, for the provenance of figures.

    Raises:
        ParameterError: at the first unknown name, wrong type or value out of range.
    """
    annotations = _annotations(namespace)
    if not annotations:
        raise ParameterError(
            "check_parameters needs a parameters cell with annotations before it; got none. "
            "Write each parameter as `n_s: int = 100`."
        )
    for name in ranges:
        if name not in annotations:
            raise ParameterError(
                f"ranges must be given for parameters of this chapter ({', '.join(annotations)}); "
                f"got {name!r}.{closest(name, annotations)}"
            )
    # Only on the first call: in a running notebook later cells have made variables of their own.
    if not namespace.get(_CHECKED):
        _refuse_unknown(namespace, annotations)
    parameters = {}
    for name, annotation in annotations.items():
        if name not in namespace:
            raise ParameterError(
                f"{name} must have a default in the parameters cell; got an annotation only. "
                f"Write `{name}: {_type_name(annotation)} = ...`."
            )
        value = _convert(name, namespace[name], annotation)
        check_range(name, value, ranges.get(name))
        parameters[name] = namespace[name] = value
    namespace[_CHECKED] = True
    return parameters


def _annotations(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return {name: type} of the annotated assignments, in their order."""
    found: dict[str, Any] = {}
    if "__annotations__" in namespace:
        found = dict(namespace["__annotations__"])
    elif isinstance(namespace.get("In"), list):
        # Python 3.14 keeps the annotations of one compiled unit, and IPython compiles statement by
        # statement: read the cells.
        for source in namespace["In"]:
            found |= _annotations_in(source)
    elif "__annotate__" in namespace:
        found = dict(namespace["__annotate__"](1))
    return {name: _resolve(kind) for name, kind in found.items() if not name.startswith("_")}


def _resolve(annotation: Any) -> Any:
    while isinstance(annotation, str):  # twice where a quoted annotation was postponed
        annotation = eval(annotation, {}, {})
    return annotation


def _annotations_in(source: str) -> dict[str, str]:
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a cell of magics has no parameters
        return {}
    return {
        node.target.id: ast.unparse(node.annotation)
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _refuse_unknown(namespace: Mapping[str, Any], annotations: Mapping[str, Any]) -> None:
    for name, value in namespace.items():
        if name.startswith("_") or name in annotations or name in _IPYTHON_NAMES:
            continue
        if isinstance(value, _INJECTABLE):
            raise ParameterError(
                f"the parameters of this chapter are {', '.join(annotations)}; got {name!r}."
                f"{closest(name, annotations) or ' Use one of those names.'}"
            )


def closest(name: str, allowed: Any) -> str:
    match = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""


def _type_name(annotation: Any) -> str:
    return (
        annotation.__name__
        if isinstance(annotation, type) and not get_args(annotation)
        else str(annotation)
    )


def _convert(name: str, value: Any, annotation: Any) -> Any:
    """Return `value` as `annotation`, or raise."""
    if get_origin(annotation) is list:
        if not isinstance(value, list | tuple) or not len(value):
            hint = (
                f"With papermill write -y '{{{name}: [...]}}'."
                if isinstance(value, str)
                else f"Write {name} = [...]."
            )
            raise ParameterError(
                f"{name} must be a non-empty {_type_name(annotation)}; got {value!r}. {hint}"
            )
        return [_convert_scalar(name, item, *get_args(annotation)) for item in value]
    return _convert_scalar(name, value, annotation)


def _convert_scalar(name: str, value: Any, kind: Any) -> Any:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if kind is int and is_number and isinstance(value, numbers.Integral):
        return int(value)
    if kind in (int, float) and is_number:
        if not math.isfinite(value):
            raise ParameterError(f"{name} must be finite; got {value!r}. Give a number.")
        if kind is float:
            return float(value)
        if float(value).is_integer():
            return int(value)
        raise ParameterError(
            f"{name} must be a whole number; got {value!r}. "
            f"Use {math.floor(value)} or {math.ceil(value)}."
        )
    if kind in (bool, str) and isinstance(value, kind):
        return value
    if kind not in (int, float, bool, str):
        raise ParameterError(
            f"{name} must be annotated with int, float, bool, str, or a list of one of them; "
            f"got {_type_name(kind)}. Change the annotation in the parameters cell."
        )
    example = {int: "100", float: "0.5", bool: "True", str: "'word'"}[kind]
    raise ParameterError(
        f"{name} must be of type {kind.__name__}; got {value!r} of type {type(value).__name__}. "
        f"Give a value such as {example}."
    )


def check_range(name: str, value: Any, override: tuple[float, float] | None = None) -> None:
    """The value, or each of a list, lies in its range: `override`, else that of a shared name."""
    low, high = SHARED_RANGES.get(name, (0, _INF) if name.startswith("n_") else (-_INF, _INF))
    if override is not None:
        low = -_INF if override[0] is None else override[0]
        high = _INF if override[1] is None else override[1]
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str | bool):
            continue
        if not low <= item <= high:
            bounds = (
                f"at least {low}"
                if high == _INF
                else f"at most {high}"
                if low == -_INF
                else f"in [{low}, {high}]"
            )
            raise ParameterError(
                f"{name} must be {bounds}; got {item}. "
                f"Use a value such as {low if item < low else high}."
            )
