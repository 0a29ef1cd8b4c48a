"""What a reader may give, good and absurd: an answer, or one line; never NaN, a traceback, a hang.

The closed forms have a test of their own, in tests/theory. Nothing is shrunk: a slow call would be
repeated a thousand times.
"""

import contextlib
import io
import json
import re
import time

import numpy as np
import pytest
from conftest import ROOT
from helpers import ABSURD
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import madlib
from madlib import sweep
from madlib.__main__ import main
from madlib.book import build
from madlib.book.parameters import read_given
from madlib.errors import MadlibError, ParameterError
from madlib.targets.files import read_points

absurd = st.sampled_from(ABSURD)
sizes = st.one_of(st.integers(2, 10**4), st.integers(2, 10**12), absurd)
shares = st.one_of(st.floats(0, 1), absurd)
few = st.one_of(st.integers(1, 50), absurd)
text = st.text(max_size=12)


def fuzz(n):
    return settings(
        max_examples=n,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def one_line(error):
    assert re.fullmatch(r"[^\n]+; got [^\n]*", str(error)), error


QUESTION = {
    "n_r": sizes,
    "n_s": sizes,
    "regime": st.one_of(
        st.sampled_from(
            [
                *("fresh_data", "synthetic_augmentation", "fully_synthetic"),
                *("accumulate", "long_memory", "accumulate_subsample"),
            ]
        ),
        absurd,
    ),
}
OPTIONS = {
    **{"n_ini": sizes, "memory": few, "n": sizes, "lam": shares, "temperature": shares},
    **{"guidance": st.one_of(st.floats(0, 20), absurd), "dim": st.one_of(few, st.floats(1, 1e4))},
    **{"features": absurd, "spectrum": st.one_of(st.lists(st.floats(0, 9), max_size=9), absurd)},
    **{"curve": absurd, "bias": st.one_of(st.floats(1e-3, 3), absurd), "synthetic_share": shares},
    **{"false_positive": shares, "false_negative": shares, "rarest": shares},
    **{"n_answers": few, "horizon": few, "loss": shares},
}


@fuzz(120)
@given(
    question=st.fixed_dictionaries(QUESTION),
    options=st.fixed_dictionaries({}, optional=OPTIONS),
    names=st.sets(st.sampled_from(sorted(OPTIONS)), max_size=3),
)
def test_plan(question, options, names):
    start = time.process_time()
    try:
        found = madlib.plan(**question, **{name: options[name] for name in names & set(options)})
    except ParameterError as error:
        one_line(error)
    else:
        json.dumps(found.to_dict(), allow_nan=False)
        assert found.verdict and found.assumption and str(found)
    assert time.process_time() - start < 20


words = st.sampled_from(
    [
        *(
            "--n-r",
            "--n-s",
            "--lam",
            "--dim",
            "--regime",
            "--json",
            "--horizon",
            "--memory",
            "--rarest",
        ),
        *(
            "1000",
            "1e3",
            "-1",
            "nan",
            "inf",
            "0.5",
            "1" * 400,
            "fresh_data",
            "accumulate",
            "",
            "x y",
        ),
        *(
            "--features",
            "--spectrum",
            "--curve",
            "/dev/null",
            "/proc/self/mem",
            "\x00",
            "../..",
            "--",
        ),
    ]
)


@fuzz(150)
@given(arguments=st.lists(st.one_of(words, text), max_size=9))
def test_plan_from_the_shell(arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["plan", "--n-r", "1000", "--n-s", "1000", *arguments])
    assert status in (0, 1, 2)
    assert "NaN" not in out.getvalue()
    if status:
        assert err.getvalue().startswith("madlib: ") and err.getvalue().count("\n") == 1
    else:
        assert out.getvalue()


grid_values = st.one_of(sizes, st.lists(st.one_of(sizes, absurd), max_size=3), absurd, text)
grid_names = [
    *("generator", "target", "regime", "dim", "n_ini", "n_generations", "n_replicates", "block"),
    *("lam", "seed", "every", "record", "n_r", "n_s", "memory", "grid", "colour"),
]


@fuzz(400)
@given(
    change=st.dictionaries(st.sampled_from(grid_names), grid_values, max_size=3),
    lists=st.dictionaries(st.sampled_from(grid_names), grid_values, max_size=2),
)
def test_sweep_files(change, lists):
    grid = {
        **{"generator": "gaussian", "target": "normal", "dim": 2, "n_ini": 20, "n_s": 10},
        **{"n_generations": 4, "n_replicates": 6, "regime": "fully_synthetic", "grid": lists},
    }
    try:
        units = sweep.units_of({**grid, **change})
    except ParameterError as error:
        one_line(error)
    else:
        assert len(units) == len(set(units)) > 0
        for unit in units:
            json.dumps(json.loads(unit.settings), allow_nan=False)


@fuzz(60)
@given(content=st.one_of(st.binary(max_size=60), text.map(str.encode)))
def test_sweep_files_of_any_bytes(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_bytes(content)
    with pytest.raises(MadlibError) as caught:
        sweep.units_of(path)
    one_line(caught.value)


CELLS = {
    path.stem: build._parameters_cell(build._read_notebook(path))
    for path in sorted((ROOT / "book").glob("*.ipynb"))
}
NAMES = sorted({name for cell in CELLS.values() for name in re.findall(r"^(\w+):", cell, re.M)})
literals = st.one_of(
    st.sampled_from(["1e6", "[1, 2]", "[0.9, 1.0]", "-1", "1" * 99, "True", "None", "nan"]),
    st.sampled_from(["__import__('os').system('true')", "[x for x in 'a']", "{1: 2}", "b'x'", "("]),
    *(text, st.integers().map(str), st.floats().map(str), absurd),
)


@fuzz(1500)
@given(
    stem=st.sampled_from(sorted(CELLS)),
    values=st.dictionaries(st.one_of(st.sampled_from(NAMES), text), literals, max_size=3),
)
def test_parameters_of_chapters(stem, values):
    """What is accepted is plain data, which papermill writes into a cell: never code."""
    try:
        read = read_given(CELLS[stem], values, ROOT)
    except ParameterError as error:
        one_line(error)
    else:
        assert set(read) == set(values) and all(name.isidentifier() for name in read)
        assert json.loads(json.dumps(read, allow_nan=False)) == read


@fuzz(300)
@given(
    suffix=st.sampled_from([".npy", ".npz", ".csv", ".parquet"]),
    content=st.one_of(
        st.binary(max_size=80),
        st.lists(
            st.lists(st.sampled_from(["1", "2.5", "nan", "x", "", "1e999", '"', "é"]), max_size=3),
            max_size=6,
        ).map(lambda rows: "\n".join(map(",".join, rows)).encode()),
        st.sampled_from([b"\x93NUMPY", b"PK\x03\x04", b"PAR1PAR1", b"\xff\xfe1\x00"]),
    ),
)
def test_files_of_points(suffix, content, tmp_path_factory):
    path = tmp_path_factory.mktemp("points") / f"mine{suffix}"
    path.write_bytes(content)
    try:
        points, _ = read_points(path)
    except MadlibError as error:
        one_line(error)
    else:
        assert points.ndim == 2 and len(points) >= 2 and np.isfinite(points).all()
