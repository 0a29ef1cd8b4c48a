"""Curves by generation or over any setting, and measured points, each with its theory."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from madlib.book.claims import Estimate
from madlib.book.figures.marks import SYMBOLS, Label, axis_labels, label_ends, theory_line
from madlib.book.figures.panels import THEORY, Panel
from madlib.book.figures.style import COLORS, INK, colors_for
from madlib.errors import as_reals, require
from madlib.trajectory import Trajectory

_MANY = 40  # replicates: from here on a band of quantiles, below a line for each.
# Names of metrics on axes; others are written as they are, with spaces.
_QUANTITIES = {
    "wasserstein2_squared": "$W_2^2$ to the real distribution",
    "mean_error_squared": r"$|\mu_t - \mu_0|^2$",
    "frechet_distance": "Fréchet distance",
    "kullback_leibler": r"KL$(P_r \,\|\, \mathcal{G}^t)$, nats",
}


class Band(NamedTuple):
    """A curve and its limits, [n_x] each: quantiles of reduced replicates, for instance."""

    low: Any
    center: Any
    high: Any


def trajectories(runs: Any, metric: str | None = None, *, x: Any = None, **options: Any) -> Panel:
    """Draw runs by generation: `curves` whose x is, by default, the generation of the runs.

    Args:
        runs, metric, **options: as in `curves`.
        x: [n_x], the generations where the runs do not know them and they are not 1, 2, ...

    Returns:
        The panel, for `figure`.

    Example:
        >>> from madlib.book import figures
        >>> runs = {"a run": np.ones((50, 3))}
        >>> panel = figures.trajectories(runs, theory=[1, 1, 1], ylabel="variance")
        >>> panel.table.columns.tolist()
        ['quantity', 'series', 'generation', 'mean', 'median', 'q05', 'q95', 'theory']
        >>> " ".join(panel.key)
        'Lines: median of 50 replicates. Bands: their 5 to 95 %. Wide pale lines: theory.'
    """
    options = {"xlabel": "generation $t$"} | options
    return curves({"generation": x}, runs, metric, **options)


def points(x: Any, values: Any, **options: Any) -> Panel:
    """Draw measured points over a setting, with bars of two standard errors: `curves` of marks.

    Args:
        x, **options: as in `curves`.
        values: one set of points or `{label: set}`; a set is an `Estimate`, or [n_x] without error.

    Returns:
        The panel, for `figure`.

    Example:
        >>> from madlib.book import claims, figures
        >>> measured = claims.Estimate([1.0, 0.5], [0.1, 0.1])
        >>> figures.points({"n": [1, 2]}, measured, theory=[1, 0.5], log="xy").table
           n  mean   se  theory
        0  1   1.0  0.1     1.0
        1  2   0.5  0.1     0.5
    """
    return curves(x, values, **{"marks": "osD^vP", "xmargin": 0.04} | options)


def curves(
    x: Any,
    runs: Any,
    metric: str | None = None,
    *,
    by: dict[str, Any] | None = None,
    center: str | tuple[str, ...] = (),
    band: bool = True,
    histories: int = 0,
    theory: Any = None,
    levels: Any = (),
    colors: Any = None,
    dashed: Collection[str] = (),
    marks: Any = "",
    legend: bool | str = True,
    **axes: Any,
) -> Panel:
    r"""Draw curves over a setting: replicates and their center, and theory wide and pale beneath.

    From 40 replicates on these are a median and a band from 5 to 95 %; fewer are a mean, and a
    thin line each.

    Args:
        x: [n_x], or `{name: [n_x]}` to name its column in the table and, where the name is a
            symbol or a ratio such as `n_s_over_n_r`, its axis.
        runs: one curve, or `{label: curve}`: a `Trajectory`; values [n_replicates, n_x], or [n_x];
            an `Estimate`, whose band is two standard errors; a `Band`; or `(x, curve)` where a
            curve has an x of its own.
        metric: its name in each Trajectory, from which `ylabel` follows by default.
        by: `{name: values}`, for instance `{"lam": lam}`, the settings along the leading axis of
            `runs`, which is a curve for each, in a color that goes with the value.
        center: `"median"` or `"mean"`, or both (the second dashed); by default the median where
            there is a band, else the mean.
        band: False draws the center alone.
        histories: number of replicates drawn as thin lines, too.
        theory: [n_x], or [n_curves, n_x] in the order of the curves (of one curve there may be
            several lines); `(x, theory)` on an x of its own; or `{label: either}`, where labels of
            no curve are written beside the line.
        levels: heights of dotted horizontal lines, or `{label: height}`.
        colors: a regime or color for all curves, or `{label: regime or color}`.
        dashed: labels of curves that are drawn dashed.
        marks: markers of the curves, for points in place of lines: `"os"`, or `["o-"]` for points
            that are joined.
        legend: False for none, or its corner, such as `"upper left"`, where the ends of the curves
            are no place for labels.
        **axes: `title`, `ylabel`, `ylim` and whatever `Axes.set` takes; `log="xy"`.

    Returns:
        The panel, for `figure`.

    Raises:
        ParameterError: for values that are not finite, or of a shape that is not as described.

    Example:
        >>> from madlib.book import figures
        >>> scores = {"precision": [1.0, 0.9], "recall": [0.8, 0.4]}
        >>> figures.curves({"share": [0.5, 1]}, scores, theory={"floor": [0.9, 0.9]}).legend[0]
        (('precision', '#1d1dc2'), ('recall', '#bf891d'))
    """
    if metric is not None:
        axes = {"ylabel": _QUANTITIES.get(metric, metric.replace("_", " "))} | axes
    name, x = next(iter(x.items())) if isinstance(x, dict) else ("x", x)
    axes = axis_labels(x=name) | axes
    settings = {"center": center, "band": band, "histories": histories, "marks": marks}
    drawn = [_curve(*item, x, metric, **settings) for item in _items(runs, by)]
    labels = [curve.label for curve in drawn]
    hues = colors_for(colors, labels, by)
    laws, gray = _laws(theory, drawn), COLORS["real"]
    flat = list(levels.items() if isinstance(levels, dict) else [("", level) for level in levels])

    def draw(ax: Axes) -> Any:
        ends = [Label(label, at, law, INK) for label, at, law in laws if label not in labels]
        for _, at, law in laws:
            theory_line(ax, at, law)
        for i, (curve, color) in enumerate(zip(drawn, hues, strict=True)):
            marker = marks[i % len(marks)] if marks else ""
            ends += curve.draw(ax, color, marker, curve.label in dashed)
        for _, level in flat:
            ax.axhline(level, color=gray, linewidth=0.9, linestyle=(0, (1, 1.4)))
        if name == "generation" and "x" not in axes.get("log", ""):
            ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True, min_n_ticks=3))

        def write() -> None:
            right = max(ax.get_xlim())
            edge = [Label(label, right, level, gray) for label, level in flat]
            if isinstance(legend, str):
                ax.legend(loc=legend)  # pyright: ignore[reportArgumentType]
            elif legend:
                label_ends(ax, [end for end in [*ends, *edge] if end.text])

        return write

    numbers: dict[str, set[int]] = {}  # of replicates; curves of one panel may differ in it.
    for curve in drawn:
        for sentence in curve.key:
            numbers.setdefault(sentence, set()).add(curve.n)
    keys = [
        sentence.format(n=" or ".join(f"{n:,}" for n in sorted(ns)))
        for sentence, ns in numbers.items()
    ] + [THEORY] * bool(laws)
    table = _table(name, drawn, laws, flat)
    if quantity := metric or axes.get("ylabel"):
        table.insert(0, "quantity", quantity)
    heights = tuple(level for level in flat if level[0])
    told = (tuple(zip(labels, hues, strict=True)), heights) if legend is True else id(draw)
    return Panel(draw, table, axes, tuple(keys), told)


class _Curve(NamedTuple):
    """A curve: its label, its columns in the table, what is drawn, and of how many replicates.

    `key` are sentences on it, in which {n} stands for that number.
    """

    label: str
    columns: dict[str, Any]
    x: np.ndarray
    numbers: dict[str, np.ndarray]
    centers: tuple[str, ...]
    limits: tuple[np.ndarray, np.ndarray] | None = None
    thin: Any = ()
    key: tuple[str, ...] = ()
    n: int = 0

    def draw(self, ax: Axes, color: str, marker: str, is_dashed: bool) -> list[Label]:
        """Draw it; returns its label, or without one those of its centers where there are two."""
        look: dict[str, Any] = {"color": color, "label": self.label}
        lines = [self.numbers[name] for name in self.centers]
        if marker:
            look |= {"fmt": marker, "elinewidth": 0.9, "clip_on": False}
            bars = 2 * self.numbers["se"] if "se" in self.numbers else None
            _, _, bars = ax.errorbar(self.x, lines[0], bars, **look)
            for bar in bars:  # on a logarithmic axis one below 0 has no end.
                bar.set_clip_on(True)
        else:
            if self.limits is not None:
                ax.fill_between(self.x, *self.limits, color=color, alpha=0.2, linewidth=0)
            for one in self.thin:
                ax.plot(self.x, one, color=color, linewidth=0.4, alpha=0.6)
            for line, style in zip(lines, ("--", ":") if is_dashed else ("-", "--"), strict=False):
                ax.plot(self.x, line, **look, linestyle=style)
                look["label"] = ""
        names = self.centers if len(lines) > 1 and not self.label else (self.label,)
        ends = zip(names, lines, strict=False)
        return [Label(name, self.x, line, color) for name, line in ends if name]


def _items(runs: Any, by: dict[str, Any] | None) -> list[tuple[str, dict[str, Any], Any]]:
    """(label, columns of the table, values) of each curve."""
    if by is not None:
        ((name, steps),) = by.items()
        symbol = SYMBOLS.get(name, name)
        return [
            (f"${symbol} = {_number(step)}$", {name: step}, _leading(runs, i))
            for i, step in enumerate(steps)
        ]
    if isinstance(runs, dict):
        return [(str(label), {"series": label}, run) for label, run in runs.items()]
    return [("", {}, runs)]


def _leading(run: Any, i: int) -> Any:
    if isinstance(run, Trajectory):
        return run._replace(record={name: values[i] for name, values in run.record.items()})
    return Band(*(part[i] for part in run)) if isinstance(run, Band) else run[i]


def _number(value: float) -> str:
    """1e12 as a power of ten, 10000 as 10,000."""
    if value >= 1e6 and np.log10(value) % 1 == 0:
        return f"10^{{{np.log10(value):.0f}}}"
    if value >= 1e4:
        return f"{value:,.6g}".replace(",", "{,}")
    return f"{value:.3g}" if value < 1 else f"{value:g}"


def _curve(
    label: str, columns: dict[str, Any], values: Any, x: Any, metric: str | None, **settings: Any
) -> _Curve:
    if type(values) is tuple:
        x, values = values
    if isinstance(values, Trajectory):
        require(metric in values.record, f"metric is one of {', '.join(values.record)}", metric)
        x, values = values.generation if x is None else x, values.record[str(metric)]
    rest: Any
    if settings["marks"] and np.ndim(values) == 2:
        values = Estimate.of(values, axis=0)
    if isinstance(values, Estimate):
        numbers = {"mean": values.mean, "se": values.se}
        limits = values.mean - 2 * values.se, values.mean + 2 * values.se
        what, about = ("Points", "Bars") if settings["marks"] else ("Lines", "Bands")
        key = [f"{what}: mean of {{n}} replicates."] if values.n else []
        key.append(f"{about}: two standard errors.")
        rest = numbers, ("mean",), limits, (), tuple(key), values.n or 0
    elif isinstance(values, Band):
        low, middle, high = (as_reals(part, "a band") for part in values)
        rest = {"low": low, "value": middle, "high": high}, ("value",), (low, high)
    else:
        values = as_reals(values, f"the values of {label or metric or 'a curve'}")
        shape = "a curve is [n_x] or [n_replicates, n_x]"
        require(values.ndim in (1, 2), shape, values.shape, "Name the settings with by={...}.")
        one = {"value": values}, ("value",)
        rest = one if values.ndim == 1 else _replicates(values, **settings)
    n = len(next(iter(rest[0].values())))
    as_reals(x := np.arange(1, n + 1) if x is None else np.asarray(x), "x")
    require(len(x) == n, f"x must have the {n} points of the curve", len(x), "Pass the same rows.")
    return _Curve(label, columns, x, *rest)


def _replicates(values: np.ndarray, center: Any, band: bool, histories: int, marks: Any) -> Any:
    n, many = len(values), len(values) >= _MANY
    center = center or ("median" if many and band else "mean")
    centers = (center,) if isinstance(center, str) else center
    fine = {"mean", "median"}.issuperset(centers)
    require(fine, "center must be 'mean', 'median' or both", center, "Choose one.")
    q05, median, q95 = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
    numbers = {"mean": values.mean(0), "median": median}
    numbers |= {"q05": q05, "q95": q95} if many else {}
    key, limits = [f"Lines: {' and '.join(centers)} of {{n}} replicates."], None
    if many and band:
        limits = q05, q95
        key.append("Bands: their 5 to 95 %.")
    thin = values[: n if band and not many else histories]
    numbers |= {f"replicate_{i + 1}": one for i, one in enumerate(thin)}
    if len(thin):
        key.append(f"Thin lines: {'each replicate' if len(thin) == n else f'{len(thin)} of them'}.")
    return numbers, centers, limits, thin, tuple(key), n


def _laws(theory: Any, drawn: list[_Curve]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(label, x, y) of each line of theory."""
    if theory is None:
        return []
    if not isinstance(theory, dict):
        x, y = theory if type(theory) is tuple else (None, theory)
        y = np.atleast_2d(as_reals(y, "theory"))
        lines = [y] if len(drawn) == 1 else list(y)
        each = f"theory must have a line for each of the {len(drawn)} curves"
        require(len(lines) == len(drawn), each, len(lines), "Pass {label: theory} instead.")
        pairs = zip(drawn, lines, strict=True)
        theory = {curve.label: line if x is None else (x, line) for curve, line in pairs}
    own_x = {curve.label: curve.x for curve in drawn}
    laws = []
    for label, law in theory.items():
        x, y = law if type(law) is tuple else (own_x.get(label, drawn[0].x), law)
        x, y = as_reals(x, "the x of theory"), np.atleast_2d(as_reals(y, "theory"))
        laws += [(label, x, line) for line in np.broadcast_to(y, (len(y), len(x)))]
    return laws


def _table(name: str, drawn: list[_Curve], laws: Any, flat: Any) -> pd.DataFrame:
    """A row per point; theory beside the curve of its label, or in rows of its own."""
    frames = {c.label: pd.DataFrame({**c.columns, name: c.x, **c.numbers}) for c in drawn}
    columns = {curve.label: curve.columns for curve in drawn}
    extra = [{"series": [label or "level"], "level": level} for label, level in flat]
    for label, x, y in laws:
        if label in frames and np.array_equal(frames[label][name], x):
            n_before = sum(column.startswith("theory") for column in frames[label])
            frames[label][f"theory_{n_before + 1}" if n_before else "theory"] = y
        else:
            extra.append({**columns.get(label, {"series": label}), name: x, "theory": y})
    return pd.concat([*frames.values(), *map(pd.DataFrame, extra)], ignore_index=True)
