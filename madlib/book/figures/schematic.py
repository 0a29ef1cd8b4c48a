"""The three loops as a drawing, after Figure 3 of Alemohammad et al. 2023."""

import functools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from madlib.book.figures.marks import _TEXT_SHARE
from madlib.book.figures.panels import Panel
from madlib.book.figures.style import COLORS, MAP_PAPER, mix

_LOOPS = (
    ("FullySynthetic", "fully synthetic", "only at $t = 1$", 1),
    ("SyntheticAugmentation", "synthetic augmentation", "the same set\nevery time", 1),
    ("FreshData", "fresh data", "a new set\nevery time", 3),
)


def schematic() -> tuple[Panel, Panel, Panel]:
    """Draw the loops of the three regimes.

    Returns:
        Three panels, for `figure`; their tables have a row for each arrow.
    """
    return tuple(_loop(*loop) for loop in _LOOPS)  # pyright: ignore[reportReturnType]


def _loop(regime: str, title: str, when: str, n_sheets: int) -> Panel:
    arrows = [
        ("real data", "model", when.replace("\n", " ")),
        ("model", "synthetic data", "draw"),
        ("synthetic data", "next model", "train"),
    ]
    table = pd.DataFrame(arrows, columns=["source", "destination", "label"])
    draw = functools.partial(_draw_loop, regime=regime, when=when, n_sheets=n_sheets)
    return Panel(draw, table.assign(regime=regime), {"title": title}, legend=regime)


def _draw_loop(ax: Axes, regime: str, when: str, n_sheets: int) -> Any:
    """Draw one loop in a box of 100 x 94."""
    color, real = COLORS[regime], COLORS["real"]
    words, gray = mix(color, _TEXT_SHARE), mix(real, _TEXT_SHARE)
    ax.set(xlim=(0, 100), ylim=(0, 94))
    ax.set_axis_off()
    _sheet(ax, 70, real, n_sheets)
    _cloud(ax, 20, 70, 7.5, real)
    name = r"real data $\mathcal{D}_r^{\,t}$" if n_sheets > 1 else r"real data $\mathcal{D}_r$"
    ax.text(20, 56, name, ha="center", va="top", color=gray)
    ax.text(41 + 2.2 * (n_sheets - 1), 77, when, ha="left", va="bottom", color=gray)
    round_box = {"boxstyle": "round,pad=0,rounding_size=6", "edgecolor": "none"}
    ax.add_patch(FancyBboxPatch((63, 44), 30, 26, facecolor=color, **round_box))
    ax.text(78, 57, r"$\mathcal{G}^{\,t}$", ha="center", va="center", color=MAP_PAPER)
    ax.text(94.5, 57, "model", rotation=270, ha="left", va="center", color=words)
    _sheet(ax, 21, color)
    _cloud(ax, 20, 21, 6.5, color)
    name = r"synthetic data $\mathcal{D}_s^{\,t+1}$"
    ax.text(20, 7, name, ha="center", va="top", color=words)
    dashes = (0, (2, 1.6)) if regime == "FullySynthetic" else "-"
    _arrow(ax, (39 + 2.2 * (n_sheets - 1), 71), (62, 62), real, -0.12, dashes)
    _arrow(ax, (78, 43), (38.5, 15), color, -0.34)
    _arrow(ax, (38.5, 27), (62, 51), color, -0.12)
    ax.text(67, 16, "draw", ha="left", va="center")
    ax.text(46, 42, r"train $\mathcal{G}^{\,t+1}$", ha="right", va="center")
    return lambda: None


def _sheet(ax: Axes, y: float, edge: str, n: int = 1) -> None:
    for k in reversed(range(n)):  # the front sheet last
        corner = (3 + 2.2 * k, y - 11 + 2.4 * k)
        box = FancyBboxPatch(corner, 34, 22, boxstyle="round,pad=0,rounding_size=3")
        box.set(linewidth=0.9, edgecolor=(edge, 1 - 0.3 * k))
        box.set_facecolor((edge, 0.16) if k == 0 else "none")
        ax.add_patch(box)


def _cloud(ax: Axes, x: float, y: float, spread: float, shade: str) -> None:
    angle = 2.399963 * np.arange(14)  # a sunflower: evenly strewn without a random number
    radius = spread * np.sqrt((np.arange(14) + 0.5) / 14)
    place = x + 1.3 * radius * np.cos(angle), y + radius * np.sin(angle)
    ax.plot(*place, ".", color=shade, markersize=2.4, markeredgewidth=0)


def _arrow(ax: Axes, start: Any, end: Any, shade: str, bend: float, style: Any = "-") -> None:
    common = {"shrinkA": 0, "shrinkB": 0, "color": shade, "linewidth": 1.1}
    common |= {"capstyle": "butt", "joinstyle": "miter"}
    curve = f"arc3,rad={bend}"
    if style != "-":
        # A dashed outline would fray the head: draw the shaft, then a solid head along its end.
        shaft = FancyArrowPatch(start, end, connectionstyle=curve, arrowstyle="-", **common)
        shaft.set_linestyle(style)
        ax.add_patch(shaft)
        (x0, y0), (x1, y1) = start, end
        turn = ((x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0))
        start, curve = (x1 - 0.1 * (x1 - turn[0]), y1 - 0.1 * (y1 - turn[1])), "arc3"
    head = "-|>,head_length=3.2,head_width=1.7"
    ax.add_patch(FancyArrowPatch(start, end, connectionstyle=curve, arrowstyle=head, **common))
