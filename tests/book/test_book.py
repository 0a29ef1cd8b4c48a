"""The chapters as sources, the build that executes them, and the command line."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import yaml
from conftest import ROOT
from madlib.parameters import ParameterError, require

from madlib import book, parameters, theory
from madlib.__main__ import _value, main

CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
PRESETS = sorted((ROOT / "book" / "presets").glob("*.yaml"))

chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def is_parameters(cell: nbformat.NotebookNode) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def test_the_book_has_chapters_and_lists_them_all() -> None:
    listed = [found.notebook for found in book.chapters(ROOT, ROOT / "_build")]
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
    assert "check_parameters(globals()" in cells[position + 1].source


@chapter
def test_chapter_calls_and_does_not_define(path: Path) -> None:
    cells = code_cells(path)
    assert len(cells) <= 15
    for cell in cells:
        tree = ast.parse(cell.source)
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(tree))
        assert max(map(len, cell.source.splitlines()), default=0) <= 72, cell.source


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_preset_names_parameters_that_exist(preset: Path) -> None:
    values = book.preset_parameters(ROOT, preset.stem)
    stems = {path.stem: path for path in CHAPTERS}
    assert set(values) <= set(stems)
    if preset.stem == "smoke":
        assert set(values) == set(stems), "the smoke preset must shrink every chapter"
    for stem, chosen in values.items():
        namespace: dict = {"require": require, "madlib": SimpleNamespace(**vars(parameters))}
        cells = code_cells(stems[stem])
        (position,) = [i for i, cell in enumerate(cells) if is_parameters(cell)]
        exec(cells[position].source, namespace)
        namespace |= chosen
        # An unknown name, a wrong type or an impossible size raises, and so does what the chapter
        # requires of several together; the rest of its first cell computes.
        for node in ast.parse(cells[position + 1].source).body:
            source = ast.unparse(node)
            if source.startswith(("params =", "require(")):
                exec(source, namespace)
        assert "params" in namespace


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


RECORD = """import os, pathlib
results = pathlib.Path(os.environ["MADLIB_RESULTS"])
(results / "figures").mkdir(exist_ok=True)
(results / "figures" / f"fig-{name}.txt").write_text(str(n_s))
with open(os.environ["SCRATCH_LOG"], "a") as log:
    print(name, file=log)"""


class Scratch:
    """A book of two chapters that leave a line in a log when they are executed."""

    def __init__(self, root: Path) -> None:
        self.root, self.output, self.log = root, root / "_build", root / "log"
        (root / "book" / "presets").mkdir(parents=True)
        self.write("_config.yml", "title: Scratch\nonly_build_toc_files: true\n")
        self.write("_toc.yml", "format: jb-book\nroot: book/one\nchapters:\n- file: book/two\n")
        self.write("book/presets/tiny.yaml", "one: {n_s: 5}\n")
        self.write(
            "book/claims.yaml",
            "- {id: none, source: founding, where: here, statement: None., kind: not attempted,\n"
            "   chapter: null, verdict: not attempted, note: Scratch.}\n",
        )
        self.chapter("one")
        self.chapter("two")

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def chapter(self, name: str, *cells: str, prose: str = "Prose.") -> None:
        head = nbformat.v4.new_code_cell(
            "n_s: int = 3  # synthetic samples", metadata={"tags": ["parameters"]}
        )
        rest = [nbformat.v4.new_code_cell(cell) for cell in (f"name = {name!r}\n{RECORD}", *cells)]
        prose = nbformat.v4.new_markdown_cell(f"# {name}\n\n{prose}")
        nbformat.write(
            nbformat.v4.new_notebook(cells=[prose, head, *rest]),
            self.root / "book" / f"{name}.ipynb",
        )

    def build(self, preset: str | None = None) -> list[str]:
        """Build; return the chapters that were executed."""
        self.log.write_text("")
        book.build(self.root, self.output, preset=preset, jobs=2)
        return sorted(self.log.read_text().split())

    def looks_finished(self) -> bool:
        return (self.output / "html").exists()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """The scratch book, typeset by a stand-in for Sphinx."""

    def typeset(output: Path, environment: object) -> None:
        (output / "html").mkdir()
        (output / "html" / "index.html").write_text("")

    monkeypatch.setattr(book, "_typeset", typeset)
    monkeypatch.setenv("SCRATCH_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MADLIB_LEDGER", "")
    return Scratch(tmp_path)


def test_only_what_changed_is_executed(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scratch.build() == ["one", "two"]
    assert scratch.build() == []
    scratch.chapter("two", prose="Other prose.")
    assert scratch.build() == []
    assert "Other prose." in (scratch.output / "stage" / "book" / "two.ipynb").read_text()
    scratch.chapter("two", "1 + 1")
    assert scratch.build() == ["two"]
    assert scratch.build("tiny") == ["one", "two"]
    assert (scratch.output / "results" / "figures" / "fig-one.txt").read_text() == "5"
    assert scratch.build() == []
    assert (scratch.output / "results" / "figures" / "fig-one.txt").read_text() == "3"
    monkeypatch.setattr(book.platform, "python_version", lambda: "3.99.0")  # and other prose in it
    found = book.chapters(scratch.root, scratch.output)
    assert not any(chapter.is_current for chapter in found)


def test_staged_chapters_carry_their_outputs(scratch: Scratch) -> None:
    scratch.chapter("one", "n_s * 2")
    scratch.build("tiny")
    cells = code_cells(scratch.output / "stage" / "book" / "one.ipynb")
    assert cells[-1].outputs[0]["data"]["text/plain"] == "10"
    assert any("injected-parameters" in cell.metadata.get("tags", []) for cell in cells)


def test_failure_is_one_line_and_leaves_no_site(scratch: Scratch) -> None:
    scratch.build()
    scratch.chapter("two", "1 / 0")
    with pytest.raises(book.BuildError) as error:
        scratch.build()
    assert str(error.value) == "two, cell [3]: ZeroDivisionError: division by zero"
    assert not scratch.looks_finished()
    scratch.chapter("two")
    assert scratch.build() == [], "the chapter that was whole before is whole again"


def test_parameter_error_is_told_in_its_own_words(scratch: Scratch) -> None:
    check = "from madlib.parameters import check_parameters\ncheck_parameters(globals())"
    path = scratch.root / "book" / "one.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells.insert(2, nbformat.v4.new_code_cell(check))
    nbformat.write(notebook, path)
    said = r"^one: the parameters of this chapter are n_s; got 'n_t'\. .*$"
    with pytest.raises(ParameterError, match=said):
        book.run(path, scratch.root / "run", {"n_t": 4})
    scratch.write("book/presets/tiny.yaml", "one: {n_t: 4}\n")
    with pytest.raises(book.BuildError, match=said):
        scratch.build("tiny")


@pytest.mark.parametrize(
    ("text", "value"),
    [("2e-3", 0.002), ("12", 12), ("[1e6, 2]", [1e6, 2]), ("digits", "digits"), ("", None)],
)
def test_parameters_on_the_command_line_are_read_as_python_reads_them(text, value) -> None:
    assert _value("x", text) == value


def test_failed_run_leaves_the_earlier_one(scratch: Scratch, tmp_path: Path) -> None:
    path, folder = scratch.root / "book" / "one.ipynb", tmp_path / "run"
    assert book.run(path, folder, {"n_s": 4}).is_file()
    assert (folder / "figures" / "fig-one.txt").read_text() == "4"
    assert json.loads((folder / "run.json").read_text()) == {"n_s": 4}
    scratch.chapter("one", "1 / 0")
    with pytest.raises(book.BuildError, match="ZeroDivisionError"):
        book.run(path, folder, {"n_s": 5})
    assert json.loads((folder / "run.json").read_text()) == {"n_s": 4}
    with pytest.raises(book.BuildError, match="ZeroDivisionError"):
        book.run(path, tmp_path / "new", {"n_s": 5})
    assert not (tmp_path / "new").exists(), "a failed run must leave nothing that looks finished"
    scratch.chapter("one", "")
    assert book.run(path, folder, {"n_s": 6}).is_file()
    assert json.loads((folder / "run.json").read_text()) == {"n_s": 6}
    for output in (scratch.root / "book", scratch.root / "_toc.yml", Path("/proc/madlib")):
        with pytest.raises(ParameterError, match="the output must be a folder"):
            book.run(path, output, {})
    assert path.is_file()


def test_kernel_that_dies_is_started_once_more(scratch: Scratch) -> None:
    scratch.chapter(
        "one", "if len(open(os.environ['SCRATCH_LOG']).read().split()) < 2: os._exit(1)"
    )
    scratch.write("_toc.yml", "format: jb-book\nroot: book/one\n")
    assert scratch.build() == ["one", "one"]
    scratch.chapter("one", "os._exit(1)")
    with pytest.raises(book.BuildError, match="^one: .*Kernel died$"):
        scratch.build()


def test_two_chapters_may_not_save_the_same_figure(scratch: Scratch) -> None:
    scratch.chapter("two", "(results / 'figures' / 'fig-one.txt').write_text('')")
    with pytest.raises(book.BuildError, match="fig-one.txt is already written by one"):
        scratch.build()
    assert not scratch.looks_finished()


def test_claim_that_comes_out_otherwise_fails_the_build(scratch: Scratch) -> None:
    entry = (
        "- {id: c, source: founding, where: here, statement: S., kind: equality,\n"
        "   chapter: one, verdict: %s%s}\n"
    )
    scratch.write("book/claims.yaml", entry % ("contradicted", ", note: Why."))
    scratch.chapter(
        "one", "from madlib import claims\nclaims.check('c', measured=1.0, se=0.1, expected=1.0)"
    )
    with pytest.raises(book.BuildError, match="^c: the ledger says contradicted"):
        scratch.build()
    assert not scratch.looks_finished()
    scratch.write("book/claims.yaml", entry % ("reproduced", ""))
    assert scratch.build() == []


def test_unknown_preset_and_missing_table_of_contents(scratch: Scratch) -> None:
    with pytest.raises(ParameterError, match="preset must be one of tiny; got 'huge'"):
        scratch.build("huge")
    with pytest.raises(ParameterError, match=r"where its _toc\.yml stands"):
        book.build(scratch.root / "book", scratch.output)


def test_killed_build_repeats_only_what_was_unfinished(scratch: Scratch) -> None:
    wait = "import time\nwhile not os.path.exists('{}'): time.sleep(0.05)"
    scratch.chapter("two", wait.format(scratch.root / "go"))
    builder = subprocess.Popen(
        [sys.executable, "-m", "madlib", "book", "--jobs", "2"],
        cwd=scratch.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    finished = scratch.output / "chapters" / "default" / "one" / "key"
    try:
        deadline = time.monotonic() + 120
        while not (finished.is_file() and "two" in scratch.log.read_text()):
            assert builder.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    assert not scratch.looks_finished()
    (scratch.root / "go").write_text("")
    assert scratch.build() == ["two"]


def test_sphinx_warning_fails_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MADLIB_LEDGER", "")
    scratch = Scratch(tmp_path)
    scratch.chapter("two", prose="[](nowhere.md)")
    with pytest.raises(book.BuildError, match="nowhere"):
        scratch.build()
    assert not scratch.looks_finished()
    scratch.chapter("two")
    assert scratch.build() == []
    assert (scratch.output / "html" / "book" / "two.html").is_file()


def test_caption_and_label_come_from_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    extension = __import__("madlib_book")

    def cell(source: str, *tags: str) -> dict:
        return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": [source]}

    call = 'figures.save(fig, "fig-a", caption="With $n_s = {n_s}$ "\n "samples.", data=d)'
    cells = [
        cell("n_s: int = 3", "parameters"),
        cell("n_s = 40000", "injected-parameters"),
        cell(call),
    ]
    source = [json.dumps({"cells": cells})]
    app = SimpleNamespace(env=SimpleNamespace(doc2path=lambda name: f"{name}.ipynb"))
    extension.add_figure_metadata(app, "book/a", source)
    figure = json.loads(source[0])["cells"][2]["metadata"]["mystnb"]["figure"]
    assert figure == {"name": "fig-a", "caption": "With $n_s = 40,000$ samples."}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "--regime", "FreshDate", "--n-s", "9"], "regime must be one of"),
        (["simulate", "--regime", "FullySynthetic", "--n-s", "9", "--lam", "1.5"], "lam"),
        (["simulate", "--regime", "FullySynthetic"], "FullySynthetic takes n_s"),
        (["simulate", "--regime", "FullySynthetic", "--n-s", "9", "--seed", str(2**32)], "seed"),
        (["run", "99_nowhere"], "chapter must be one of"),
        (["run", "05_fresh_data", "-p", "n_r", "[1"], "-p n_r must be YAML; got '[1'"),
        (["book", "--jobs", "0"], "--jobs must be at least 1"),
        (["book", "--output", "/dev/null/x"], "must be a folder that can be written"),
        (["simulate", "--regime", "FullySynthetic", "--n-s", "1.5"], "whole number, such as"),
        (["bake"], "invalid choice"),
        (["simulate", "--reg", "FullySynthetic", "--n-s", "9"], "required: --regime"),
    ],
)
def test_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2
    assert not said.out
    assert message in said.err
    assert said.err.count("\n") == 1, said.err


def test_simulate_prints_quantiles(madlib) -> None:
    done = madlib(
        *("simulate", "--regime", "FreshData", "--n-r", 20, "--n-s", "8e12", "--dim", 2),
        *("--n-generations", 4, "--n-replicates", 50),
    )
    assert done.returncode == 0, done.stderr
    header, *rows = [line.split(",") for line in done.stdout.splitlines()]
    assert header[0] == "generation" and "wasserstein2_squared_q50" in header
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    low, middle, high = (float(value) for value in rows[-1][1:4])
    assert 0 < low < middle < high


def test_a_reader_who_has_seen_enough_gets_no_traceback() -> None:
    command = f"{sys.executable} -m madlib claims | head -n 1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1 and not done.stderr


def test_claims_prints_the_ledger(madlib) -> None:
    done = madlib("claims")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 25
