"""What is drawn into one axes: theory, logarithmic axes, labels beside the ends of lines."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import patheffects, ticker
from matplotlib.axes import Axes

from madlib.book.figures.style import INK, MAP_INK, MAP_PAPER, mix

_TEXT_SHARE = 0.7  # of a color in its label: at least 4.5:1 on paper and in both themes.


class Label(NamedTuple):
    """Words that belong to the end of a line.

    Attributes:
        text: the words.
        x, y: [n], the line.
        color: of the line.
    """

    text: str
    x: Any
    y: Any
    color: str


def theory_line(ax: Axes, x: Any, y: Any, on_map: bool = False) -> None:
    """Draw a closed form: wide and pale, under everything that was simulated."""
    pale = {"alpha": 0.25, "linewidth": 3.6, "solid_capstyle": "butt", "zorder": 1.5}
    (line,) = ax.plot(x, y, color=MAP_INK if on_map else INK, **pale)
    if on_map:
        edge = patheffects.Stroke(linewidth=5, foreground=MAP_PAPER, alpha=0.6)
        line.set_path_effects([edge, patheffects.Normal()])


def log_axis(ax: Axes, which: str = "y") -> None:
    """Make axes logarithmic, `"x"`, `"y"` or `"xy"`, with decades labeled sparingly.

    Zeros fall off the lower end.
    """
    for name in which:
        axis = getattr(ax, f"{name}axis")
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


def label_ends(ax: Axes, labels: Sequence[Label], gap: float = 1.15) -> list[Any]:
    """Write labels beside the ends of their lines, moved apart to be legible.

    Call it when scales and limits are set and the figure is laid out. A label that had to move is
    joined to its line by a thin one.

    Args:
        ax: where.
        labels: of the lines.
        gap: distance between labels, in lines of text.

    Returns:
        The annotations.
    """
    box, dpi = ax.get_window_extent(), ax.figure.dpi
    size = matplotlib.rcParams["font.size"] * dpi / 72  # pixels
    ends = []
    for label in labels:
        x, y = np.broadcast_arrays(*np.atleast_1d(label.x, label.y))
        low, high = sorted(ax.get_xlim())
        slack = 1e-9 * (high - low)
        inside = np.flatnonzero((x >= low - slack) & (x <= high + slack) & np.isfinite(y))
        if not len(inside):
            continue
        level = (
            max(y[inside[-1]], min(ax.get_ylim())) if ax.get_yscale() == "log" else y[inside[-1]]
        )
        place = ax.transAxes.inverted().transform(ax.transData.transform((x[inside[-1]], level)))
        ends.append((float(np.clip(place[1], 0, 1)), float(place[0]), label))
    ends.sort(key=lambda end: end[0])
    levels = _spread([end[0] for end in ends], gap * size / box.height)
    moved = [abs(level - end[0]) * box.height > 0.6 * size for level, end in zip(levels, ends)]
    aside = (1.3 if any(moved) else 0.4) * size / box.width
    written = []
    for level, is_moved, (y, x, label) in zip(levels, moved, ends, strict=True):
        line = {"arrowstyle": "-", "linewidth": 0.5, "color": label.color, "shrinkA": 1}
        written.append(
            ax.annotate(
                label.text,
                (x, y),
                (x + aside, level),
                xycoords="axes fraction",
                color=INK if label.color == INK else mix(label.color, _TEXT_SHARE),
                va="center",
                arrowprops=line | {"shrinkB": 0} if is_moved else None,
                annotation_clip=False,
            )
        )
    return written


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
