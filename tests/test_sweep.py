"""A sweep: every unit once, whole or not at all, the same bytes whoever computes it."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import psutil
import pytest
from helpers import refused

import madlib
from madlib import sweep
from madlib.__main__ import main
from madlib.errors import ParameterError, Unavailable

GRID = {
    "generator": "gaussian",
    "target": "normal",
    "dim": 2,
    "n_ini": 20,
    "n_generations": 4,
    "n_replicates": 6,
    "block": 3,
    "grid": {
        "regime": ["fully_synthetic", "synthetic_augmentation", "fresh_data"],
        "n_r": [5, "1e1"],
        "n_s": [10],
        "lam": [1.0, 0.8],
        "seed": [0],
    },
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    return out, sweep.run(GRID, out, workers=2, progress=False)


def files(out):
    return {path.name: path.read_bytes() for path in (out / "units").iterdir()}


def test_units_are_the_points_of_the_grid_each_once():
    units = sweep.units_of(GRID)
    points = [json.loads(unit.settings) for unit in units]
    # lam: 2; n_r only where it is used: 1 + 1 + 2; blocks: 2.
    assert len(units) == len(set(units)) == len({unit.name for unit in units}) == 2 * 4 * 2
    assert [p["n_r"] for p in points if p["regime"] == "FreshData"] == 4 * [5] + 4 * [10]
    assert not any("n_r" in p for p in points if p["regime"] != "FreshData")
    assert {(unit.first_replicate, unit.n_replicates) for unit in units} == {(0, 3), (3, 3)}


def test_a_short_name_means_the_same_units():
    grid = {**GRID, "n_components": 2, "target": "mode_grid"}
    named = [sweep.units_of({**grid, "generator": it}) for it in ("mixture", "GaussianMixture")]
    assert named[0] == named[1]
    assert json.loads(named[0][0].settings)["record"] == ["mixture_variance", "mixture_l2_distance"]


def test_numbers_are_those_of_simulate(swept):
    out, state = swept
    assert len(state.done) == state.n_units == 16
    assert not state.failed
    frame = sweep.load(out)
    mine = frame[(frame.regime == "FreshData") & (frame.n_r == 10) & (frame.lam == 0.8)]
    assert mine.replicate.unique().tolist() == [0, 1, 2, 3, 4, 5]
    run = madlib.simulate(
        jax.random.key(0),
        madlib.Gaussian(2),
        madlib.FreshData(10, 10),
        madlib.targets.standard_normal(2),
        n_ini=20,
        n_generations=4,
        n_replicates=6,
        lam=0.8,
        record=(madlib.metrics.total_variance,),
    )
    assert np.array_equal(mine.total_variance, run["total_variance"].ravel())


def test_one_worker_writes_the_same_bytes_in_another_order(swept, tmp_path):
    shuffled = {**GRID, "grid": {k: v[::-1] for k, v in reversed(GRID["grid"].items())}}
    sweep.run(shuffled, tmp_path, workers=1, progress=False)
    assert files(tmp_path) == files(swept[0])


def test_only_what_is_missing_or_damaged_is_computed_again(swept, capsys):
    out, _ = swept
    before = files(out)
    stamps = {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    gone, cut, flipped, unsure, *kept = sorted(stamps)
    (out / "sums" / f"{unsure.stem}.sha256").write_bytes(b"\xff")
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-100])
    damaged = bytearray(flipped.read_bytes())
    damaged[200] ^= 255
    flipped.write_bytes(damaged)
    with pytest.raises(ParameterError, match="a unit must be as it was written"):
        sweep.load(out)
    assert main(["sweep", "--out", str(out), "--status"]) == 0
    assert "15 of 16 units done, 0 failed, 1 to do" in capsys.readouterr().out
    sweep.run(GRID, out, workers=2, progress=False)
    assert files(out) == before
    assert all(path.stat().st_mtime_ns == stamps[path] for path in kept)
    assert gone.stat().st_mtime_ns > stamps[gone]


def test_a_poisoned_unit_is_reported_and_stops_no_other(tmp_path, capsys):
    """A loop whose variance leaves single precision diverges; others are computed."""
    grid = {
        **{"generator": "gaussian", "n_ini": 4, "n_generations": 4, "n_replicates": 2, "dim": 2},
        **{"regime": "fully_synthetic", "grid": {"n_s": [2, 50]}, "record": "log_determinant"},
    }
    path = tmp_path / "grid.yaml"
    path.write_text(json.dumps(grid))  # JSON is YAML
    status = main(["sweep", str(path), "--out", str(tmp_path / "out"), "--workers", "1"])
    said = capsys.readouterr().out
    if status:
        assert "1 failed" in said
    assert len(sweep.status(tmp_path / "out").done) >= 1


def test_a_damaged_list_of_units_is_written_again(swept, tmp_path, capsys):
    out = shutil.copytree(swept[0], tmp_path / "out")
    whole = (out / "sweep.json").read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    for damaged in (whole[:-9], b"\xff" + whole, b"", b"[1]"):
        (out / "sweep.json").write_bytes(damaged)
        assert main(["sweep", "--out", str(out), "--status"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "Run it with its grid: madlib sweep GRID." in said
        with pytest.raises(ParameterError, match="a folder with a sweep is needed"):
            sweep.load(out)
    assert len(sweep.run(GRID, out, progress=False).done) == 16
    assert (out / "sweep.json").read_bytes() == whole
    assert {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()} == stamps


@pytest.fixture(scope="module")
def clusters():
    """Two of one thread each in this process, which start at once."""
    from distributed import LocalCluster

    given = {"processes": False, "n_workers": 1, "threads_per_worker": 1}
    given["dashboard_address"] = "127.0.0.1:0"
    with LocalCluster(**given) as one, LocalCluster(**given) as two:
        yield one.scheduler_address, two.scheduler_address


def test_a_full_disk_is_one_line_and_loses_nothing(clusters, tmp_path):
    """A limit on the size of files does for a disk without room: it needs no rights."""
    grid = {**GRID, "regime": "fully_synthetic", "n_s": 10, "block": 6}
    del grid["n_generations"]
    grid["grid"] = {"n_generations": [4, 5, 4000]}
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    sweep.run(grid, undisturbed, scheduler=clusters[0], progress=False)
    whole = files(undisturbed)
    small, middle, large = sorted(map(len, whole.values()))
    assert middle < 30_000 < large
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(Unavailable, match="needs a folder to write in; .* Make room") as full:
            sweep.run(grid, out, scheduler=clusters[0], progress=False)
        assert "\n" not in str(full.value)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
        state = sweep.run(grid, out, scheduler=clusters[0], progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (line,) = state.failed.values()
    assert "needs a folder to write in; got" in line and "Make room" in line and "\n" not in line
    assert files(out) == {name: b for name, b in whole.items() if len(b) < 30_000}
    stamps = {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    assert not sweep.run(grid, out, scheduler=clusters[0], progress=False).failed
    assert files(out) == whole
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_no_folder_for_temporary_files_is_one_line(tmp_path, monkeypatch):
    full = tmp_path / "full"
    full.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    with refused("the workers of a sweep must start", "TMPDIR", error=Unavailable):
        sweep.run(GRID, tmp_path / "out", workers=1, progress=False)


def test_two_sweeps_at_once_in_one_folder(clusters, swept, tmp_path):
    """Each returns how far its own grid is, and all bytes are as of one sweep."""
    lams = {**GRID, "grid": {**GRID["grid"], "lam": [0.8]}}
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(sweep.run, grid, tmp_path, scheduler=address, progress=False)
            for grid, address in zip((GRID, lams), clusters, strict=True)
        ]
        states = [job.result() for job in jobs]
    assert [(len(s.done), s.n_units, s.failed) for s in states] == [(16, 16, {}), (8, 8, {})]
    assert files(tmp_path) == files(swept[0])


@pytest.mark.parametrize("who", ["worker", "driver"])
def test_a_kill_loses_nothing(who, swept, tmp_path):
    """kill -9 in the middle; a rerun does what is missing, and all bytes are as undisturbed."""
    path = tmp_path / "grid.yaml"
    path.write_text(json.dumps(GRID))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "madlib", "sweep", str(path), "--out", str(out)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen([*command, "--workers", "2"], start_new_session=True, **quiet)
    deadline = time.time() + 120
    while not list(out.glob("units/*.parquet")) and time.time() < deadline:
        time.sleep(0.02)
    if who == "worker":
        psutil.Process(run.pid).children()[-1].kill()
    else:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait(timeout=120)
    state = sweep.run(GRID, out, workers=2, progress=False)
    assert len(state.done) == 16
    assert not state.failed
    assert files(out) == files(swept[0])


def test_a_scheduler_elsewhere(swept, tmp_path):
    """A scheduler and two worker processes on loopback."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m"]
    start = [*dask, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    start += ["--no-dashboard"]
    told = tmp_path / "scheduler.json"
    scheduler = subprocess.Popen([*start, "--scheduler-file", str(told)], **quiet)
    workers = []
    try:
        deadline = time.time() + 60
        while not (told.is_file() and told.stat().st_size) and time.time() < deadline:
            time.sleep(0.05)
        address = json.loads(told.read_text())["address"]
        worker = [*dask, "distributed.cli.dask_worker", address, "--nthreads", "1"]
        worker += ["--host", "127.0.0.1"]
        workers = [subprocess.Popen([*worker, "--no-dashboard"], **quiet) for _ in range(2)]
        state = sweep.run(GRID, tmp_path / "out", scheduler=address, progress=False)
        assert len(state.done) == 16
        assert files(tmp_path / "out") == files(swept[0])
    finally:
        for process in (*workers, scheduler):
            process.terminate()
            process.wait(timeout=30)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_r": 3}, "a setting stands outside the grid or in it; got n_r"),
        ({"colour": "red"}, "must be used by a part of the loop; got colour"),
        ({"generator": "gauss"}, "generator must be one of"),
        ({"generator": None}, "generator must be named"),
        ({"record": ["variance"]}, "metric must be one of"),
        ({"n_ini": None}, "n_ini"),
        ({"grid": [1]}, "grid must map names to lists"),
        ({"grid": np.array([2.0, np.nan])}, "grid must map names to lists"),
        ({"grid": {"n_s": 10}}, "n_s in grid must be a list"),
        ({"dim": 0}, "dim must be a whole number"),
        ({"block": 0}, "block must be a whole number"),
        ({"seed": -1}, "seed"),
        ({"n_replicates": 0.5}, "n_replicates must be a whole number"),
    ],
)
def test_mistakes_are_refused_before_anything_starts(change, said, tmp_path):
    grid = {**GRID, **change}
    with pytest.raises(ParameterError, match=said) as caught:
        sweep.run(grid, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_files_and_folders_that_will_not_do(tmp_path, capsys):
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    for path in (broken, tmp_path / "none.yaml"):
        assert main(["sweep", str(path), "--out", str(tmp_path / "o")]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["sweep", "--out", str(tmp_path)]) == 2
    assert main(["sweep", "--status", "--out", str(tmp_path)]) == 2
    with pytest.raises(Unavailable, match="needs a folder to write in"):
        sweep.run(GRID, broken)
    with pytest.raises(Unavailable, match="a scheduler must answer"):
        sweep.run(GRID, tmp_path / "o", scheduler="nowhere", progress=False)
