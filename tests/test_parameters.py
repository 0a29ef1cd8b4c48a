"""Parameters of a chapter are checked before anything runs; results land where they should."""

import types

import pytest
from madlib.parameters import ParameterError, check_parameters, results_dir, write_result

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
        ("zzz = 3", ["'zzz'", "n_grid", "Use one of those"]),
        ("n_s = 'many'", ["n_s", "int", "'many'", "100"]),
        ("n_s = True", ["n_s", "int", "True"]),
        ("n_s = 1.5", ["n_s", "whole number", "1 or 2"]),
        ("n_s = -1", ["n_s", "at least 0", "-1"]),
        ("n_s = float('nan')", ["n_s", "finite", "nan"]),
        ("lam = float('inf')", ["lam", "finite"]),
        ("lam = 1.2", ["lam", "[0, 1]", "1.2"]),
        ("lam = None", ["lam", "float", "None"]),
        ("keep = 1", ["keep", "bool"]),
        ("name = 3", ["name", "str"]),
        ("seed = 2**40", ["seed", "4294967295"]),
        ("n_grid = '[1, 2]'", ["n_grid", "list[int]", "-y"]),
        ("n_grid = []", ["n_grid", "non-empty"]),
        ("n_grid = [1, -2]", ["n_grid", "at least 0", "-2"]),
        ("n_grid = 5", ["n_grid", "list[int]"]),
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


def test_results_dir_follows_the_environment_or_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path / "here"))
    assert results_dir() == tmp_path / "here"
    monkeypatch.setenv("MADLIB_RESULTS", "")
    monkeypatch.chdir(tmp_path)
    assert results_dir() == tmp_path / "_build" / "madlib"
    monkeypatch.setenv("MADLIB_RESULTS", "relative")
    assert results_dir() == tmp_path / "relative"


def test_results_are_written_whole(monkeypatch, tmp_path):
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path))
    path = write_result("figures/a.csv", b"1")
    write_result("figures/a.csv", b"22")
    assert path.read_bytes() == b"22"
    assert [file.name for file in (tmp_path / "figures").iterdir()] == ["a.csv"]


def test_an_unwritable_results_folder_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path / "file"))
    with pytest.raises(ParameterError, match=r"must be writable; got .*Set MADLIB_RESULTS"):
        write_result("figures/a.csv", b"1")
