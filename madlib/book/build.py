"""Build the book: execute the chapters that changed, hold them against the claims ledger, typeset.

    chapters -> papermill -> executed copies and results -> claims audit -> jupyter-book -> html

A chapter is executed again when its code cells, its parameters, its claims, a module that it
imports (however indirectly), the lock or Python changed, and only then: prose may change freely.
Each is executed in a process of its own (papermill changes the working directory of its process)
into a folder that takes its final name when it is whole, so a killed build repeats only what was
unfinished; a file that was damaged since is unfinished, too. The site appears under its name when
it is whole and the ledger agrees. One build at a time may write to a folder.
"""

import ast
import contextlib
import errno
import fcntl
import functools
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from madlib.book import claims
from madlib.book.parameters import read_given
from madlib.errors import MadlibError, ParameterError, Unavailable, require

__all__ = ["BuildError", "build", "chapters", "is_current", "preset_parameters", "run", "verify"]

PACKAGE = Path(__file__).resolve().parents[1]
# Tracing and Sphinx make many objects; of the first nearly all go at once, of the second none.
_QUIET_GC = "import gc; gc.set_threshold(100_000, 20, 20)"
_KERNEL = [
    *(
        sys.executable,
        "-Xfrozen_modules=off",
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
    ),
    f"--IPKernelApp.exec_lines={_QUIET_GC}",
]
# Standard input closes when the builder dies, however it dies; the kernel follows its parent.
_PAPERMILL = """
import json, os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
from papermill import execute_notebook
*given, folder = json.loads(sys.argv[1])
settings = {"kernel_name": "python3", "language": "python", "progress_bar": False}
execute_notebook(*given, cwd=folder, **settings)
"""
_running: set[subprocess.Popen] = set()


class BuildError(MadlibError):
    """The book cannot be built; each line of the message is one reason."""


class Chapter(NamedTuple):
    """One notebook of the book and where its results go."""

    notebook: Path
    folder: Path
    parameters: dict[str, Any]
    key: str

    @property
    def stem(self) -> str:
        """The name of the chapter, such as `05_fresh_data`."""
        return self.notebook.stem

    @property
    def is_current(self) -> bool:
        """Whether the folder holds the results of just this key, as they were written."""
        return _read(self.folder / "key") == _sealed(self.key, self.folder)


def build(root: Path, output: Path, *, preset: str | None = None, jobs: int | None = None) -> Path:
    """Build the book whose `_toc.yml` stands in `root`; return the folder of the site.

    Args:
        root: the top of the repository.
        output: folder for everything that is made; the site is `output/html`.
        preset: name of a file in `book/presets`; None takes the parameters of the chapters.
        jobs: how many chapters are executed at once; None for one per core.

    Raises:
        ParameterError: for an unknown preset or parameter, or a folder that cannot be written.
        BuildError: if a chapter fails (a line for each), a claim disagrees with the ledger, or
            Sphinx warns.
        Unavailable: while another build writes to `output`.
    """
    root, output = root.resolve(), output.resolve()
    key, html = _site_key(root, preset), output / "html"
    if is_current(root, output, preset=preset):
        print(f"Nothing changed; the book is {html / 'index.html'}.")
        return html
    found = chapters(root, output, preset)
    # From here until the end there is no site: a failed build leaves nothing that looks finished.
    with _writing(output), _alone(output):
        (output / "html.key").unlink(missing_ok=True)
        for made in (html, output / "results", output / "stage", output / "site"):
            if made.exists():
                shutil.rmtree(made)
        environment = _environment(root, output)
        _execute_all(found, environment, jobs)
        results = _merge_results(found, output / "results", preset)
        mismatches = claims.audit(results, environment["MADLIB_LEDGER"])
        if mismatches and preset != "smoke":
            raise BuildError("\n".join(mismatches))
        _stage(root, found, output / "stage", preset)
        _typeset(output, environment | {"MADLIB_RESULTS": str(results)})
        (output / "html.key").write_text(_sealed(key, html))
    print(f"The book is {html / 'index.html'}.")
    return html


def is_current(root: Path, output: Path, *, preset: str | None = None) -> bool:
    """Whether `output/html` is what `build` would make now."""
    has_site = (output / "html" / "index.html").is_file()
    key = _site_key(root.resolve(), preset)
    return has_site and _read(output / "html.key") == _sealed(key, output / "html")


def verify(root: Path, output: Path, *, preset: str | None = None, jobs: int | None = None) -> int:
    """Execute every chapter anew, into `output/verify`, and compare it with the last build.

    Args:
        root, output, preset, jobs: as in `build`.

    Returns:
        The number of tables and verdicts, all the same to the byte.

    Raises:
        ParameterError: if `output` holds no build of this book as it stands.
        BuildError: a line for each table or verdict that came out otherwise, or is missing.
    """
    root, output = root.resolve(), output.resolve()
    required, remedy = "verify compares with a build of the book as it stands", "Run make book."
    require(is_current(root, output, preset=preset), required, f"none in {output}", remedy)
    again = output / "verify"
    with _writing(again), _alone(output):
        shutil.rmtree(again, ignore_errors=True)
        found = chapters(root, again, preset)
        _execute_all(found, _environment(root, again), jobs)
        was, now = (
            {
                f"{path.parent.name}/{path.name}": path.read_bytes()
                for kind in ("figures/*.csv", "claims/*.json")
                for path in results.glob(kind)
            }
            for results in (output / "results", _merge_results(found, again / "results", preset))
        )
    differ = sorted(name for name in was | now if was.get(name) != now.get(name))
    if differ:
        where = output / "results", again / "results"
        told = "{}: not the same in {} and {}."
        raise BuildError("\n".join(told.format(name, *where) for name in differ))
    print(f"All {len(was)} tables and verdicts are the same to the byte.")
    return len(was)


def run(notebook: Path, folder: Path, parameters: Mapping[str, Any]) -> Path:
    """Execute one chapter with other parameters; return the executed notebook in `folder`.

    Beside it lie `figures/`, `claims/` and `run.json`, the parameters that were given. The folder
    takes its name when it is whole, and only then does an earlier run in it go.

    Args:
        notebook: the chapter.
        folder: for this run alone.
        parameters: {name: value}, values or the text of them, as `parameters.read_given` reads it;
            a path is relative to the working directory.

    Raises:
        ParameterError: for a folder that cannot be written, or holds what is no earlier run, and
            for a parameter that the chapter refuses.
        BuildError: if the chapter fails otherwise, with the one line that says why.
    """
    notebook, folder = notebook.resolve(), folder.resolve()
    given = _given(_read_notebook(notebook), parameters, Path.cwd())
    part = folder.with_name(folder.name + ".part")
    with _writing(folder), contextlib.ExitStack() as stack:
        require(
            not folder.exists() or (folder / "run.json").is_file() or not any(folder.iterdir()),
            "the output must be a folder for this run alone",
            folder,
            "Name a new one.",
        )
        stack.enter_context(_alone(part))
        shutil.rmtree(part / "run", ignore_errors=True)
        environment = _environment(notebook.parent.parent, part)
        _execute(Chapter(notebook, part / "run", given, ""), environment)
        (part / "run" / "run.json").write_text(json.dumps(given))
        shutil.rmtree(folder, ignore_errors=True)
        (part / "run").rename(folder)
        shutil.rmtree(part, ignore_errors=True)
    return folder / notebook.name


def chapters(root: Path, output: Path, preset: str | None = None) -> list[Chapter]:
    """The notebooks that `_toc.yml` names, in its order, with the parameters of a preset."""
    notebooks = {path.stem: path for path in _notebooks(root)}
    parameters = preset_parameters(root, preset) if preset else {}
    for stem in parameters:
        required = f"a preset names chapters: {', '.join(notebooks)}"
        require(stem in notebooks, required, repr(stem), f"Rename it in {preset}.yaml.")
    ledger = claims.ledger(root / "book" / "claims.yaml")
    lock = _read(root / "requirements.lock")
    found = []
    for stem, notebook in notebooks.items():
        read = _read_notebook(notebook)
        cells = [_source(cell) for cell in read["cells"] if cell["cell_type"] == "code"]
        try:
            chosen = _given(read, parameters.get(stem, {}), root)
        except ParameterError as error:
            raise ParameterError(f"{stem}: {error}") from None
        checked = [
            (claim.id, claim.kind, claim.statement) for claim in ledger if claim.chapter == stem
        ]
        modules = _digest(path.read_bytes() for path in sorted(_modules(cells)))
        key = _digest(
            json.dumps(part)
            for part in (cells, chosen, checked, modules, lock, platform.python_version())
        )
        folder = output / "chapters" / (preset or "default") / stem
        found.append(Chapter(notebook, folder, chosen, key))
    return found


def preset_parameters(root: Path, preset: str) -> dict[str, dict[str, Any]]:
    """The text of `book/presets/<preset>.yaml`: {chapter: {name: text or list of texts}}."""
    files = {path.stem: path for path in sorted((root / "book" / "presets").glob("*.yaml"))}
    remedy = "Use one of those, or add a file to book/presets."
    require(preset in files, f"preset must be one of {', '.join(files)}", repr(preset), remedy)
    try:  # As text: the numbers of YAML 1.1 are not those of Python.
        chosen: Any = yaml.load(files[preset].read_text("utf-8"), Loader=yaml.BaseLoader) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        chosen = error
    fine = isinstance(chosen, dict) and all(isinstance(v, dict) for v in chosen.values())
    require(fine, f"{preset}.yaml must hold `chapter: {{name: value}}`", chosen, "Mend it.")
    return chosen


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except MadlibError:
        raise
    except OSError as error:
        where = f"{error.filename or folder} ({error.strerror})"
        required = "the output must be a folder that can be written"
        raise ParameterError(f"{required}; got {where}. Name another one, or clear it.") from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a folder for one process; the lock ends with it, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name))
        except (BlockingIOError, FileNotFoundError):  # Held, or just given back and removed.
            free = False
        required, remedy = "a folder takes one build at a time", "Wait for it, or name another."
        require(free, required, f"a second one in {folder}", remedy, Unavailable)
        yield


def _notebooks(root: Path) -> list[Path]:
    toc, remedy = root / "_toc.yml", "Run this at the top of the repository."
    require(toc.is_file(), "the book is built where its _toc.yml stands", root, remedy)
    files = re.findall(r"\b(?:root|file):\s*([^\s,}]+)", toc.read_text("utf-8"))
    paths = (root / f"{file.removesuffix('.ipynb')}.ipynb" for file in files)
    return [path for path in paths if path.is_file()]


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def _read_notebook(path: Path) -> dict[str, Any]:
    """A notebook of format 4; nbformat, which would check the rest, takes a second to load."""
    try:
        notebook = json.loads(path.read_text("utf-8"))
        if notebook["nbformat"] == 4 and notebook["cells"]:
            return notebook
        reason = "it is not of format 4, or empty"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
    raise BuildError(f"{path.name}: not a notebook ({reason}).")


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def _parameters_cell(notebook: dict[str, Any]) -> str:
    return "\n".join(_source(cell) for cell in notebook["cells"] if "parameters" in _tags(cell))


def _given(notebook: dict[str, Any], given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What is given for a chapter, as its parameters cell and its first checks take it."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    then = itertools.dropwhile(lambda cell: "parameters" not in _tags(cell), code)
    sources = [_source(cell) for cell in then if "parameters" not in _tags(cell)]
    return read_given(_parameters_cell(notebook), given, folder, sources)


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else part
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _sealed(key: str, folder: Path) -> str:
    """A key, and a hash of the files that were made under it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    made = {path.relative_to(folder): path for path in files if path != folder / "key"}
    return f"{key} {_digest(x for n, p in made.items() for x in (str(n), p.read_bytes()))}"


def _package(pattern: str = "*") -> set[Path]:
    return {path for path in PACKAGE.rglob(pattern) if path.is_file() and path.suffix != ".pyc"}


def _modules(cells: list[str]) -> set[Path]:
    """The files of the package that a chapter can depend on: those that it imports, and so on.

    All of them, where that cannot be read off its cells.
    """
    found = {path for path in _package() if path.suffix != ".py"}
    try:
        todo = set().union(*(_imported(cell) for cell in cells))
    except SyntaxError:  # a cell of magics
        return _package()
    if re.search("import_module|__import__", "".join(cells)):
        return _package()
    while todo:
        found.add(path := todo.pop())
        todo |= _imported(path.read_text("utf-8")) - found
    return found


@functools.lru_cache(maxsize=1024)
def _imported(source: str) -> frozenset[Path]:
    """Files of the package that the imports in a source execute, wherever they stand in it."""
    names = {
        f"{getattr(node, 'module', '')}.{alias.name}".strip(".")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    files = {
        file
        for path in (PACKAGE.parent.joinpath(*name.split(".")) for name in names)
        for step in (path, *path.parents)
        if step.is_relative_to(PACKAGE)
        for file in (step / "__init__.py", step.with_suffix(".py"))
    }
    return frozenset(filter(Path.is_file, files))


def _sources(root: Path) -> list[Path]:
    """The files of the site beside the results: configuration, pages, notebooks, style."""
    book, not_pages = root / "book", {"__pycache__", ".ipynb_checkpoints", "_build", "presets"}
    found = (
        path
        for path in book.rglob("*")
        if path.is_file() and not not_pages & set(path.relative_to(book).parts)
    )
    return [root / "_config.yml", root / "_toc.yml", *sorted(found)]


def _site_key(root: Path, preset: str | None) -> str:
    """Of all that a site is made from, read and not parsed: it decides whether anything is done."""
    preset_file = [root / "book" / "presets" / f"{preset}.yaml"] if preset else []
    files = [*_sources(root), *preset_file, *sorted(_package()), root / "requirements.lock"]
    return _digest(
        [
            platform.python_version(),
            preset or "",
            *(os.path.relpath(path, root) for path in files),
            *(path.read_bytes() if path.is_file() else b"" for path in files),
        ]
    )


def _environment(root: Path, output: Path) -> dict[str, str]:
    """The environment of the chapters: this Python, this package, nothing of the user's Jupyter."""
    jupyter = output / "jupyter"
    spec = jupyter / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps({"argv": _KERNEL, "display_name": "madlib", "language": "python"}))
    python_path = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return {
        # Chapters that run side by side share an accelerator.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        "JUPYTER_PATH": str(jupyter),
        "JUPYTER_RUNTIME_DIR": str(jupyter / "runtime"),
        "JUPYTER_NO_CONFIG": "1",
        "TQDM_DISABLE": "1",
        "IPYTHONDIR": str(jupyter / "ipython"),
        "MADLIB_LEDGER": str(root / "book" / "claims.yaml"),
    }


def _execute_all(found: list[Chapter], environment: Mapping[str, str], jobs: int | None) -> None:
    stale = [chapter for chapter in found if not chapter.is_current]
    for chapter in found:
        if chapter not in stale:
            print(f"  {chapter.stem:<28} unchanged", flush=True)

    def attempt(chapter: Chapter) -> str | None:
        start = time.monotonic()
        part = chapter.folder.with_name(chapter.folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            _execute(chapter._replace(folder=part), environment)
        except (BuildError, ParameterError) as error:
            print(f"  {chapter.stem:<28} failed after {time.monotonic() - start:.1f} s", flush=True)
            return str(error)
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
        ran = {"seconds": round(time.monotonic() - start, 1), "machine": machine}
        (part / "ran.json").write_text(json.dumps(ran))
        (part / "key").write_text(_sealed(chapter.key, part))
        shutil.rmtree(chapter.folder, ignore_errors=True)
        part.rename(chapter.folder)
        print(f"  {chapter.stem:<28} {time.monotonic() - start:.1f} s", flush=True)
        return None

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        try:
            failures = [line for line in pool.map(attempt, stale) if line]
        except BaseException:  # interrupted: what is under way ends now, and nothing else begins.
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in list(_running):
                worker.kill()
            raise
    if failures:
        raise BuildError("\n".join(failures))


def _execute(chapter: Chapter, environment: Mapping[str, str]) -> None:
    """Execute one chapter in a process of its own; once more if its kernel died."""
    chapter.folder.mkdir(parents=True, exist_ok=True)
    executed = chapter.folder / chapter.notebook.name
    # papermill fills in what stands in braces in a path.
    paths = (re.sub("[{}]", r"\g<0>\g<0>", str(path)) for path in (chapter.notebook, executed))
    job = [*paths, chapter.parameters, str(chapter.folder)]
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", _PAPERMILL, json.dumps(job)],
            env={**environment, "MADLIB_RESULTS": str(chapter.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as worker:
            _running.add(worker)
            try:
                log = worker.stdout.read()  # pyright: ignore[reportOptionalMemberAccess]
            except BaseException:
                worker.kill()
                raise
            finally:
                _running.discard(worker)
        if worker.returncode == 0:
            return
        # Two kernels that start at one moment may choose the same port.
        if not re.search(r"DeadKernelError|Kernel died|Kernel didn't respond", log):
            break
    raise _reason(chapter.stem, executed, log)


def _reason(stem: str, executed: Path, log: str) -> BuildError | ParameterError:
    """Why a chapter failed, in one line."""
    if full := _full(log, executed.parent):
        return BuildError(f"{stem}: {full}")
    cells = []
    with contextlib.suppress(BuildError):  # None yet, or cut short by a full disk.
        cells = _read_notebook(executed)["cells"]
    for cell in cells:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                name, message = output["ename"], (output["evalue"].strip() or "no message")
                message = message.splitlines()[0]
                if name == ParameterError.__name__:
                    return ParameterError(f"{stem}: {message}")
                return BuildError(f"{stem}, cell [{cell['execution_count']}]: {name}: {message}")
    last = (log.strip() or "papermill ended without a word").splitlines()[-1]
    return BuildError(f"{stem}: {last}")


def _full(log: str, folder: Path) -> str:
    """One line, if a log tells of a disk without room: of the output or of temporary files."""
    said = [os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
    found = [words for words in said if words in log]
    remedy = "Make room, or name another output; chapters that are finished are kept."
    required = "output and temporary files need room"
    return f"{required}; got {folder} ({found[0]}). {remedy}" if found else ""


def _merge_results(found: list[Chapter], results: Path, preset: str | None) -> Path:
    """Gather the figures and verdicts of all chapters; no two chapters may write the same file."""
    owner: dict[str, str] = {}
    for chapter in found:
        for kind in ("figures", "claims"):
            for path in sorted((chapter.folder / kind).glob("*")):
                name = f"{kind}/{path.name}"
                first = owner.setdefault(name, chapter.stem)
                if first != chapter.stem:
                    said = f"{chapter.stem}: {name} is already written by {first}. Rename one."
                    raise BuildError(said)
                (results / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, results / name)
    ran = {chapter.stem: json.loads(_read(chapter.folder / "ran.json")) for chapter in found}
    record = {
        "preset": preset,
        "python": platform.python_version(),
        "machine": " and ".join(sorted({one["machine"] for one in ran.values()})),
        "seconds": {stem: one["seconds"] for stem, one in ran.items()},
    }
    results.mkdir(exist_ok=True)
    (results / "build.json").write_text(json.dumps(record))
    return results


def _stage(root: Path, found: list[Chapter], stage: Path, preset: str | None) -> None:
    """Lay out what jupyter-book reads: the pages, and each chapter with its outputs woven in."""
    executed = {chapter.notebook: chapter.folder / chapter.notebook.name for chapter in found}
    for path in _sources(root):
        target = stage / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in executed:
            woven = _weave(_read_notebook(path), _read_notebook(executed[path]))
            target.write_text(json.dumps(woven), "utf-8")
        elif path.suffix != ".ipynb":
            shutil.copy2(path, target)
    config = yaml.safe_load((root / "_config.yml").read_text())
    config.setdefault("execute", {})["execute_notebooks"] = "off"
    if preset:
        options = config.setdefault("sphinx", {}).setdefault("config", {})
        said = f"Built with the parameters of the {preset} preset."
        options.setdefault("html_theme_options", {})["announcement"] = said
    (stage / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))


def _weave(source: dict[str, Any], executed: dict[str, Any]) -> dict[str, Any]:
    """The chapter as it stands now with the outputs of its execution."""
    ran = (cell for cell in executed["cells"] if cell["cell_type"] == "code")
    cells = []
    for cell in source["cells"]:
        if cell["cell_type"] == "code":
            done = next(ran)
            while "injected-parameters" in _tags(done):
                cells.append(done)
                done = next(ran)
            cell |= {name: done[name] for name in ("outputs", "execution_count")}
        cells.append(cell)
    metadata = {n: value for n, value in executed["metadata"].items() if n != "papermill"}
    return executed | {"cells": cells, "metadata": metadata}


def _typeset(output: Path, environment: Mapping[str, str]) -> None:
    """Run jupyter-book over the stage; move the site to its name when it is whole."""
    start = time.monotonic()
    site = output / "site"
    jupyter_book = f"{_QUIET_GC}; from jupyter_book.cli.main import main; main()"
    stage, flags = str(output / "stage"), ["-W", "--keep-going", "-q"]
    site.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", jupyter_book, "build", stage, "--path-output", str(site), *flags],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        if full := _full(done.stdout + done.stderr, output):
            raise BuildError(full)
        lines = re.sub(r"\x1b\[[\d;]*m", "", done.stderr).splitlines()
        told = [line for line in lines if re.search(r"WARNING|ERROR|[Ee]rror:", line)]
        raise BuildError("\n".join(told or lines or ["jupyter-book failed without a word"]))
    (site / "_build" / "html").rename(output / "html")
    shutil.rmtree(site)
    print(f"  {'site':<28} {time.monotonic() - start:.1f} s", flush=True)
