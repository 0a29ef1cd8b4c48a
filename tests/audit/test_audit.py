"""The audit: alarms where a loop degrades, none on real data, files refused in one line."""

import json
import pickle
from pydoc_data.topics import topics

import numpy as np
import pandas as pd
import pytest
from helpers import refused
from scipy import stats

from madlib import ParameterError
from madlib.__main__ import main
from madlib.audit import audit, examination, scores, verdict
from madlib.audit.report import letter
from madlib.audit.worth import blocks, splits, worth


def rng_of(seed):
    return np.random.default_rng(seed)


def loop(rng, lam, n_generations, n=300, d=3, real_share=0.0):
    """Independent real items, and items of a Gaussian loop that keeps lam of the variance."""
    current, generations = rng.standard_normal((n, d)), []
    for _ in range(n_generations):
        root = np.linalg.cholesky(lam * np.cov(current.T))
        generations.append(current.mean(0) + rng.standard_normal((n, d)) @ root.T)
        fresh = rng.standard_normal((int(real_share * n), d))
        current = np.concatenate([fresh, generations[-1][: n - len(fresh)]])
    return rng.standard_normal((n, d)), generations


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(scores, "N_HALVES", 8)
    monkeypatch.setattr(examination, "N_SPLITS", 60)


def test_a_loop_that_loses_variance_gives_alarm(quick):
    found = audit(*loop(rng_of(0), 0.9, 5, n=600))
    assert found.verdict == "degrading" and "variance fell" in " ".join(found.reasons)
    value, low, high = found.lam
    assert low < 0.9 < high and low < value < high
    half_life = np.log(0.5) / np.log(0.9)
    assert found.half_life[1] < half_life < found.half_life[2]
    assert found.definitions["collapsing variance"] is True
    n_e = [row["n_e"] for row in found.generations]
    assert n_e[-1] < n_e[0] < 300


def test_no_alarm_on_real_data(quick):
    verdicts = []
    for seed in range(4):
        real, *sets = rng_of(seed).standard_t(6, (4, 80, 2))
        verdicts.append(audit(real, sets, seed=seed).verdict)
    assert "degrading" not in verdicts


def test_a_loop_with_fresh_data_is_worse_and_does_not_degrade(quick):
    found = audit(*loop(rng_of(1), 0.9, 8, n=600, real_share=0.5))
    assert found.verdict == "stable", (found.verdict, found.reasons)
    assert found.generations[-1]["variance"] < 0.95


def test_one_set_that_is_worse_than_real_items_shows_no_trend(quick):
    rng = rng_of(2)
    shifted = rng.standard_normal((500, 3)) + 1
    found = audit(rng.standard_normal((500, 3)), [shifted])
    assert found.verdict == "undecided" and "no trend" in found.reasons[0]
    assert found.generations[0]["n_e_high"] < 20


def test_the_unit_of_columns_does_not_matter(quick):
    real, sets = loop(rng_of(3), 0.9, 3)
    plain = audit(real, sets)
    scale, origin = np.array([1e-6, 1.0, 1e5]), np.array([1e3, -1e7, 1e9])
    other = audit(origin + scale * real, [origin + scale * x for x in sets])
    assert plain.verdict == other.verdict
    for first, second in zip(plain.generations, other.generations, strict=True):
        for name in ("n_e", "lam", "recall", "entropy", "novelty", "tails"):
            assert first[name] == pytest.approx(second[name], rel=1e-2), name


@pytest.mark.parametrize(("step", "verdict"), [(0.0, "stable"), (0.026, "undecided")])
def test_a_loop_that_keeps_its_variance_and_drifts_away_is_not_called_stable(quick, step, verdict):
    rng = rng_of(0)
    real, *loop = rng.standard_normal((5, 2000, 2))
    found = audit(real, [x + 0.03 + step * t for t, x in enumerate(loop)])
    assert found.verdict == verdict
    assert ("the worth fell" in found.reasons[0]) == (step > 0)


def test_what_lam_and_scores_are(quick):
    rng = rng_of(4)
    real, first = rng.standard_normal((2, 400, 2))
    second = np.concatenate([real[:200], 0.5 * rng.standard_normal((200, 2))])
    found = audit(real, [first, second], raw=True)
    rows = found.generations
    variance = [np.trace(np.cov(x.T)) for x in (real, first, second)]
    for t, row in enumerate(rows, 1):
        assert row["lam"] == pytest.approx(variance[t] / variance[t - 1], rel=1e-5)
        assert row["lam_low"] < row["lam"] < row["lam_high"]
        assert row["variance"] == pytest.approx(variance[t] / variance[0], rel=1e-5)
        assert row["variance_low"] < row["variance"] < row["variance_high"]
    assert rows[0]["copies"] == 0 and 0.4 < rows[1]["copies"] < 0.6
    for score, of_real in [("entropy", found.floors["entropy"]), ("distance", np.nan)]:
        value, se = found.measured(score)
        np.testing.assert_equal(value, [of_real, *(row[score] for row in rows)])
        ends = [(row[f"{score}_low"], row[f"{score}_high"]) for row in rows]
        np.testing.assert_allclose(se[1:], np.ptp(ends, axis=1) / 2 / 1.645)
    with pytest.raises(ParameterError, match="score must be one of .*recall.*; got 'file'"):
        found.measured("file")


def test_the_band_of_a_share_is_one_of_shares(quick):
    rng = rng_of(5)
    real, near = rng.standard_normal((2, 80, 2))
    found = audit(real, [0.5 * near, real[::-1]])
    for row in (found.floors, *found.generations):
        for score, (least, most) in scores.RANGES.items():
            if score in row:
                low, value, high = (row[score + end] for end in ("_low", "", "_high"))
                assert least <= low <= value <= high <= most, score
    precision = found.table.precision
    assert precision[0] > 0.9 and (found.table.precision_high == 1).all()
    np.testing.assert_allclose(
        found.measured("precision")[1][1:], (precision - found.table.precision_low) / 1.645
    )


def test_many_columns_are_seen_in_random_directions(quick):
    rng = rng_of(5)
    real, same, less = rng.standard_normal((3, 400, 200))
    found = audit(real, [same, 0.7 * less])
    assert found.sizes["dimension"] == 200 and found.sizes["directions"] == 25
    kept = [row["lam"] for row in found.generations]
    assert kept == pytest.approx([1, 0.49], abs=0.05)
    assert found.generations[0]["n_e_high"] == 400


def log_variances(rng, lam, n_sets, n_generations, n, d, further=None):
    """Of Gaussian loops and independent real items [n_sets, n_generations + 1], and their errors.

    Each model is fitted to the items before; where further is given, to as many other ones.
    """

    def drawn(root, n):
        points = rng.standard_normal((n_sets, n, d), np.float32) @ root.mT
        points -= points.mean(1, keepdims=True)
        squares = np.square(points).sum(2)
        total = squares.sum(1) / (n - 1)
        cov = points.mT @ points / (n - 1)
        return cov, np.log(total), squares.std(1, ddof=1) / np.sqrt(n) / total

    root = np.eye(d, dtype=np.float32)
    found, (cov, *_) = [drawn(root, n)[1:]], drawn(root, further or n)
    for _ in range(n_generations):
        root = np.linalg.cholesky(np.float32(lam) * cov)
        cov, *seen = drawn(root, n)
        found.append(seen)
        if further:
            cov, *_ = drawn(root, further)
    return np.array(found).transpose(1, 2, 0)


@pytest.mark.parametrize("further", [None, 100])
@pytest.mark.parametrize(("n_generations", "d"), [(2, 1), (4, 8), (10, 1), (10, 8)])
def test_the_interval_of_lam_holds_in_85_to_95_percent_of_loops(n_generations, d, further):
    """Of a regression with independent errors in 36 to 83 %: each model inherits its noise."""
    held, n, n_sets = [], 200, 240
    for lam in (0.8, 1.0):
        rng = rng_of(n_generations + d)
        for logs, se in np.stack(log_variances(rng, lam, n_sets, n_generations, n, d, further), 1):
            noise = verdict.increment_noise(se, np.full(n_generations + 1, n), n_train=further)
            found = verdict.trend(np.exp(logs), noise)
            held.append(found.low < lam < found.high)
    assert 0.85 <= np.mean(held) <= 0.95 + 2 * 0.01, np.mean(held)


def test_the_noise_of_increments():
    se, n = np.array([0.1, 0.2, 0.3]), np.array([100, 50, 80])
    expected = np.diag([0.01 + 0.01 * 100 / 50 + 0.04, 0.09])
    np.testing.assert_allclose(verdict.increment_noise(se, n), expected)
    expected[0, 0] = 0.04
    np.testing.assert_allclose(verdict.increment_noise(se, n, trained=True), expected)
    expected = [[0.01 + 0.01 * 4 + 0.04, -0.04], [-0.04, 0.04 + 0.04 * 2 + 0.09]]
    np.testing.assert_allclose(verdict.increment_noise(se, n, n_train=25), expected)


def test_the_trend():
    """Increments by their accuracy; a scatter beyond it gives the error, with Student's t."""
    found = verdict.trend(np.array([1, 0.5]), np.array([[0.02]]))
    assert found.half_life[0] == pytest.approx(1)
    assert found.low == pytest.approx(0.5 * np.exp(-1.645 * 0.02**0.5), rel=1e-3)
    assert verdict.trend(np.array([1, 2.0]), np.array([[0.02]])).half_life[0] == np.inf
    logs = np.array([0, -0.3, -0.4])
    found = verdict.trend(np.exp(logs), np.diag([0.03, 0.01]))
    assert np.log(found.lam) == pytest.approx((-0.3 / 3 - 0.1) / (1 / 3 + 1))
    steps = np.array([-0.5, -0.1, -0.3, 0.1])  # the first is of another kind
    found = verdict.trend(np.exp(np.r_[0, np.cumsum(steps)]), 1e-6 * np.eye(4))
    expected = stats.t(2, -0.1, np.std(steps[1:], ddof=1) / 3**0.5).interval(0.9)
    np.testing.assert_allclose(np.log([found.low, found.high]), expected)
    assert stats.norm.cdf(found.z) == pytest.approx(stats.t(2).cdf(-0.1 / (0.2 / 3**0.5)))


def test_chance_seldom_gives_alarm():
    """Of 4,000 loops whose sets are all real, fewer than 5 by the variance."""
    alarms = []
    for seed, n_generations in enumerate((2, 3, 4, 8)):
        se = np.full(n_generations + 1, 0.1)
        logs = 0.1 * rng_of(seed).standard_normal((1000, n_generations + 1))
        far = np.ones((n_generations, 3))
        alarms += [bool(verdict.signs(np.exp(row), se, far, {})) for row in logs]
    assert sum(alarms) < 5


def test_chance_seldom_moves_sets_apart():
    """Intervals of 99 % of two distances of real sets meet, but for 1 trial in 100 at most."""
    apart, n_trials, points = 0, 120, rng_of(0).standard_t(6, (20_000, 2))
    for seed in range(n_trials):
        rng = rng_of(seed)
        real, *sets = (blocks(rng, x) for x in rng.permutation(points)[:180].reshape(3, 60, 2))
        halves = splits(rng, real, 2, 40)
        spread = halves.var(ddof=1) / halves.mean() ** 2
        options = {"trained": False, "levels": (examination.STRICT,)}
        (first,), (last,) = (worth(rng, real, x, spread, **options) for x in sets)
        apart += last.distance_low > first.distance_high
    assert apart <= 2


def test_the_plan_has_the_numbers_of_the_audit(quick):
    found = audit(*loop(rng_of(10), 0.8, 3, n=200, d=2), n_train=200)
    planned = found.plan()
    assert (planned.n_r, planned.n_s, planned.lam) == (200, 200, found.lam[0])
    np.testing.assert_array_equal(found.band("recall")[1], found.table.recall)
    assert planned.effective_dimension == pytest.approx(found.curve.dim)
    assert found.plan(n_s=50, lam=1).verdict.startswith("Yes")
    assert found.sizes["n_train"] == 200 and "200 items other than these" in letter(
        found, {"learning-curve": "", "generations": ""}
    )


def test_a_decline_that_has_stopped_is_none():
    flat = {}
    se = np.full(9, 0.01)
    far = np.tile([[1.0, 0.9, 1.1]], (8, 1))
    falling = 0.9 ** np.arange(9)
    stopped = 0.8 + 0.2 * 0.2 ** np.arange(9)
    assert verdict.signs(falling, se, far, flat) and not verdict.signs(stopped, se, far, flat)
    growing = far * np.arange(1, 9)[:, None]
    assert verdict.signs(np.ones(9), se, growing, flat)[0].startswith("the distance")
    entropy = {"entropy": np.stack([-np.arange(8.0), np.full(8, 0.1)], axis=1)}
    assert verdict.signs(np.ones(9), se, far, entropy) == ["entropy fell by 7 since generation 1"]


def prose():
    paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
    rng_of(7).shuffle(paragraphs)
    return paragraphs


def test_text(tmp_path, quick, capsys):
    """Prose, and a loop that repeats less and less of it."""
    paragraphs = prose()
    parts = [paragraphs[i::3] for i in range(3)]
    texts = [*parts, [x for x in parts[2] for _ in range(4)][::5], parts[2][:40] * 12]
    for name, text in zip(["real", "same", "a", "b", "c"], texts, strict=True):
        (tmp_path / f"{name}.txt").write_text("\n\n".join(text)[:80_000], encoding="utf-8")
    found = audit(tmp_path / "real.txt", [tmp_path / "same.txt"])
    assert found.verdict != "degrading" and found.sizes["dropped"].keys() == {
        "real.txt",
        "same.txt",
    }
    bits = found.generations[0]["bits_per_character"]
    assert bits == pytest.approx(found.floors["bits_per_character"], abs=0.15)
    row = found.generations[0]
    for name in ("bits_per_character", "words_lost"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    files = [str(tmp_path / f"{name}.txt") for name in ("real", "a", "b", "c")]
    assert main(["audit", *files, "--json"]) == 0
    loop_of_text = json.loads(capsys.readouterr().out)
    lost = [row["words_lost"] for row in loop_of_text["generations"]]
    distinct = [row["distinct_words"] for row in loop_of_text["generations"]]
    assert lost[-1] > lost[0] + 0.1 and distinct[-1] < distinct[0] / 2
    assert loop_of_text["verdict"] == "degrading"


def write(path, points):
    match path.suffix:
        case ".npy":
            np.save(path, points)
        case ".npz":
            np.savez(path, points)
        case ".csv":
            pd.DataFrame(points).to_csv(path, index=False)
        case ".parquet":
            pd.DataFrame(points).add_prefix("x").to_parquet(path)


def test_the_command_line(tmp_path, capsys, quick):
    real, sets = loop(rng_of(8), 0.7, 3, n=150)
    files = [tmp_path / name for name in ("real.npy", "g1.npz", "g2.csv", "g3.parquet")]
    for path, points in zip(files, [real, *sets], strict=True):
        write(path, points)
    names = [*map(str, files)]
    assert main(["audit", *names, "--json", "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "degrading" and len(found["generations"]) == 3
    for row, path in zip(found["generations"], files[1:], strict=True):
        assert row["file"] == path.name and row["n_e_low"] <= row["n_e"] <= row["n_e_high"]
        assert {"lam", "lam_low", "lam_high", "precision", "recall", "density", "coverage"} <= {
            *row
        }
    written = {path.name for path in (tmp_path / "out").iterdir()}
    figures = {
        f"{x}.{kind}" for x in ("generations", "learning-curve") for kind in ("svg", "pdf", "png")
    }
    assert written == {"report.html", "audit.json", "audit.csv"} | figures
    report = (tmp_path / "out" / "report.html").read_text("utf-8")
    for heading in ("Finding", "Evidence", "Uncertainty", "What to do"):
        assert f"<h2>{heading}</h2>" in report
    assert "This loop degrades" in report and report.count("<svg") == 2
    assert "madlib plan</code>, for 150 real items" in report
    outside = report.replace("http://www.w3.org", "")
    assert "http" not in outside and "src=" not in outside  # self-contained
    assert len(pd.read_csv(tmp_path / "out" / "audit.csv")) == 3
    assert main(["audit", *names]) == 0
    assert capsys.readouterr().out.startswith("verdict: degrading")


def pickled(path):
    path.write_bytes(pickle.dumps(np.ones((30, 2))))


def announced(path):
    with open(path, "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 1250)}
        np.lib.format.write_array_header_1_0(file, header)


def content(text, encoding="utf-8"):
    return lambda path: path.write_text(text, encoding=encoding)


def array(points):
    return lambda path: write(path, points)


GAP = np.ones((30, 2))
GAP[12, 1] = np.nan


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("x.npy", lambda path: None, ["x.npy", "missing"]),
        ("x.npy", lambda path: path.mkdir(), ["x.npy", "a folder"]),
        ("x.npy", lambda path: path.symlink_to(path), ["x.npy", "circle of links"]),
        ("x.npy", pickled, ["x.npy", "readable .npy"]),
        ("x.npy", announced, ["x.npy", "readable .npy"]),
        ("x.npy", array(GAP), ["x.npy", "nan in row 13, column 2"]),
        ("x.npy", array(np.ones((30, 3))), ["x.npy must have 2 columns, as real.npy has; got 3"]),
        ("x.npy", array(np.ones((1, 2))), ["x.npy", "two rows; got 1"]),
        ("x.npy", array(np.ones((19, 2))), ["x.npy must hold at least 20 rows; got 19"]),
        ("x.csv", content("a,b\n" + "1,2\n" * 30 + "1,2,3\n"), ["x.csv", "line 32, saw 3"]),
        ("x.csv", content("a,b\n" + "1,2\n" * 30 + "1,red\n"), ["x.csv", "'red' in row 32"]),
        ("x.csv", content(""), ["x.csv", "EmptyDataError"]),
        ("x.csv", content("a,b\n" + "1,2\n" * 30, "utf-16"), ["x.csv", "UTF-8"]),
        ("x.txt", content("prose " * 999), ["one kind", "real.npy, x.txt"]),
        ("x.doc", content("prose"), [".npy, .npz, .csv or .parquet", "x.doc"]),
    ],
)
def test_bad_files_are_one_line(name, make, words, tmp_path, capsys):
    write(tmp_path / "real.npy", rng_of(0).standard_normal((30, 2)))
    make(tmp_path / name)
    assert main(["audit", str(tmp_path / "real.npy"), str(tmp_path / name), "--json"]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1
    assert all(word in said.err for word in words), said.err


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, ["x.txt", "missing"]),
        (lambda path: path.mkdir(), ["x.txt", "a folder"]),
        (lambda path: path.symlink_to(path), ["x.txt", "circle of links"]),
        (content(""), ["x.txt must hold text"]),
        (content("prose " * 999, "utf-16"), ["x.txt", "UTF-8", "UnicodeDecodeError"]),
        (content("prose " * 99), ["x.txt must hold at least 20 passages of 200"]),
    ],
)
def test_bad_texts_are_one_line(make, words, tmp_path):
    (tmp_path / "real.txt").write_text("a few words of prose, " * 300, encoding="utf-8")
    make(tmp_path / "x.txt")
    with refused(*words):
        audit(tmp_path / "real.txt", [tmp_path / "x.txt"])


def test_arrays_are_refused_too():
    real = np.ones((30, 2))
    for generations, words in [
        ([], "generations must be given"),
        ([np.ones(30)], r"generation 1 must be points \[n, d\]"),
        ([real, real[:, :1]], "generation 2 must have 2 columns, as real has"),
        ([real * 1j], "generation 1 must be finite and real"),
    ]:
        with pytest.raises(ParameterError, match=words):
            audit(real, generations)


def test_constant_sets_are_audited(quick):
    """A collapse to a point, and real columns without spread, are no errors."""
    rng = rng_of(9)
    real = rng.standard_normal((60, 2))
    real[:, 1] = 3
    found = audit(real, [real[::-1] + 1e-3, np.full((60, 2), 3.0), np.full((60, 2), 3.0)])
    assert json.loads(found.to_json())["generations"][2]["entropy"] is None
    assert found.verdict == "degrading" and "-inf" not in str(found)
