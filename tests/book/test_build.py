"""The build: what is executed again, what a failure leaves, and what is refused before it."""

import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

from madlib.book import build
from madlib.errors import ParameterError, Unavailable

RECORD = """import os, pathlib
results = pathlib.Path(os.environ["MADLIB_RESULTS"])
(results / "figures").mkdir(exist_ok=True)
(results / "figures" / f"fig-{_name}.txt").write_text(str(n_s))
with open(os.environ["SCRATCH_LOG"], "a") as log:
    print(_name, file=log)"""


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
        rest = [nbformat.v4.new_code_cell(cell) for cell in (f"_name = {name!r}\n{RECORD}", *cells)]
        prose = nbformat.v4.new_markdown_cell(f"# {name}\n\n{prose}")
        nbformat.write(
            nbformat.v4.new_notebook(cells=[prose, head, *rest]),
            self.root / "book" / f"{name}.ipynb",
        )

    def build(self, preset: str | None = None) -> list[str]:
        """Build; return the chapters that were executed."""
        self.log.write_text("")
        build.build(self.root, self.output, preset=preset, jobs=2)
        return sorted(self.log.read_text().split())

    def looks_finished(self) -> bool:
        return (self.output / "html").exists()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """The scratch book, typeset by a stand-in for Sphinx."""

    def typeset(output: Path, environment: object) -> None:
        (output / "html").mkdir()
        (output / "html" / "index.html").write_text("")

    monkeypatch.setattr(build, "_typeset", typeset)
    monkeypatch.setenv("SCRATCH_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MADLIB_LEDGER", "")
    return Scratch(tmp_path)


def test_only_what_changed_is_executed(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scratch.build() == ["one", "two"]
    assert scratch.build() == []
    scratch.chapter("two", prose="Other prose.")
    assert scratch.build() == []
    assert "Other prose." in (scratch.output / "stage" / "book" / "two.ipynb").read_text()
    assert build.is_current(scratch.root, scratch.output)
    (scratch.root / "book" / "_build").mkdir()
    scratch.write("book/_build/fig-mine.csv", "made by a reader, beside a notebook")
    assert build.is_current(scratch.root, scratch.output)
    scratch.chapter("two", "1 + 1")
    assert scratch.build() == ["two"]
    assert scratch.build("tiny") == ["one", "two"]
    assert (scratch.output / "results" / "figures" / "fig-one.txt").read_text() == "5"
    assert scratch.build() == []
    assert (scratch.output / "results" / "figures" / "fig-one.txt").read_text() == "3"
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")  # and other prose in it
    found = build.chapters(scratch.root, scratch.output)
    assert not any(chapter.is_current for chapter in found)


def test_staged_chapters_carry_their_outputs(scratch: Scratch) -> None:
    scratch.chapter("one", "n_s * 2")
    scratch.build("tiny")
    cells = nbformat.read(scratch.output / "stage" / "book" / "one.ipynb", 4).cells
    assert cells[-1].outputs[0]["data"]["text/plain"] == "10"
    assert any("injected-parameters" in cell.metadata.get("tags", []) for cell in cells)


def test_failure_is_one_line_and_leaves_no_site(scratch: Scratch) -> None:
    scratch.build()
    scratch.chapter("two", "1 / 0")
    with pytest.raises(build.BuildError) as error:
        scratch.build()
    assert str(error.value) == "two, cell [3]: ZeroDivisionError: division by zero"
    assert not scratch.looks_finished()
    scratch.chapter("two")
    assert scratch.build() == [], "the chapter that was whole before is whole again"


def test_parameter_error_is_told_in_its_own_words(scratch: Scratch) -> None:
    check = "from madlib.book import check_parameters\ncheck_parameters(globals(), n_s=(1, 9))"
    scratch.chapter("one", check)
    path = scratch.root / "book" / "one.ipynb"
    said = r"^one: n_s must be in \[1, 9\]; got 44\. .*$"
    with pytest.raises(ParameterError, match=said):
        build.run(path, scratch.root / "run", {"n_s": 44})
    scratch.write("book/presets/tiny.yaml", "one: {n_s: 44}\n")
    with pytest.raises(build.BuildError, match=said):
        scratch.build("tiny")


def test_a_range_is_refused_before_anything_starts(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scratch.root / "book" / "one.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells[2].source = "import jax\ncheck_parameters(globals(), n_s=(1, 9))"
    nbformat.write(notebook, path)
    monkeypatch.setattr(build, "_execute", lambda *_: pytest.fail("started"))
    said = r"n_s must be in \[1, 9\]; got 44\. .*$"
    with pytest.raises(ParameterError, match=f"^{said}"):
        build.run(path, scratch.root / "run", {"n_s": 44})
    scratch.write("book/presets/tiny.yaml", "one: {n_s: 44}\n")
    with pytest.raises(ParameterError, match=f"^one: {said}"):
        scratch.build("tiny")
    assert not (scratch.root / "run").exists() and not (scratch.root / "run.part").exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("n_t", "4", "the parameters of this chapter are n_s; got 'n_t'. Did you mean"),
        ("n_s", "12:30", "n_s must be a whole number; got '12:30'"),
        ("n_s", "2020-01-01", "n_s must be a whole number; got '2020-01-01'"),
        ("n_s", "!!binary aGk=", "n_s must be a whole number"),
        ("n_s", "1.5", "n_s must be a whole number; got 1.5"),
        ("{0}; n_s", "5", "the parameters of this chapter are n_s; got"),
        ("n_s = {0} #", "5", "the parameters of this chapter are n_s; got"),
        ("n_s", "{0}", "n_s must be a whole number"),
        ("n_s", ["1", "{0}"], "n_s must be a whole number"),
    ],
)
def test_what_a_chapter_cannot_take_starts_nothing(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, name: str, value, said: str
) -> None:
    """Names are written into a cell by papermill: they are code, and must not become any."""
    code = f"open({str(scratch.root / 'executed')!r}, 'w')"
    name = name.replace("{0}", code)
    monkeypatch.setattr(build, "_execute", lambda *_: pytest.fail("started"))
    for given in (value, [code] if isinstance(value, list) else value.replace("{0}", code)):
        with pytest.raises(ParameterError) as caught:
            build.run(scratch.root / "book" / "one.ipynb", scratch.root / "run", {name: given})
        assert said in str(caught.value) and "\n" not in str(caught.value)
    chosen = json.dumps({"one": {name: value}})
    scratch.write("book/presets/tiny.yaml", chosen)
    with pytest.raises(ParameterError) as caught:
        scratch.build("tiny")
    assert str(caught.value).startswith("one: ") and said in str(caught.value)
    assert not (scratch.root / "run").exists() and not (scratch.root / "executed").exists()


def test_values_arrive_as_they_were_given(scratch: Scratch) -> None:
    path = scratch.root / "book" / "one.ipynb"
    scratch.chapter("one", "(results / 'told').write_text(repr([n_s, lam, word, text_path]))")
    notebook = nbformat.read(path, 4)
    notebook.cells[1].source += "\nlam: float = 1.0\nword: str = ''\ntext_path: str = ''"
    nbformat.write(notebook, path)
    word = 'it\'s \\ "12:30"\n{n_s} # \u00e9'
    given = {"n_s": "1e12", "lam": "1e-7", "word": word, "text_path": "a/b.txt"}
    build.run(path, scratch.root / "a {folder}", given)
    told = (scratch.root / "a {folder}" / "told").read_text()
    assert told == repr([10**12, 1e-7, word, str(Path.cwd() / "a" / "b.txt")])


def test_presets_are_read_as_the_command_line_is(scratch: Scratch) -> None:
    scratch.write("book/presets/tiny.yaml", "one: {n_s: 1e1}\ntwo: {n_s: '12'}\n")
    found = build.chapters(scratch.root, scratch.output, "tiny")
    assert [chapter.parameters for chapter in found] == [{"n_s": 10}, {"n_s": 12}]
    for text, said in (
        ("three: {n_s: 1}", "a preset names chapters: one, two; got 'three'"),
        ("one: 3", "must hold `chapter"),
        ("- one", "must hold `chapter"),
        ("one: {", "must hold `chapter.*expected the node content"),
    ):
        scratch.write("book/presets/tiny.yaml", text)
        with pytest.raises(ParameterError, match=said) as caught:
            scratch.build("tiny")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        *("", "html", "html.key", "jupyter", "results", "site", "stage"),
        *("chapters", "chapters/default/one", "chapters/default/one.part"),
    ],
)
def test_file_where_a_folder_belongs_is_one_line(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = scratch.output / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if place == "html.key":
        (path / "x").mkdir(parents=True)
    else:
        path.write_text("")
    if not place.startswith("chapters"):
        monkeypatch.setattr(build, "_execute", lambda *_: pytest.fail("found out too late"))
    with pytest.raises(ParameterError, match="folder that can be written; got .*") as caught:
        scratch.build()
    assert "\n" not in str(caught.value) and str(scratch.output) in str(caught.value)


def test_a_chapter_depends_on_the_modules_that_it_imports() -> None:
    def names(*cells: str) -> set[str]:
        return {str(path.relative_to(build.PACKAGE)) for path in build._modules([*cells])}

    light = names("import numpy")
    assert not any(name.endswith(".py") for name in light), "no chapter without madlib"
    some = names("from madlib import simulate", "if True:\n    import madlib.book.claims as c")
    assert {"__init__.py", "loop.py", "protocols.py", "book/claims.py", "book/__init__.py"} <= some
    assert {"book/parameters.py", "book/results.py", "errors.py"} <= some
    assert not {"__main__.py", "config.py", "book/build.py"} & some
    assert "config.py" in names("from madlib import config")
    everything = {str(p.relative_to(build.PACKAGE)) for p in build.PACKAGE.rglob("*.py")}
    for doubtful in ("%matplotlib inline", "__import__('madlib')", "importlib.import_module(x)"):
        assert names("import numpy", doubtful) >= everything
    # Nothing is loaded by those imports that is not among them; nor could it be, later.
    listed = "import json, sys, madlib.book.claims\n" + (
        "print(json.dumps([m.__file__ for n, m in sys.modules.items() if n[:6] == 'madlib']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", listed], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {str(Path(p).relative_to(build.PACKAGE)) for p in json.loads(done.stdout)}
    assert loaded <= names("import madlib.book.claims")
    for path in build.PACKAGE.rglob("*.py"):
        unseen = r"import_module\(.?[\"']madlib|__import__\(|^\s*from\s+\."
        assert path.name == "build.py" or not re.search(unseen, path.read_text(), re.MULTILINE)


def test_only_what_depends_on_an_edit_is_executed(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = scratch.root / "madlib"
    package.mkdir()
    monkeypatch.setattr(build, "PACKAGE", package)
    for name, text in (("__init__", ""), ("a", "from madlib.b import x"), ("b", "x = 1")):
        scratch.write(f"madlib/{name}.py", text)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    scratch.chapter("two", "from madlib import a")
    assert scratch.build() == ["one", "two"]
    scratch.write("madlib/b.py", "x = 2")
    assert scratch.build() == ["two"]
    scratch.write("madlib/c.py", "")
    assert scratch.build() == []


def test_failed_run_leaves_the_earlier_one(scratch: Scratch, tmp_path: Path) -> None:
    path, folder = scratch.root / "book" / "one.ipynb", tmp_path / "run"
    assert build.run(path, folder, {"n_s": 4}).is_file()
    assert (folder / "figures" / "fig-one.txt").read_text() == "4"
    assert json.loads((folder / "run.json").read_text()) == {"n_s": 4}
    scratch.chapter("one", "1 / 0")
    with pytest.raises(build.BuildError, match="ZeroDivisionError"):
        build.run(path, folder, {"n_s": 5})
    assert json.loads((folder / "run.json").read_text()) == {"n_s": 4}
    with pytest.raises(build.BuildError, match="ZeroDivisionError"):
        build.run(path, tmp_path / "new", {"n_s": 5})
    assert not (tmp_path / "new").exists(), "a failed run must leave nothing that looks finished"
    scratch.chapter("one", "")
    assert build.run(path, folder, {"n_s": 6}).is_file()
    assert json.loads((folder / "run.json").read_text()) == {"n_s": 6}
    for output in (scratch.root / "book", scratch.root / "_toc.yml", Path("/proc/madlib")):
        with pytest.raises(ParameterError, match="the output must be a folder"):
            build.run(path, output, {})
    assert path.is_file()


def test_kernel_that_dies_is_started_once_more(scratch: Scratch) -> None:
    scratch.chapter(
        "one", "if len(open(os.environ['SCRATCH_LOG']).read().split()) < 2: os._exit(1)"
    )
    scratch.write("_toc.yml", "format: jb-book\nroot: book/one\n")
    assert scratch.build() == ["one", "one"]
    scratch.chapter("one", "os._exit(1)")
    with pytest.raises(build.BuildError, match="^one: .*Kernel died$"):
        scratch.build()


def test_verify_names_what_came_out_otherwise(
    scratch: Scratch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ParameterError, match="Run make book"):
        build.verify(scratch.root, scratch.output)
    table = '(results / "figures" / f"fig-{_name}.csv").write_text("%s")'
    scratch.chapter("one", table % "1")
    scratch.build()
    assert build.verify(scratch.root, scratch.output) == 1
    assert "All 1 tables and verdicts are the same" in capsys.readouterr().out
    scratch.chapter("one", "import secrets", table.replace('"%s"', "secrets.token_hex()"))
    scratch.build()
    with pytest.raises(build.BuildError, match=r"^figures/fig-one.csv: not the same in"):
        build.verify(scratch.root, scratch.output)


def test_two_chapters_may_not_save_the_same_figure(scratch: Scratch) -> None:
    scratch.chapter("two", "(results / 'figures' / 'fig-one.txt').write_text('')")
    with pytest.raises(build.BuildError, match="fig-one.txt is already written by one"):
        scratch.build()
    assert not scratch.looks_finished()


def test_claim_that_comes_out_otherwise_fails_the_build(scratch: Scratch) -> None:
    entry = (
        "- {id: c, source: founding, where: here, statement: S., kind: equality,\n"
        "   chapter: one, verdict: %s%s}\n"
    )
    scratch.write("book/claims.yaml", entry % ("contradicted", ", note: Why."))
    scratch.chapter(
        "one",
        "from madlib.book.claims import Estimate, check\ncheck('c', Estimate(1, 0.1), expected=1)",
    )
    with pytest.raises(build.BuildError, match="^c: the ledger says contradicted"):
        scratch.build()
    assert not scratch.looks_finished()
    scratch.write("book/claims.yaml", entry % ("reproduced", ""))
    assert scratch.build() == []


def test_unknown_preset_and_missing_table_of_contents(scratch: Scratch) -> None:
    (scratch.root / "evil.yaml").write_text("one: {n_s: 4}")
    for preset in ("huge", "../../evil", "", "..", f"{scratch.root}/evil"):
        if preset:
            with pytest.raises(ParameterError, match="preset must be one of tiny; got"):
                scratch.build(preset)
    assert not scratch.output.exists()
    with pytest.raises(ParameterError, match=r"where its _toc\.yml stands"):
        build.build(scratch.root / "book", scratch.output)


@pytest.mark.parametrize("ending", ["SIGKILL", "SIGHUP"])
def test_ended_build_repeats_only_what_was_unfinished(scratch: Scratch, ending: str) -> None:
    pids = "with open(os.environ['SCRATCH_LOG'] + '.pid', 'w') as f: print(os.getpid(), file=f)\n"
    wait = "import time\nwhile not os.path.exists('{}'): time.sleep(0.05)"
    scratch.chapter("two", pids + wait.format(scratch.root / "go"))
    scratch.chapter("three", wait.format(scratch.root / "go"))
    scratch.write(
        "_toc.yml",
        "format: jb-book\nroot: book/one\nchapters:\n- file: book/two\n- file: book/three\n",
    )
    builder = subprocess.Popen(
        [sys.executable, "-m", "madlib", "book", "--jobs", "1"],
        cwd=scratch.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    finished = scratch.output / "chapters" / "default" / "one" / "key"
    try:
        deadline = time.monotonic() + 120
        while not (finished.is_file() and (pid := scratch.log.with_name("log.pid")).is_file()):
            assert builder.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(Unavailable, match="takes one build at a time; got a second one in"):
            scratch.build()
        assert builder.poll() is None
    finally:
        builder.send_signal(getattr(signal, ending))
        said = builder.communicate(timeout=30)[1]
    if ending != "SIGKILL":
        assert builder.returncode == 130
        assert said == "madlib: interrupted; chapters that are finished are kept.\n"
    while Path("/proc", pid.read_text().strip()).exists():
        assert time.monotonic() < deadline, "the kernel outlives the build"
        time.sleep(0.05)
    assert not scratch.looks_finished()
    assert "three" not in scratch.log.read_text(), "nothing may begin after the end"
    (scratch.root / "go").write_text("")
    assert scratch.build() == ["three", "two"]


def test_two_runs_in_one_folder_are_refused(scratch: Scratch) -> None:
    path = scratch.root / "book" / "one.ipynb"
    with (
        build._alone(scratch.root / "run.part"),
        pytest.raises(Unavailable, match="takes one build at a time; got a second one in"),
    ):
        build.run(path, scratch.root / "run", {})
    assert not (scratch.root / "run").exists()
    build.run(path, scratch.root / "run", {})
    assert not (scratch.root / "run.part").exists()


def test_what_was_damaged_is_made_again(scratch: Scratch) -> None:
    save = "(results / 'figures' / 'fig-two.json').write_text('{\"a\": 1}')"
    verdict = (
        "from madlib.book.results import write_result\n_ = write_result('claims/c.json', b'{}')"
    )
    scratch.chapter("two", save, verdict)
    scratch.chapter("one", prose="Other prose.")
    entry = "- {id: c, source: founding, where: here, statement: S., kind: equality,\n"
    scratch.write("book/claims.yaml", entry + "   chapter: two, verdict: reproduced}\n")
    scratch.write("book/presets/smoke.yaml", "{}")
    scratch.build("smoke")

    def made(folder: Path) -> dict[str, bytes]:
        kept = ("results/figures", "results/claims", "html")
        return {str(p): p.read_bytes() for k in kept for p in (folder / k).rglob("*.*")}

    whole, folder = made(scratch.output), scratch.output / "chapters" / "smoke" / "two"
    (two,) = (c for c in build.chapters(scratch.root, scratch.output, "smoke") if c.stem == "two")
    files = {path: path.read_bytes() for path in folder.rglob("*.*")} | {
        folder / "key": (folder / "key").read_bytes()
    }
    names = {"two.ipynb", "ran.json", "key", "fig-two.txt", "fig-two.json", "c.json"}
    assert {path.name for path in files} == names
    for path, content in files.items():
        for damaged in (content[:-1], b"\xff" + content, b"", None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            assert not two.is_current, (path, damaged)
        path.write_bytes(content)
        assert two.is_current, path
    for path, content in files.items():
        path.write_bytes(content[:-1])
    (scratch.output / "html" / "index.html").write_text("x")
    assert scratch.build("smoke") == ["two"]
    assert made(scratch.output) == whole
    for path in (scratch.output / "html.key", scratch.output / "html" / "index.html"):
        path.write_bytes(b"\xff")
        assert scratch.build("smoke") == []
        assert made(scratch.output) == whole


def test_a_full_disk_is_one_line_and_loses_nothing(scratch: Scratch) -> None:
    """A limit on the size of files does for a disk without room: it needs no rights."""
    big = "(results / 'figures' / 'fig-big.txt').write_bytes(bytes(1_000_000))"
    scratch.chapter("two", big)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(build.BuildError, match="^two: output and .* room; .*Make room") as e:
            scratch.build()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(e.value)
    assert not scratch.looks_finished()
    assert scratch.build() == ["two"]
    figures = scratch.output / "results" / "figures"
    made = {path.name: path.read_bytes() for path in figures.iterdir()}
    assert made == {"fig-one.txt": b"3", "fig-two.txt": b"3", "fig-big.txt": bytes(1_000_000)}


def test_chapters_show_no_progress_bars(scratch: Scratch) -> None:
    """Of a loop that takes its time; what goes to standard error would fail the build."""
    scratch.chapter(
        "one",
        "import sys, tqdm, madlib, jax\n"
        "class Bar(tqdm.tqdm):\n"
        "    def __init__(self, **given): super().__init__(**given | {'delay': 0})\n"
        "sys.modules['madlib.simulate'].tqdm = Bar\n"
        "regime = madlib.FullySynthetic(9)\n"
        "sizes = dict(n_ini=9, n_generations=2, n_replicates=2)\n"
        "target = madlib.targets.standard_normal(1)\n"
        "_ = madlib.simulate(jax.random.key(0), madlib.Gaussian(1), regime, target, **sizes)",
    )
    executed = build.run(scratch.root / "book" / "one.ipynb", scratch.root / "run", {})
    assert not nbformat.read(executed, 4).cells[-1].outputs


def test_sphinx_warning_fails_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MADLIB_LEDGER", "")
    scratch = Scratch(tmp_path)
    scratch.chapter("two", prose="[](nowhere.md)")
    with pytest.raises(build.BuildError, match="nowhere"):
        scratch.build()
    assert not scratch.looks_finished()
    scratch.chapter("two")
    assert scratch.build() == []
    assert (scratch.output / "html" / "book" / "two.html").is_file()
