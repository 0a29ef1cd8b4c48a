"""Parameters of a chapter are checked before anything runs."""

import types
from pathlib import Path

import pytest

from madlib.book.parameters import check_parameters, checked_parameters, read_cell, read_given
from madlib.errors import ParameterError

CELL = """
seed: int = 0  # of every random number
n_s: int = 100  # synthetic samples
lam: float = 1.0  # sampling bias
n_grid: list[int] = [100, 1000]
name: str = "word"
keep: bool = True
"""


def run(injected: str = "", cell: str = CELL) -> dict:
    namespace: dict = {"__builtins__": __builtins__}
    exec(cell, namespace)
    exec(injected, namespace)
    return namespace


def test_returns_the_parameters_in_order_and_writes_them_back():
    namespace = run("n_s = 1e12; lam = 1; n_grid = [10, 1e3]")
    parameters = check_parameters(namespace)
    assert list(parameters) == ["seed", "n_s", "lam", "n_grid", "name", "keep"]
    assert parameters["n_s"] == namespace["n_s"] == 10**12 and type(namespace["n_s"]) is int
    assert type(namespace["lam"]) is float
    assert parameters["n_grid"] == [10, 1000]


@pytest.mark.parametrize(
    ("injected", "words"),
    [
        ("n_z = 3", ["'n_z'", "n_s", "Did you mean"]),
        ("zzz = 3", ["'zzz'", "n_grid", "Choose one of"]),
        ("n_s = 'many'", ["n_s", "whole number", "'many'", "100"]),
        ("n_s = True", ["n_s", "whole number", "True"]),
        ("n_s = 1.5", ["n_s", "whole number", "1.5"]),
        ("n_s = -1", ["n_s", "at least 0", "-1"]),
        ("n_s = float('nan')", ["n_s", "whole", "nan"]),
        ("lam = float('inf')", ["lam", "finite"]),
        ("lam = 1.2", ["lam", "[0, 1]", "1.2"]),
        ("lam = None", ["lam", "finite number", "None"]),
        ("keep = 1", ["keep", "True or False"]),
        ("name = 3", ["name", "text", "3"]),
        ("seed = 2**40", ["seed", "4294967295"]),
        ("n_grid = '[1, 2]'", ["n_grid", "list[int]", "Use [100]"]),
        ("n_grid = []", ["n_grid", "non-empty"]),
        ("n_grid = [1, -2]", ["n_grid", "at least 0", "-2"]),
        ("n_grid = 5", ["n_grid", "list[int]"]),
        ("n_grid = [1, 'x']", ["n_grid", "whole number", "'x'"]),
        ("n_s = '5'", ["n_s", "whole number", "'5'"]),
        ("name = chr(0xdcff)", ["name", "text"]),
        ("del n_s", ["n_s", "default"]),
    ],
)
def test_mistakes_give_one_line_with_a_remedy(injected, words):
    with pytest.raises(ParameterError) as caught:
        check_parameters(run(injected))
    message = str(caught.value)
    assert "\n" not in message
    for word in [*words, "; got "]:
        assert word in message
    assert caught.value._render_traceback_() == [f"ParameterError: {message}"]


def test_ranges_can_be_given():
    with pytest.raises(ParameterError, match=r"n_s must be in \[1, 50\]; got 100"):
        check_parameters(run(), n_s=(1, 50))
    with pytest.raises(ParameterError, match="'n_x'.*Did you mean 'n_s'"):
        check_parameters(run(), n_x=(1, 50))
    assert check_parameters(run("lam = 3."), lam=(0, None))["lam"] == 3.0


def test_imports_functions_and_ipython_names_are_not_parameters():
    namespace = run("import math as m\ndef f(): pass\nclass C: pass\nIn = ['']\nOut = {}\n_x = 1")
    namespace["array"] = types.SimpleNamespace()
    assert "m" not in check_parameters(namespace)


def test_a_second_call_ignores_what_later_cells_made():
    namespace = run()
    check_parameters(namespace)
    namespace["n_rows"] = 7
    namespace["n_s"] = -4
    with pytest.raises(ParameterError, match="n_s must be at least 0"):
        check_parameters(namespace)


def test_reads_the_cells_where_python_keeps_no_annotations():
    """Python 3.14 under IPython: only the sources of the cells tell."""
    namespace = run()
    del namespace["__annotations__"]
    namespace["In"] = ["", "%matplotlib", CELL]
    assert list(check_parameters(namespace))[:2] == ["seed", "n_s"]
    namespace = run()
    names = namespace.pop("__annotations__")
    namespace["__annotate__"] = lambda form: names
    assert check_parameters(namespace)["n_s"] == 100


def test_figures_have_the_parameters_that_were_checked_last():
    found = check_parameters(run("n_s = 7"))
    assert checked_parameters() == found and checked_parameters() is not found
    found.clear()
    assert checked_parameters()["n_s"] == 7


def test_a_cell_without_annotations_is_refused():
    with pytest.raises(ParameterError, match="annotations.*n_s: int"):
        check_parameters(run(cell="n_s = 1"))
    with pytest.raises(ParameterError, match="annotated with int"):
        check_parameters(run(cell="n_s: dict = {}"))


def test_annotations_may_be_strings():
    namespace = run(
        cell='from __future__ import annotations\nn_s: "int" = 3\nlams: list[float] = [1]'
    )
    assert check_parameters(namespace) == {"n_s": 3, "lams": [1.0]}


def test_a_cell_is_read_and_not_executed(tmp_path):
    lines = f"open({str(tmp_path / 'executed')!r}, 'w')\nn: int = 2\nm: float = print(3)\nk = -4"
    assert read_cell(lines) == {"n": ("int", 2), "m": ("float", None), "k": ("", -4)}
    assert not (tmp_path / "executed").exists()
    assert read_cell("%matplotlib") == {}


PATHS = (
    'path: str = ""\ntext_path: str = ""\npaths: list[str] = [""]\nset_paths: list[str] = [""]\n'
)
GIVEN_CELL = CELL + PATHS + 'names: list[str] = ["a"]'


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("n_s", "12", 12),
        ("n_s", "1e6", 10**6),
        ("n_s", 7, 7),
        ("lam", "2e-3", 0.002),
        ("lam", "1", 1.0),
        ("keep", "true", True),
        ("keep", "False", False),
        ("n_grid", "[1e6, 2]", [10**6, 2]),
        ("n_grid", ["1_000", "2"], [1000, 2]),
        ("name", "12:30", "12:30"),
        ("name", "5", "5"),
        ("name", "!!binary aGk=", "!!binary aGk="),
        ("names", "['1', 'b']", ["1", "b"]),
        ("names", ["1", "b"], ["1", "b"]),
        ("path", "text.txt", "/caller/text.txt"),
        ("text_path", "../text.txt", "/caller/../text.txt"),
        ("text_path", "/text.txt", "/text.txt"),
        ("path", "", ""),
        ("paths", "['a.npy', '/b.npy', '']", ["/caller/a.npy", "/b.npy", ""]),
        ("set_paths", ["../1.csv", "2.csv"], ["/caller/../1.csv", "/caller/2.csv"]),
    ],
)
def test_what_is_given_is_read_by_the_annotation(name, given, value):
    read = read_given(GIVEN_CELL, {name: given}, Path("/caller"))
    assert read == {name: value}
    assert type(read[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("seed", "12:30", ["seed must be a whole number; got '12:30'"]),
        ("seed", "2020-01-01", ["seed must be a whole number; got '2020-01-01'"]),
        ("seed", "!!binary aGk=", ["seed must be a whole number"]),
        ("seed", "", ["seed must be a whole number; got ''"]),
        ("seed", "9" * 5000, ["seed must be a whole number", "..."]),
        ("lam", "NaN", ["lam must be a finite number"]),
        ("n_grid", "[1", ["n_grid must be a non-empty list[int]; got '[1'"]),
        ("n_grid", "[" * 10_000, ["n_grid must be a non-empty list[int]"]),
        ("set_paths", "a.npy", ["set_paths must be a non-empty list[str]; got 'a.npy'"]),
        ("keep", "yes", ["keep must be True or False; got 'yes'"]),
        ("n_z", "3", ["parameters of this chapter are seed", "got 'n_z'", "Did you mean"]),
        ("import os; os.abort(); n_s", "5", ["parameters of this chapter are", "got 'import os"]),
        ("n_s = 3 #", "5", ["parameters of this chapter are"]),
    ],
)
def test_what_cannot_be_given_is_one_line(name, given, words):
    with pytest.raises(ParameterError) as caught:
        read_given(GIVEN_CELL, {name: given}, Path("/caller"))
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


TOGETHER = """
require(len({*n_grid}) > 1 and n_s < max(n_grid), "n_grid must be two sizes", n_grid, "Use more.")
require(jax.devices(), "a device", "none")
"""


@pytest.mark.parametrize(
    ("given", "then", "said"),
    [
        ({"seed": -1}, ["check_parameters(globals())"], "seed must be in"),
        (
            {"n_s": 1e9},
            ["params = check_parameters(globals(), n_s=(1, 50))"],
            "got 1000000000. Use",
        ),
        ({"n_s": 3}, ["check_parameters(globals(), n_s=(2, 2 * 2), lam=(3, n_s))"], "got 1.0"),
        ({"n_grid": [7]}, [TOGETHER], r"n_grid must be two sizes; got \[7\]\. Use more"),
        ({"n_grid": [7]}, ["import jax", TOGETHER], "two sizes"),
        ({"n_s": 7000}, ["check_parameters(globals())", TOGETHER], "two sizes"),
    ],
)
def test_what_a_chapter_refuses_first_is_refused_before_it_starts(given, then, said):
    with pytest.raises(ParameterError, match=said):
        read_given(CELL, given, Path("/caller"), then)
    assert read_given(CELL, given, Path("/caller")) == given


@pytest.mark.parametrize(
    "then",
    [
        ["check_parameters(globals(), lam=(0, jax.numpy.inf))"],  # needs an import
        ["n_grid = [1, 2]", TOGETHER],  # no longer the parameter that was given
        ["%matplotlib inline", TOGETHER],
        ["print(n_s)", "check_parameters(globals(), n_s=(1, 50))"],
    ],
)
def test_what_needs_more_than_parameters_is_left_to_the_chapter(then, capsys):
    assert read_given(CELL, {"n_grid": [7]}, Path("/caller"), then) == {"n_grid": [7]}
    assert read_given(f"{CELL}n: int = len('ab')", {"n_s": 9}, Path(), TOGETHER) == {"n_s": 9}
    assert not capsys.readouterr().out
