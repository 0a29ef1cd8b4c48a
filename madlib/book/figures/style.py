"""Colors and type of the figures, on paper and on a page.

On paper ink is black. On a page it is `currentColor`, and a color that `mix` darkened with ink is
mixed with the page's own, so that one drawing reads in the light and in the dark theme.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_hex, to_rgb

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
BIAS, SIZE = "#8C6FD8", "#0097A7"  # hues of bias strengths, and of all other ordered settings.
STYLE = ["default", Path(__file__).with_name("book.mplstyle")]
DPI = 300
MM = 1 / 25.4
WIDTHS = {"column": 88 * MM, "page": 180 * MM}  # inches

PALE = "#bdbdbd"  # of theory: opaque, so that lines that cross do not darken each other.
_ON_PAGE = {
    INK: "currentColor",
    PALE: "color-mix(in srgb, currentColor 26%, var(--pst-color-background, Canvas))",
}  # color on paper -> color on a page.
_MIXED: dict[str, tuple[str, float]] = {}  # color on paper -> the color in it, and its share.


def mix(color: str, share: float) -> str:
    """A color on paper of which a share is left, and the rest is ink."""
    color, already = _MIXED.get(color, (to_hex(color), 1.0))
    share = share * already
    red, green, blue = to_rgb(color)
    mixed = to_hex((share * red, share * green, share * blue))
    if share < 1:
        _MIXED[mixed] = color, share
        _ON_PAGE[mixed] = f"color-mix(in srgb, {color} {share:.0%}, currentColor)"
    return mixed


def recolor(svg: str) -> str:
    """A drawing in the colors of a page."""
    for paper, page in _ON_PAGE.items():
        svg = svg.replace(f"fill: {paper}", f"fill: {page}")
        svg = svg.replace(f"stroke: {paper}", f"stroke: {page}")
    return svg


# Of scores, generators and whatever else has no order: as far from each other as can be, for all
# eyes and in both themes, and in lightness for print in gray.
_HUES = ["#2424f2", "#bf891d", "#8c1515", "#d69df2", "#15158c", "#f2d69d"]
SERIES = [mix(*pair) for pair in zip(_HUES, [0.8, 1, 0.6, 0.6, 0.6, 0.6], strict=True)]


def ramp(name: str, values: Any) -> list[str]:
    """A color for each value of an ordered setting: from a hue, the smallest, to near the ink."""
    rank = np.argsort(np.argsort(np.asarray(values, float)))
    shares = np.linspace(1, 0.3, max(len(rank), 2))[rank]
    return [mix(BIAS if name == "lam" else SIZE, share) for share in shares]


def color_of(value: Any) -> str:
    """The color of a regime, found by its class, through wrappers; other colors as they are."""
    while not isinstance(value, str):
        name = (value if isinstance(value, type) else type(value)).__name__
        value = name if name in COLORS or not hasattr(value, "regime") else value.regime
    return COLORS.get(value, value)


def colors_for(colors: Any, labels: list[str], by: Any = None) -> list[str]:
    """A color for each label: those asked for, a ramp for ordered settings, or `SERIES`."""
    if colors is not None:
        each = colors if isinstance(colors, dict) else dict.fromkeys(labels, colors)
        return [color_of(each[label]) for label in labels]
    if by is not None:
        return ramp(*next(iter(by.items())))
    return [SERIES[i % len(SERIES)] for i in range(len(labels))]
