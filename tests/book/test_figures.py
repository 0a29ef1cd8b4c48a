"""Figures are legible in both themes, the same bytes on every run, and complete on disk."""

import hashlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from madlib.parameters import ParameterError
from PIL import Image

from madlib import figures
from madlib.generators import NormalParams

DATA = pd.DataFrame({"generation": [1, 2], "variance": [1.0, 0.1 + 0.2]})
PARAMETERS = {"n_s": 100, "lam": 0.5, "n_grid": [1, 2, 3], "n_big": 10**6}
SUFFIXES = {"pdf", "svg", "png", "csv", "json", "bib"}

SCRIPT = """
import sys, numpy as np, pandas as pd
from madlib import figures
fig, axes = figures.subplots(2)
x = np.arange(1, 9)
line = figures.plot_band(axes[0], x, np.outer([1, 2, 3], x), color="FreshData", label="fresh")
figures.label_line(axes[0], line, figures.plot_theory(axes[0], x, x, label="theory"))
figures.heatmap(axes[1], x, x, np.outer(x, x), label="z", vmin=0, vmax=60, contour=30)
figures.save(fig, "fig-one", caption="One of {n_s}.", data=pd.DataFrame({"x": x}),
             parameters={"n_s": 3}, reproduces="alemohammad2023, Figure 11")
fig, axes = figures.subplots(3, width="page", height=62)
data = figures.schematic(axes)
figures.save(fig, "fig-loops", caption="Loops.", data=data, parameters={})
sys.exit("pyplot was imported" if "matplotlib.pyplot" in sys.modules else 0)
"""


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results" / "figures"


def saved(label="fig-test", **kw):
    fig, ax = figures.subplots()
    figures.plot_theory(ax, [1, 2], [1, 2])
    given = {"caption": "A line.", "data": DATA, "parameters": PARAMETERS} | kw
    return figures.save(fig, label, **given)


def test_saves_are_the_same_bytes_in_any_process_and_folder(tmp_path):
    folders, runs = [], []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        folders.append(tmp_path / name / "results")
        environment = os.environ | {
            "MADLIB_RESULTS": str(folders[-1]),
            "PYTHONPATH": str(Path(__file__).parent.parent),
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
    assert record["caption"] == "Of 100."
    assert record["parameters"] == PARAMETERS
    assert record["reproduces"] == "alemohammad2023, Figure 11"
    assert set(record["versions"]) == {"madlib", "jax", "numpy", "matplotlib"}
    csv = (results / "fig-test.csv").read_bytes()
    assert record["sha256"] == hashlib.sha256(csv).hexdigest()
    assert csv == b"generation,variance\n1,1\n2,0.3\n"
    with Image.open(results / "fig-test.png") as image:
        assert json.loads(image.info["Description"]) == record
    svg = (results / "fig-test.svg").read_text()
    assert "sha256" in svg and "<dc:date>" not in svg
    assert b"CreationDate" not in (results / "fig-test.pdf").read_bytes()
    bib = (results / "fig-test.bib").read_text()
    assert bib.startswith("@misc{madlib-fig-test,") and r"\cite{alemohammad2023}" in bib
    assert bib.count("{") == bib.count("}")


@pytest.mark.parametrize(("width", "mm"), [("column", 88), ("page", 180)])
def test_width_on_paper(width, mm):
    fig, _ = figures.subplots(width=width)
    assert fig.get_figwidth() * 25.4 == pytest.approx(mm)


def test_inline_figures_follow_the_theme_and_do_not_collide():
    first, second = saved("fig-a", caption="A <b> & c."), saved("fig-b")
    bundle = first._repr_mimebundle_()
    page = bundle["text/html"]
    root = ElementTree.fromstring(page)
    svg = root[0]
    assert svg.get("role") == "img" and svg.get("aria-label") == "A <b> & c."
    assert "currentColor" in page and "#000000" not in page and "#ffffff" not in page
    ids = [set(re.findall(r'\bid="([^"]+)"', figure.svg)) for figure in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert used <= ids[0]
    assert bundle["text/plain"] == "fig-a: A <b> & c."


def test_print_files_are_black_on_white(results):
    saved()
    with Image.open(results / "fig-test.png") as file:
        image = np.asarray(file.convert("RGBA"))
    assert (image[0, 0] == 255).all()
    assert image.shape[1] == pytest.approx(88 / 25.4 * 300, abs=1)


def luminance(color):
    channel = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return linear, linear @ [0.2126, 0.7152, 0.0722]


def test_colors_are_legible_on_both_pages():
    for name, color in figures.COLORS.items():
        for page in ("#ffffff", "#121212"):
            bright, dark = sorted((luminance(color)[1], luminance(page)[1]), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 3, (name, page)


# Machado, Oliveira and Fernandes 2009, severity 1.
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


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_three_regimes_differ_for_color_blind_readers(deficiency):
    def lab(color):
        seen = np.clip(np.array(DEFICIENCIES[deficiency]) @ luminance(color)[0], 0, 1)
        to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
        x, y, z = np.cbrt(np.array(to_xyz) @ seen / [0.9505, 1.0, 1.089])
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    regimes = list(figures.COLORS)[:3]
    for one, other in itertools.combinations(regimes, 2):
        distance = np.linalg.norm(lab(figures.COLORS[one]) - lab(figures.COLORS[other]))
        assert distance > 20, (one, other, distance)


def test_band_draws_quantiles_or_three_given_curves():
    values = np.random.default_rng(0).normal(size=(50, 4))
    _, ax = figures.subplots()
    line = figures.plot_band(ax, np.arange(4), values, color="real", label="a")
    np.testing.assert_allclose(line.get_ydata(), np.median(values, axis=0))
    assert line.get_color() == figures.COLORS["real"]
    curves = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
    given = figures.plot_band(ax, np.arange(4), curves, color="red", quantiles=None)
    np.testing.assert_allclose(given.get_ydata(), line.get_ydata())
    mean = figures.plot_band(ax, np.arange(4), values, color="real", center="mean")
    np.testing.assert_allclose(mean.get_ydata(), values.mean(axis=0))


@pytest.mark.parametrize("floor", [None, 1e-6])
def test_zeros_on_a_logarithmic_axis_are_silent(floor):
    """Collapse to exactly zero is legal; the suite turns warnings into errors."""
    values = np.zeros((5, 10))
    values[:, :3] = [1, 0.1, 1e-30]
    fig, ax = figures.subplots()
    line = figures.plot_band(ax, np.arange(10), values, color="FullySynthetic", label="all")
    zero = figures.plot_band(ax, np.arange(10), 0 * values, color="FreshData", label="zero")
    figures.log_axis(ax, "y", floor=floor)
    figures.label_line(ax, line, zero)
    figures.save(fig, "fig-zeros", caption="Zeros.", data=DATA, parameters={})
    assert floor is None or ax.get_ylim()[0] == floor


@pytest.mark.parametrize(
    ("high", "shown"),
    [(50.0, ["1", "2", "5", "10", "20", "50"]), (1e3, ["10^{0}", "10^{1}", "10^{2}", "10^{3}"])],
)
def test_short_logarithmic_axes_have_numbers_between_the_powers(high, shown):
    fig, ax = figures.subplots()
    ax.plot([1, high], [1, 1])
    figures.log_axis(ax, "x")
    ax.set_xlim(1, high)
    fig.draw_without_rendering()
    ticks = [*ax.get_xticklabels(which="major"), *ax.get_xticklabels(which="minor")]
    inside = [tick for tick in ticks if 1 <= tick.get_position()[0] <= high and tick.get_text()]
    inside.sort(key=lambda tick: tick.get_position()[0])
    assert [re.sub(r"[$]|\\mathdefault{(.*)}", r"\1", tick.get_text()) for tick in inside] == shown


def test_nothing_is_cut_off_at_the_edge(results):
    """Axes of equal aspect take their shape, and then their places."""
    fig, axes = figures.subplots(3, width="page", height=64, sharey=True)
    for ax in axes:
        ax.set(aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), title="$t = 1$", xlabel="$x_1$")
    axes[0].set(ylabel="$x_2$")
    figures.save(fig, "fig-edge", caption="Edge.", data=DATA, parameters={})
    bounds = fig.get_tightbbox()
    assert bounds.ymin >= 0 and bounds.xmin >= 0
    assert bounds.xmax <= fig.get_figwidth() and bounds.ymax <= fig.get_figheight()


def test_an_axis_with_nothing_but_zeros_is_silent():
    fig, ax = figures.subplots()
    figures.plot_band(ax, np.arange(1, 4), np.zeros((2, 3)), color="real")
    figures.log_axis(ax, "both", floor=1e-3)
    fig.savefig(io.BytesIO())


def test_labels_do_not_overlap():
    _, ax = figures.subplots()
    lines = [
        figures.plot_band(ax, [0, 1], np.full((1, 2), 1 + y), color="real", label=str(y))
        for y in (0.0, 0.001, 0.002, 1.0)
    ]
    levels = [label.xy[1] for label in figures.label_line(ax, *lines)]
    height = ax.get_window_extent().height / ax.figure.dpi * 72
    assert min(np.diff(levels)) * height > 6
    assert min(levels) > -0.05 and max(levels) < 1.05


def test_theory_is_dashed_ink():
    _, ax = figures.subplots()
    line = figures.plot_theory(ax, [0, 1], [0, 1])
    assert line.get_color() == "#000000" and line.is_dashed()
    assert figures.plot_theory(ax, [0, 1], [0, 1], on_map=True).get_color() != "#000000"


def test_image_grid_is_crisp_and_themed(results):
    images = np.arange(5 * 8 * 8).reshape(5, 8, 8)
    fig, ax = figures.subplots()
    figures.image_grid(ax, images, 3)
    sheet = ax.images[0].get_array()
    assert sheet.shape == (2 * 9 - 1, 3 * 9 - 1)
    np.testing.assert_array_equal(sheet[9:17, :8], images[3])
    assert (sheet[:, 8] == 0).all()
    shown = figures.save(fig, "fig-digits", caption="Digits.", data=DATA, parameters={}).svg
    assert 'filter="url(#fig-digits-ink)"' in shown and 'id="fig-digits-ink"' in shown
    assert "pixelated" in shown
    assert "filter" not in (results / "fig-digits.svg").read_text()
    figures.image_grid(ax, np.zeros((1, 8, 8)), 3)
    figures.image_grid(ax, images, 3, labels=["real", "later"])
    assert [text.get_text() for text in ax.texts] == ["real", "later"]


def test_normal_law_is_an_ellipse_of_its_covariance():
    _, ax = figures.subplots()
    mean, chol = np.array([1.0, -2.0]), np.array([[2.0, 0.0], [1.0, 0.5]])
    law = NormalParams(mean, chol)
    gap = np.stack(figures.plot_normal(ax, law, color="FreshData", n_sigma=3).get_data()).T - mean
    distance = np.einsum("ni,ij,nj->n", gap, np.linalg.inv(chol @ chol.T), gap)
    np.testing.assert_allclose(distance, 9, rtol=1e-9)
    assert figures.plot_normal(ax, law).get_linestyle() == "--"


def test_schematic_tells_its_arrows():
    fig, _ = figures.subplots(3, width="page", height=62)
    arrows = figures.schematic(fig)
    assert list(arrows["regime"].unique()) == list(figures.COLORS)[:3]
    assert len(arrows) == 9
    with pytest.raises(ParameterError, match=r"three axes.*subplots\(3"):
        figures.schematic(figures.subplots(2)[0])


def test_table_has_a_row_per_point_of_the_grid():
    frame = figures.table({"lam": [1.0, 0.5], "n": [3, 4, 5]}, a=[[1], [2]], b=[7, 8, 9])
    assert list(frame) == ["lam", "n", "a", "b"]
    assert frame.iloc[4].tolist() == [0.5, 4, 2, 8] and len(frame) == 6


def test_heatmap_puts_the_contour_where_the_level_is():
    x = np.geomspace(1, 100, 21)
    _, ax = figures.subplots()
    drawn = figures.heatmap(
        ax, x, x, np.tile(np.log10(x), (21, 1)), label="z", vmin=0, vmax=2, contour=1.0
    )
    np.testing.assert_allclose(drawn.get_paths()[0].vertices[:, 0], 10, rtol=1e-6)
    assert ax.get_xscale() == ax.get_yscale() == "log"


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
    ("kw", "words"),
    [
        ({"label": "band"}, ["label", "'band'"]),
        ({"label": "fig-Band"}, ["label", "lower case"]),
        ({"caption": " "}, ["caption"]),
        ({"caption": "{n_z}"}, ["caption", "'n_z'", "n_s"]),
        ({"caption": "{"}, ["caption", "braces"]),
        ({"caption": "{}"}, ["caption"]),
        ({"data": {"x": [1]}}, ["data", "dict"]),
        ({"data": DATA.iloc[:0]}, ["data", "empty"]),
        ({"reproduces": "Figure 3"}, ["reproduces", "alemohammad2023"]),
        ({"parameters": {"n": object()}}, ["parameters", "check_parameters"]),
    ],
)
def test_mistakes_in_save_write_nothing(results, kw, words):
    with pytest.raises(ParameterError) as caught:
        saved(**kw)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)
    assert not results.exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda ax: figures.subplots(width="wide"), ["'column'", "'wide'"]),
        (lambda ax: figures.plot_band(ax, [1], [[np.nan]], color="real"), ["values", "NaN"]),
        (lambda ax: figures.plot_band(ax, [1, 2], [[1.0]], color="real"), ["[n_replicates, n_x]"]),
        (
            lambda ax: figures.plot_band(ax, [1], [[1.0]], color="real", quantiles=None),
            ["three curves"],
        ),
        (lambda ax: figures.label_line(ax), ["at least one line"]),
        (lambda ax: figures.label_line(ax, *ax.plot([1, 2])), ["with a label"]),
        (lambda ax: figures.image_grid(ax, np.ones((2, 64)), 3), ["[n, h, w]", "reshape"]),
        (lambda ax: figures.image_grid(ax, np.ones((2, 8, 8)), 0), ["n_columns"]),
        (lambda ax: figures.image_grid(ax, np.ones((2, 8, 8)), 1, labels=["a"]), ["each of the 2"]),
        (
            lambda ax: figures.plot_normal(ax, NormalParams(np.zeros(3), np.eye(3))),
            ["two dimensions", "(3,)"],
        ),
        (
            lambda ax: figures.heatmap(ax, [1, 2], [1, 2], [[1]], label="", vmin=0, vmax=1),
            ["[n_y, n_x]"],
        ),
        (
            lambda ax: figures.heatmap(
                ax, [0, 1], [1, 2], np.ones((2, 2)), label="", vmin=0, vmax=1
            ),
            ["increasing", "log='none'"],
        ),
        (
            lambda ax: figures.heatmap(
                ax, [1, 2], [1, 2], np.ones((2, 2)), label="", vmin=1, vmax=0
            ),
            ["vmin"],
        ),
    ],
)
def test_mistakes_in_drawing_give_one_line(call, words):
    _, ax = figures.subplots()
    with pytest.raises(ParameterError) as caught:
        call(ax)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)
