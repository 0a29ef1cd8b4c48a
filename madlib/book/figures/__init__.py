r"""Figures: one call draws, returns its table, and saves the drawing with data and provenance.

A *panel* is a drawing for one axes with its numbers. `figure` puts panels side by side, letters
them, completes the caption, writes pdf, svg, png, csv, json and bib, and shows the result in the
theme of the page. A panel alone, as a cell's last line, shows itself and saves nothing::

    figures.figure(
        figures.trajectories(runs, "wasserstein2_squared", theory=distance, colors=regimes,
                             log="xy", title="quality"),
        figures.trajectories(runs, "total_variance", theory=spread, colors=regimes, log="xy"),
        label="fig-hero", reproduces="alemohammad2023, Figure 3",
        caption="Three regimes in one dimension, with {n_s} samples per generation.",
    )

    trajectories  runs by generation: bands, seeds, means, theory beneath
    curves        the same over any setting
    points        measured points with bars of two standard errors
    clouds        points in the plane, and normal distributions as ellipses
    images        rows of grayscale images
    heatmap       a quantity over two settings; of a ratio, diverging from 1
    stacked       shares of a sum
    schematic     the three loops as a drawing

Theory is wide and pale, under the simulation. Color is by regime (`colors=regime`), by the value of
an ordered setting (`by={"lam": lam}`), or by a set of its own for scores and generators. For
anything else draw into `subplots` and `save` the figure.

>>> import os, tempfile
>>> from unittest import mock
>>> from madlib.book import figures
>>> band = figures.Band(low=[0.9, 0.8], center=[1.0, 1.0], high=[1.1, 1.2])
>>> panel = figures.trajectories({"a run": band}, ylabel="variance")
>>> isinstance(panel, figures.Panel)
True
>>> fig, axes = figures.subplots()
>>> lines = axes.plot([1, 2], [1, 4])
>>> with tempfile.TemporaryDirectory() as folder:
...     with mock.patch.dict(os.environ, MADLIB_RESULTS=folder):
...         table = panel.table
...         saved = figures.save(fig, "fig-a", caption="Squares.", data=table, parameters={})
...         print(isinstance(saved, figures.SavedFigure), len(os.listdir(f"{folder}/figures")))
True 6
"""

from madlib.book.figures.curves import Band, curves, points, trajectories
from madlib.book.figures.maps import clouds, heatmap, images
from madlib.book.figures.page import subplots
from madlib.book.figures.panels import Panel, figure
from madlib.book.figures.save import SavedFigure, format_caption, save
from madlib.book.figures.schematic import schematic
from madlib.book.figures.stacks import stacked
from madlib.book.figures.style import COLORS

__all__ = [
    "COLORS",
    "Band",
    "Panel",
    "SavedFigure",
    "clouds",
    "curves",
    "figure",
    "format_caption",
    "heatmap",
    "images",
    "points",
    "save",
    "schematic",
    "stacked",
    "subplots",
    "trajectories",
]
