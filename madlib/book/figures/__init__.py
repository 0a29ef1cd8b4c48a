"""Figures of the book."""

from madlib.book.figures.curves import Band, curves, points, trajectories
from madlib.book.figures.maps import clouds, heatmap, images
from madlib.book.figures.panels import Panel, figure
from madlib.book.figures.save import SavedFigure, format_caption, save
from madlib.book.figures.schematic import schematic
from madlib.book.figures.style import COLORS, subplots

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
    "subplots",
    "trajectories",
]
