"""Figures from plain arrays as SVG: small, and readable in light and dark mode and on paper.

Every function returns one ``<svg>`` element with a title and a description. A page that shows
figures includes ``stylesheet()`` once.
"""

from __future__ import annotations

from headstart.plots.bars import stacked_bars
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.plots.colour import stylesheet
from headstart.plots.confusion import confusion_matrix
from headstart.plots.figure import Figure, standalone
from headstart.plots.intervals import IntervalRow, interval_plot, small_interval
from headstart.plots.layermap import layer_map
from headstart.plots.learning_curves import learning_curves
from headstart.plots.lines import Line, line_plot
from headstart.plots.quadrants import quadrant_plot
from headstart.plots.scatter import scatter_plot

__all__ = [
    "Bubble",
    "Figure",
    "IntervalRow",
    "Line",
    "bubble_plot",
    "confusion_matrix",
    "interval_plot",
    "layer_map",
    "learning_curves",
    "line_plot",
    "quadrant_plot",
    "scatter_plot",
    "small_interval",
    "stacked_bars",
    "standalone",
    "stylesheet",
]
