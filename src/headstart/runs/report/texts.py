"""What the report of a run on texts has beside that of images: figures of layers and of more texts."""

from __future__ import annotations

from markupsafe import Markup

from headstart import plots
from headstart.runs.result import TextResult


def text_plots(found: TextResult) -> dict[str, Markup | None]:
    """Figures of a report on texts, on what :class:`TextResult` holds."""
    return {"layer_plot": _layer_plot(found), "size_plot": _size_plot(found)}


def _layer_plot(found: TextResult) -> Markup | None:
    if found.layers is None:
        return None
    rows = [plots.IntervalRow.of_shares(row.name, row.accuracy) for row in found.layers.rows]
    svg = plots.interval_plot(
        rows,
        name="figure-text-layers",
        title="Accuracy of a linear classifier on each layer",
        axis="cross-validated accuracy, %",
    )
    return Markup(svg)


def _size_plot(found: TextResult) -> Markup | None:
    if not found.curves:
        return None
    lines = [
        plots.Line(
            label=curve.name,
            x=[p.mean_n for p in curve.points],
            y=[100 * p.accuracy.value for p in curve.points],
            low=[100 * p.accuracy.low for p in curve.points],
            high=[100 * p.accuracy.high for p in curve.points],
        )
        for curve in found.curves
    ]
    svg = plots.line_plot(
        lines,
        name="figure-text-sizes",
        title="Test accuracy against training texts per class",
        description="; ".join(f"{line.label}: {line.y[-1]:.1f} % with all" for line in lines),
        x_axis="training texts per class",
        y_axis="accuracy, %",
        log_x=True,
        width=470,
    )
    return Markup(svg)
