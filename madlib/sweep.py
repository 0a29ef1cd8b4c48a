r"""A grid of simulations on many machines: every unit whole or not at all, and none twice.

    units of a grid -> those whose file is missing -> each to some worker -> a parquet file each

A unit is one point of the grid and one block of replicates. Its file is named by the hash of its
settings and of the code and versions behind it, and is renamed into place when it is complete; so a
sweep that was killed goes on where it stopped, and two sweeps may share a folder, at once, too. The
numbers of a unit do not depend on who computes it: 1, 2 or 4 workers write the same bytes.

Needs the extra `madlib[cluster]`: the engine is dask.distributed.

>>> units = units_of({
...     "generator": "gaussian", "target": "normal", "dim": 2, "n_ini": 100, "n_generations": 40,
...     "n_replicates": 500, "block": 250,
...     "grid": {"regime": ["fully_synthetic", "fresh_data"], "n_r": [10, 100], "n_s": [1000]}})
>>> len(units)  # n_r is of no use to a fully synthetic loop: three points, two blocks each
6
"""

import contextlib
import functools
import hashlib
import itertools
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from madlib import metrics
from madlib.config import (
    GENERATORS,
    METRICS,
    REGIMES,
    TARGETS,
    find,
    make_generator,
    make_metric,
    make_regime,
    make_target,
    plain,
    takes,
    usual_metrics,
)
from madlib.errors import MadlibError, Rule, Unavailable, closest, require
from madlib.simulate import simulate

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

__all__ = ["Status", "Unit", "load", "run", "run_unit", "status", "units_of"]

_OF_THE_LOOP = ("n_ini", "n_generations", "n_replicates", "lam", "every")
_NAMES = {"regime": REGIMES, "generator": GENERATORS, "target": TARGETS}
_SCORES = "sample_scores"  # precision, recall, density, coverage and Frechet distance of samples
_N_SCORED = 500
_DEFAULTS = {"target": "normal", "lam": 1.0, "every": 1, "seed": 0}
_TRIES = 3  # of a unit whose disk or memory fails; waits of 1 s and 4 s lie between them
_AHEAD = 4  # units handed to the scheduler per core before their turn


class Unit(NamedTuple):
    """A point of the grid and a block of its replicates.

    Attributes:
        settings: names and numbers, as a file of settings has them; a JSON object.
        first_replicate: number of the first of the block.
        n_replicates: in the block.
    """

    settings: str
    first_replicate: int
    n_replicates: int

    @property
    def name(self) -> str:
        """Hash of the settings, and of the code and the versions that the numbers depend on."""
        text = json.dumps([*self, _code()])
        return hashlib.sha256(text.encode()).hexdigest()[:20]


class Status(NamedTuple):
    """How far a sweep is.

    Attributes:
        n_units: of the grid.
        done: names of the units that are complete.
        failed: name -> the error, in one line, of those that cannot be computed.
    """

    n_units: int
    done: tuple[str, ...]
    failed: dict[str, str]

    def __str__(self) -> str:
        missing = self.n_units - len(self.done) - len(self.failed)
        counts = f"{len(self.done)} of {self.n_units} units done, {len(self.failed)} failed"
        return "\n".join(
            [f"{counts}, {missing} to do", *(f"  {k}: {v}" for k, v in self.failed.items())]
        )


def units_of(grid: Mapping[str, Any] | str | Path) -> list[Unit]:
    """The units of a grid, each once.

    Args:
        grid: a YAML file or its content: settings, and under `grid` lists of them, whose product is
            taken. `regime`, `generator`, `target` and `record` are names; `seed`, `n_ini`,
            `n_generations`, `n_replicates`, `lam` and `every` are those of `simulate`; `block` is
            the number of replicates in a unit; all others are settings of the parts. One that a
            regime does not use is dropped for it.

    Raises:
        ParameterError: for a name that nothing uses, or a part that cannot be made, before
            anything is computed.
    """
    content = _read(grid) if isinstance(grid, str | Path) else dict(grid)
    lists = content.pop("grid", None)
    lists = {} if lists is None else lists
    fine, remedy = isinstance(lists, Mapping), "Write name: [a, b]."
    require(fine, "grid must map names to lists", repr(lists), remedy)
    for name, values in lists.items():
        fine = isinstance(values, list) and values
        require(fine, f"{name} in grid must be a list of values", repr(values), "Write [1, 2].")
    twice = sorted(set(content) & set(lists))
    require(not twice, "a setting stands outside the grid or in it", ", ".join(twice), "Drop one.")
    block = Rule(1, whole=True)("block", content.pop("block", 10**9))
    found, used = {}, set[str]()
    for values in itertools.product(*lists.values()):
        settings = {**_DEFAULTS, **content, **dict(zip(lists, values, strict=True))}
        settings = {name: plain(name, value) for name, value in settings.items()}
        kept = _checked(settings)
        used |= set(kept)
        n = kept.pop("n_replicates")
        text = json.dumps(kept, sort_keys=True)
        for first in range(0, n, block):
            found[Unit(text, first, min(block, n - first))] = None
    unknown = sorted((set(content) | set(lists)) - used)
    known = {*used, *_OF_THE_LOOP, "seed", "block", "grid", "record"}
    remedy = closest(unknown[0], known) if unknown else ""
    require(not unknown, "a setting must be used by a part of the loop", ", ".join(unknown), remedy)
    return list(found)


def run(
    grid: Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = True,
) -> Status:
    """Compute the units of a grid that are missing in a folder.

    Args:
        grid: see `units_of`.
        out: the folder, made if need be. Workers elsewhere must reach it by the same path.
        workers: processes on this machine; one per core by default.
        scheduler: address of a dask scheduler to use instead, such as `tcp://host:8786`.
        progress: whether to show a bar and the address of the dashboard on standard error.

    Raises:
        ParameterError: see `units_of`.
        Unavailable: without the packages of `madlib[cluster]`, a folder to write in or a scheduler.
    """
    units = units_of(grid)
    folder = _folder(out)
    _write(folder / "sweep.json", json.dumps([[*unit] for unit in units]).encode())
    for part in folder.glob("**/.*.part"):  # left by a process that was killed
        with contextlib.suppress(FileNotFoundError):  # renamed by another sweep meanwhile
            if time.time() - part.stat().st_mtime > 3600:
                part.unlink()
    todo = [unit for unit in units if not _is_whole(folder, unit)]
    for unit in todo:
        (folder / "failed" / f"{unit.name}.txt").unlink(missing_ok=True)
    if todo:
        with _client(workers, scheduler, len(todo)) as client:
            _compute(client, todo, folder, progress)
    return _status(folder, units)


def status(out: str | Path) -> Status:
    """How far the sweep in a folder is.

    Raises:
        ParameterError: for a folder without a sweep.
    """
    folder, units = _known(out)
    return _status(folder, units)


def load(out: str | Path) -> "pd.DataFrame":
    """The numbers of a sweep: a row per point of the grid, replicate and generation.

    Columns are the settings, `replicate`, `generation` and the metrics; a setting that a part does
    not use is missing there. Rows are in the order of the grid.

    Raises:
        ParameterError: for a folder without a sweep, or a unit whose content is damaged.
    """
    import pandas as pd

    folder, units = _known(out)
    units = [unit for unit in units if _file(folder, unit).exists()]
    require(units, "a sweep must have units that are done", "none", "Run it.")
    for unit in units:
        fine = _is_whole(folder, unit)
        require(fine, "a unit must be as it was written", unit.name, "Run the sweep again.")
    tables = [pd.read_parquet(_file(folder, unit)) for unit in units]
    return pd.concat(tables, ignore_index=True)


def run_unit(unit: Unit) -> "pd.DataFrame":
    """The numbers of one unit, tidy.

    Raises:
        ParameterError: for settings that cannot be simulated.
        Diverged: for a model that is no longer finite.
    """
    settings = json.loads(unit.settings)
    generator, regime, target = _parts(settings)
    run = simulate(
        jax.random.key(settings["seed"]),
        generator,
        regime,
        target,
        **{name: settings[name] for name in _OF_THE_LOOP if name in settings},
        n_replicates=unit.n_replicates,
        first_replicate=unit.first_replicate,
        record=tuple(_metric(name, target) for name in settings["record"]),
    )
    frame = run.to_frame()
    frame["replicate"] += unit.first_replicate
    for name, value in reversed(settings.items()):
        if name != "record":
            frame.insert(0, name, value)
    return frame


def _compute(client: "Client", todo: Sequence[Unit], folder: Path, progress: bool) -> None:
    """Keeps the scheduler supplied, without handing it a million units at once."""
    from distributed import as_completed
    from tqdm import tqdm

    waiting = iter(todo)
    ahead = _AHEAD * max(1, len(client.scheduler_info()["workers"]))

    def submit(n: int) -> Iterator[Any]:
        for unit in itertools.islice(waiting, n):
            yield client.submit(_write_unit, unit, folder, key=f"madlib-{unit.name}", pure=False)

    names = {f"madlib-{unit.name}": unit.name for unit in todo}
    bar = tqdm(total=len(todo), unit="unit", disable=not progress, desc=client.dashboard_link)
    with bar:
        futures = as_completed(list(submit(ahead)))
        for future in futures:
            name, said = names[future.key], ""
            if future.status != "finished":
                error = future.exception()
                said = f"the worker died or could not write ({type(error).__name__}: {error})"
            else:
                said = future.result()
            if said:
                line = " ".join(said.split())
                _write(folder / "failed" / f"{name}.txt", line.encode())
                bar.write(f"{name}: {line}")
            bar.update()
            future.release()
            for new in submit(1):
                futures.add(new)


def _write_unit(unit: Unit, folder: Path) -> str:
    """Computes one unit and writes its file; the error in one line, or nothing."""
    if _is_whole(folder, unit):  # by a worker that died before it could say so, or by another sweep
        return ""
    for i in range(_TRIES):
        try:
            frame = run_unit(unit)
            break
        except MadlibError as error:
            return f"{type(error).__name__}: {error}"
        except (OSError, MemoryError) as error:
            if i == _TRIES - 1:
                return f"{type(error).__name__}: {error}"
            time.sleep(4.0**i)
    content = frame.to_parquet(None, index=False)
    try:
        _write(_sum(folder, unit), hashlib.sha256(content).hexdigest().encode())
        _write(_file(folder, unit), content)
    except Unavailable as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _client(workers: int | None, scheduler: str | None, n_units: int) -> Iterator["Client"]:
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        remedy = "Install it: pip install 'madlib[cluster]'."
        require(False, "a sweep needs dask.distributed", f"no {error.name}", remedy, Unavailable)
        raise
    with contextlib.ExitStack() as stack:
        quiet = {"logging.distributed": "error", "distributed.scheduler.allowed-failures": 2}
        stack.enter_context(config.set(quiet))
        if scheduler is None:
            n_workers = min(workers or os.cpu_count() or 1, n_units)
            try:
                cluster = LocalCluster(
                    n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
                )
            except (OSError, RuntimeError) as error:
                required = "the workers of a sweep must start"
                remedy = "Make room for temporary files, or name a folder with room in TMPDIR."
                require(False, required, error, remedy, Unavailable)
                raise
            stack.callback(cluster.close)
            scheduler = cluster.scheduler_address
        try:
            client = stack.enter_context(Client(scheduler, timeout="20s"))
        except (OSError, ValueError) as error:
            required = "a scheduler must answer"
            require(False, required, f"{scheduler} ({error})", "Check its address.", Unavailable)
            raise
        yield client


def _read(path: str | Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        require(False, "a sweep is read from a YAML file", f"{path} ({error})", "Check it.")
    require(
        isinstance(content, dict), "a sweep maps names to values", repr(content), "See the docs."
    )
    return content


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a unit uses, its parts by their own names; ParameterError if one fails."""
    for role, table in _NAMES.items():
        given = settings.get(role)
        require(given, f"{role} must be named", repr(given), f"Such as {next(iter(table))}.")
        settings = {**settings, role: find(role, table, given)}
    generator, _, target = _parts(settings)
    record = settings.setdefault("record", usual_metrics(generator, target) or [_SCORES])
    record = record if isinstance(record, list | tuple) else [record]
    require(record, "record must name metrics", repr(record), f"Such as {_SCORES}.")
    settings["record"] = [*record]
    for name in settings["record"]:
        find("metric", {_SCORES: None, **METRICS}, name)
    settings["seed"] = Rule(0, 2**32 - 1, whole=True)("seed", settings["seed"])
    for name in ("n_ini", "n_generations", "n_replicates"):
        settings[name] = Rule(1, whole=True)(name, settings.get(name))
    used = {*_NAMES, *_OF_THE_LOOP, "seed", "record"}
    for role, table in _NAMES.items():
        used |= set(takes(table[settings[role]]))
    return {name: value for name, value in settings.items() if name in used}


def _parts(settings: dict[str, Any]) -> list[Any]:
    made = []
    for role, make in (
        ("generator", make_generator),
        ("regime", make_regime),
        ("target", make_target),
    ):
        names = takes(_NAMES[role][settings[role]])
        given = {name: settings[name] for name in names if name in settings}
        made.append(make(settings[role], **given))
    return made


def _metric(name: str, target: Any) -> Any:
    if name != _SCORES:
        return make_metric(name)
    real = target.sample(jax.random.key(2**32 - 1), _N_SCORED)
    return metrics.SampleScores(np.asarray(real), _N_SCORED)


@functools.cache
def _code() -> list[str]:
    """A hash of the package without its book, and the versions of those who compute."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] != "book":
            digest.update(path.read_bytes())
    versions = [f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib", "numpy", "optax")]
    return [digest.hexdigest(), *versions]


def _file(folder: Path, unit: Unit) -> Path:
    return folder / "units" / f"{unit.name}.parquet"


def _is_whole(folder: Path, unit: Unit) -> bool:
    """Whether a unit is there as it was written."""
    try:
        content, digest = _file(folder, unit).read_bytes(), _sum(folder, unit).read_text()
    except (OSError, UnicodeDecodeError):
        return False
    return digest == hashlib.sha256(content).hexdigest()


def _sum(folder: Path, unit: Unit) -> Path:
    return folder / "sums" / f"{unit.name}.sha256"


def _folder(out: str | Path) -> Path:
    """The folder of a sweep, made if need be."""
    folder = Path(out).absolute()
    try:
        for name in ("units", "sums", "failed"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(out, error)
    return folder


def _known(out: str | Path) -> tuple[Path, list[Unit]]:
    """The folder of a sweep that was started, and its units."""
    folder = Path(out).absolute()
    try:
        units = [Unit(*unit) for unit in json.loads((folder / "sweep.json").read_bytes())]
    except (OSError, ValueError, TypeError) as error:
        got, remedy = f"{out} ({error})", "Run it with its grid: madlib sweep GRID."
        require(False, "a folder with a sweep is needed", got, remedy)
        raise
    return folder, units


def _status(folder: Path, units: Sequence[Unit]) -> Status:
    done = {unit.name: None for unit in units if _file(folder, unit).exists()}
    failed = {}
    for name in [unit.name for unit in units if unit.name not in done]:
        with contextlib.suppress(FileNotFoundError):  # not tried yet, or again by another sweep
            failed[name] = (folder / "failed" / f"{name}.txt").read_text("utf-8", "replace")
    return Status(len(units), tuple(done), failed)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        _refuse(path.parent, error)


def _refuse(folder: str | Path, error: OSError) -> None:
    required = "a sweep needs a folder to write in"
    remedy = "Make room or use another; what is done is kept."
    require(False, required, f"{folder} ({error.strerror})", remedy, Unavailable)
