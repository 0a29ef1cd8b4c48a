"""Sets of points in the plane, images, and maps over two settings."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from scipy import ndimage

from madlib.book.claims import N_STANDARD_ERRORS, Estimate
from madlib.book.figures.marks import axis_labels, theory_line
from madlib.book.figures.page import INK_IMAGE
from madlib.book.figures.panels import THEORY, Panel
from madlib.book.figures.style import MAP_INK, MAP_PAPER, colors_for
from madlib.errors import as_reals, require


def clouds(
    sets: dict[str, Any],
    *,
    fits: dict[str, Any] | None = None,
    theory: Any = (),
    by: dict[str, Any] | None = None,
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
        by: `{name: values}` for which the labels stand, in order: colors go with the values.
        colors: a regime or color for all, or `{label: regime or color}`.
        size: of the points.
        **axes: as in `curves`.

    Returns:
        The panel, for `figure`; its table has the points, and mean and covariance of the ellipses.

    Example:
        >>> from madlib.book import figures
        >>> figures.clouds({"real": np.zeros((3, 2))}).table.columns.tolist()
        ['series', 'x1', 'x2']
    """
    fits = fits or {}
    labels = list(dict.fromkeys([*sets, *fits]))
    hues = dict(zip(labels, colors_for(colors, labels, by), strict=True))
    points = {label: as_reals(values, "points") for label, values in sets.items()}
    components = {label: _components(params) for label, params in fits.items()}
    real = [component for params in theory for component in _components(params)]
    frames = [
        pd.DataFrame({"series": label, "x1": xy[:, 0], "x2": xy[:, 1]})
        for label, xy in points.items()
    ]
    names = ["mean_1", "mean_2", "cov_11", "cov_12", "cov_22"]
    for label, normals in (components | ({"theory": real} if real else {})).items():
        rows = [[*mean, *(chol @ chol.T)[np.triu_indices(2)]] for mean, chol in normals]
        frames.append(pd.DataFrame(rows, columns=names).assign(series=label))

    def draw(ax: Axes) -> Any:
        for normal in real:
            theory_line(ax, *_ellipse(*normal))
        for label, xy in points.items():
            ax.plot(*xy.T, "o", color=hues[label], markersize=size, markeredgewidth=0, alpha=0.7)
        for label, normals in components.items():
            for normal in normals:
                ax.plot(*_ellipse(*normal), color=hues[label])
        handles = [ax.plot([], [], "o", color=hues[label], label=label)[0] for label in labels]
        corner = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
        return lambda: len(labels) > 1 and ax.legend(handles=handles, **corner)

    key = ("Ellipses: two standard deviations.",) * bool(fits or real)
    key += ("Wide pale ellipses: the real distribution.",) * bool(real)
    settings = {"aspect": "equal", "xmargin": 0.05, "xlabel": "$x_1$", "ylabel": "$x_2$"} | axes
    return Panel(draw, pd.concat(frames, ignore_index=True), settings, key, tuple(hues.items()))


def _components(params: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    mean, chol = np.asarray(params.mean, float), np.asarray(params.chol, float)
    fine = mean.shape[-1:] == (2,) and chol.shape == (*mean.shape, 2) and mean.ndim <= 2
    required = "an ellipse needs a normal distribution in two dimensions"
    given = f"mean {mean.shape} and chol {chol.shape}"
    require(fine, required, given, "Pick one replicate and generation.")
    return list(zip(mean.reshape(-1, 2), chol.reshape(-1, 2, 2), strict=True))


def _ellipse(mean: np.ndarray, chol: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 181)
    return mean[:, None] + 2 * chol @ np.stack([np.cos(angle), np.sin(angle)])


def images(rows: dict[str, Any], *, vmax: float = 1.0, **axes: Any) -> Panel:
    """Show square grayscale images, a row for each label, as ink on paper.

    Args:
        rows: `{label: images}`, [n, side, side] or [n, side^2], as many in every row; 0 is paper.
        vmax: full ink.
        **axes: as in `curves`.

    Returns:
        The panel, for `figure`; its table has a row per image and a column per pixel.

    Example:
        >>> from madlib.book import figures
        >>> figures.images({"real": np.zeros((3, 64)), "t = 1": np.ones((3, 64))}).table.shape
        (6, 66)
    """
    n, side = len(next(iter(rows.values()))), round(np.size(next(iter(rows.values()))[0]) ** 0.5)
    for label, row in rows.items():
        required = f"rows must be {n} images of {side} by {side} pixels"
        given = f"{np.shape(row)} for {label!r}"
        require(np.size(row) == n * side**2, required, given, "Show as many in every row.")
    sheet = np.stack([as_reals(row, "images").reshape(n, side, side) for row in rows.values()])
    index = pd.MultiIndex.from_product([rows, range(n)], names=["series", "image"])
    table = pd.DataFrame(sheet.reshape(-1, side**2), index).add_prefix("pixel_").reset_index()
    gap = max(1, side // 8)
    step = side + gap
    sheet = np.pad(sheet, [(0, 0), (0, 0), (0, gap), (0, gap)]).transpose(0, 2, 1, 3)
    sheet = sheet.reshape(len(rows) * step, n * step)[:-gap, :-gap].clip(0)

    def draw(ax: Axes) -> Any:
        ax.imshow(sheet, cmap="gray_r", vmin=0, vmax=vmax, gid=INK_IMAGE)
        ax.set_axis_off()
        for i, label in enumerate(rows):
            ax.text(-gap, i * step + (side - 1) / 2, label, ha="right", va="center")
        return lambda: None

    return Panel(draw, table, axes)


def heatmap(
    x: Any,
    y: Any,
    z: Any,
    *,
    label: str,
    span: float | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
    theory: Any = (),
    **axes: Any,
) -> Panel:
    """Show a quantity over a grid of two settings.

    Args:
        x: [n_x], increasing, or `{name: [n_x]}` as in `curves`.
        y: [n_y], alike.
        z: [n_y, n_x], where NaN leaves the cell empty; or an `Estimate`, of which the line at 1 is
            drawn beside cells that are below it by five standard errors, and nowhere else.
        label: the quantity, beside the color bar.
        span: for a ratio, whose meaning changes at 1: colors diverge from there, down to 1 / span
            and up to span, and a line is drawn where it is 1.
        limits: of the colors, where there is no span.
        theory: lines `(x, y)`: with a span wide and pale, under the line at 1; else thin and white.
        **axes: as in `curves`.

    Returns:
        The panel, for `figure`.

    Example:
        >>> from madlib.book import figures
        >>> n = [1, 10]
        >>> ratio = np.ones((2, 2))
        >>> panel = figures.heatmap({"n_r": n}, {"n_s": n}, ratio, label="ratio", span=4, log="xy")
        >>> panel.table.columns.tolist()
        ['n_r', 'n_s', 'value']
    """
    (x_name, x), (y_name, y) = (
        next(iter(v.items())) if isinstance(v, dict) else (name, v)
        for name, v in (("x", x), ("y", y))
    )
    measured = isinstance(z, Estimate)
    z, se = (z.mean, np.asarray(z.se)) if measured else (np.asarray(z, float), np.zeros(()))
    x, y = as_reals(x, x_name), as_reals(y, y_name)
    require(z.shape == (len(y), len(x)), f"z must be [{len(y)}, {len(x)}]", z.shape, "Transpose.")
    log = axes.get("log", "")
    edges = [_edges(x, "x" in log), _edges(y, "y" in log)]
    norm = Normalize(*limits) if span is None else LogNorm(1 / span, span)
    below = np.asarray(ndimage.maximum_filter(z < 1 - N_STANDARD_ERRORS * se, 3), bool)
    beside = below if measured else np.ones_like(below)

    def draw(ax: Axes) -> Any:
        cmap = "viridis" if span is None else "PuOr_r"
        mesh = ax.pcolormesh(*edges, z, norm=norm, cmap=cmap, rasterized=True)
        for line in theory:
            if span is None:  # thin, not to hide what it bounds
                ax.plot(*line, color=MAP_PAPER, linewidth=1)
            else:
                theory_line(ax, *line, on_map=True)
        known = np.where(beside, z, np.nan)
        if span is not None and (known < 1).any() and (known > 1).any():
            ax.contour(x, y, known, levels=[1], colors=MAP_INK, linewidths=1.2)
        ax.spines[:].set_visible(False)
        return lambda: _color_bar(ax, mesh, z, label, span)

    line = "Thin dark line: 1" + ", beside cells five standard errors below it" * measured
    key = ("White lines: theory.",) if span is None else (f"{line}.", THEORY)
    key = key if len(theory) else key[:-1]
    grid_x, grid_y = np.meshgrid(x, y)
    frames: list[Any] = [{x_name: grid_x.ravel(), y_name: grid_y.ravel(), "value": z.ravel()}]
    frames[0] |= {"se": se.ravel()} if measured else {}
    frames += [{x_name: a, "theory": b} for a, b in theory]
    table = pd.concat(map(pd.DataFrame, frames), ignore_index=True)
    settings = {"xlim": edges[0][[0, -1]], "ylim": edges[1][[0, -1]]}
    settings |= axis_labels(x=x_name, y=y_name) | axes
    return Panel(draw, table, settings, key, (label, span, limits))


def _color_bar(ax: Axes, mesh: Any, z: np.ndarray, label: str, span: float | None) -> None:
    low, high = np.nanmin(z) < mesh.norm.vmin, np.nanmax(z) > mesh.norm.vmax
    look = {"pad": 0.03, "aspect": 24, "extend": ["neither", "min", "max", "both"][low + 2 * high]}
    if span is not None:
        steps = np.array([step for step in (2, 5, 10, 100) if step <= span])
        look |= {"ticks": [*1 / steps[::-1], 1, *steps], "format": "%g"}
    bar = ax.figure.colorbar(mesh, ax=ax, label=label, **look)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.solids.set_rasterized(True)  # pyright: ignore[reportOptionalMemberAccess]
    bar.minorticks_off()
    if span is not None:
        bar.ax.axhline(1, color=MAP_INK, linewidth=1.2)


def _edges(centers: np.ndarray, log: bool) -> np.ndarray:
    """Borders of cells around their centers, [n + 1]."""
    fine = len(centers) > 1 and (np.diff(centers) > 0).all() and (not log or centers[0] > 0)
    required = "the axes of a map must increase, and be positive where they are logarithmic"
    require(fine, required, centers[:4], "Sort them, or change log.")
    values = np.log(centers) if log else centers
    inner = (values[1:] + values[:-1]) / 2
    edges = np.concatenate([[2 * values[0] - inner[0]], inner, [2 * values[-1] - inner[-1]]])
    return np.exp(edges) if log else edges
