"""`Panel`: one drawing with its numbers; `figure` puts panels together and saves them."""

import dataclasses
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from madlib.book.figures.marks import log_axis
from madlib.book.figures.page import lay_out
from madlib.book.figures.save import SavedFigure, save
from madlib.book.figures.style import BookFigure, in_style, subplots
from madlib.errors import require

_LETTERS = string.ascii_lowercase
_HEIGHTS = {1: 60.0, 2: 64.0, 3: 54.0}  # mm, by panels in a row; 46 for more.


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
    axes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    key: tuple[str, ...] = ()
    legend: Any = None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return _compose((self,), 1, "column", None, None)._repr_mimebundle_()


def figure(
    *panels: Panel,
    label: str,
    caption: str,
    parameters: dict[str, Any],
    reproduces: str | None = None,
    n_columns: int | None = None,
    width: Literal["column", "page"] | None = None,
    height: float | None = None,
    width_ratios: Sequence[float] | None = None,
) -> SavedFigure:
    """Draw panels side by side, and save the figure with its table.

    Panels are lettered where there is more than one; those with the same `ylabel` share the axis,
    and so do those of one column with the same `xlabel`. The caption is completed by sentences on
    lines, bands and numbers of replicates.

    Args:
        *panels: from `trajectories` and the other functions of this package.
        label: `fig-` and words in lower case.
        caption: stands alone; `{n_s}` is replaced by the parameter.
        parameters: returned by `check_parameters`.
        reproduces: bib key and place, for instance `"alemohammad2023, Figure 11"`.
        n_columns: panels in a row; by default all.
        width: `"column"` (88 mm) or `"page"` (180 mm), by default that for more than one panel.
        height: in mm.
        width_ratios: of the columns.

    Returns:
        The figure on disk, which shows itself; its `table` is that of all panels.

    Raises:
        ParameterError: without panels, or for a label, caption or source that is not as described.
    """
    require(panels, "a figure needs at least one panel", "none", "Pass figures.trajectories(...).")
    width = width or ("column" if len(panels) == 1 else "page")
    fig = _compose(panels, n_columns or len(panels), width, height, width_ratios)
    tables = [panel.table for panel in panels]
    if len(panels) > 1:
        tables = [t.assign(panel=letter) for t, letter in zip(tables, _LETTERS, strict=False)]
    key = _key(panels)
    data = pd.concat(tables, ignore_index=True)
    if len(panels) > 1:
        data = data[["panel", *(name for name in data if name != "panel")]]
    given = {"caption": caption, "data": data, "parameters": parameters, "reproduces": reproduces}
    return save(fig, label, **given, key=key)


@in_style
def _compose(
    panels: Sequence[Panel],
    n_columns: int,
    width: Literal["column", "page"],
    height: float | None,
    width_ratios: Sequence[float] | None,
) -> BookFigure:
    n_rows = -(-len(panels) // n_columns)
    height = height or n_rows * _HEIGHTS.get(n_columns, 46.0)
    fig, grid = subplots(n_columns, n_rows, width, height, squeeze=False, width_ratios=width_ratios)
    places = [divmod(i, n_columns) for i in range(n_rows * n_columns)]
    legends = []
    for letter, panel, place in zip(_LETTERS, panels, places, strict=False):
        ax = grid[place]
        legends.append(panel.draw(ax))
        settings = dict(panel.axes)
        log_axis(ax, settings.pop("log", ""))
        ax.set(**settings)
        if len(panels) > 1:
            title = f"$\\mathbf{{{letter}}}$  {ax.get_title('left')}"
            ax.set_title(title.rstrip(), loc="left")
    for place in places[len(panels) :]:
        grid[place].remove()
    _share({place: grid[place] for place in places[: len(panels)]})
    lay_out(fig)
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
        if not label or len(places) < 2 or (limits[:, 0] > limits[:, 1]).any():
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
    """What the lines and bands of a figure are: once for all panels, or panel by panel."""
    told: dict[str, list[str]] = {}
    for sentence in dict.fromkeys(sentence for panel in panels for sentence in panel.key):
        where = [letter for letter, panel in zip(_LETTERS, panels) if sentence in panel.key]
        everywhere = len(where) == sum(bool(panel.key) for panel in panels)
        told.setdefault("" if everywhere else f"({', '.join(where)}) ", []).append(sentence)
    return " ".join(where + " ".join(sentences) for where, sentences in told.items())
