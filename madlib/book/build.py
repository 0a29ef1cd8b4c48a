"""Build the book: execute the chapters that changed, hold them against the claims ledger, typeset.

    chapters -> papermill -> executed copies and results -> claims audit -> jupyter-book -> html

A chapter is executed again when its code cells, its parameters, its claims, the package, the lock
or Python changed, and only then: prose may change freely. Each is executed in a process of its own
(papermill changes the working directory of its process) into a folder that takes its final name
when it is whole, so a killed build repeats only what was unfinished. The site appears under its
name when it is whole and the ledger agrees.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml

from madlib import claims
from madlib.parameters import ParameterError, require

__all__ = ["BuildError", "build", "chapters", "is_current", "preset_parameters", "run"]

PACKAGE = Path(__file__).resolve().parent
# The parts of the package that no chapter can feel.
_NOT_IN_CHAPTERS = {PACKAGE / "book.py", PACKAGE / "__main__.py"}
_KERNEL = {
    "argv": [
        sys.executable,
        "-Xfrozen_modules=off",
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        # Tracing makes many objects, and nearly all go at once.
        "--IPKernelApp.exec_lines=import gc; gc.set_threshold(100_000, 20, 20)",
    ],
    "display_name": "Python 3",
    "language": "python",
}
# Standard input closes when the builder dies, however it dies; the kernel follows its parent.
_PAPERMILL = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
from papermill.__main__ import papermill
papermill()
"""


class BuildError(Exception):
    """The book cannot be built; each line of the message says one reason."""


class Chapter(NamedTuple):
    """One notebook of the book and where its results go."""

    notebook: Path
    folder: Path
    parameters: dict[str, Any]
    key: str

    @property
    def stem(self) -> str:
        """The name of the chapter, such as ``05_fresh_data``."""
        return self.notebook.stem

    @property
    def is_current(self) -> bool:
        """Whether the folder holds the results of just this key."""
        key = self.folder / "key"
        return key.is_file() and key.read_text() == self.key


def build(root: Path, output: Path, *, preset: str | None = None, jobs: int | None = None) -> Path:
    """Build the book whose ``_toc.yml`` stands in `root`; return the folder of the site.

    Args:
        root: the top of the repository.
        output: folder for everything that is made; the site is ``output/html``.
        preset: name of a file in ``book/presets``; None takes the parameters of the chapters.
        jobs: how many chapters are executed at once; None for one per core.

    Raises:
        ParameterError: for an unknown preset, or a folder that cannot be written.
        BuildError: if a chapter fails (a line for each), a claim disagrees with the ledger, or
            Sphinx warns.
    """
    root, output = root.resolve(), output.resolve()
    found = chapters(root, output, preset)
    html, key = output / "html", _site_key(root, found, preset)
    if is_current(root, output, preset=preset):
        print(f"Nothing changed; the book is {html / 'index.html'}.")
        return html
    # From here until the end there is no site: a failed build leaves nothing that looks finished.
    try:
        (output / "html.key").unlink(missing_ok=True)
        shutil.rmtree(html, ignore_errors=True)
        environment = _environment(root, output)
    except OSError as error:
        raise _unwritable(output, error) from error
    _execute_all(found, environment, jobs)
    results = _merge_results(found, output / "results", preset)
    if preset != "smoke":
        _audit(found, results, environment["MADLIB_LEDGER"])
    _stage(root, found, output / "stage", preset)
    _typeset(output, environment | {"MADLIB_RESULTS": str(results)})
    (output / "html.key").write_text(key)
    print(f"The book is {html / 'index.html'}.")
    return html


def is_current(root: Path, output: Path, *, preset: str | None = None) -> bool:
    """Return whether ``output/html`` is what `build` would make now."""
    root, output = root.resolve(), output.resolve()
    key = output / "html.key"
    return (
        key.is_file()
        and (output / "html" / "index.html").is_file()
        and key.read_text() == _site_key(root, chapters(root, output, preset), preset)
    )


def run(notebook: Path, folder: Path, parameters: Mapping[str, Any]) -> Path:
    """Execute one chapter with other parameters; return the executed notebook in `folder`.

    Beside it lie ``figures/``, ``claims/`` and ``run.json``, the parameters that were given. The
    folder takes its name when it is whole, and only then does an earlier run in it go.

    Raises:
        ParameterError: for a folder that cannot be written, or holds what is no earlier run, and
            for a parameter that the chapter refuses.
        BuildError: if the chapter fails otherwise, with the one line that says why.
    """
    notebook, folder = notebook.resolve(), folder.resolve()
    part = folder.with_name(folder.name + ".part")
    try:
        require(
            not folder.exists() or (folder / "run.json").is_file() or not any(folder.iterdir()),
            "the output must be a folder for this run alone",
            folder,
            "Name a new one.",
        )
        shutil.rmtree(part, ignore_errors=True)
        environment = _environment(notebook.parent.parent, part)
    except OSError as error:
        raise _unwritable(folder, error) from error
    _execute(Chapter(notebook, part, dict(parameters), ""), environment)
    shutil.rmtree(part / "jupyter")
    (part / "run.json").write_text(json.dumps(dict(parameters)))
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder / notebook.name


def _unwritable(folder: Path, error: OSError) -> ParameterError:
    return ParameterError(
        f"the output must be a folder that can be written; got {folder} ({error.strerror}). "
        "Name another one."
    )


def chapters(root: Path, output: Path, preset: str | None = None) -> list[Chapter]:
    """Return the notebooks that ``_toc.yml`` names, in its order."""
    notebooks = _notebooks(root)
    parameters = preset_parameters(root, preset) if preset else {}
    ledger = claims.ledger(root / "book" / "claims.yaml")
    package = _digest(
        path.read_bytes() for path in sorted(PACKAGE.rglob("*.py")) if path not in _NOT_IN_CHAPTERS
    )
    lock = _read(root / "requirements.lock")
    found = []
    for notebook in notebooks:
        stem = notebook.stem
        chosen = parameters.get(stem, {})
        checked = [
            (claim.id, claim.kind, claim.statement) for claim in ledger if claim.chapter == stem
        ]
        cells = [
            cell["source"] for cell in _read_notebook(notebook).cells if cell.cell_type == "code"
        ]
        key = _digest(
            json.dumps(part, default=str)
            for part in (cells, chosen, checked, package, lock, platform.python_version())
        )
        folder = output / "chapters" / (preset or "default") / stem
        found.append(Chapter(notebook, folder, chosen, key))
    return found


def preset_parameters(root: Path, preset: str) -> dict[str, dict[str, Any]]:
    """Return the parameters of ``book/presets/<preset>.yaml``: {chapter: {name: value}}."""
    folder = root / "book" / "presets"
    path = folder / f"{preset}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ParameterError(
            f"preset must be one of {known}; got {preset!r}. "
            f"Use one of those, or add {path.name} to book/presets."
        )
    return {stem: values or {} for stem, values in (yaml.safe_load(path.read_text()) or {}).items()}


def _notebooks(root: Path) -> list[Path]:
    toc = root / "_toc.yml"
    if not toc.is_file():
        raise ParameterError(
            f"the book is built where its _toc.yml stands; got {root}. "
            "Run this at the top of the repository."
        )

    def files(entry: Any) -> Iterable[str]:
        if isinstance(entry, dict):
            yield from (entry[name] for name in ("root", "file") if name in entry)
            entry = list(entry.values())
        for item in entry if isinstance(entry, list) else []:
            yield from files(item)

    paths = (root / file for file in files(yaml.safe_load(toc.read_text())))
    paths = (
        path if path.suffix == ".ipynb" else path.with_name(path.name + ".ipynb") for path in paths
    )
    return [path for path in paths if path.is_file()]


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _read_notebook(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise BuildError(f"{path.name}: not a notebook ({str(error).splitlines()[0]}).") from error


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else part
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _sources(root: Path) -> list[Path]:
    """The files of the site beside the results: configuration, pages, notebooks, style."""
    book = (
        path
        for path in (root / "book").rglob("*")
        if path.is_file() and not {"__pycache__", ".ipynb_checkpoints", "presets"} & set(path.parts)
    )
    return [root / "_config.yml", root / "_toc.yml", *sorted(book)]


def _site_key(root: Path, found: list[Chapter], preset: str | None) -> str:
    sources = _sources(root)
    return _digest(
        [
            preset or "",
            *(chapter.key for chapter in found),
            *(str(path.relative_to(root)) for path in sources),
            *(path.read_bytes() for path in sources),
            *(path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))),
        ]
    )


def _environment(root: Path, output: Path) -> dict[str, str]:
    """The environment of the chapters: this Python, this package, nothing of the user's Jupyter."""
    jupyter = output / "jupyter"
    spec = jupyter / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps(_KERNEL))
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
        (part / "key").write_text(chapter.key)
        shutil.rmtree(chapter.folder, ignore_errors=True)
        part.rename(chapter.folder)
        print(f"  {chapter.stem:<28} {time.monotonic() - start:.1f} s", flush=True)
        return None

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        failures = [line for line in pool.map(attempt, stale) if line]
    if failures:
        raise BuildError("\n".join(failures))


def _execute(chapter: Chapter, environment: Mapping[str, str]) -> None:
    """Execute one chapter in a process of its own; once more if its kernel died."""
    chapter.folder.mkdir(parents=True, exist_ok=True)
    executed = chapter.folder / chapter.notebook.name
    command = [sys.executable, "-c", _PAPERMILL, str(chapter.notebook), str(executed)]
    command += ["--cwd", str(chapter.folder), "--kernel", "python3"]
    command += ["--language", "python", "--no-progress-bar"]
    if chapter.parameters:
        command += ["--parameters_yaml", yaml.safe_dump(chapter.parameters)]
    for _ in range(2):
        with subprocess.Popen(
            command,
            env={**environment, "MADLIB_RESULTS": str(chapter.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as worker:
            try:
                log = worker.stdout.read()
            except BaseException:
                worker.kill()
                raise
        if worker.returncode == 0:
            return
        # Two kernels that start at one moment may choose the same port.
        if not re.search(r"DeadKernelError|Kernel died|Kernel didn't respond", log):
            break
    raise _reason(chapter.stem, executed, log)


def _reason(stem: str, executed: Path, log: str) -> BuildError | ParameterError:
    """Why a chapter failed, in one line."""
    cells = _read_notebook(executed).cells if executed.is_file() else []
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                message = (output.evalue.strip() or "no message").splitlines()[0]
                if output.ename == ParameterError.__name__:
                    return ParameterError(f"{stem}: {message}")
                where = f"{stem}, cell [{cell.execution_count}]"
                return BuildError(f"{where}: {output.ename}: {message}")
    last = (log.strip() or "papermill ended without a word").splitlines()[-1]
    return BuildError(f"{stem}: {last}")


def _merge_results(found: list[Chapter], results: Path, preset: str | None) -> Path:
    """Gather the figures and verdicts of all chapters; no two chapters may write the same file."""
    shutil.rmtree(results, ignore_errors=True)
    owner: dict[str, str] = {}
    for chapter in found:
        for kind in ("figures", "claims"):
            for path in sorted((chapter.folder / kind).glob("*")):
                name = f"{kind}/{path.name}"
                if name in owner:
                    raise BuildError(
                        f"{chapter.stem}: {name} is already written by {owner[name]}. Rename one."
                    )
                owner[name] = chapter.stem
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


def _audit(found: list[Chapter], results: Path, ledger: str) -> None:
    os.environ["MADLIB_LEDGER"] = ledger
    built = {chapter.stem for chapter in found}
    mismatches = claims.audit(
        results, [claim for claim in claims.ledger() if claim.chapter in built]
    )
    if mismatches:
        raise BuildError("\n".join(mismatches))


def _stage(root: Path, found: list[Chapter], stage: Path, preset: str | None) -> None:
    """Lay out what jupyter-book reads: the pages, and each chapter with its outputs woven in."""
    shutil.rmtree(stage, ignore_errors=True)
    executed = {chapter.notebook: chapter.folder / chapter.notebook.name for chapter in found}
    for path in _sources(root):
        target = stage / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in executed:
            nbformat.write(_weave(_read_notebook(path), _read_notebook(executed[path])), target)
        elif path.suffix != ".ipynb":
            shutil.copy2(path, target)
    config = yaml.safe_load((root / "_config.yml").read_text())
    config.setdefault("execute", {})["execute_notebooks"] = "off"
    if preset:
        options = config.setdefault("sphinx", {}).setdefault("config", {})
        options.setdefault("html_theme_options", {})["announcement"] = (
            f"Built with the parameters of the {preset} preset."
        )
    (stage / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))


def _weave(source: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the chapter as it stands now with the outputs of its execution."""
    ran = iter([cell for cell in executed.cells if cell.cell_type == "code"])
    cells = []
    for cell in source.cells:
        if cell.cell_type == "code":
            done = next(ran)
            while "injected-parameters" in done.metadata.get("tags", []):
                cells.append(done)
                done = next(ran)
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
        cells.append(cell)
    metadata = {name: value for name, value in executed.metadata.items() if name != "papermill"}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _typeset(output: Path, environment: Mapping[str, str]) -> None:
    """Run jupyter-book over the stage; move the site to its name when it is whole."""
    start = time.monotonic()
    site = output / "site"
    shutil.rmtree(site, ignore_errors=True)
    jupyter_book = "from jupyter_book.cli.main import main; main()"
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
        lines = re.sub(r"\x1b\[[\d;]*m", "", done.stderr).splitlines()
        told = [line for line in lines if re.search(r"WARNING|ERROR|[Ee]rror:", line)]
        raise BuildError("\n".join(told or lines or ["jupyter-book failed without a word"]))
    (site / "_build" / "html").rename(output / "html")
    shutil.rmtree(site)
    print(f"  {'site':<28} {time.monotonic() - start:.1f} s", flush=True)
