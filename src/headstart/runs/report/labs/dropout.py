"""The page of ``lab dropout``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart import plots
from headstart.runs.report.labs import cells
from headstart.runs.report.pages import Section, Table


def dropout_sections(found: Mapping[str, Any]) -> list[Section]:
    """Accuracies against the rate, then the gap and its change."""
    return [_accuracies(found), _changes(found)]


def _accuracies(found: Mapping[str, Any]) -> Section:
    rows = found["rows"]
    rates = [row["rate"] for row in rows]
    lines = [
        cells.line(label, rates, [row[key] for row in rows], times=100)
        for label, key in (("training", "train_accuracy"), ("validation", "val_accuracy"))
    ]
    return Section(
        heading="Accuracy against the dropout rate",
        text=(
            cells.method(
                found,
                f"A perceptron of two hidden layers of 256, {found['n_train']} training images, Adam, "
                f"{found['n_epochs']} epochs; dropout after each hidden layer.",
            ),
            (
                "Both accuracies are those of the whole network, without dropping: the gap is not "
                "that between a hindered and a whole network."
            ),
        ),
        figure=_drawn(lines, "accuracies", "Accuracy", "accuracy, %"),
        table=Table(
            header=("rate", "training, %", "validation, %", "gap, points", "validation loss"),
            rows=[
                [
                    f"{row['rate']:g}",
                    cells.percent(row["train_accuracy"]),
                    cells.percent(row["val_accuracy"]),
                    cells.percent(row["accuracy_gap"]),
                    cells.interval(row["val_loss"], ".3f"),
                ]
                for row in rows
            ],
        ),
    )


def _changes(found: Mapping[str, Any]) -> Section:
    rows = found["rows"]
    rates = [row["rate"] for row in rows]
    lines = [cells.line("validation less training", rates, [row["loss_gap"] for row in rows])]
    return Section(
        heading="Against no dropout, seed by seed",
        text=(
            (
                "Seeds share images, start and batches, so the differences are known better than the "
                f"values. The rate of {found['compared']:g} was chosen for the comparison before "
                "measuring."
            ),
        ),
        figure=_drawn(lines, "gap", "Gap in loss", "validation less training loss"),
        table=Table(
            header=("rate", "gap, points", "validation accuracy, points", "gap in loss"),
            rows=[
                [
                    f"{row['rate']:g}",
                    cells.signed_points(row["change"]["accuracy_gap"]),
                    cells.signed_points(row["change"]["val_accuracy"]),
                    cells.interval(row["change"]["loss_gap"], "+.3f"),
                ]
                for row in rows
                if row["rate"]
            ],
        ),
    )


def _drawn(lines: Sequence[plots.Line], name: str, title: str, axis: str) -> str:
    said = "; ".join(
        f"{line.label} {line.y[0]:.3g} at {line.x[0]:g}, {line.y[-1]:.3g} at {line.x[-1]:g}"
        for line in lines
    )
    return plots.line_plot(
        lines, name=name, title=title, description=said, x_axis="dropout rate", y_axis=axis
    )
