"""The three loops as a drawing, after Figure 3 of Alemohammad et al. 2023."""

import functools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from madlib.book.figures.marks import words_color
from madlib.book.figures.panels import Panel
from madlib.book.figures.style import COLORS, MAP_PAPER, PALE

_LOOPS = (
    ("FullySynthetic", "fully synthetic", "only at $t = 1$", 1),
    ("SyntheticAugmentation", "synthetic augmentation", "the same set\nevery time", 1),
    ("FreshData", "fresh data", "a new set\nevery time", 3),
)


def schematic() -> tuple[Panel, ...]:
    """Draw the loops of the three regimes.

    Returns:
        Three panels, for `figure`; their tables have a row for each arrow.

    Example:
        >>> from madlib.book import figures
        >>> len(figures.schematic())
        3
    """
    panels = []
    for regime, title, when, n_sheets in _LOOPS:
        real = {"source": "real data", "destination": "model", "label": when.replace("\n", " ")}
        drawn = {"source": "model", "destination": "synthetic data", "label": "draw"}
        fitted = {"source": "synthetic data", "destination": "next model", "label": "train"}
        table = pd.DataFrame([real, drawn, fitted]).assign(regime=regime)
        draw = functools.partial(_draw_loop, regime=regime, when=when, n_sheets=n_sheets)
        panels.append(Panel(draw, table, {"title": title}, legend=regime))
    return tuple(panels)


def _draw_loop(ax: Axes, regime: str, when: str, n_sheets: int) -> Any:
    """Draw one loop in a box of 100 x 94."""
    color, real = COLORS[regime], COLORS["real"]
    words, gray = words_color(color), words_color(real)
    aside = 2.2 * (n_sheets - 1)
    ax.set(xlim=(0, 100), ylim=(0, 94))
    ax.set_axis_off()
    _sheets(ax, 70, real, n_sheets)
    name = r"real data $\mathcal{D}_r^{\,t}$" if n_sheets > 1 else r"real data $\mathcal{D}_r$"
    ax.text(20, 56, name, ha="center", va="top", color=gray)
    ax.text(41 + aside, 77, when, va="bottom", color=gray)
    model = "round,pad=0,rounding_size=6"
    ax.add_patch(FancyBboxPatch((63, 44), 30, 26, model, facecolor=color, edgecolor="none"))
    ax.text(78, 57, r"$\mathcal{G}^{\,t}$", ha="center", va="center", color=MAP_PAPER)
    ax.text(94.5, 57, "model", rotation=270, va="center", color=words)
    _sheets(ax, 21, color, 1)
    name = r"synthetic data $\mathcal{D}_s^{\,t+1}$"
    ax.text(20, 7, name, ha="center", va="top", color=words)
    # Real data that come once have a paler arrow.
    _arrow(ax, (39 + aside, 71), (62, 62), PALE if "only" in when else real, -0.12)
    _arrow(ax, (78, 43), (38.5, 15), color, -0.34)
    _arrow(ax, (38.5, 27), (62, 51), color, -0.12)
    ax.text(67, 16, "draw", va="center")
    ax.text(46, 42, r"train $\mathcal{G}^{\,t+1}$", ha="right", va="center")
    return lambda: None


def _sheets(ax: Axes, y: float, edge: str, n: int) -> None:
    """Sheets of points around (20, y), one behind the other."""
    for k in reversed(range(n)):  # the front sheet last
        corner = 3 + 2.2 * k, y - 11 + 2.4 * k
        box = FancyBboxPatch(corner, 34, 22, "round,pad=0,rounding_size=3", linewidth=0.9)
        box.set(edgecolor=(edge, 1 - 0.3 * k), facecolor="none" if k else (edge, 0.16))
        ax.add_patch(box)
    angle = 2.399963 * np.arange(14)  # a sunflower: evenly strewn without a random number
    radius = 7 * np.sqrt((np.arange(14) + 0.5) / 14)
    place = 20 + 1.3 * radius * np.cos(angle), y + radius * np.sin(angle)
    ax.plot(*place, ".", color=edge, markersize=2.4, markeredgewidth=0)


def _arrow(ax: Axes, start: Any, end: Any, shade: Any, bend: float) -> None:
    look = {"shrinkA": 0, "shrinkB": 0, "color": shade, "linewidth": 1.1}
    look |= {"capstyle": "butt", "joinstyle": "miter"}
    head, curve = "-|>,head_length=3.2,head_width=1.7", f"arc3,rad={bend}"
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle=head, connectionstyle=curve, **look))
