"""Marks in one axes: theory, logarithmic axes, and labels beside the ends of lines."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import patheffects, rcParams, ticker
from matplotlib.axes import Axes

from madlib.book.figures.style import INK, MAP_INK, MAP_PAPER, PALE, mix

# Of settings, in the labels of curves and axes.
SYMBOLS = {"lam": r"\lambda", "generation": "t", "n_ini": "n_{ini}", "real_share": r"\pi"}
SYMBOLS |= {name: name for name in ("d", "n_r", "n_s")}
SYMBOLS |= {name: rf"\{name}" for name in ("alpha", "Delta")}
_TEXT_SHARE = 0.7  # of a color in its words: at least 4.5:1 on paper and in both themes.


class Label(NamedTuple):
    """Words that belong to the end of the line (x, y), [n] each."""

    text: str
    x: Any
    y: Any
    color: str


def axis_labels(**names: str) -> dict[str, str]:
    """Labels of axes whose settings have a symbol, alone or in a ratio: `n_s_over_n_r`."""
    parts = {axis: name.split("_over_") for axis, name in names.items()}
    return {
        f"{axis}label": f"${' / '.join(SYMBOLS[part] for part in ratio)}$"
        for axis, ratio in parts.items()
        if SYMBOLS.keys() >= set(ratio)
    }


def words_color(color: str) -> str:
    """The color of words on something of that color."""
    return INK if color == INK else mix(color, _TEXT_SHARE)


def theory_line(ax: Axes, x: Any, y: Any, on_map: bool = False) -> None:
    """Draw a closed form: wide and pale, under everything that was simulated."""
    wide = {"linewidth": 3.6, "solid_capstyle": "butt", "zorder": 1.5, "color": PALE}
    if on_map:
        edge = patheffects.Stroke(linewidth=5, foreground=MAP_PAPER, alpha=0.6)
        wide |= {"color": MAP_INK, "alpha": 0.3, "path_effects": [edge, patheffects.Normal()]}
    ax.plot(x, y, **wide)


def log_axis(ax: Axes, which: str = "y") -> None:
    """Make axes logarithmic, `"x"`, `"y"` or `"xy"`, and label decades sparingly.

    Zeros fall off the lower end.
    """
    for name in which:
        axis = getattr(ax, f"{name}axis")
        getattr(ax, f"set_{name}scale")("log", nonpositive="clip")
        axis.set_major_locator(ticker.LogLocator(numticks=6))
        axis.set_minor_locator(ticker.LogLocator(subs=range(2, 10), numticks=6))
        axis.set_major_formatter(_LogFormatter())
        axis.set_minor_formatter(_LogFormatter())
        for line in (line for line in ax.lines if not line.get_clip_on()):
            values = np.asarray(getattr(line, f"get_{name}data")(), float)
            shown = np.where(values > 0, values, np.nan)  # off the axes it would need room there.
            line.set(**{f"{name}data": shown})


class _LogFormatter(ticker.LogFormatterMathtext):
    """Powers of ten; on an axis of less than two decades 1, 2 and 5 of each, written out."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        low, high = sorted(self.axis.get_view_interval())  # pyright: ignore
        if not 0 < high < 100 * low:
            return super().__call__(x, pos) if math.log10(x) % 1 == 0 else ""
        digit = x / 10 ** math.floor(math.log10(x) + 1e-9)
        return f"{x:,g}" if round(digit, 6) in (1, 2, 5) else ""


def label_ends(ax: Axes, labels: Sequence[Label]) -> list[Any]:
    """Write labels beside the last visible points of their lines, moved apart to be legible.

    Call it when scales and limits are set and the figure is laid out. A label that had to move is
    joined to its line by a thin one.
    """
    box, size = ax.get_window_extent(), rcParams["font.size"] * ax.figure.dpi / 72  # pixels
    to_axes, bottom = ax.transData - ax.transAxes, min(ax.get_ylim())
    ends = []
    for label in labels:
        x, y = np.broadcast_arrays(*np.atleast_1d(label.x, label.y))
        places = to_axes.transform(np.column_stack([x, np.maximum(y, bottom)]))
        seen = places[np.isfinite(y) & (places[:, 0] > -1e-9) & (places[:, 0] < 1 + 1e-9)]
        if len(seen):  # the end is the first point where a line runs from right to left.
            across, up = max(seen[-1], seen[0], key=lambda place: place[0])
            ends.append((float(np.clip(up, 0, 1)), float(across), label))
    ends.sort(key=lambda end: end[0])
    ups = _spread([up for up, *_ in ends], 1.15 * size / box.height)
    moved = [abs(to - up) * box.height > 0.6 * size for to, (up, *_) in zip(ups, ends, strict=True)]
    aside = (1.3 if any(moved) else 0.4) * size / box.width
    common = {"xycoords": "axes fraction", "va": "center", "annotation_clip": False}
    written = []
    for to, is_moved, (up, across, (text, _, _, color)) in zip(ups, moved, ends, strict=True):
        line = {"arrowstyle": "-", "linewidth": 0.5, "color": color, "relpos": (0, 0.5)}
        line |= {"shrinkA": 1, "shrinkB": 1}
        look = common | {"color": words_color(color), "arrowprops": line if is_moved else None}
        written.append(ax.annotate(text, (across, up), (across + aside, to), **look))
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
