"""The page of ``lab batchnorm``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart import plots
from headstart.runs.report.labs import cells
from headstart.runs.report.pages import Section, Table

_LABELS = {"without": "without BatchNorm", "with": "with BatchNorm", "noisy": "with it and noise"}
_MEASURES = {
    "variation": "variation of the loss",
    "predictiveness": "gradient's change",
    "beta": "curvature met (β)",
    "shift": "internal covariate shift",
    "relative_shift": "shift / gradient size",
    "angle": "shift as an angle, °",
}


def batchnorm_sections(found: Mapping[str, Any]) -> list[Section]:
    """Accuracy against the rate, the answer with its measures, and where the shift is."""
    first, *others = found["looks"]
    return [_accuracies(found), _smoothness(first, found), _shift(first), *map(_again, others)]


def _accuracies(found: Mapping[str, Any]) -> Section:
    rates = found["rates"]
    lines = [
        cells.line(
            _LABELS[kind], rates, [c["val_accuracy"] for c in found["grid"][kind]], times=100
        )
        for kind in _LABELS
    ]
    n_seeds = len(found["seeds"])
    rows = []
    for i, rate in enumerate(rates):
        row = [f"{rate:g}"]
        for kind in _LABELS:
            c = found["grid"][kind][i]
            row += [cells.percent(c["val_accuracy"]), f"{c['n_trained']} of {n_seeds}"]
        rows.append(row)
    return Section(
        heading="Which rates train",
        text=(
            cells.method(
                found,
                f"A ConvNet of {found['n_layers'] - 1} convolutions of 3 x 3 and a linear layer, "
                f"{found['n_train']} training images, plain stochastic gradient descent with batches of "
                "50. Weights start as He et al. propose, the same with and without BatchNorm.",
            ),
            found["worth"],
        ),
        figure=plots.line_plot(
            lines,
            name="rates",
            title="Validation accuracy against the learning rate",
            description="; ".join(f"{line.label}: {max(line.y):.1f} % at best" for line in lines),
            x_axis="learning rate",
            y_axis="validation accuracy, %",
            log_x=True,
            x_ticks=[(r, f"{r:g}") for r in rates],
        ),
        table=Table(
            header=("rate", "without, %", "trained", "with, %", "trained", "noisy, %", "trained"),
            rows=rows,
        ),
        caption="Trained: the training loss fell below half of that of guessing.",
    )


def _table(look: Mapping[str, Any]) -> Table:
    rows = [
        [
            label,
            *(cells.interval(look["measures"][key][kind], ".2g") for kind in _LABELS),
            cells.interval(look["measures"][key]["ratio"], ".2g"),
            cells.interval(look["measures"][key]["noisy_ratio"], ".2g"),
        ]
        for key, label in _MEASURES.items()
    ]
    header = (
        "mean",
        "without",
        "with",
        "noisy",
        "with/without",
        "noisy/without",
    )
    return Table(header=header, rows=rows)


def _smoothness(look: Mapping[str, Any], found: Mapping[str, Any]) -> Section:
    steps = look["by_step"]["steps"]
    lengths = found["step_lengths"]
    return Section(
        heading="Does BatchNorm work by reducing internal covariate shift?",
        text=(
            f"{look['shift']} {look['smooth']} {found['cause']}",
            (
                f"Measured at a rate of {look['rates']['without']:g}, the best without BatchNorm, before every twentieth "
                "step on the batch in hand. Variation: the loss at several steps along the gradient, from "
                f"{lengths[0]:g} to {lengths[-1]:g} times the rate, highest less lowest. Change of the "
                "gradient: its largest distance from the gradient there. Curvature met: that distance over "
                "the distance gone. Internal covariate shift of a layer: how far its gradient moves when "
                "the layers below it take their step (definition 2.1 of Santurkar et al. 2018). "
                "Noise: every channel after a BatchNorm is shifted and scaled at random, again at each step, "
                "which undoes the equal means and deviations; its curvature is that of the noise."
            ),
        ),
        figure=plots.line_plot(
            [
                cells.line(_LABELS[kind], steps, list(look["by_step"][kind]["variation"]))
                for kind in _LABELS
            ],
            name="variation",
            title="Variation of the loss along the gradient",
            description="Mean over seeds at each measured step",
            x_axis="step",
            y_axis="variation of the loss",
            log_y=True,
        ),
        caption="How much the loss varies along the gradient: lower is smoother.",
        table=_table(look),
    )


def _shift(look: Mapping[str, Any]) -> Section:
    def drawn(key: str, name: str, title: str) -> str:
        n = len(look["by_layer"]["with"][key])
        return plots.line_plot(
            [
                cells.line(_LABELS[kind], range(2, n + 2), look["by_layer"][kind][key])
                for kind in _LABELS
            ],
            name=name,
            title=title,
            description="A point a layer, from the second to the last",
            x_axis="layer",
            y_axis=title,
            x_ticks=[(i, str(i)) for i in range(2, n + 2)],
        )

    return Section(
        heading="Internal covariate shift, layer by layer",
        text=(
            (
                "The distance depends on how large gradients are, which BatchNorm changes; the angle does "
                "not. The first layer has nothing below it, so nothing can shift it."
            ),
        ),
        figure=drawn("angle", "angle", "angle between the gradients, degrees"),
        caption="By how many degrees a layer's gradient turns when the layers below it take their step.",
    )


def _again(look: Mapping[str, Any]) -> Section:
    rates = ", ".join(f"{label} {look['rates'][kind]:g}" for kind, label in _LABELS.items())
    return Section(
        heading="The same at the best rate of each",
        text=(f"{look['shift']} {look['smooth']}", f"Rates: {rates}."),
        table=_table(look),
    )
