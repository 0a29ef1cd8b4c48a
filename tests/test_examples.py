"""Every public name has an example in its docstring, and the example is true."""

import doctest
import importlib
import inspect
import sys

import pytest

ROOMS = ("", ".generators", ".metrics", ".planning", ".regimes", ".targets", ".theory")


def public_names():
    for room in ROOMS:
        module = importlib.import_module(f"madlib{room}")
        for name in module.__all__:
            value = getattr(module, name)
            # Arrays that a fit leaves are described, not constructed by a reader.
            if not inspect.ismodule(value) and not name.endswith("Params"):
                yield pytest.param(value, id=f"madlib{room}.{name}")


@pytest.mark.parametrize("value", dict.fromkeys(public_names()))
def test_example(value):
    text = inspect.getdoc(value) or ""
    scope = vars(sys.modules[value.__module__]) | {value.__name__: value}
    examples = doctest.DocTestParser().get_doctest(text, scope, value.__name__, None, None)
    assert examples.examples, f"{value.__module__}.{value.__name__} has no example"
    lines: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    result = runner.run(examples, out=lines.append)
    assert result.failed == 0, "".join(lines)
