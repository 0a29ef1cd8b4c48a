"""`Panel`, a drawing with its numbers; and `figure`, which saves one or more of them."""

import dataclasses
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes

from madlib.book.figures.marks import log_axis
from madlib.book.figures.page import BookFigure, lay_out, subplots
from madlib.book.figures.save import SavedFigure, save
from madlib.book.figures.style import STYLE
from madlib.book.parameters import checked_parameters
from madlib.errors import require

THEORY = "Wide pale lines: theory."
_LETTERS = string.ascii_lowercase
_HEIGHTS = {1: 60.0, 2: 64.0, 3: 54.0}  # mm of a row, by panels in it; 46 for more.


@dataclasses.dataclass(frozen=True)
class Panel:
    """A drawing for one axes, and its numbers; as a cell's last line it shows itself.

    Attributes:
        draw: `draw(axes)` draws, and returns a function that writes the legend.
        table: the numbers, one row per point.
        axes: settings, passed to matplotlib's `Axes.set`; and `log`, of `"x"`, `"y"` or `"xy"`.
        key: sentences on its lines and bands, for the caption.
        legend: compared with that of other panels: in a row the same legend is written once.
    """

    draw: Callable[[Axes], Callable[[], Any]]
    table: pd.DataFrame = dataclasses.field(repr=False)
    axes: dict[str, Any] = dataclasses.field(default_factory=dict)
    key: tuple[str, ...] = ()
    legend: Any = None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return _compose([self], 1)._repr_mimebundle_()


def figure(
    *panels: Panel,
    label: str,
    caption: str,
    parameters: dict[str, Any] | None = None,
    reproduces: str | None = None,
    n_columns: int | None = None,
    **layout: Any,
) -> SavedFigure:
    """Draw panels side by side, and save the figure with its table.

    More than one panel are lettered. Panels with one `ylabel` share its axis, and so do those of a
    column with one `xlabel`. Sentences on lines, bands and replicates complete the caption.

    Args:
        *panels: from `trajectories` and the other functions of this package.
        label, caption, reproduces: as in `save`.
        parameters: those of the chapter by default, as `check_parameters` has found them.
        n_columns: panels in a row; by default all.
        **layout: `width`, `"column"` (88 mm) or `"page"` (180 mm, by default for more than one
            panel); `height` in mm; `width_ratios` of the columns.

    Returns:
        The figure on disk, which shows itself; its `table` is that of all panels.

    Raises:
        ParameterError: without panels, or for a label, caption or source that is not as described.

    Example:
        >>> from madlib.book import figures
        >>> figures.figure(
        ...     figures.trajectories([1.0, 0.5, 0.2], ylabel="variance"),
        ...     label="fig-example", caption="A loop of {n_s} samples.", parameters={"n_s": 5},
        ... )  # doctest: +SKIP
        SavedFigure(label='fig-example', caption='A loop of 5 samples.')
    """
    require(panels, "a figure needs at least one panel", "none", "Pass figures.trajectories(...).")
    fig = _compose(panels, n_columns or len(panels), **layout)
    tables = [panel.table.copy() for panel in panels]
    if len(panels) > 1:
        for letter, table in zip(_LETTERS, tables, strict=False):
            table.insert(0, "panel", letter)
    data = pd.concat(tables, ignore_index=True)
    given = checked_parameters() if parameters is None else parameters
    provenance = {"caption": caption, "parameters": given, "reproduces": reproduces}
    return save(fig, label, data=data, key=_key(panels), **provenance)


def _compose(
    panels: Sequence[Panel],
    n_columns: int,
    width: Any = None,
    height: float | None = None,
    width_ratios: Any = None,
) -> BookFigure:
    n_rows = -(-len(panels) // n_columns)
    width = width or ("column" if len(panels) == 1 else "page")
    height = height or n_rows * _HEIGHTS.get(n_columns, 46.0)
    with style.context(STYLE):
        grid = {"squeeze": False, "width_ratios": width_ratios}
        fig, grid = subplots(n_columns, n_rows, width, height, **grid)
        axes = {divmod(i, n_columns): ax for i, ax in enumerate(grid.flat)}
        drawn = list(zip(_LETTERS, panels, axes.items(), strict=False))
        legends = [panel.draw(ax) for _, panel, (_, ax) in drawn]
        for letter, panel, (_, ax) in drawn:
            settings = {"log": ""} | panel.axes
            log_axis(ax, settings.pop("log"))
            ax.set(**settings)
            if len(panels) > 1:
                ax.set_title(f"$\\mathbf{{{letter}}}$  {ax.get_title('left')}".rstrip())
        for ax in list(axes.values())[len(panels) :]:
            ax.remove()
        _share({place: ax for _, _, (place, ax) in drawn})
        lay_out(fig, 1)
        for i, (panel, legend) in enumerate(zip(panels, legends, strict=True)):
            rest_of_row = panels[i + 1 : (i // n_columns + 1) * n_columns]
            if all(panel.legend != other.legend for other in rest_of_row):
                legend()
    return fig


def _share(axes: dict[tuple[int, int], Axes]) -> None:
    """One scale for all panels with one ylabel, and for those of a column with one xlabel."""
    groups: dict[Any, list[tuple[int, int]]] = {}
    for (row, column), ax in axes.items():
        groups.setdefault(("y", ax.get_ylabel(), None), []).append((row, column))
        groups.setdefault(("x", ax.get_xlabel(), column), []).append((row, column))
    for (name, label, _), places in groups.items():
        limits = np.array([getattr(axes[place], f"get_{name}lim")() for place in places])
        if not label or (limits[:, 0] > limits[:, 1]).any():
            continue
        for row, column in places:
            ax = axes[row, column]
            getattr(ax, f"set_{name}lim")(limits.min(), limits.max())
            if name == "y" and any(r == row and c < column for r, c in places):
                ax.set_ylabel("")
                ax.tick_params(labelleft=False, which="both")
            if name == "x" and any(r > row for r, _ in places):
                ax.set_xlabel("")
                ax.tick_params(labelbottom=False, which="both")


def _key(panels: Sequence[Panel]) -> str:
    """What lines and bands are: first what holds for all panels, then by letter."""
    told: dict[str, list[str]] = {"": []}
    for sentence in dict.fromkeys(sentence for panel in panels for sentence in panel.key):
        where = [letter for letter, p in zip(_LETTERS, panels, strict=False) if sentence in p.key]
        everywhere = len(where) == sum(bool(panel.key) for panel in panels)
        told.setdefault("" if everywhere else f"({', '.join(where)}) ", []).append(sentence)
    return " ".join(where + " ".join(sentences) for where, sentences in told.items()).strip()
