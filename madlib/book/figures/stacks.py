"""Shares of a whole, stacked."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from madlib.book.figures.marks import Label, label_ends
from madlib.book.figures.panels import Panel
from madlib.book.figures.style import colors_for
from madlib.errors import as_reals, require


def stacked(x: Any, parts: dict[str, Any], *, colors: Any = None, **axes: Any) -> Panel:
    """Draw the shares of a sum, one above the other.

    Args:
        x: [n_x], or `{name: [n_x]}` to name its column in the table.
        parts: `{label: [n_x]}`, the terms, at least 0; the first is at the bottom.
        colors: a regime or color for all, or `{label: regime or color}`.
        **axes: as in `curves`.

    Returns:
        The panel, for `figure`; its table has every term and its share.

    Example:
        >>> from madlib.book import figures
        >>> figures.stacked({"t": [1, 2]}, {"bias": [1.0, 3.0], "noise": [1.0, 1.0]}).table
          series  t  value  share
        0   bias  1    1.0   0.50
        1   bias  2    3.0   0.75
        2  noise  1    1.0   0.50
        3  noise  2    1.0   0.25
    """
    name, x = next(iter(x.items())) if isinstance(x, dict) else ("x", x)
    as_reals(x, name)
    values = np.stack([as_reals(part, label) for label, part in parts.items()])
    fine = (values >= 0).all() and (values.sum(0) > 0).all() and values.shape[1:] == np.shape(x)
    required = f"parts must be terms of {len(x)} sums, none negative and not all 0"
    require(fine, required, f"shape {values.shape}, least {values.min():.3g}", "Check the parts.")
    share = values / values.sum(0)
    tops = np.cumsum(share, axis=0)
    hues, middles = colors_for(colors, list(parts)), tops - share / 2

    def draw(ax: Axes) -> Any:
        for top, part, hue in zip(tops, share, hues, strict=True):
            ax.fill_between(x, top - part, top, facecolor=hue, edgecolor="#fefefe", linewidth=0.6)
        ends = zip(parts, middles, hues, strict=True)
        return lambda: label_ends(ax, [Label(label, x, y, hue) for label, y, hue in ends])

    columns = zip(parts, values, share, strict=True)
    frames = [pd.DataFrame({"series": k, name: x, "value": v, "share": s}) for k, v, s in columns]
    limits = {"xlim": (min(x), max(x)), "ylim": (0, 1), "ylabel": "share"}
    told = tuple(zip(parts, hues, strict=True))
    return Panel(draw, pd.concat(frames, ignore_index=True), limits | axes, (), told)
