"""Colors and type of the figures, on paper and on a page.

On paper ink is black. On a page ink is `currentColor`, and a color that `mix` made darker with ink
is mixed with the page's own, so that one drawing reads in the light and in the dark theme.
"""

import functools
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from madlib.errors import require

# Of regimes, and of nothing else. Okabe and Ito's hues, each at least 3:1 against white and against
# #121212; the ochre is their yellow, darkened until it reads on white.
COLORS: dict[str, str] = {
    "FullySynthetic": "#D55E00",
    "SyntheticAugmentation": "#0077B8",
    "FreshData": "#009E73",
    "Accumulate": "#CC79A7",
    "AccumulateSubsample": "#9A7B00",
    "LongMemory": "#009E73",  # FreshData is its K = 1.
    "real": "#808080",
}
INK = "#000000"  # exactly black: becomes currentColor on a page.
# Marks on a color map keep their color in the dark theme, because the map does.
MAP_INK, MAP_PAPER = "#010101", "#fefefe"

WIDTHS = {"column": 88.0, "page": 180.0}  # mm
MM = 1 / 25.4
STYLE: dict[str, Any] = {
    "font.size": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "auto",
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    # The font that comes with matplotlib: the same shapes, hence the same bytes, on every machine.
    "font.family": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    **dict.fromkeys(["axes.titlesize", "axes.labelsize", "legend.fontsize"], "medium"),
    **dict.fromkeys(["xtick.labelsize", "ytick.labelsize", "figure.labelsize"], "medium"),
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.labelpad": 3,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.borderaxespad": 0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.axisbelow": True,
    "axes.xmargin": 0.0,
    "axes.ymargin": 0.05,
    **dict.fromkeys(["xtick.major.size", "ytick.major.size"], 2.5),
    **dict.fromkeys(["xtick.minor.size", "ytick.minor.size"], 1.5),
    **dict.fromkeys(["xtick.major.width", "ytick.major.width"], 0.6),
    **dict.fromkeys(["xtick.minor.width", "ytick.minor.width"], 0.4),
    "lines.linewidth": 1.2,
    "lines.markersize": 3.2,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.6,
    "image.interpolation": "none",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}

_ON_PAGE: dict[str, str] = {}  # color on paper -> color on a page, where `mix` made it.


def mix(color: str, share: float) -> str:
    """A color of which only a share is left, and the rest is ink.

    Args:
        color: any of matplotlib's.
        share: 1 is the color, 0 the ink.

    Returns:
        The color on paper; `to_page` knows the one on a page.
    """
    mixed = to_hex([share * channel for channel in to_rgb(color)])
    if mixed != INK and share < 1:
        _ON_PAGE[mixed] = f"color-mix(in srgb, {to_hex(color)} {share:.0%}, currentColor)"
    return mixed


def recolor(svg: str) -> str:
    """The colors of a drawing on paper, changed to those of a page."""
    for paper, page in [(INK, "currentColor"), *_ON_PAGE.items()]:
        for attribute in ("fill", "stroke"):
            svg = svg.replace(f"{attribute}: {paper}", f"{attribute}: {page}")
    return svg


# Of scores, generators and whatever else has no order; they differ in lightness, for print in gray.
SERIES = (
    mix("#8C6FD8", 1),
    mix("#C4345A", 0.6),
    mix("#0097A7", 0.85),
    mix("#7A5230", 0.5),
    mix("#B98A5A", 0.95),
    mix("#4A62B8", 0.7),
)
_ORDERED = {"lam": "#8C6FD8"}  # of bias strengths; of sizes, generations and the like: teal.


def ramp(name: str, values: Any) -> list[str]:
    """A color for each value of an ordered setting, from a hue (the smallest) to near the ink."""
    values = np.asarray(values, float)
    rank = np.argsort(np.argsort(values))
    hue = _ORDERED.get(name, "#0097A7")
    return [mix(hue, share) for share in np.linspace(1, 0.3, max(len(values), 2))[rank]]


def color_of(value: Any) -> str:
    """The color of a regime, found by its class, through wrappers; other colors as they are."""
    while not isinstance(value, str):
        name = (value if isinstance(value, type) else type(value)).__name__
        value = name if name in COLORS or not hasattr(value, "regime") else value.regime
    return COLORS.get(value, value)


def in_style(function: Any) -> Any:
    """Runs a function in the style of the book, and leaves matplotlib's as it was."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with style.context(["default", STYLE]):
            return function(*args, **kwargs)

    return call


class BookFigure(Figure):
    """A matplotlib figure that shows itself on a page, in the ink of the page."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from madlib.book.figures.page import show

        return {"text/html": show(self)}


def subplots(
    n_columns: int = 1,
    n_rows: int = 1,
    width: Literal["column", "page"] = "column",
    height: float | None = None,
    **kw: Any,
) -> tuple[BookFigure, Any]:
    """Set the style of the book and open a figure in it, which shows itself as a cell's last line.

    Args:
        n_columns: panels side by side.
        n_rows: panels one above the other.
        width: `"column"` (88 mm) or `"page"` (180 mm).
        height: in mm; by default panels are about three wide and two high.
        **kw: passed to `Figure.subplots`, for instance `sharey=True`.

    Returns:
        `(figure, axes)`; axes is one Axes, or an array of them [n_rows, n_columns], squeezed.

    Example:
        >>> from madlib.book import figures
        >>> fig, ax = figures.subplots()
        >>> line = ax.plot([1, 2, 3], [1, 4, 9])
    """
    require(
        width in WIDTHS, "width must be 'column' (88 mm) or 'page' (180 mm)", repr(width), "Pick."
    )
    wide = WIDTHS[width]
    style.use(["default", STYLE])
    height = height or n_rows * min({1: 0.68}.get(n_columns, 0.8) * wide / n_columns, 66.0)
    figure = BookFigure(figsize=(wide * MM, height * MM))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(n_rows, n_columns, **kw)
