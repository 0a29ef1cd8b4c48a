"""Every public name has an executed example, in its own docstring or in that of its package."""

import doctest
import functools
import importlib
import inspect
import re
import sys

import pytest

ROOMS = ("", ".generators", ".metrics", ".planning", ".regimes", ".targets", ".theory")
ROOMS += (".book", ".book.claims", ".book.figures")
PARSER = doctest.DocTestParser()


def run(value):
    """Runs the examples of a docstring; returns their source."""
    module = value if inspect.ismodule(value) else sys.modules[value.__module__]
    name = value.__name__
    scope = dict(vars(module)) | ({} if inspect.ismodule(value) else {name: value})
    examples = PARSER.get_doctest(inspect.getdoc(value) or "", scope, name, None, None)
    lines: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    result = runner.run(examples, out=lines.append)
    assert result.failed == 0, "".join(lines)
    return "".join(example.source for example in examples.examples)


def public_names():
    for room in ROOMS:
        module = importlib.import_module(f"madlib{room}")
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            # Arrays that a fit leaves are described, not constructed by a reader.
            if callable(value) and not name.endswith("Params"):
                yield pytest.param(value, room, id=f"madlib{room}.{name}")


@functools.cache
def examples_of_package(room):
    return run(importlib.import_module(f"madlib{room}"))


@pytest.mark.parametrize("room", ROOMS)
def test_examples_of_package(room):
    examples_of_package(room)


@pytest.mark.parametrize(("value", "room"), list(public_names()))
def test_example(value, room):
    shown = run(value) or re.search(rf"\b{value.__name__}\b", examples_of_package(room))
    assert shown, f"madlib{room}.{value.__name__} has no example"
