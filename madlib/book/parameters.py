"""Parameters of a chapter: declared in one cell, checked by their annotations.

papermill checks nothing: an unknown name is injected with a log line, and a list given on the
command line stays a string. So the first cell after the parameters cell calls
`check_parameters(globals())`; and what `madlib run` or a preset gives is held to the same
annotations, and to the checks that the chapter begins with, before anything is started
(`read_given`); the parameters cell is read and not executed.
"""

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic import ValidationError as Refused

from madlib.errors import ParameterError, closest, is_number, require

__all__ = ["check_parameters", "checked_parameters"]

Range = tuple[float | None, float | None]
SHARED_RANGES: dict[str, Range] = {
    "seed": (0, 2**32 - 1),  # jax.random.key folds larger seeds back onto smaller ones.
    "n_ini": (1, None),
    "n_generations": (1, None),
    "n_replicates": (2, None),  # One has no standard error.
    "lam": (0, 1),
    "dim": (1, None),
    "ddof": (0, 1),
}
_IPYTHON_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}
# What papermill can write into a cell; arrays, trajectories and figures are the chapter's own.
_INJECTABLE = (bool, int, float, str, list, tuple, dict, set, type(None))
_CHECKED = "__madlib_checked__"
_of_chapter: dict[str, Any] = {}  # The chapter that this process executes: there is one.


def _whole(value: Any) -> Any:
    """A whole number such as 1e12 as int."""
    return int(value) if is_number(value) and value == int(value) else value


def _writable(text: str) -> str:
    text.encode()  # Bytes of the command line that are no text raise ValueError.
    return text


# name of the annotation -> (type, in words, an example)
_KINDS: dict[str, tuple[Any, str, str]] = {
    "int": (Annotated[int, BeforeValidator(_whole)], "a whole number", "100"),
    "float": (float, "a finite number", "0.5"),
    "bool": (bool, "True or False", "True"),
    "str": (Annotated[str, AfterValidator(_writable)], "text", "'word'"),
}
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def check_parameters(namespace: dict[str, Any], **ranges: Range) -> dict[str, Any]:
    """Check the parameters of a chapter: names, types and ranges.

    The allowed names and types are the annotations of the parameters cell (`n_s: int = 100`). A
    whole float such as `1e12` is accepted for `int` and an `int` for `float`; the converted value
    is written back.

    Args:
        namespace: `globals()` of the notebook.
        **ranges: `name=(low, high)`, inclusive; None is no bound. It replaces the range of a shared
            name.

    Returns:
        {name: value} in the order of the parameters cell, for the provenance of figures.

    Raises:
        ParameterError: at the first unknown name, wrong type or value out of range.

    Example:
        >>> check_parameters({"__annotations__": {"n_s": int}, "n_s": 1e12})
        {'n_s': 1000000000000}
    """
    declared = _declared(namespace)
    required = "check_parameters needs a parameters cell with annotations before it"
    require(declared, required, "none", "Write each parameter as `n_s: int = 100`.")
    _refuse_unknown("ranges must be given for parameters of this chapter:", declared, ranges)
    # Only on the first call: in a running notebook later cells have made variables of their own.
    if not namespace.get(_CHECKED):
        injectable = (n for n, value in namespace.items() if isinstance(value, _INJECTABLE))
        names = (n for n in injectable if not n.startswith("_") and n not in _IPYTHON_NAMES)
        _refuse_unknown("the parameters of this chapter are", declared, names)
    for name, annotation in declared.items():
        required = f"{name} must have a default in the parameters cell"
        remedy = f"Write `{name}: {annotation} = ...`."
        require(name in namespace, required, "an annotation only", remedy)
        shared = SHARED_RANGES.get(name, (0 if name.startswith("n_") else None, None))
        bounds = ranges.get(name, shared)
        namespace[name] = _convert(name, namespace[name], annotation, *bounds)
    namespace[_CHECKED] = True
    _of_chapter.clear()
    _of_chapter.update({name: namespace[name] for name in declared})
    return checked_parameters()


def checked_parameters() -> dict[str, Any]:
    """{name: value} that `check_parameters` returned last; none before the first call."""
    return dict(_of_chapter)


def read_cell(source: str) -> dict[str, tuple[str, Any]]:
    """{name: (annotation, value)} of the assignments in a parameters cell, without executing it.

    The annotation is empty where there is none, the value None where it is no literal.
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):  # A cell of magics has no parameters.
        return {}
    found = {}
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
            found[ast.unparse(target)] = annotation.strip("'\""), _literal(node.value, None)
    return found


def read_given(
    cell: str, given: Mapping[str, Any], folder: Path, then: Iterable[str] = ()
) -> dict[str, Any]:
    """The parameters that a caller gives for a chapter, converted and checked before it starts.

    Text is read as a literal of Python or JSON, `1e6` or `[0.9, true]`, unless the annotation is
    `str`. A `str` named `path` or `..._path`, and each of a `list[str]` named `paths` or
    `..._paths`, is resolved against the folder of the caller, because a chapter is executed in a
    folder of its own.

    Args:
        cell: source of the parameters cell.
        given: {name: value}, values or the text of them.
        folder: of the caller.
        then: sources of the code cells after it, for the checks that they begin with.

    Raises:
        ParameterError: for a name that the cell does not declare, a value of another type, or what
            those checks refuse.
    """
    declared = {name: annotation for name, (annotation, _) in read_cell(cell).items() if annotation}
    _refuse_unknown("the parameters of this chapter are", declared, given)
    values = {}
    for name, value in given.items():
        annotation = declared[name]
        if annotation != "str":
            value = _literal(value, value)
        if isinstance(value, list) and annotation != "list[str]":
            value = [_literal(item, item) for item in value]
        values[name] = _convert(name, value, annotation)
        if annotation == "str" and f"_{name}".endswith("_path"):
            values[name] = _resolved(values[name], folder)
        if annotation == "list[str]" and f"_{name}".endswith("_paths"):
            values[name] = [_resolved(path, folder) for path in values[name]]
    _check_ahead(cell, values, then)
    return values


def _check_ahead(cell: str, given: Mapping[str, Any], then: Iterable[str]) -> None:
    """Make the checks that a chapter begins with, which need none of its imports.

    They are its calls of `check_parameters` and `require` before anything else that it does.
    """
    declared = read_cell(cell)
    names: dict[str, Any] = {name: value for name, (_, value) in declared.items()}
    names.update(given)
    if None in names.values():  # no literal
        return
    checks = {"check_parameters": check_parameters, "require": require}
    names |= checks
    names["__annotations__"] = {name: kind for name, (kind, _) in declared.items() if kind}
    for source in then:
        try:
            body = ast.parse(source).body
        except (SyntaxError, ValueError):
            return
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                continue
            call = getattr(node, "value", None)
            if not isinstance(call, ast.Call) or ast.unparse(call.func) not in checks:
                return
            try:
                eval(compile(ast.Expression(call), "the checks of a chapter", "eval"), names)
            except ParameterError:
                raise
            except Exception:  # It needs an import: the chapter makes this check itself.
                continue


def _resolved(path: str, folder: Path) -> str:
    """A path as seen from a folder; none stays none."""
    return str(folder / Path(path).expanduser()) if path else ""


def _literal(text: Any, default: Any) -> Any:
    """The value of a literal, given as text or as a node of the syntax; default if it is none."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    return default


def _declared(namespace: Mapping[str, Any]) -> dict[str, str]:
    """{name: annotation} of the annotated assignments, in their order."""
    found = dict(namespace.get("__annotations__", {}))
    if not found and isinstance(namespace.get("In"), list):
        # Python 3.14 keeps the annotations of one compiled unit, and IPython compiles statement by
        # statement: read the cells.
        for source in namespace["In"]:
            found |= {name: text for name, (text, _) in read_cell(source).items() if text}
    elif not found and "__annotate__" in namespace:
        found = namespace["__annotate__"](1)
    return {
        name: kind.__name__ if type(kind) is type else str(kind).strip("'\"")
        for name, kind in found.items()
        if not name.startswith("_")
    }


def _refuse_unknown(what: str, declared: Mapping[str, str], names: Iterable[str]) -> None:
    for name in names:
        required = f"{what} {', '.join(declared) or 'none'}"
        require(name in declared, required, repr(name), closest(name, declared))


def _convert(name: str, value: Any, annotation: str, low: Any = None, high: Any = None) -> Any:
    """The value as annotated and in its range."""
    item = annotation.removeprefix("list[").removesuffix("]")
    required = f"{name} must be annotated with {', '.join(_KINDS)}, or a list of one of them"
    require(item in _KINDS, required, annotation, "Change the annotation in the cell.")
    kind, words, example = _KINDS[item]
    rule: Any = Annotated[kind, Field(ge=low, le=high)] if item in ("int", "float") else kind
    if item != annotation:
        rule = Annotated[list[rule], Field(min_length=1)]
        value = list(value) if isinstance(value, tuple) else value
    try:
        return TypeAdapter(rule, config=_STRICT).validate_python(value)
    except Refused as error:
        problem = error.errors()[0]
    if problem["type"] in ("greater_than_equal", "less_than_equal"):
        example = low if problem["type"] == "greater_than_equal" else high
        words = f"in [{low}, {high}]"
        if None in (low, high):
            words = f"at least {low}" if high is None else f"at most {high}"
    elif item != annotation and not problem["loc"]:
        words, example = f"a non-empty {annotation}", f"[{example}]"
    require(False, f"{name} must be {words}", repr(problem["input"]), f"Use {example}, say.")
    return None
