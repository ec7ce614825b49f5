"""The page of ``lab batchnorm``."""

from __future__ import annotations

from headstart import plots
from headstart.course.labs.batchnorm import words
from headstart.course.labs.batchnorm.result import BatchnormResult, Look
from headstart.course.labs.spread import line, method, percent, written
from headstart.runs.report.pages import Section, Table

_LABELS = {"without": "without BatchNorm", "with": "with BatchNorm", "noisy": "with it and noise"}
_MEASURES = {
    "variation": "variation of the loss",
    "predictiveness": "change of the gradient",
    "beta": "largest curvature (β)",
    "shift": "internal covariate shift",
    "relative_shift": "shift / gradient size",
    "angle": "shift as an angle, °",
}


def page(found: BatchnormResult) -> list[Section]:
    """Accuracy against the rate, the answer with its measures, and where the shift is."""
    first, *others = found.looks
    return [_accuracies(found), _smoothness(first, found), _shift(first), *map(_again, others)]


def _accuracies(found: BatchnormResult) -> Section:
    rates = found.rates
    lines = [
        line(_LABELS[kind], rates, [c.val_accuracy for c in found.grid[kind]], times=100)
        for kind in _LABELS
    ]
    n_seeds = len(found.seeds)
    rows = []
    for i, rate in enumerate(rates):
        row = [f"{rate:g}"]
        for kind in _LABELS:
            c = found.grid[kind][i]
            row += [percent(c.val_accuracy), f"{c.n_trained} of {n_seeds}"]
        rows.append(row)
    return Section(
        heading="Which rates train",
        text=(
            method(
                found.data,
                found.seeds,
                f"A ConvNet of {found.n_layers - 1} convolutions of 3 x 3 and a linear layer, "
                f"{found.n_train} training images, plain stochastic gradient descent with batches of "
                "50. Initial weights after He et al., the same with and without BatchNorm.",
            ),
            found.worth,
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
        caption="Trained: the training loss fell below half the loss of guessing.",
    )


def _table(look: Look) -> Table:
    rows = [
        [
            label,
            *(written(look.measures[key].values[kind], ".2g") for kind in _LABELS),
            written(look.measures[key].ratio, ".2g"),
            written(look.measures[key].noisy_ratio, ".2g"),
        ]
        for key, label in _MEASURES.items()
    ]
    header = ("mean", "without", "with", "noisy", "with/without", "noisy/without")
    return Table(header=header, rows=rows)


def _smoothness(look: Look, found: BatchnormResult) -> Section:
    lengths = found.step_lengths
    return Section(
        heading="Does BatchNorm work by reducing internal covariate shift?",
        text=(
            f"{_answer(look)} {found.cause}",
            (
                f"Measured at a rate of {look.rates['without']:g}, the best without BatchNorm, before every "
                "twentieth step on its batch. Variation: highest minus lowest loss over several steps along "
                f"the gradient, from {lengths[0]:g} to {lengths[-1]:g} times the rate. Change of the "
                "gradient: the largest distance between the gradient there and here. Largest curvature: "
                "that distance divided by the length of the step. Internal covariate shift of a layer: the "
                "change of its gradient when the layers below it take their step (definition 2.1 of "
                "Santurkar et al. 2018). Noise: every channel after a BatchNorm is shifted and scaled at "
                "random, again at each step, which undoes the equal means and deviations; its curvature is "
                "that of the noise."
            ),
        ),
        figure=plots.line_plot(
            [line(_LABELS[kind], look.steps, look.variation[kind]) for kind in _LABELS],
            name="variation",
            title="Variation of the loss along the gradient",
            description="Mean over seeds at each measured step",
            x_axis="step",
            y_axis="variation of the loss",
            log_y=True,
        ),
        caption="Variation of the loss along the gradient: lower is smoother.",
        table=_table(look),
    )


def _shift(look: Look) -> Section:
    layers = range(2, len(look.angle_by_layer["with"]) + 2)
    return Section(
        heading="Internal covariate shift, layer by layer",
        text=(
            (
                "The distance depends on the size of the gradients, which BatchNorm changes; the angle does "
                "not. The first layer has nothing below it, so nothing can shift it."
            ),
        ),
        figure=plots.line_plot(
            [line(_LABELS[kind], layers, look.angle_by_layer[kind]) for kind in _LABELS],
            name="angle",
            title="angle between the gradients, degrees",
            description="One point per layer, from the second to the last",
            x_axis="layer",
            y_axis="angle between the gradients, degrees",
            x_ticks=[(i, str(i)) for i in layers],
        ),
        caption="By how many degrees a layer's gradient turns when the layers below it take their step.",
    )


def _again(look: Look) -> Section:
    rates = ", ".join(f"{label} {look.rates[kind]:g}" for kind, label in _LABELS.items())
    return Section(
        heading="The same at the best rate of each",
        text=(_answer(look), f"Rates: {rates}."),
        table=_table(look),
    )


def _answer(look: Look) -> str:
    return f"{words.say_shift(look)} {words.say_smoothness(look.measures)}"
