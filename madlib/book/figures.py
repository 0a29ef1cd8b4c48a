"""Figures: one style, a few marks, and `save`, which writes a figure with its data and provenance.

A figure is drawn once and leaves in two forms: for print (pdf, svg, png: black ink on white), and
for the page (inline SVG whose ink is ``currentColor``, so that it reads in light and in dark). Two
runs write the same bytes. This is the only module that imports matplotlib, and it never needs
pyplot; `subplots` sets matplotlib's style, importing the module sets nothing.
"""

import dataclasses
import hashlib
import html
import io
import json
import math
import re
import string
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import patheffects, style, ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Annotation

from madlib.parameters import ParameterError, write_result

__all__ = [
    "COLORS",
    "SavedFigure",
    "format_caption",
    "heatmap",
    "image_grid",
    "label_line",
    "log_axis",
    "plot_band",
    "plot_normal",
    "plot_theory",
    "save",
    "schematic",
    "subplots",
    "table",
]

# Okabe and Ito's hues, each at least 3:1 against white and against #121212; the ochre is their
# yellow, darkened until it reads on white.
COLORS: dict[str, str] = {
    "FullySynthetic": "#D55E00",
    "SyntheticAugmentation": "#0077B8",
    "FreshData": "#009E73",
    "Accumulate": "#CC79A7",
    "AccumulateSubsample": "#9A7B00",
    "real": "#808080",
}
INK = "#000000"  # exactly black: becomes currentColor on the page
# Marks on a color map keep their color in the dark theme, because the map does.
_ON_MAP_DARK, _ON_MAP_LIGHT = "#010101", "#fefefe"
_INK_IMAGE = "ink-image"

_MM = 1 / 25.4
_WIDTHS = {"column": 88 * _MM, "page": 180 * _MM}  # inches
# Points. A wide figure is shown smaller on a page, so its text is larger.
_TEXT_SIZES = {"column": 7.2, "page": 7.8}
_CANVASES = {"pdf": FigureCanvasPdf, "svg": FigureCanvasSVG, "png": FigureCanvasAgg}
_PACKAGES = ("madlib", "jax", "numpy", "matplotlib")

STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "auto",
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    # The font that comes with matplotlib: the same shapes, hence the same bytes, on every machine.
    "font.family": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.labelsize": "medium",
    "axes.labelpad": 3,
    "xtick.labelsize": "small",
    "ytick.labelsize": "small",
    "legend.fontsize": "small",
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.0,
    "axes.ymargin": 0.05,
    "axes.prop_cycle": matplotlib.cycler(color=list(COLORS.values())),
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.3,
    "lines.markersize": 3,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.6,
    "image.cmap": "viridis",
    "image.interpolation": "none",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "path.simplify": True,
}


def subplots(
    n_columns: int = 1,
    n_rows: int = 1,
    width: Literal["column", "page"] = "column",
    height: float | None = None,
    **kw: Any,
) -> tuple[Figure, Any]:
    """Set the style of the book and open a figure in it.

    Args:
        n_columns: panels side by side.
        n_rows: panels one above the other.
        width: ``"column"`` (88 mm) or ``"page"`` (180 mm).
        height: in mm; by default panels keep a pleasant shape.
        **kw: passed to ``Figure.subplots``, for instance ``sharey=True``.

    Returns:
        ``(figure, axes)``; axes is one Axes, or an array of them [n_rows, n_columns], squeezed.
    """
    if width not in _WIDTHS:
        raise ParameterError(
            f"width must be 'column' (88 mm) or 'page' (180 mm); got {width!r}. "
            "Choose one of the two."
        )
    inches = _WIDTHS[width]
    shape = 0.68 if n_columns == 1 else 0.78
    tall = height * _MM if height is not None else n_rows * min(shape * inches / n_columns, 2.4)
    style.use(["default", STYLE, {"font.size": _TEXT_SIZES[width]}])
    figure = Figure(figsize=(inches, tall))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(n_rows, n_columns, **kw)


def plot_band(
    ax: Axes,
    x: Any,
    values: Any,
    *,
    color: str,
    label: str | None = None,
    quantiles: tuple[float, float, float] | None = (0.05, 0.5, 0.95),
    center: Literal["median", "mean"] = "median",
    **kw: Any,
) -> Line2D:
    """Draw replicates as a line with a quantile band.

    Args:
        ax: where.
        x: [n_x], usually the generation.
        values: [n_replicates, n_x]; or [3, n_x], the low, middle and high curves, with
            ``quantiles=None``.
        color: a color, or a key of `COLORS` such as ``"FreshData"``.
        label: for `label_line` or a legend.
        quantiles: low, middle and high; None when `values` holds the three curves already.
        center: ``"mean"`` draws the mean of the replicates instead of the middle quantile.
        **kw: passed to the line.

    Returns:
        The center line.
    """
    x, values = _finite("x", x), _finite("values", values)
    if values.ndim != 2 or x.ndim != 1 or values.shape[1] != x.shape[0]:
        raise ParameterError(
            f"values must be [n_replicates, n_x] with x [n_x]; got {values.shape} and {x.shape}. "
            "Put replicates first."
        )
    if quantiles is None:
        if values.shape[0] != 3:
            raise ParameterError(
                f"values must hold three curves (low, middle, high) when quantiles=None; "
                f"got {values.shape[0]}. Give quantiles=(0.05, 0.5, 0.95) for replicates."
            )
        low, middle, high = values
    else:
        low, middle, high = np.quantile(values, quantiles, axis=0)
    if center == "mean":
        middle = values.mean(axis=0)
    color = COLORS.get(color, color)
    ax.fill_between(x, low, high, color=color, alpha=0.22, linewidth=0)
    (line,) = ax.plot(x, middle, color=color, label=label, **kw)
    return line


def plot_theory(
    ax: Axes, x: Any, y: Any, label: str | None = None, *, on_map: bool = False
) -> Line2D:
    """Draw a closed form: always dashed, always in the color of the ink.

    Args:
        ax: where.
        x: [n_x].
        y: [n_x].
        label: for `label_line` or a legend.
        on_map: True over a `heatmap`, where the line gets a pale edge and keeps its color in the
            dark theme.

    Returns:
        The line.
    """
    (line,) = ax.plot(
        x,
        y,
        color=_ON_MAP_DARK if on_map else INK,
        linestyle=(0, (4, 2.2)),
        linewidth=1.0,
        label=label,
        zorder=3,
    )
    if on_map:
        line.set_path_effects(
            [patheffects.Stroke(linewidth=2.6, foreground=_ON_MAP_LIGHT), patheffects.Normal()]
        )
    return line


def plot_normal(ax: Axes, params: Any, *, color: str | None = None, n_sigma: float = 2) -> Line2D:
    """Draw a two-dimensional normal law as the ellipse at `n_sigma` standard deviations.

    Args:
        ax: where.
        params: ``mean`` [2] and ``chol`` [2, 2].
        color: a color, or a key of `COLORS`; None draws the truth, dashed like any theory.
        n_sigma: the ellipse holds 1 - exp(-n_sigma^2 / 2) of the law, 86 % for 2.

    Returns:
        The ellipse.
    """
    mean, chol = _finite("mean", params.mean), _finite("chol", params.chol)
    if mean.shape != (2,) or chol.shape != (2, 2):
        raise ParameterError(
            f"params must be one normal law in two dimensions; got mean {mean.shape} and chol "
            f"{chol.shape}. Pick one replicate and generation, and two dimensions."
        )
    angle = np.linspace(0, 2 * np.pi, 181)
    x, y = mean[:, None] + n_sigma * chol @ np.stack([np.cos(angle), np.sin(angle)])
    if color is None:
        return plot_theory(ax, x, y)
    (line,) = ax.plot(x, y, color=COLORS.get(color, color))
    return line


def log_axis(ax: Axes, which: Literal["x", "y", "both"] = "y", floor: float | None = None) -> None:
    """Make an axis logarithmic, with decades labeled sparingly; zeros fall off its lower end.

    Args:
        ax: where.
        which: ``"x"``, ``"y"`` or ``"both"``.
        floor: lower end, for curves that collapse towards zero.
    """
    for name in ("x", "y") if which == "both" else (which,):
        axis = getattr(ax, f"{name}axis")
        if floor is not None:
            lower, upper = ax.dataLim.intervalx if name == "x" else ax.dataLim.intervaly
            top = upper if np.isfinite(upper) and upper > floor else 10 * floor
            getattr(ax, f"set_{name}lim")(floor, top * (1.3 if name == "y" else 1.0))
        getattr(ax, f"set_{name}scale")("log", nonpositive="clip")
        axis.set_major_locator(ticker.LogLocator(numticks=6))
        axis.set_minor_locator(ticker.LogLocator(subs=np.arange(2, 10), numticks=6))
        axis.set_major_formatter(_LogFormatter())
        axis.set_minor_formatter(_LogFormatter())


class _LogFormatter(ticker.LogFormatterMathtext):
    """Powers of ten; on an axis of less than two decades 1, 2 and 5 of each, written out."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        low, high = sorted(self.axis.get_view_interval())
        if not 0 < high < 100 * low:
            return super().__call__(x, pos) if math.log10(x) % 1 == 0 else ""
        digit = x / 10 ** math.floor(math.log10(x) + 1e-9)
        return f"{x:,g}" if round(digit, 6) in (1, 2, 5) else ""


def label_line(ax: Axes, *lines: Line2D, gap: float = 1.15) -> list[Annotation]:
    """Write the labels of lines beside their ends, in their colors, moved apart to be legible.

    Call it after the scales and limits of the axes are set.

    Args:
        ax: where.
        *lines: what `plot_band` and `plot_theory` returned; each must have a label.
        gap: distance between labels, in lines of text.

    Returns:
        The labels.
    """
    if not lines:
        raise ParameterError(
            "label_line needs at least one line; got none. "
            "Pass what plot_band or plot_theory returned."
        )
    height = ax.get_window_extent().height / ax.figure.dpi * 72  # points
    size = 0.92 * matplotlib.rcParams["font.size"]
    step = gap * size / height
    ends = []
    for line in lines:
        label = line.get_label()
        if not label or label.startswith("_"):
            raise ParameterError(
                "label_line needs lines with a label; got one without. "
                "Give label=... when plotting."
            )
        x, y = (np.asarray(values, float) for values in line.get_data())
        inside = np.flatnonzero(_within(x, ax.get_xlim()) & np.isfinite(y))
        if not len(inside):
            raise ParameterError(
                f"the line {label!r} must have points inside the axes to be labeled; got none. "
                "Widen the limits, or drop the label."
            )
        point = (x[inside[-1]], y[inside[-1]])
        if ax.get_yscale() == "log":
            point = (point[0], max(point[1], min(ax.get_ylim())))
        fraction = ax.transAxes.inverted().transform(ax.transData.transform(point))
        ends.append([float(np.clip(fraction[1], 0, 1)), float(fraction[0]), line, label])
    ends.sort(key=lambda end: end[0])
    heights = _spread([end[0] for end in ends], step)
    return [
        ax.annotate(
            label,
            (x, level),
            xycoords="axes fraction",
            xytext=(3.5, 0),
            textcoords="offset points",
            color=INK if line.get_color() == _ON_MAP_DARK else line.get_color(),
            fontsize=size,
            va="center",
            annotation_clip=False,
        )
        for level, (_, x, line, label) in zip(heights, ends, strict=True)
    ]


def image_grid(
    ax: Axes,
    images: Any,
    n_columns: int,
    *,
    vmax: float | None = None,
    labels: Sequence[str] = (),
) -> None:
    """Show grayscale images in a grid, as ink on paper, pixel by pixel.

    Args:
        ax: where; its frame and ticks are removed.
        images: [n, h, w]; 0 is paper, `vmax` is full ink. Values outside are clipped.
        n_columns: images per row.
        vmax: defaults to the largest value.
        labels: one for each row, written to its left; none by default.
    """
    images = _finite("images", images)
    if images.ndim != 3 or not images.size:
        raise ParameterError(
            f"images must be [n, h, w]; got shape {images.shape}. "
            "Reshape rows of pixels, for instance with .reshape(-1, 8, 8)."
        )
    if n_columns < 1:
        raise ParameterError(f"n_columns must be at least 1; got {n_columns}. Use 10, say.")
    n, h, w = images.shape
    gap = max(1, h // 8)
    n_rows = -(-n // n_columns)
    sheet = np.zeros((n_rows * (h + gap) - gap, n_columns * (w + gap) - gap))
    for i, image in enumerate(images):
        row, column = divmod(i, n_columns)
        sheet[row * (h + gap) :, column * (w + gap) :][:h, :w] = image
    top = float(images.max()) if vmax is None else vmax
    ax.imshow(
        np.clip(sheet, 0, None),
        cmap="gray_r",
        vmin=0,
        vmax=top if top > 0 else 1.0,
        interpolation="none",
        gid=_INK_IMAGE,
    )
    ax.set_axis_off()
    if len(labels) not in (0, n_rows):
        raise ParameterError(
            f"labels must name each of the {n_rows} rows; got {len(labels)}. Give one per row."
        )
    for row, label in enumerate(labels):
        ax.text(-gap - 0.5, row * (h + gap) + (h - 1) / 2, label, ha="right", va="center")


def heatmap(
    ax: Axes,
    x: Any,
    y: Any,
    z: Any,
    *,
    label: str,
    vmin: float,
    vmax: float,
    contour: float | None = None,
    log: Literal["x", "y", "both", "none"] = "both",
    colorbar: bool = True,
) -> QuadContourSet | None:
    """Show a quantity over a grid of two settings, with its contour at one level.

    Args:
        ax: where.
        x: [n_x], increasing.
        y: [n_y], increasing.
        z: [n_y, n_x]; NaN leaves the cell empty.
        label: what z is, beside the color bar.
        vmin: color scale, lower end.
        vmax: color scale, upper end.
        contour: level drawn as a white line.
        log: which axes are logarithmic.
        colorbar: False for panels that share the bar of another.

    Returns:
        The contour, or None.
    """
    x, y, z = _finite("x", x), _finite("y", y), np.asarray(z, dtype=float)
    if z.shape != (len(y), len(x)):
        raise ParameterError(
            f"z must be [n_y, n_x] = [{len(y)}, {len(x)}]; got {z.shape}. "
            "Transpose it, or check x and y."
        )
    if not vmin < vmax:
        raise ParameterError(f"vmin must be below vmax; got {vmin} and {vmax}. Swap them.")
    drawn = None
    log_x, log_y = log in ("x", "both"), log in ("y", "both")
    mesh = ax.pcolormesh(
        _edges(x, log_x), _edges(y, log_y), z, vmin=vmin, vmax=vmax, rasterized=True
    )
    if log_x:
        log_axis(ax, "x")
    if log_y:
        log_axis(ax, "y")
    for spine in ax.spines.values():
        spine.set_visible(False)
    if contour is not None and np.nanmin(z) < contour < np.nanmax(z):
        drawn = ax.contour(x, y, z, levels=[contour], colors=_ON_MAP_LIGHT, linewidths=1.3)
    if colorbar:
        extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[
            (int(np.nanmin(z) < vmin), int(np.nanmax(z) > vmax))
        ]
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.03, aspect=24, extend=extend)
        bar.set_label(label)
        bar.outline.set_visible(False)
        bar.solids.set_rasterized(True)
        bar.ax.tick_params(size=2)
        if contour is not None:
            bar.ax.axhline(contour, color=_ON_MAP_LIGHT, linewidth=1.3)
    return drawn


def schematic(target: Figure | Sequence[Axes]) -> pd.DataFrame:
    """Draw the three loops, after Figure 3 of Alemohammad et al. 2023.

    Args:
        target: three axes, or a figure that holds exactly three; best at page width, 62 mm high.

    Returns:
        The arrows drawn, one per row (regime, source, destination, label), for `save`.
    """
    axes = target.axes if isinstance(target, Figure) else list(np.ravel(np.asarray(target)))
    if len(axes) != 3:
        raise ParameterError(
            f"the schematic needs three axes, one per regime; got {len(axes)}. "
            'Use figures.subplots(3, width="page", height=62).'
        )
    panels = (
        ("FullySynthetic", "Fully synthetic", "only at $t = 1$", 1),
        ("SyntheticAugmentation", "Synthetic augmentation", "the same set\nevery time", 1),
        ("FreshData", "Fresh data", "a new set\nevery time", 3),
    )
    rows: list[dict[str, str]] = []
    for ax, letter, panel in zip(axes, "abc", panels, strict=True):
        rows += _draw_loop(ax, letter, *panel)
    return pd.DataFrame(rows)


def _draw_loop(
    ax: Axes, letter: str, regime: str, title: str, when: str, n_sheets: int
) -> list[dict[str, str]]:
    """Draw one loop in a 100 x 100 box; return its arrows."""
    color, real = COLORS[regime], COLORS["real"]
    ax.set(xlim=(0, 100), ylim=(0, 100))
    ax.set_axis_off()
    ax.text(0, 98, letter, weight="bold", va="top", fontsize=8)
    ax.text(8, 98, title, color=color, weight="bold", va="top", fontsize=8)
    first_only = regime == "FullySynthetic"

    def sheet(y: float, edge: str, n: int = 1):
        for k in reversed(range(n)):  # the front sheet last
            box = FancyBboxPatch(
                (3 + 2.2 * k, y - 11 + 2.4 * k), 34, 22, boxstyle="round,pad=0,rounding_size=3"
            )
            box.set(linewidth=0.9, edgecolor=(edge, 1 - 0.3 * k))
            box.set_facecolor((edge, 0.16) if k == 0 else "none")
            ax.add_patch(box)

    def arrow(start, end, shade: str, bend: float, style: Any = "-"):
        common = {"shrinkA": 0, "shrinkB": 0, "color": shade, "linewidth": 1.1}
        common |= {"capstyle": "butt", "joinstyle": "miter"}
        head = "-|>,head_length=3.2,head_width=1.7"
        curve = f"arc3,rad={bend}"
        if style != "-":
            # A dashed outline would fray the head: draw the shaft, then a solid head along its end.
            shaft = FancyArrowPatch(start, end, connectionstyle=curve, arrowstyle="-", **common)
            shaft.set_linestyle(style)
            ax.add_patch(shaft)
            (x0, y0), (x1, y1) = start, end
            turn = ((x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0))
            start, curve = (x1 - 0.1 * (x1 - turn[0]), y1 - 0.1 * (y1 - turn[1])), "arc3"
        ax.add_patch(FancyArrowPatch(start, end, connectionstyle=curve, arrowstyle=head, **common))

    def cloud(x: float, y: float, spread: float, shade: str):
        angle = 2.399963 * np.arange(14)  # a sunflower: evenly strewn without a random number
        radius = spread * np.sqrt((np.arange(14) + 0.5) / 14)
        ax.plot(
            x + 1.3 * radius * np.cos(angle),
            y + radius * np.sin(angle),
            ".",
            color=shade,
            markersize=2.4,
            markeredgewidth=0,
        )

    sheet(70, real, n_sheets)
    cloud(20, 70, 7.5, real)
    name = r"real data $\mathcal{D}_r^{\,t}$" if n_sheets > 1 else r"real data $\mathcal{D}_r$"
    ax.text(20, 56.5, name, ha="center", va="top", color=real)
    ax.text(41 + 2.2 * (n_sheets - 1), 78, when, ha="left", va="bottom", fontsize=6.4, color=real)

    ax.add_patch(
        FancyBboxPatch(
            (63, 44),
            30,
            26,
            boxstyle="round,pad=0,rounding_size=6",
            facecolor=color,
            edgecolor="none",
        )
    )
    ax.text(
        78, 57, r"$\mathcal{G}^{\,t}$", ha="center", va="center", color=_ON_MAP_LIGHT, fontsize=11
    )
    ax.text(94.5, 57, "model", rotation=270, ha="left", va="center", color=color)

    sheet(21, color)
    cloud(20, 21, 6.5, color)
    ax.text(20, 7.5, r"synthetic data $\mathcal{D}_s^{\,t+1}$", ha="center", va="top", color=color)

    dashes = (0, (2, 1.6)) if first_only else "-"
    arrow((39 + 2.2 * (n_sheets - 1), 71), (62, 62), real, -0.12, dashes)
    arrow((78, 43), (38.5, 15), color, -0.34)
    arrow((38.5, 27), (62, 51), color, -0.12)
    ax.text(67, 17, "draw", ha="left", va="center", fontsize=6.6)
    ax.text(43, 42, r"train $\mathcal{G}^{\,t+1}$", ha="right", va="center", fontsize=6.6)
    common = {"regime": regime}
    return [
        common | {"source": "real data", "destination": "model", "label": when.replace("\n", " ")},
        common | {"source": "model", "destination": "synthetic data", "label": "draw"},
        common | {"source": "synthetic data", "destination": "next model", "label": "train"},
    ]


def table(axes: dict[str, Sequence], **columns: Any) -> pd.DataFrame:
    """A grid of numbers as a table, one row per point, for `save`.

    Args:
        axes: name -> values along each axis of the grid, in order.
        **columns: name -> numbers, each of a shape that broadcasts to the grid.
    """
    shape = tuple(map(len, axes.values()))
    index = pd.MultiIndex.from_product(axes.values(), names=list(axes))
    data = {name: np.broadcast_to(value, shape).ravel() for name, value in columns.items()}
    return pd.DataFrame(data, index).reset_index()


@dataclasses.dataclass(frozen=True)
class SavedFigure:
    """A figure on disk; shows itself on a page as theme-aware inline SVG.

    Attributes:
        label: its name everywhere, ``fig-...``.
        caption: with the parameters filled in.
        svg: for the page.
    """

    label: str
    caption: str
    svg: str = dataclasses.field(repr=False)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.svg, "text/plain": f"{self.label}: {self.caption}"}


def save(
    fig: Figure,
    label: str,
    *,
    caption: str,
    data: pd.DataFrame,
    parameters: dict[str, Any],
    reproduces: str | None = None,
) -> SavedFigure:
    """Write a figure as pdf, svg, png, csv, json and bib under ``results_dir()/figures``.

    Args:
        fig: from `subplots`.
        label: ``fig-`` and words in lower case, for instance ``"fig-fresh-phase"``.
        caption: stands alone; ``{n_s}`` is replaced by the parameter (write ``{{`` and ``}}`` for
            the braces of math).
        data: the plotted numbers, one row per point.
        parameters: what `check_parameters` returned.
        reproduces: bib key and place, for instance ``"alemohammad2023, Figure 11"``.

    Returns:
        The figure, for the page.

    Raises:
        ParameterError: for a label, caption, table or source that is not as described.
    """
    if not isinstance(label, str) or not re.fullmatch(r"fig(-[a-z0-9]+)+", label):
        raise ParameterError(
            f"label must be 'fig-' and words in lower case joined by '-'; got {label!r}. "
            "Rename it, for instance 'fig-fresh-phase'."
        )
    if not isinstance(data, pd.DataFrame) or data.empty:
        raise ParameterError(
            f"data must be a pandas DataFrame with the plotted numbers; got {_describe(data)}. "
            "Build one with pd.DataFrame({...})."
        )
    if reproduces is not None and not re.fullmatch(r"[a-z]+\d{4}[a-z]*, \S.*", reproduces):
        raise ParameterError(
            f"reproduces must be a bib key, a comma and a place; got {reproduces!r}. "
            "Write it as 'alemohammad2023, Figure 11'."
        )
    text = format_caption(caption, parameters)
    csv = data.to_csv(index=False, lineterminator="\n", float_format="%.9g").encode()
    provenance = {
        "label": label,
        "caption": text,
        "reproduces": reproduces,
        "parameters": parameters,
        "versions": {name: _version(name) for name in _PACKAGES},
        "sha256": hashlib.sha256(csv).hexdigest(),
    }
    record = json.dumps(provenance, sort_keys=True, ensure_ascii=False, default=_plain)
    described = {
        "pdf": {"Subject": record, "Title": label, "CreationDate": None},
        "svg": {"Description": record, "Title": label, "Date": None},
        "png": {"Description": record, "Title": label},
    }
    with style.context(["default", STYLE, {"svg.hashsalt": label}]):
        for _ in range(2):  # axes of equal aspect have their shape after the first.
            fig.get_layout_engine().execute(fig)
        fig.set_layout_engine("none")  # laid out once, and so alike in all formats
        for kind in ("pdf", "png"):
            write_result(f"figures/{label}.{kind}", _render(fig, kind, described[kind]))
        # Of the transparent one the page gets the drawing, and the file a white ground behind it.
        for patch in (fig.patch, *(ax.patch for ax in fig.axes)):
            patch.set_facecolor("none")
        svg = _render(fig, "svg", described["svg"]).decode()
        ground = '<rect width="100%" height="100%" fill="#ffffff"/>\n'
        at = svg.index('<g id="figure_1">')
        write_result(f"figures/{label}.svg", (svg[:at] + ground + svg[at:]).encode())
        page = _for_page(svg, label, text, fig)
    write_result(f"figures/{label}.csv", csv)
    write_result(f"figures/{label}.bib", _bibtex(label, text, reproduces).encode())
    # The JSON comes last: where it is, the rest is.
    pretty = json.dumps(provenance, sort_keys=True, ensure_ascii=False, default=_plain, indent=2)
    write_result(f"figures/{label}.json", f"{pretty}\n".encode())
    return SavedFigure(label, text, page)


def format_caption(caption: str, parameters: dict[str, Any]) -> str:
    """Fill ``{name}`` placeholders: lists as ``1, 2 and 3``, whole numbers from 10,000 with commas.

    Args:
        caption: with placeholders in the manner of ``str.format``.
        parameters: their values.

    Returns:
        The caption, on one line.
    """
    if not isinstance(caption, str) or not caption.strip():
        raise ParameterError(
            f"caption must be a sentence that stands alone; got {_describe(caption)}. Write one."
        )
    try:
        return " ".join(_CaptionFormatter().vformat(caption, (), parameters).split())
    except (KeyError, IndexError, AttributeError) as error:
        raise ParameterError(
            f"caption placeholders must be parameters ({', '.join(parameters) or 'none here'}); "
            f"got {error.args[0]!r}. Write {{{{ and }}}} for the braces of math."
        ) from None
    except ValueError as error:
        raise ParameterError(
            f"caption must have matching braces; got {error}. "
            "Write {{ and }} for the braces of math."
        ) from None


class _CaptionFormatter(string.Formatter):
    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, list | tuple):
            words = [self.format_field(item, spec) for item in value]
            return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
        if not spec and isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
            spec = ","
        if not spec and isinstance(value, float):
            spec = "g"
        return super().format_field(value, spec)


def _render(fig: Figure, kind: str, metadata: dict[str, Any]) -> bytes:
    """One format; `fig.savefig` would draw everything twice, to see how large it is."""
    stream = io.BytesIO()
    fig.dpi = STYLE["savefig.dpi"]
    getattr(_CANVASES[kind](fig), f"print_{kind}")(stream, metadata=metadata)
    return stream.getvalue()


def _for_page(svg: str, label: str, caption: str, fig: Figure) -> str:
    """Turn an SVG file into an inline element: ink is currentColor, ids are the figure's own."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace(f"fill: {INK}", "fill: currentColor")
    svg = svg.replace(f"stroke: {INK}", "stroke: currentColor")
    if _INK_IMAGE in svg:
        # Grays of an image become ink of that density, in whatever color the page writes.
        svg = re.sub(rf'(<image[^>]*?) id="{_INK_IMAGE}"', r'\1 filter="url(#ink)"', svg)
        svg = svg.replace("<defs>", f"<defs>{_INK_FILTER}", 1)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{label}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{label}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{label}-\1"', svg)
    wide = fig.get_figwidth() > _WIDTHS["column"] + 0.1
    shape = "min-width:34rem;max-width:60rem" if wide else "max-width:30rem"
    viewbox = re.search(r'viewBox="[^"]+"', svg).group()
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{viewbox} role="img" aria-label="{html.escape(caption)}" fill="currentColor" '
        f'style="width:100%;{shape};height:auto;display:block;margin:0 auto">'
    )
    body = svg[svg.index(">") + 1 :]
    # A wide figure scrolls inside its own box on a phone; the page does not.
    return f'<div class="madlib-figure" style="overflow-x:auto">{head}{body}</div>'


_INK_FILTER = (
    '<filter id="ink" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1">'
    '<feColorMatrix type="matrix" values="0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 -1 0 0 1 0" result="a"/>'
    '<feFlood flood-color="currentColor"/><feComposite operator="in" in2="a"/></filter>'
)


def _bibtex(label: str, caption: str, reproduces: str | None) -> str:
    title = re.split(r"(?<=[.?!])\s", caption)[0].rstrip(".")
    title = re.sub(r"(?<!\\)([%&#])", r"\\\1", title)
    note = f"Figure {label}, madlib {_version('madlib')}"
    if reproduces is not None:
        key, place = reproduces.split(", ", 1)
        note += f"; after {place} of \\cite{{{key}}}"
    return (
        f"@misc{{madlib-{label},\n  author = {{{{The madlib authors}}}},\n"
        f"  title = {{{{{title}}}}},\n"
        "  howpublished = {madlib: a book on self-consuming generative models},\n"
        f"  note = {{{note}}},\n}}\n"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _plain(value: Any) -> Any:
    """Turn arrays and array scalars into what JSON can write."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ParameterError(
        f"parameters must be numbers, words, booleans or lists; got {_describe(value)}. "
        "Pass what check_parameters returned."
    )


def _describe(value: Any) -> str:
    if isinstance(value, pd.DataFrame):
        return f"an empty table with columns {list(value.columns)}"
    return f"{value!r:.60}" if isinstance(value, str | int | float) else type(value).__name__


def _finite(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        raise ParameterError(
            f"{name} must be finite to be drawn; got NaN or infinity in an array of shape "
            f"{array.shape}. Drop those points, or mend the simulation."
        )
    return array


def _within(x: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    low, high = sorted(limits)
    slack = 1e-9 * (high - low)
    return (x >= low - slack) & (x <= high + slack)


def _spread(levels: list[float], step: float) -> list[float]:
    """Move sorted levels apart to at least `step`, and keep them within [0, 1] where they fit."""
    blocks = [[level, 1] for level in levels]  # [center, members]
    i = 0
    while i < len(blocks) - 1:
        (low, n), (high, m) = blocks[i], blocks[i + 1]
        if high - low < step * (n + m) / 2:
            top = max(1 - step * (n + m - 1) / 2, 0.5)
            center = np.clip((low * n + high * m) / (n + m), 1 - top, top)
            blocks[i : i + 2] = [[float(center), n + m]]
            i = max(i - 1, 0)
        else:
            i += 1
    return [center + step * (k - (n - 1) / 2) for center, n in blocks for k in range(n)]


def _edges(centers: np.ndarray, log: bool) -> np.ndarray:
    """Return the borders of cells around their centers, [n + 1]."""
    if len(centers) < 2 or (np.diff(centers) <= 0).any() or (log and centers[0] <= 0):
        raise ParameterError(
            "the axes of a heatmap must be increasing, of length 2 or more, and positive where "
            f"logarithmic; got {centers[:4]}. Sort them, or choose log='none'."
        )
    values = np.log(centers) if log else centers
    inner = (values[1:] + values[:-1]) / 2
    edges = np.concatenate([[2 * values[0] - inner[0]], inner, [2 * values[-1] - inner[-1]]])
    return np.exp(edges) if log else edges
