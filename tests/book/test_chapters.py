"""The chapters as sources: stored without outputs, with parameters that are checked."""

import ast
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from conftest import ROOT

from madlib import theory
from madlib.book import build
from madlib.book.parameters import read_cell
from madlib.errors import ParameterError

CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
PRESETS = sorted((ROOT / "book" / "presets").glob("*.yaml"))

chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def is_parameters(cell: nbformat.NotebookNode) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def test_the_book_has_chapters_and_lists_them_all() -> None:
    listed = [found.notebook for found in build.chapters(ROOT, ROOT / "_build")]
    assert listed
    assert sorted(listed) == CHAPTERS


@chapter
def test_chapter_is_stored_without_outputs(path: Path) -> None:
    for cell in code_cells(path):
        assert not cell.outputs
        assert cell.execution_count is None


@chapter
def test_chapter_has_one_parameters_cell_and_checks_it(path: Path) -> None:
    cells = code_cells(path)
    (position,) = [i for i, cell in enumerate(cells) if is_parameters(cell)]
    body = ast.parse(cells[position].source).body
    assert body and all(isinstance(node, ast.AnnAssign) and node.value for node in body)
    for node in body:
        line = cells[position].source.splitlines()[node.end_lineno - 1]
        assert "#" in line, f"say in a comment what {node.target.id} is: {line}"
        assert read_cell(cells[position].source)[node.target.id][1] is not None, "no literal"
    assert "check_parameters(globals()" in cells[position + 1].source


@chapter
def test_chapter_calls_and_does_not_define(path: Path) -> None:
    cells = code_cells(path)
    assert len(cells) <= 16
    for cell in cells:
        assert len(cell.source.splitlines()) <= 20, cell.source
        tree = ast.parse(cell.source)
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(tree))
        assert max(map(len, cell.source.splitlines()), default=0) <= 72, cell.source


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_preset_names_parameters_that_exist(preset: Path) -> None:
    values = build.preset_parameters(ROOT, preset.stem)
    stems = {path.stem: path for path in CHAPTERS}
    assert set(values) <= set(stems)
    if preset.stem == "smoke":
        assert set(values) == set(stems), "the smoke preset must shrink every chapter"
    # An unknown name, a wrong type or an impossible size raises, and so does what the chapter
    # requires of several together.
    build.chapters(ROOT, ROOT / "_build", preset.stem)


# Of these lists one value is too few; every other list may be of one.
NEED_TWO = {
    "06_phase_diagram": {"n_r", "n_s"},
    "09_sampling_bias": {"real_share"},
    "10_normalizing_flow": {"thresholds"},
    "14_how_much_real_data": {"synthetic_share"},
    "definitions": {"n"},
}


@chapter
def test_what_is_refused_before_a_chapter_starts(path: Path) -> None:
    """Values out of range in every chapter, and these lists of one value."""
    notebook, refused = build._read_notebook(path), set()
    if "seed" in read_cell(build._parameters_cell(notebook)):
        with pytest.raises(ParameterError, match="seed"):
            build._given(notebook, {"seed": -1}, ROOT)
    for name, (kind, default) in read_cell(build._parameters_cell(notebook)).items():
        if kind.startswith("list["):
            try:
                build._given(notebook, {name: default[:1]}, ROOT)
            except ParameterError as error:
                assert name in str(error) and "\n" not in str(error)
                refused.add(name)
    assert refused == NEED_TWO.get(path.stem, set())


def test_examples_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    run_examples("README.md")
    alone, helped, admissible = capsys.readouterr().out.splitlines()
    assert alone.startswith("FullySynthetic") and helped.startswith("FreshData")
    assert 10 * float(helped.split()[-1]) < float(alone.split()[-1])
    assert float(admissible) == theory.admissible_n_s(10_000, dim=20, lam=0.95)


def test_a_generator_and_a_regime_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    names = run_examples("book/extend.md")
    assert abs(names["alone"].mean() - names["expected"]) < 5 * names["error"]
    half, helped = names["half"], names["helped"]
    assert abs(half.mean() - helped.mean()) < 5 * np.sqrt((half.var() + helped.var()) / half.size)


def run_examples(page: str) -> dict[str, object]:
    """The Python of a page, from its first line to its last; what it leaves."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    names: dict[str, object] = {"__name__": "__main__"}
    exec("\n".join(blocks), names)
    return names


def test_lock_and_conda_environment_agree() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", lock, re.MULTILINE))
    assert lock.count("--hash=sha256:") >= len(pinned)
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in environment if isinstance(entry, dict)]
    pins = [entry for entry in [*environment, *pip] if isinstance(entry, str) and "==" in entry]
    assert len(pins) > 15
    for pin in pins:
        name, version = (part.strip() for part in pin.split("=="))
        assert pinned[name.removesuffix("-base")] == version
