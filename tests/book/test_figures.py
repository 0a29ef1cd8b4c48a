"""Figures are legible in both themes, the same bytes on every run, and complete on disk."""

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib.colors
import matplotlib.text
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from PIL import Image

from madlib import ParameterError, Trajectory
from madlib.book import figures
from madlib.book.claims import Estimate
from madlib.book.figures import marks, panels, style
from madlib.book.parameters import check_parameters
from madlib.generators import NormalParams
from madlib.regimes import Curated, FreshData, FullySynthetic, Weighted

DATA = pd.DataFrame({"generation": [1, 2], "variance": [1.0, 0.1 + 0.2]})
PARAMETERS = {"n_s": 100, "lam": 0.5, "n_grid": [1, 2, 3], "n_big": 10**6}
SUFFIXES = {"pdf", "svg", "png", "csv", "json", "bib"}
RNG = np.random.default_rng(0)
MANY, FEW = RNG.lognormal(size=(50, 4)), RNG.lognormal(size=(5, 4))
POINTS = RNG.normal(size=(30, 2)) @ [[2.0, 1.0], [0.0, 0.5]]
FIT = NormalParams(POINTS.mean(0), np.linalg.cholesky(np.cov(POINTS.T)))

SCRIPT = """
import sys
import numpy as np
from madlib.book import figures
from madlib.regimes import FreshData
x = np.arange(1, 9)
figures.figure(
    figures.trajectories({"fresh": np.outer(np.arange(1, 51), x)}, theory=x, colors=FreshData),
    figures.heatmap(x, x, np.outer(x, x) / 30, label="z", span=4, theory=[(x, x)], log="xy"),
    label="fig-one", caption="One of {n_s}.", parameters={"n_s": 3},
    reproduces="alemohammad2023, Figure 11")
figures.figure(*figures.schematic(), label="fig-loops", caption="Loops.", parameters={})
sys.exit("pyplot was imported" if "matplotlib.pyplot" in sys.modules else 0)
"""


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results" / "figures"


def saved(label="fig-test", **kw):
    given = {"caption": "A line.", "parameters": PARAMETERS} | kw
    return figures.figure(figures.trajectories([1.0, 0.5], theory=[1, 0.5]), label=label, **given)


def drawn(*several, n_columns=None):
    """The axes of a figure of these panels."""
    return panels._compose(several, n_columns or len(several)).axes


def lines(ax, color):
    return [line for line in ax.lines if line.get_color() == color and len(line.get_xdata())]


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_saves_are_the_same_bytes_in_any_process_and_folder(tmp_path):
    folders, runs = [], []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        folders.append(tmp_path / name / "results")
        environment = os.environ | {
            "MADLIB_RESULTS": str(folders[-1]),
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": str(len(name)),
        }
        command = [sys.executable, "-W", "error", "-c", SCRIPT]
        runs.append(subprocess.Popen(command, cwd=tmp_path / name, env=environment))
    assert [run.wait() for run in runs] == [0, 0]
    files = sorted(path.name for path in (folders[0] / "figures").iterdir())
    assert files == sorted(f"fig-{n}.{s}" for n in ("one", "loops") for s in SUFFIXES)
    for file in files:
        first, second = ((folder / "figures" / file).read_bytes() for folder in folders)
        assert first == second, file


def test_provenance_travels_with_the_figure(results):
    saved(caption="Of {n_s}.", reproduces="alemohammad2023, Figure 11")
    record = json.loads((results / "fig-test.json").read_text())
    assert record["caption"] == "Of 100. Wide pale lines: theory."
    assert record["parameters"] == PARAMETERS
    assert record["reproduces"] == "alemohammad2023, Figure 11"
    assert set(record["versions"]) == {"madlib", "jax", "numpy", "matplotlib"}
    csv = (results / "fig-test.csv").read_bytes()
    assert record["sha256"] == hashlib.sha256(csv).hexdigest()
    assert csv == b"generation,value,theory\n1,1,1\n2,0.5,0.5\n"
    with Image.open(results / "fig-test.png") as image:
        assert json.loads(image.info["Description"]) == record
    svg = (results / "fig-test.svg").read_text()
    assert "sha256" in svg and "<dc:date>" not in svg
    assert b"CreationDate" not in (results / "fig-test.pdf").read_bytes()


def test_a_citation_is_complete_and_cites_nothing_that_is_not_there(results):
    saved(reproduces="alemohammad2023, Figure 11")
    bib = (results / "fig-test.bib").read_text()
    released = yaml.safe_load((ROOT / "CITATION.cff").read_text())["date-released"]
    assert bib.startswith("@misc{madlib-fig-test,") and f"year = {{{released.year}}}" in bib
    assert "after Figure 11 of Alemohammad (2023)" in bib and "\\cite" not in bib
    assert bib.count("{") == bib.count("}")
    assert "(2023), with n\\_s = 100, lam = 0.5, n\\_grid = [1, 2, 3]" in bib


@pytest.mark.parametrize(("width", "mm"), [("column", 88), ("page", 180)])
def test_type_has_one_size_on_paper_and_on_the_page(results, width, mm):
    shown = saved(width=width)
    with Image.open(results / "fig-test.png") as image:
        assert image.width == pytest.approx(mm / 25.4 * 300, abs=1)
    assert f"width:{mm / 180:.2%}" in shown.svg  # one scale for all figures of a page
    (ax,) = drawn(figures.trajectories({"a": MANY, "b": 2 * MANY}, title="t", ylabel="y"))
    assert {text.get_fontsize() for text in ax.figure.findobj(matplotlib.text.Text)} == {8}


def test_inline_figures_follow_the_theme_and_do_not_collide():
    first, second = saved("fig-a", caption="A <b> & c."), saved("fig-b")
    bundle = first._repr_mimebundle_()
    page = bundle["text/html"]
    svg = ElementTree.fromstring(page)[0]
    text = "A <b> & c. Wide pale lines: theory."
    assert svg.get("role") == "img" and svg.get("aria-label") == text
    assert "currentColor" in page and "#000000" not in page and "#ffffff" not in page
    ids = [set(re.findall(r'\bid="([^"]+)"', figure.svg)) for figure in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert used <= ids[0]
    assert bundle["text/plain"] == f"fig-a: {text}"


def test_a_panel_and_a_figure_of_the_reader_show_themselves_and_are_not_saved(results):
    fig, ax = figures.subplots()
    ax.plot([1, 2], [1, 2])
    for shown in (fig, figures.trajectories([1.0, 2.0]), figures.images({"a": np.ones((2, 16))})):
        page = shown._repr_mimebundle_()["text/html"]
        assert "currentColor" in page and ElementTree.fromstring(page)[0].get("role") == "img"
    assert not results.exists()


def test_print_files_are_black_on_white(results):
    saved()
    with Image.open(results / "fig-test.png") as file:
        image = np.asarray(file.convert("RGBA"))
    assert (image[0, 0] == 255).all()


# Ink and ground: on paper, and on a page in the light and in the dark theme.
GROUNDS = {"paper": ("#000000", "#ffffff"), "light": ("#222832", "#ffffff")}
GROUNDS["dark"] = ("#ced6dd", "#121212")


def seen(color, ground):
    """A color on one of the grounds, [3] in sRGB."""
    page = style._ON_PAGE.get(color, color) if ground != "paper" else color
    mixed = re.fullmatch(r"color-mix\(in srgb, (#\w+) (\d+)%, currentColor\)", page)
    if mixed:
        share = int(mixed[2]) / 100
        hue, ink = (np.array(matplotlib.colors.to_rgb(c)) for c in (mixed[1], GROUNDS[ground][0]))
        return share * hue + (1 - share) * ink
    return np.array(matplotlib.colors.to_rgb(page))


def linear(color):
    channel = np.array(color)
    return np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)


def contrast(color, ground):
    behind = matplotlib.colors.to_rgb(GROUNDS[ground][1])
    pair = [linear(c) @ [0.2126, 0.7152, 0.0722] + 0.05 for c in (seen(color, ground), behind)]
    return max(pair) / min(pair)


PALETTES = {
    "regimes": list(style.COLORS.values()),
    "series": style.SERIES,
    "bias": style.ramp("lam", [0.5, 0.8, 0.9, 1]),
    "sizes": style.ramp("n", [10, 100, 1000]),
}


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("palette", PALETTES)
def test_lines_and_their_labels_are_legible(palette, ground):
    for color in PALETTES[palette]:
        assert contrast(color, ground) >= 3, color
        assert contrast(marks.words_color(color), ground) >= 4.5, color


def test_a_ramp_goes_from_its_hue_to_the_ink_in_the_order_of_the_values():
    for ground, sign in (("paper", 1), ("light", 1), ("dark", -1)):
        lightness = [linear(seen(c, ground)).sum() for c in style.ramp("lam", [0.9, 0.5, 1])]
        assert np.argsort(sign * -np.array(lightness)).tolist() == [1, 0, 2]


# Machado, Oliveira and Fernandes 2009, severity 1; and print in gray.
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colors_of_one_figure_differ_for_color_blind_readers(deficiency, ground):
    def lab(color):
        light = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear(seen(color, ground)), 0, 1)
        to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
        x, y, z = np.cbrt(np.array(to_xyz) @ light / [0.9505, 1.0, 1.089])
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    for together in (PALETTES["regimes"][:3], PALETTES["series"][:4]):
        for one, other in itertools.combinations(together, 2):
            assert np.linalg.norm(lab(one) - lab(other)) > 20, (one, other)


def test_the_color_of_a_regime_is_found_by_its_class():
    regime = Weighted(Curated(FreshData(10, 10), lambda key, data, turn: data), 2.0)
    for value in (regime, FreshData(1, 1), FreshData, "FreshData", "#009E73"):
        assert style.color_of(value) == "#009E73"
    panel = figures.trajectories({"a": FEW, "b": FEW}, colors={"a": FullySynthetic(5), "b": "real"})
    assert [color for _, color in panel.legend[0]] == ["#D55E00", "#808080"]


def test_many_replicates_are_a_median_and_a_band_few_are_a_mean_and_a_line_each():
    (ax,) = drawn(figures.trajectories(MANY, colors=FullySynthetic))
    (line,) = lines(ax, "#D55E00")
    np.testing.assert_allclose(line.get_ydata(), np.median(MANY, axis=0))
    band = ax.collections[0].get_paths()[0].vertices
    low, high = np.quantile(MANY, [0.05, 0.95], axis=0)
    for t in range(4):
        at = band[band[:, 0] == t + 1][:, 1]
        assert at.min() == pytest.approx(low[t]) and at.max() == pytest.approx(high[t])
    (ax,) = drawn(figures.trajectories(FEW, colors=FullySynthetic))
    *each, mean = lines(ax, "#D55E00")
    np.testing.assert_allclose([line.get_ydata() for line in each], FEW)
    np.testing.assert_allclose(mean.get_ydata(), FEW.mean(0))
    assert all(line.get_linewidth() < mean.get_linewidth() for line in each)
    assert not ax.collections


def test_what_is_drawn_is_in_the_table():
    run = Trajectory(np.array([1, 3, 5, 7]), None, {"score": np.stack([MANY, 2 * MANY])})
    theory = np.ones((2, 4))
    panel = figures.trajectories(run, "score", by={"lam": [0.5, 1]}, theory=theory)
    table = panel.table.set_index(["lam", "generation"])
    assert set(table["quantity"]) == {"score"} and panel.axes["ylabel"] == "score"
    np.testing.assert_allclose(table.loc[1, "median"], np.median(2 * MANY, axis=0))
    np.testing.assert_allclose(table.loc[0.5, "q95"], np.quantile(MANY, 0.95, axis=0))
    assert table.index.levels[1].tolist() == [1, 3, 5, 7] and (table["theory"] == 1).all()
    thin = figures.trajectories(FEW).table
    np.testing.assert_allclose(thin["replicate_2"], FEW[1])
    band = figures.trajectories(figures.Band(MANY[0], MANY[1], MANY[2])).table
    np.testing.assert_allclose(band[["low", "value", "high"]].T, MANY[:3])
    whole = figures.figure(
        panel, figures.points(None, FEW), label="fig-a", caption="A.", parameters={}
    )
    assert whole.table["panel"].tolist() == ["a"] * 8 + ["b"] * 4
    assert "panel" not in panel.table


def test_a_figure_has_the_parameters_of_its_chapter(results):
    check_parameters({"__annotations__": {"n_s": int}, "n_s": 12_000})
    found = figures.figure(figures.points(None, FEW), label="fig-a", caption="Of {n_s}.")
    assert found.caption.startswith("Of 12,000. ")
    assert json.loads((results / "fig-a.json").read_text())["parameters"] == {"n_s": 12_000}


def test_axes_are_named_by_the_symbols_of_their_settings():
    of = {"n_s_over_n_r": r"$n_s / n_r$", "lam": r"$\lambda$"}
    for name, words in of.items():
        assert figures.points({name: [1, 2]}, [1, 2]).axes["xlabel"] == words
    assert "xlabel" not in figures.points({"share": [1, 2]}, [1, 2]).axes
    assert figures.points({"n_s": [1, 2]}, [1, 2], xlabel="size").axes["xlabel"] == "size"
    grid = figures.heatmap({"n_r": [1, 2]}, {"n_s": [1, 2]}, np.ones((2, 2)), label="z").axes
    assert (grid["xlabel"], grid["ylabel"]) == ("$n_r$", "$n_s$")


def test_levels_without_words_are_no_legend_of_their_own():
    low, high = (figures.trajectories({"a": FEW}, levels=[level]) for level in (0, 1))
    assert low.legend == high.legend
    assert low.legend != figures.trajectories({"a": FEW}, levels={"real": 1}).legend


def test_points_have_bars_of_two_standard_errors():
    measured = Estimate.of(FEW, axis=0)
    for values in (measured, FEW):
        panel = figures.points({"n": [1, 2, 3, 4]}, values, colors="real")
        (ax,) = drawn(panel)
        (bars,) = ax.collections
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(
            ends, np.stack([measured.mean] * 2, 1) + [-2, 2] * measured.se[:, None]
        )
        assert panel.key == ("Points: mean of 5 replicates.", "Bars: two standard errors.")
        assert panel.table.columns.tolist() == ["n", "mean", "se"]


def test_theory_is_wide_pale_and_under_the_simulation():
    finer = np.linspace(1, 4, 31)
    theory = {"a": np.ones(4), "limit": (finer, 2 * finer)}
    panel = figures.trajectories({"a": MANY}, theory=theory, colors="real")
    (ax,) = drawn(panel)
    laws, (line,) = lines(ax, style.PALE), lines(ax, "#808080")
    assert [len(law.get_xdata()) for law in laws] == [4, 31]
    for law in laws:
        assert law.get_zorder() < line.get_zorder()
        assert law.get_linewidth() > 2 * line.get_linewidth()
    assert sorted(words(ax)) == ["a", "limit"]
    assert panel.table["theory"].notna().sum() == 4 + 31
    quantiles = np.quantile(MANY, [0.05, 0.5, 0.95], axis=0)
    columns = figures.trajectories(MANY, theory=quantiles).table
    np.testing.assert_allclose(columns[["theory", "theory_2", "theory_3"]].T, quantiles)


def test_the_caption_says_what_lines_and_bands_are():
    both = figures.trajectories(MANY, center=("median", "mean"), histories=4, theory=MANY[0])
    bare = figures.trajectories(MANY, center="mean", band=False, theory=MANY[0])
    assert panels._key([both]) == (
        "Lines: median and mean of 50 replicates. Bands: their 5 to 95 %. Thin lines: 4 of them. "
        "Wide pale lines: theory."
    )
    assert panels._key([bare, figures.trajectories(FEW, theory=FEW[0])]) == (
        "Wide pale lines: theory. (a) Lines: mean of 50 replicates. (b) Lines: mean of 5 "
        "replicates. Thin lines: each replicate."
    )
    assert panels._key([bare, bare]) == "Lines: mean of 50 replicates. Wide pale lines: theory."
    few, exact = Estimate(np.ones(4), 0.1, 5), Estimate(np.ones(4), 0.1)
    unequal = figures.points(
        {"x": range(4)}, {"a": Estimate.of(MANY, axis=0), "b": few, "c": exact}
    )
    assert panels._key([unequal]) == (
        "Points: mean of 5 or 50 replicates. Bars: two standard errors."
    )


def test_panels_are_lettered_and_share_axes_of_one_quantity():
    a = figures.trajectories(MANY, ylabel="variance")
    b = figures.trajectories(10 * MANY, ylabel="variance", title="more")
    c = figures.trajectories(MANY, ylabel="distance", x=[1, 2, 3, 9])
    first, second, third = drawn(a, b, c, n_columns=2)
    titles = [ax.get_title("left").split() for ax in (first, second, third)]
    assert titles == [["$\\mathbf{a}$"], ["$\\mathbf{b}$", "more"], ["$\\mathbf{c}$"]]
    assert first.get_ylim() == second.get_ylim() != third.get_ylim()
    assert first.get_xlim() == third.get_xlim() == (1, 9)
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in (first, second, third)]
    t = "generation $t$"
    assert labels == [("", "variance"), (t, ""), (t, "distance")]
    assert drawn(a)[0].get_title("left") == ""


def test_in_a_row_the_same_labels_are_written_once():
    two = {"a": MANY, "b": 2 * MANY}
    same, other = figures.trajectories(two), figures.trajectories({"a": MANY})
    assert [words(ax) for ax in drawn(same, same)] == [[], ["a", "b"]]
    assert [words(ax) for ax in drawn(same, same, n_columns=1)] == [["a", "b"]] * 2
    assert [words(ax) for ax in drawn(same, other)] == [["a", "b"], ["a"]]
    silent = figures.trajectories(two, legend=False)
    assert [words(ax) for ax in drawn(same, silent)] == [["a", "b"], []]
    (ax,) = drawn(figures.trajectories(two, legend="upper left", levels={"real": 1}))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_labels_do_not_overlap_and_stay_joined_to_their_lines():
    heights = {str(y): np.full(2, 1 + y) for y in (0.0, 0.001, 0.002, 1.0)}
    (ax,) = drawn(figures.trajectories(heights))
    levels = sorted(text.xyann[1] for text in ax.texts)
    height = ax.get_window_extent().height / ax.figure.dpi * 72
    assert min(np.diff(levels)) * height > 8
    assert min(levels) > -0.05 and max(levels) < 1.05
    joined = {text.get_text(): text.arrow_patch is not None for text in ax.texts}
    assert joined == {"0.0": True, "0.001": False, "0.002": True, "1.0": False}
    levels = figures.trajectories([1.0, 2.0], levels={"real data": 1.5})
    assert words(drawn(levels)[0]) == ["real data"] and "level" in levels.table


def test_a_label_stands_where_its_line_ends_on_the_right():
    backwards = {"x": ([3, 2, 1], [30.0, 2.0, 1.0])}
    for limits, end in (((1, 3), 30), ((3, 1), 1)):
        (ax,) = drawn(figures.curves(None, backwards, xlim=limits, ylim=(0, 40)))
        assert ax.texts[0].xy[1] == pytest.approx(end / 40)


def test_nothing_is_cut_off_at_the_edge():
    """Axes of equal aspect take their shape, and then their places."""
    cloud = figures.clouds({"real": POINTS, "synthetic": POINTS}, title="$t = 1$")
    fig = panels._compose([cloud] * 3, 3, height=64)
    figures.save(fig, "fig-edge", caption="Edge.", data=DATA, parameters={})
    bounds = fig.get_tightbbox()
    assert bounds.ymin >= 0 and bounds.xmin >= 0
    assert bounds.xmax <= fig.get_figwidth() and bounds.ymax <= fig.get_figheight()


@pytest.mark.parametrize("options", [{}, {"ylim": (1e-6, None)}])
def test_zeros_on_a_logarithmic_axis_are_silent(options):
    """Collapse to exactly zero is legal; the suite turns warnings into errors."""
    values = np.zeros((50, 10))
    values[:, :3] = [1, 0.1, 1e-30]
    runs = {"all": values, "zero": 0 * values}
    panel = figures.trajectories(runs, log="y", **options)
    figures.figure(panel, label="fig-zeros", caption="Zeros.", parameters={})
    assert len(words(drawn(panel)[0])) == 2


def test_means_and_bars_below_zero_leave_a_logarithmic_axis_its_room():
    """They squeezed the axes to nothing, of which matplotlib warns, and ran through the numbers."""
    panel = figures.points([10, 100, 1000], Estimate([0.3, 1e-2, 0], [0.01, 0.01, 0]), log="xy")
    figures.figure(panel, label="fig-bars", caption="Bars.", parameters={})
    (ax,) = drawn(panel)
    assert all(bar.get_clip_on() for bar in ax.collections)


@pytest.mark.parametrize(
    ("high", "shown"),
    [(50.0, ["1", "2", "5", "10", "20", "50"]), (1e3, ["10^{0}", "10^{1}", "10^{2}", "10^{3}"])],
)
def test_short_logarithmic_axes_have_numbers_between_the_powers(high, shown):
    (ax,) = drawn(figures.curves([1, high], [1.0, 1.0], log="x"))
    ax.figure.draw_without_rendering()
    ticks = [*ax.get_xticklabels(which="major"), *ax.get_xticklabels(which="minor")]
    inside = [tick for tick in ticks if 1 <= tick.get_position()[0] <= high and tick.get_text()]
    inside.sort(key=lambda tick: tick.get_position()[0])
    assert [re.sub(r"[$]|\\mathdefault{(.*)}", r"\1", tick.get_text()) for tick in inside] == shown


def test_settings_are_written_as_numbers_are():
    panel = figures.trajectories(np.ones((4, 2)), by={"n_s": [0.0736, 20, 10_000, 10**12]})
    labels = [label for label, _ in panel.legend[0]]
    numbers = ["0.0736", "20", "10{,}000", "10^{12}"]
    assert labels == [f"$n_s = {number}$" for number in numbers]


def test_images_are_crisp_and_themed(results):
    rows = {"real": np.arange(3 * 64).reshape(3, 64), "$t = 1$": np.ones((3, 8, 8))}
    panel = figures.images(rows, vmax=200)
    (ax,) = drawn(panel)
    sheet = ax.images[0].get_array()
    assert sheet.shape == (2 * 9 - 1, 3 * 9 - 1)
    np.testing.assert_array_equal(sheet[:8, 9:17], rows["real"][1].reshape(8, 8))
    assert (sheet[:, 8] == 0).all() and words(ax) == ["real", "$t = 1$"]
    np.testing.assert_array_equal(panel.table.iloc[1, 2:], rows["real"][1])
    shown = figures.figure(panel, label="fig-digits", caption="Digits.", parameters={}).svg
    assert 'filter="url(#fig-digits-ink)"' in shown and 'id="fig-digits-ink"' in shown
    assert "pixelated" in shown
    assert "filter" not in (results / "fig-digits.svg").read_text()


def test_a_fit_is_an_ellipse_of_its_covariance():
    panel = figures.clouds({"real": POINTS}, fits={"real": FIT}, theory=[FIT], colors="real")
    (ax,) = drawn(panel)
    (ellipse,) = [line for line in lines(ax, "#808080") if line.get_linestyle() == "-"]
    (law,) = lines(ax, style.PALE)
    np.testing.assert_allclose(ellipse.get_xydata(), law.get_xydata())
    mean, cov = POINTS.mean(0), np.cov(POINTS.T)
    gap = ellipse.get_xydata() - mean
    distance = np.einsum("ni,ij,nj->n", gap, np.linalg.inv(cov), gap)
    np.testing.assert_allclose(distance, 4, rtol=1e-4)
    row = panel.table.iloc[len(POINTS)]
    np.testing.assert_allclose(
        row[["cov_11", "cov_12", "cov_22"]].astype(float), cov[[0, 0, 1], [0, 1, 1]], rtol=1e-4
    )


def test_the_schematic_tells_its_arrows():
    shown = figures.figure(*figures.schematic(), label="fig-l", caption="L.", parameters={})
    assert list(shown.table["regime"].unique()) == list(style.COLORS)[:3]
    assert len(shown.table) == 9


def test_shares_are_stacked_to_one_and_labelled_in_their_middle():
    terms = {"bias": [3.0, 1.0], "noise": [1.0, 1.0], "rest": [0.0, 2.0]}
    panel = figures.stacked({"t": [1, 2]}, terms, title="shares")
    fig = panels._compose([panel], 1)
    tops = [area.get_paths()[0].get_extents().ymax for area in fig.axes[0].collections]
    assert tops == pytest.approx([0.75, 1.0, 1.0])
    sums = panel.table.groupby("t")["share"].sum()
    assert sums.tolist() == pytest.approx([1.0, 1.0])
    words = {text.get_text(): text.xy[1] for text in fig.axes[0].texts}
    assert words == pytest.approx({"bias": 0.125, "noise": 0.375, "rest": 0.75})


def test_a_map_of_a_ratio_diverges_from_one():
    x = np.geomspace(1, 100, 21)
    ratio = np.tile(x / 10, (21, 1))
    panel = figures.heatmap({"n": x}, x, ratio, label="z", span=4, log="xy")
    ax, bar = drawn(panel)
    mesh, contour = ax.collections
    np.testing.assert_allclose(contour.get_paths()[0].vertices[:, 0], 10, rtol=1e-6)
    shades = mesh.cmap(mesh.norm([0.25, 1.0, 4.0]))[:, :3]
    assert shades[1].min() > 0.9 and shades[[0, 2]].min(axis=1).max() < 0.3
    assert mesh.norm(0.5) == pytest.approx(1 - mesh.norm(2.0))
    assert bar.get_ylabel() == "z" and bar.get_ylim() == pytest.approx((0.25, 4))
    assert panel.table.columns.tolist() == ["n", "y", "value"]
    np.testing.assert_allclose(panel.table["value"], ratio.ravel())
    assert len(drawn(panel, panel)) == 3  # one color bar for both
    for options, key in (({"span": 4}, "Thin dark line: 1. Wide pale lines"), ({}, "White lines")):
        panel = figures.heatmap(x, x, ratio, label="z", theory=[(x, x)], **options)
        assert panels._key([panel]) == f"{key}: theory."


@pytest.mark.parametrize(("se", "begins"), [(0.001, 1), (0.02, 14), (0.1, None)])
def test_a_map_draws_no_line_finer_than_its_error(se, begins):
    x = np.arange(1.0, 22)
    step = np.repeat([0.05, 0.2], [14, 7])  # at the left the step to below 1 is smaller
    panel = figures.heatmap(
        x, x, Estimate(1 - np.outer(np.sign(x - 10.5), step), se), label="z", span=4
    )
    lines = drawn(panel)[0].collections[1:]
    drawn_at = [v[0] for line in lines for path in line.get_paths() for v in path.vertices]
    assert (min(drawn_at) if lines else None) == begins
    assert panel.table.columns.tolist() == ["x", "y", "value", "se"]


@pytest.mark.parametrize(
    ("caption", "filled"),
    [
        ("n = {n_s}, {n_big}.", "n = 100, 1,000,000."),
        ("At {lam} for {n_grid}.", "At 0.5 for 1, 2 and 3."),
        (r"$\Sigma_{{t}}$ at {lam:.2f}" + "\n  here.", r"$\Sigma_{t}$ at 0.50 here."),
    ],
)
def test_captions_are_filled(caption, filled):
    assert figures.format_caption(caption, PARAMETERS) == filled


@pytest.mark.parametrize(
    ("kw", "told"),
    [
        ({"label": "band"}, ["label", "'band'"]),
        ({"label": "fig-Band"}, ["label", "lower case"]),
        ({"caption": " "}, ["caption"]),
        ({"caption": "{n_z}"}, ["placeholders", "'n_z'", "n_s"]),
        ({"caption": "{"}, ["caption", "braces"]),
        ({"caption": "{}"}, ["caption"]),
        ({"reproduces": "Figure 3"}, ["reproduces", "alemohammad2023"]),
        ({"parameters": {"n": object()}}, ["parameters", "check_parameters"]),
        ({"width": "wide"}, ["'column'", "'wide'"]),
    ],
)
def test_mistakes_in_a_figure_write_nothing(results, kw, told):
    with pytest.raises(ParameterError) as caught:
        saved(**kw)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in told)
    assert not results.exists()


def no_data():
    fig, _ = figures.subplots()
    figures.save(fig, "fig-a", caption="A.", data=DATA.iloc[:0], parameters={})


RUN = Trajectory(np.arange(1, 3), None, {"score": np.ones((5, 2))})


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (no_data, ["data", "DataFrame"]),
        (lambda: figures.figure(label="fig-a", caption="A.", parameters={}), ["one panel"]),
        (lambda: figures.trajectories({"a": [1.0, np.nan]}), ["values of a", "finite"]),
        (lambda: figures.trajectories(np.ones((2, 3, 4))), ["[n_replicates, n_x]", "by={...}"]),
        (lambda: figures.trajectories([1.0], x=[1, 2]), ["x must have the 1 points"]),
        (lambda: figures.trajectories(FEW, center="mode"), ["'mean'", "mode"]),
        (lambda: figures.trajectories(RUN, "scores"), ["metric", "score", "scores"]),
        (
            lambda: figures.trajectories({"a": [1.0], "b": [1.0]}, theory=[1.0]),
            ["each of the 2 curves"],
        ),
        (lambda: figures.images({"a": np.ones((2, 64)), "b": np.ones((3, 64))}), ["2 images"]),
        (lambda: figures.clouds({}, fits={"a": FIT._replace(mean=np.ones(3))}), ["two dimensions"]),
        (lambda: figures.heatmap([1, 2], [1, 2], [[1]], label=""), ["z must be [2, 2]"]),
        (
            lambda: figures.stacked([1, 2], {"a": [1.0, 0.0], "b": [1.0, 0.0]}),
            ["2 sums", "not all"],
        ),
        (lambda: figures.stacked([1, 2], {"a": [1.0, -2.0]}), ["none negative", "-2"]),
        (lambda: figures.heatmap([0, 1], [1, 2], DATA, label="", log="x"), ["increase", "log"]),
    ],
)
def test_mistakes_in_drawing_give_one_line(call, told):
    with pytest.raises(ParameterError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in told)
