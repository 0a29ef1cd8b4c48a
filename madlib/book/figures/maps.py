"""Pictures of sets and of grids: points in the plane, images, maps over two settings, paths."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from madlib.book.figures.curves import _hues, _items
from madlib.book.figures.marks import Label, label_ends, theory_line
from madlib.book.figures.page import INK_IMAGE
from madlib.book.figures.panels import Panel
from madlib.book.figures.style import INK, MAP_INK
from madlib.errors import as_reals, require


def clouds(
    sets: Mapping[str, Any],
    *,
    fits: Mapping[str, Any] | None = None,
    theory: Any = (),
    by: Mapping[str, Any] | None = None,
    colors: Any = None,
    size: float = 2.2,
    **axes: Any,
) -> Panel:
    """Draw sets of points in the plane, and normal distributions as ellipses.

    Args:
        sets: `{label: points [n, 2]}`.
        fits: `{label: params}`, `mean` [2] and `chol` [2, 2] of a normal distribution, or of
            several [k, ...]: ellipses at two standard deviations, in the color of the label.
        theory: a sequence of such params, drawn wide and pale.
        by: `{name: values}`, which the labels stand for, in order: colors go with the values.
        colors: a regime or color for all, or `{label: regime or color}`.
        size: of the points.
        **axes: as in `trajectories`.

    Returns:
        The panel, for `figure`; its table has the points, and mean and covariance of the fits.
    """
    fits = fits or {}
    labels = list(dict.fromkeys([*sets, *fits]))
    hues = dict(zip(labels, _hues(colors, labels, by), strict=True))
    theory = list(theory)
    frames = [
        pd.DataFrame(as_reals(points, "points"), columns=["x1", "x2"]).assign(series=label)
        for label, points in sets.items()
    ]
    for label, params in [*fits.items(), *(("theory", params) for params in theory)]:
        for mean, chol in _components(params):
            row = dict(zip(["mean_1", "mean_2"], mean, strict=True))
            row |= dict(zip(["cov_11", "cov_12", "cov_22"], (chol @ chol.T)[[0, 0, 1], [0, 1, 1]]))
            frames.append(pd.DataFrame([{"series": label} | row]))

    def draw(ax: Axes) -> Any:
        for params in theory:
            for component in _components(params):
                theory_line(ax, *_ellipse(*component))
        for label, points in sets.items():
            x, y = np.asarray(points, float).T
            ax.plot(x, y, "o", color=hues[label], markersize=size, markeredgewidth=0, alpha=0.7)
        for label, params in fits.items():
            for component in _components(params):
                ax.plot(*_ellipse(*component), color=hues[label])
        handles = [ax.plot([], [], "o", color=hues[label], label=label)[0] for label in labels]
        several = len(labels) > 1
        return lambda: (
            several
            and ax.legend(
                handles=handles, loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.2
            )
        )

    key = ("Ellipses: two standard deviations.",) * bool(fits or theory)
    key += ("Wide pale: the real distribution.",) * bool(theory)
    settings = {"aspect": "equal", "xlabel": "$x_1$", "ylabel": "$x_2$"} | axes
    return Panel(draw, pd.concat(frames, ignore_index=True), settings, key, tuple(hues.items()))


def _components(params: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    mean, chol = np.asarray(params.mean, float), np.asarray(params.chol, float)
    require(
        mean.shape[-1:] == (2,) and chol.shape == (*mean.shape, 2) and mean.ndim <= 2,
        "an ellipse needs a normal distribution in two dimensions",
        f"mean {mean.shape} and chol {chol.shape}",
        "Pick one replicate and generation.",
    )
    return list(zip(mean.reshape(-1, 2), chol.reshape(-1, 2, 2), strict=True))


def _ellipse(mean: np.ndarray, chol: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 181)
    return mean[:, None] + 2 * chol @ np.stack([np.cos(angle), np.sin(angle)])


def images(rows: Mapping[str, Any], *, vmax: float = 1.0, **axes: Any) -> Panel:
    """Show grayscale images, a row for each label, as ink on paper.

    Args:
        rows: `{label: images}`, [n, h, w] or [n, h * w] of squares, n the same in every row; 0 is
            paper.
        vmax: full ink.
        **axes: as in `trajectories`.

    Returns:
        The panel, for `figure`; its table has a row per image and a column per pixel.
    """
    stacked = {label: as_reals(row, "images") for label, row in rows.items()}
    shapes = {row.shape for row in stacked.values()}
    require(
        len(shapes) == 1 and len(next(iter(shapes))) in (2, 3),
        "rows of images must be [n, h, w] or [n, h * w], with one shape for all rows",
        shapes,
        "Show as many images of one size in every row.",
    )
    sheet = np.stack(list(stacked.values()))
    side = round(sheet.shape[-1] ** 0.5)
    sheet = sheet.reshape(*sheet.shape[:2], *(sheet.shape[2:] if sheet.ndim == 4 else (side, side)))
    n_rows, n, h, w = sheet.shape
    gap = max(1, h // 8)
    padded = np.pad(sheet, [(0, 0), (0, 0), (0, gap), (0, gap)])
    padded = padded.transpose(0, 2, 1, 3).reshape(n_rows * (h + gap), n * (w + gap))[:-gap, :-gap]
    index = pd.MultiIndex.from_product([rows, range(n)], names=["series", "image"])
    table = pd.DataFrame(sheet.reshape(n_rows * n, h * w), index).add_prefix("pixel_")

    def draw(ax: Axes) -> Any:
        gray = {"cmap": "gray_r", "vmin": 0, "vmax": vmax, "gid": INK_IMAGE}
        ax.imshow(np.clip(padded, 0, None), **gray)
        ax.set_axis_off()
        for row, label in enumerate(rows):
            ax.text(-gap - 0.5, row * (h + gap) + (h - 1) / 2, label, ha="right", va="center")
        return lambda: None

    return Panel(draw, table.reset_index(), axes)


def heatmap(
    x: Any,
    y: Any,
    z: Any,
    *,
    label: str,
    span: float | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
    theory: Any = (),
    log: str = "xy",
    names: tuple[str, str, str] = ("x", "y", "z"),
    **axes: Any,
) -> Panel:
    """Show a quantity over a grid of two settings.

    Args:
        x: [n_x], increasing.
        y: [n_y], increasing.
        z: [n_y, n_x]; NaN leaves the cell empty.
        label: the quantity, beside the color bar.
        span: for a ratio, which changes its meaning at 1: colors diverge from there, down to
            1 / span and up to span, and a line is drawn where it is 1.
        limits: of the colors, where there is no span.
        theory: `(x, y)`, or a sequence of them: lines drawn wide and pale.
        log: which axes are logarithmic.
        names: of the columns of the table.
        **axes: as in `trajectories`.

    Returns:
        The panel, for `figure`.
    """
    x, y, z = as_reals(x, "x"), as_reals(y, "y"), np.asarray(z, float)
    require(z.shape == (len(y), len(x)), f"z must be [{len(y)}, {len(x)}]", z.shape, "Transpose.")
    lines = [theory] if type(theory) is tuple and len(theory) else list(theory)
    norm = Normalize(*limits) if span is None else LogNorm(1 / span, span)
    edges = [_edges(values, letter in log) for values, letter in ((x, "x"), (y, "y"))]

    def draw(ax: Axes) -> Any:
        cmap = "viridis" if span is None else "PuOr_r"
        mesh = ax.pcolormesh(*edges, z, norm=norm, cmap=cmap, rasterized=True)
        for line in lines:
            theory_line(ax, *line, on_map=True)
        if span is not None and np.nanmin(z) < 1 < np.nanmax(z):
            ax.contour(x, y, z, levels=[1], colors=MAP_INK, linewidths=1.2)
        for spine in ax.spines.values():
            spine.set_visible(False)
        return lambda: _color_bar(ax, mesh, z, label, span)

    key = ("Thin line: where the color is that of 1.",) * (span is not None)
    key += ("Wide pale lines: theory.",) * bool(lines)
    columns = dict(zip(names, (*(v.ravel() for v in np.meshgrid(x, y)), z.ravel()), strict=True))
    frames = [pd.DataFrame(columns)]
    frames += [pd.DataFrame({names[0]: a, f"{names[1]}_theory": b}) for a, b in lines]
    settings = {"log": log, "xlim": edges[0][[0, -1]], "ylim": edges[1][[0, -1]]} | axes
    table = pd.concat(frames, ignore_index=True)
    return Panel(draw, table, settings, key, (label, span, limits))


def _color_bar(ax: Axes, mesh: Any, z: np.ndarray, label: str, span: float | None) -> None:
    low, high = np.nanmin(z) < mesh.norm.vmin, np.nanmax(z) > mesh.norm.vmax
    extend = "both" if low and high else "min" if low else "max" if high else "neither"
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.03, aspect=24, extend=extend)
    bar.set_label(label)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.solids.set_rasterized(True)
    if span is not None:
        steps = [s for s in (2, 5, 10, 100) if s <= span]
        bar.set_ticks([1 / s for s in reversed(steps)] + [1.0, *steps], minor=False)
        bar.ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        bar.ax.minorticks_off()
        bar.ax.axhline(1, color=MAP_INK, linewidth=1.2)


def _edges(centers: np.ndarray, log: bool) -> np.ndarray:
    """Borders of cells around their centers, [n + 1]."""
    require(
        len(centers) > 1 and (np.diff(centers) > 0).all() and (not log or centers[0] > 0),
        "the axes of a map must increase, have two values or more, and be positive where log",
        centers[:4],
        "Sort them, or choose log=''.",
    )
    values = np.log(centers) if log else centers
    inner = (values[1:] + values[:-1]) / 2
    edges = np.concatenate([[2 * values[0] - inner[0]], inner, [2 * values[-1] - inner[-1]]])
    return np.exp(edges) if log else edges


def paths(runs: Mapping[str, tuple[Any, Any]], generation: Any, **options: Any) -> Panel:
    """Draw one quantity against another, with a point for each generation.

    Args:
        runs: `{label: (x, y)}`, each [n_generations].
        generation: [n_generations], written at the first and last points.
        **options: `by` and `colors`, as in `trajectories`, and settings of axes.

    Returns:
        The panel, for `figure`.
    """
    colors, by = options.pop("colors", None), options.pop("by", None)
    hues = _hues(colors, list(runs), by)
    t = np.asarray(generation)
    frames = [
        pd.DataFrame({"series": label, "generation": t, "x": x, "y": y})
        for label, (x, y) in runs.items()
    ]

    def draw(ax: Axes) -> Any:
        for hue, (x, y) in zip(hues, runs.values(), strict=True):
            ax.plot(x, y, "o-", color=hue, linewidth=0.9, markersize=2.4)
            for i in (0, -1):
                ax.annotate(
                    f"$t = {t[i]}$" if i == 0 else f"{t[i]}",
                    (x[i], y[i]),
                    (0, 4),
                    textcoords="offset points",
                    ha="center",
                )
        ends = [Label(k, x, y, hue) for (k, (x, y)), hue in zip(runs.items(), hues, strict=True)]
        return lambda: label_ends(ax, ends)

    axes = {"xmargin": 0.06} | options
    return Panel(draw, pd.concat(frames, ignore_index=True), axes, (), tuple(runs))
