"""Curves by generation or by any setting, and measured points, each with its theory."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from madlib.book.claims import Estimate
from madlib.book.figures.marks import Label, label_ends, theory_line
from madlib.book.figures.panels import Panel
from madlib.book.figures.style import COLORS, INK, SERIES, color_of, ramp
from madlib.errors import as_reals, require
from madlib.trajectory import Trajectory

_MANY = 40  # replicates: from here on a band of quantiles, below a line for each.
_SYMBOLS = {"lam": r"\lambda", "generation": "t", "n_ini": "n_{ini}", "n_s": "n_s", "n_r": "n_r"}
_MARKERS = "osD^v"


class Band(NamedTuple):
    """A curve with its limits, all [n_x].

    Attributes:
        low, center, high: for instance three quantiles of replicates that were reduced.
    """

    low: Any
    center: Any
    high: Any


class _Series(NamedTuple):
    """One curve or row of points: its label, place in the table, and what is drawn."""

    label: str
    columns: dict[str, Any]
    x: np.ndarray
    lines: dict[str, np.ndarray]
    band: tuple[np.ndarray, np.ndarray] | None
    thin: Any
    numbers: dict[str, np.ndarray]
    key: tuple[str, ...]
    color: str


def trajectories(
    runs: Any,
    metric: str | None = None,
    *,
    x: Any = None,
    by: Mapping[str, Any] | None = None,
    center: str | tuple[str, ...] | None = None,
    band: bool = True,
    histories: int = 0,
    theory: Any = None,
    levels: Mapping[str, float] | None = None,
    colors: Any = None,
    dashed: Collection[str] = (),
    **axes: Any,
) -> Panel:
    r"""Draw runs by generation: replicates, their center, and theory wide and pale beneath.

    From 40 replicates on these are a median and a band from 5 to 95 %; fewer are a mean and one
    thin line each.

    Args:
        runs: one run, or `{label: run}`. A run is a `Trajectory`; values [n_replicates, n_x], or
            [n_x]; an `Estimate` (its band is two standard errors); or a `Band`.
        metric: name of the metric in each Trajectory.
        x: [n_x], in place of the generations; by default those of the Trajectory, or 1, 2, ...
        by: `{name: values}`, such as `{"lam": lam}`: the settings along the leading axis of a run,
            which becomes a curve for each, in a color that goes with the value.
        center: `"median"` or `"mean"`, or both (the second dashed); by default the median where
            there is a band, else the mean.
        band: False draws the center alone.
        histories: number of single replicates drawn too, as thin lines.
        theory: [n_x], or [n_curves, n_x] in the order of the curves; `(x, theory)` on an x of its
            own; or `{label: either}`, where labels of no curve are written beside the line.
        levels: `{label: height}` of horizontal lines for comparison, such as real data.
        colors: a regime or color for all curves, or `{label: regime or color}`.
        dashed: labels of curves that are drawn dashed.
        **axes: `title`, `ylabel`, `ylim` and whatever `Axes.set` takes; `log="xy"`.

    Returns:
        The panel, for `figure`.

    Example:
        >>> import numpy as np
        >>> panel = trajectories({"a": np.ones((50, 3))}, theory=[1, 1, 1], ylabel="variance")
        >>> panel.table.columns.tolist()
        ['series', 'generation', 'mean', 'q05', 'median', 'q95', 'theory']
        >>> " ".join(panel.key)
        'Lines: median of 50 replicates. Bands: their 5 to 95 %. Wide pale lines: theory.'
    """
    options = {"center": center, "band": band, "histories": histories, "dashed": dashed}
    given = {"theory": theory, "levels": levels, "colors": colors, "metric": metric}
    return _chart(
        "generation", x, runs, by, {"xlabel": "generation $t$"} | axes, **given, **options
    )


def curves(x: Any, runs: Any, **options: Any) -> Panel:
    """Draw curves over any setting, as `trajectories` does over the generation.

    Args:
        x: [n_x], or `{name: [n_x]}` for the name of its column in the table.
        runs: as in `trajectories`; also `(x, values)` where a curve has an x of its own.
        **options: those of `trajectories`.

    Returns:
        The panel, for `figure`.
    """
    return trajectories(runs, x=x, **{"xlabel": "", **options})


def points(
    x: Any,
    values: Any,
    *,
    by: Mapping[str, Any] | None = None,
    theory: Any = None,
    levels: Mapping[str, float] | None = None,
    colors: Any = None,
    **axes: Any,
) -> Panel:
    """Draw measured points over a setting, with bars of two standard errors, and theory beneath.

    Args:
        x: [n_x], or `{name: [n_x]}` for the name of its column in the table.
        values: one set of points or `{label: set}`: an `Estimate`, or values [n_x] without error;
            `(x, set)` where a set has an x of its own.
        by, theory, levels, colors, **axes: as in `trajectories`.

    Returns:
        The panel, for `figure`.

    Example:
        >>> points({"n": [1, 2]}, [1.0, 0.5], theory=([1, 1.5, 2], [1, 0.67, 0.5])).table["n"][0]
        np.int64(1)
    """
    given = {"theory": theory, "levels": levels, "colors": colors, "marks": True}
    return _chart("x", x, values, by, {"xmargin": 0.04} | axes, **given)


def _chart(
    name: str,
    x: Any,
    runs: Any,
    by: Mapping[str, Any] | None,
    axes: dict[str, Any],
    *,
    theory: Any,
    levels: Mapping[str, float] | None,
    colors: Any,
    metric: str | None = None,
    marks: bool = False,
    dashed: Collection[str] = (),
    **options: Any,
) -> Panel:
    if isinstance(x, Mapping):
        ((name, x),) = x.items()
    items = _items(runs, by)
    hues = _hues(colors, [label for label, *_ in items], by)
    series = [
        _series(label, columns, x, values, metric, hue, marks, **options)
        for (label, columns, values), hue in zip(items, hues, strict=True)
    ]
    laws = _laws(theory, series)
    levels = levels or {}

    labels = [s.label for s in series]
    gray = COLORS["real"]

    def draw(ax: Axes) -> Any:
        ends = [Label(label, at, law, INK) for label, at, law in laws if label not in labels]
        for _, at, law in laws:
            theory_line(ax, at, law)
        for s, marker in zip(series, _MARKERS * len(series), strict=False):
            drawn = _draw_points(ax, s, marker) if marks else _draw_curve(ax, s, s.label in dashed)
            ends += [end for end in drawn if end.text]
        for level in levels.values():
            ax.axhline(level, color=gray, linewidth=0.9, linestyle=(0, (1, 1.4)))
        if name == "generation" and "x" not in axes.get("log", ""):
            ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True, min_n_ticks=3))
        return lambda: label_ends(
            ax, [*ends, *(Label(k, ax.get_xlim()[1], v, gray) for k, v in levels.items())]
        )

    keys = [s.key for s in series] + [("Wide pale lines: theory.",)] * bool(laws)
    return Panel(
        draw,
        _table(name, series, laws, axes.get("ylabel") if metric is None else metric),
        axes,
        tuple(dict.fromkeys(sentence for key in keys for sentence in key)),
        (tuple((s.label, s.color) for s in series), tuple(levels)),
    )


def _draw_curve(ax: Axes, s: _Series, is_dashed: bool) -> list[Label]:
    """Band, thin lines and centers of a curve, and its label; without one, those of its centers."""
    if s.band is not None:
        ax.fill_between(s.x, *s.band, color=s.color, alpha=0.2, linewidth=0)
    for one in s.thin:
        ax.plot(s.x, one, color=s.color, linewidth=0.4, alpha=0.6)
    for line, style in zip(s.lines.values(), ("--", ":") if is_dashed else ("-", "--")):
        ax.plot(s.x, line, color=s.color, linestyle=style)
    names = s.lines if len(s.lines) > 1 and not s.label else [s.label]
    return [Label(name, s.x, y, s.color) for name, y in zip(names, s.lines.values())]


def _draw_points(ax: Axes, s: _Series, marker: str) -> list[Label]:
    ((_, y),) = s.lines.items()
    se = s.numbers.get("se")
    bars = None if se is None else 2 * se
    ax.errorbar(s.x, y, bars, fmt=marker, color=s.color, elinewidth=0.9, clip_on=False)
    return [Label(s.label, s.x, y, s.color)]


def _items(runs: Any, by: Mapping[str, Any] | None) -> list[tuple[str, dict[str, Any], Any]]:
    """(label, columns of the table, values) of each curve."""
    if by is not None:
        ((name, steps),) = by.items()
        symbol = _SYMBOLS.get(name, name)
        return [
            (f"${symbol} = {_number(step)}$", {name: step}, _leading(runs, i))
            for i, step in enumerate(steps)
        ]
    if isinstance(runs, Mapping):
        return [(str(label), {"series": label}, run) for label, run in runs.items()]
    return [("", {}, runs)]


def _leading(run: Any, i: int) -> Any:
    if isinstance(run, Trajectory):
        return run._replace(record={name: values[i] for name, values in run.record.items()})
    return type(run)(*(part[i] for part in run)) if isinstance(run, Band) else run[i]


def _number(value: float) -> str:
    """1e12 as a power of ten, 10000 as 10,000."""
    if value >= 1e6 and np.log10(value) % 1 == 0:
        return f"10^{{{np.log10(value):.0f}}}"
    return f"{value:,.6g}".replace(",", "{,}") if value >= 1e4 else f"{value:g}"


def _hues(colors: Any, labels: list[str], by: Mapping[str, Any] | None) -> list[str]:
    if isinstance(colors, Mapping):
        return [color_of(colors[label]) for label in labels]
    if colors is not None:
        return [color_of(colors)] * len(labels)
    if by is not None:
        return ramp(*next(iter(by.items())))
    return [SERIES[i % len(SERIES)] for i in range(len(labels))]


def _series(
    label: str,
    columns: dict[str, Any],
    x: Any,
    values: Any,
    metric: str | None,
    color: str,
    marks: bool,
    center: str | tuple[str, ...] | None = None,
    band: bool = True,
    histories: int = 0,
) -> _Series:
    if isinstance(values, Trajectory):
        x = values.generation if x is None else x
        values = values.record[metric]
    elif type(values) is tuple:
        x, values = values
    key, limits, thin = (), None, ()
    if isinstance(values, Estimate):
        mean, se = np.asarray(values.mean), np.asarray(values.se)
        numbers, limits = {"mean": mean, "se": se}, (mean - 2 * se, mean + 2 * se)
        lines = {"mean": mean}
        key = (f"{'Bars' if marks else 'Bands'}: two standard errors.",)
    elif isinstance(values, Band):
        low, middle, high = (as_reals(part, "a band") for part in values)
        numbers, limits, lines = (
            {"low": low, "value": middle, "high": high},
            (low, high),
            {"": middle},
        )
    else:
        values = as_reals(values, f"the values of {label or metric or 'a curve'}")
        require(
            values.ndim in (1, 2),
            "a curve must be values [n_x] or [n_replicates, n_x]",
            values.shape,
            "Name the settings of a grid with by={...}.",
        )
        if values.ndim == 1:
            numbers, lines = {"value": values}, {"": values}
        else:
            numbers, lines, limits, thin, key = _replicates(values, center, band, histories)
    n = len(next(iter(lines.values())))
    x = np.arange(1, n + 1) if x is None else as_reals(x, "x")
    require(len(x) == n, f"x must have the {n} points of the curve", len(x), "Pass the same rows.")
    return _Series(label, columns, np.asarray(x), lines, limits, thin, numbers, key, color)


def _replicates(values: np.ndarray, center: Any, band: bool, histories: int) -> Any:
    n = len(values)
    many = n >= _MANY
    centers = center or ("median" if many and band else "mean")
    centers = (centers,) if isinstance(centers, str) else centers
    numbers = {"mean": values.mean(0)}
    if many:
        q05, median, q95 = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
        numbers |= {"q05": q05, "median": median, "q95": q95}
    elif "median" in centers:
        numbers["median"] = np.median(values, axis=0)
    limits = (numbers["q05"], numbers["q95"]) if many and band else None
    thin = values[: n if band and not many else histories]
    if len(thin):
        numbers |= {f"replicate_{i + 1}": one for i, one in enumerate(thin)}
    key = [f"Lines: {' and '.join(centers)} of {n:,} replicates."]
    if limits:
        key.append("Bands: their 5 to 95 %.")
    if len(thin):
        key.append("Thin lines: each of them." if len(thin) == n else f"Thin: {len(thin)} of them.")
    return numbers, {name: numbers[name] for name in centers}, limits, thin, tuple(key)


def _laws(theory: Any, series: list[_Series]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(label, x, y) of each line of theory."""
    if theory is None:
        return []
    by_label = {s.label: s.x for s in series}
    if not isinstance(theory, Mapping):
        x, y = theory if type(theory) is tuple else (None, theory)
        y = np.atleast_2d(as_reals(y, "theory"))
        require(
            len(y) == len(series),
            f"theory must have a line for each of the {len(series)} curves",
            len(y),
            "Pass {label: theory} for more or fewer.",
        )
        theory = {s.label: line if x is None else (x, line) for s, line in zip(series, y)}
    laws = []
    for label, law in theory.items():
        x = by_label.get(label, series[0].x)
        x, y = (as_reals(v, "theory") for v in (law if type(law) is tuple else (x, law)))
        laws.append((label, x, np.broadcast_to(y, x.shape)))
    return laws


def _table(name: str, series: list[_Series], laws: Any, quantity: str | None) -> pd.DataFrame:
    """A row per point; theory beside the curve of its label, or in rows of its own."""
    drawn, frames = {s.label: s for s in series}, []
    beside = {k: y for k, x, y in laws if k in drawn and np.array_equal(x, drawn[k].x)}
    for s in series:
        theory = {"theory": beside[s.label]} if s.label in beside else {}
        frames.append(pd.DataFrame({**s.columns, name: s.x, **s.numbers, **theory}))
    for label, x, y in laws:
        if label not in beside:
            columns = drawn[label].columns if label in drawn else {"series": label}
            frames.append(pd.DataFrame({**columns, name: x, "theory": y}))
    table = pd.concat(frames, ignore_index=True)
    if quantity is not None:
        table.insert(0, "quantity", quantity)
    return table
