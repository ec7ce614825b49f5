"""``lab dropout``: the gap between training and validation against the dropout rate, few images."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headstart import plots
from headstart.augment.searching import one_thread
from headstart.course.labs.networks import perceptron
from headstart.course.labs.result import LabResult
from headstart.course.labs.samples import Samples, draw_task
from headstart.course.labs.spread import (
    differences,
    line,
    method,
    over_seeds,
    percent,
    share_over_seeds,
    written,
)
from headstart.course.labs.training import Log, adam, train_small
from headstart.heads import is_significant, significance
from headstart.progress import Progress, silent
from headstart.results import Difference, Interval
from headstart.runs.report.pages import Section, Table
from headstart.wording import points, signed_points

RATES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8)
COMPARED = 0.5
"""The rate that is compared with no dropout: Srivastava's for hidden layers, fixed in advance."""

N_TRAIN, BATCH, N_EPOCHS, HIDDEN, RATE = 200, 25, 50, (256, 256), 1e-3


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """The last epoch with each seed: five sequences of length n_seeds."""

    train_accuracy: list[float]
    val_accuracy: list[float]
    accuracy_gap: list[float]
    val_loss: list[float]
    loss_gap: list[float]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One dropout rate: means over the seeds, and changes against no dropout."""

    rate: float
    train_accuracy: Interval
    val_accuracy: Interval
    accuracy_gap: Interval
    val_loss: Interval
    loss_gap: Interval
    accuracy_gap_change: Difference
    val_accuracy_change: Difference
    loss_gap_change: Interval
    by_seed: Measures


class DropoutResult(LabResult, frozen=True, kw_only=True, tag="lab-dropout"):
    """What `measure` returns."""

    data: str
    n_train: int
    seeds: list[int]
    n_epochs: int
    compared: float
    rows: list[Row]


def measure(
    samples: Samples,
    seeds: Sequence[int],
    *,
    rates: Sequence[float] = RATES,
    n_epochs: int = N_EPOCHS,
    progress: Progress = silent,
) -> DropoutResult:
    """Measure whether dropout narrows the gap and whether validation accuracy improves.

    A perceptron with two hidden layers, trained with Adam. All figures are taken in eval mode,
    without dropping. A seed draws the images, the initial weights, the batches and the dropout.

    `rates`: must contain 0 and `COMPARED`.
    """
    logs: dict[float, list[Log]] = {rate: [] for rate in rates}
    jobs = [(rate, seed) for rate in rates for seed in seeds]
    with one_thread():
        for done, (rate, seed) in enumerate(jobs, 1):
            logs[rate].append(_train(samples, rate, seed, n_epochs))
            progress("train", done, len(jobs))
    values = {rate: _measures(logs[rate]) for rate in rates}
    n_train = len(draw_task(samples, N_TRAIN, seed=seeds[0]).labels)
    return DropoutResult(
        sentence=_sentence(values[0.0], values[COMPARED], n_train),
        detail=_detail(values[0.0], values[COMPARED]),
        data=samples.name,
        n_train=n_train,
        seeds=list(seeds),
        n_epochs=n_epochs,
        compared=COMPARED,
        rows=[_row(rate, values[rate], values[0.0]) for rate in rates],
    )


def _train(samples: Samples, rate: float, seed: int, n_epochs: int) -> Log:
    task = draw_task(samples, N_TRAIN, seed=seed)
    network = perceptron(
        task.images[0].numel(), task.n_classes, hidden=HIDDEN, dropout=rate, seed=seed
    )
    return train_small(network, task, adam(RATE), n_epochs=n_epochs, batch_size=BATCH, seed=seed)


def _measures(logs: Sequence[Log]) -> Measures:
    last = [log.last for log in logs]
    return Measures(
        train_accuracy=[e.train_accuracy for e in last],
        val_accuracy=[e.val_accuracy for e in last],
        accuracy_gap=[e.train_accuracy - e.val_accuracy for e in last],
        val_loss=[e.val_loss for e in last],
        loss_gap=[e.val_loss - e.train_loss for e in last],
    )


def _row(rate: float, own: Measures, none: Measures) -> Row:
    return Row(
        rate=rate,
        train_accuracy=share_over_seeds(own.train_accuracy),
        val_accuracy=share_over_seeds(own.val_accuracy),
        accuracy_gap=over_seeds(own.accuracy_gap),
        val_loss=over_seeds(own.val_loss),
        loss_gap=over_seeds(own.loss_gap),
        accuracy_gap_change=Difference(
            *over_seeds(differences(own.accuracy_gap, none.accuracy_gap))
        ),
        val_accuracy_change=Difference(
            *over_seeds(differences(own.val_accuracy, none.val_accuracy))
        ),
        loss_gap_change=over_seeds(differences(own.loss_gap, none.loss_gap)),
        by_seed=own,
    )


def _sentence(none: Measures, some: Measures, n_train: int) -> str:
    gap = over_seeds(differences(some.accuracy_gap, none.accuracy_gap))
    before, after = (points(over_seeds(m.accuracy_gap).value, sign=False) for m in (none, some))
    return (
        f"With {n_train} training images dropout at {COMPARED:g} {_verb(gap)} the gap between "
        f"training and validation accuracy: {before} points without, {after} with "
        f"({significance(gap)})."
    )


def _detail(none: Measures, some: Measures) -> str:
    val = over_seeds(differences(some.val_accuracy, none.val_accuracy))
    loss = over_seeds(differences(some.loss_gap, none.loss_gap))
    return (
        f"Validation accuracy changes by {signed_points(*val)} points ({significance(val)}); dropout "
        f"{_verb(loss)} the gap in loss ({significance(loss)})."
    )


def _verb(change: Interval) -> str:
    if not is_significant(change):
        return "does not change"
    return "narrows" if change.value < 0 else "widens"


def page(found: DropoutResult) -> list[Section]:
    """Accuracies against the rate, then the gap and its change."""
    return [_accuracies(found), _changes(found)]


def _accuracies(found: DropoutResult) -> Section:
    rates = [row.rate for row in found.rows]
    lines = [
        line("training", rates, [row.train_accuracy for row in found.rows], times=100),
        line("validation", rates, [row.val_accuracy for row in found.rows], times=100),
    ]
    return Section(
        heading="Accuracy against the dropout rate",
        text=(
            method(
                found.data,
                found.seeds,
                f"A perceptron with two hidden layers of 256 units, {found.n_train} training images, "
                f"Adam, {found.n_epochs} epochs; dropout after each hidden layer.",
            ),
            (
                "Both accuracies are measured in eval mode, without dropout, so the gap does not compare "
                "a thinned network with a complete one."
            ),
        ),
        figure=_drawn(lines, "accuracies", "Accuracy", "accuracy, %"),
        table=Table(
            header=("rate", "training, %", "validation, %", "gap, points", "validation loss"),
            rows=[
                [
                    f"{row.rate:g}",
                    percent(row.train_accuracy),
                    percent(row.val_accuracy),
                    percent(row.accuracy_gap),
                    written(row.val_loss, ".3f"),
                ]
                for row in found.rows
            ],
        ),
    )


def _changes(found: DropoutResult) -> Section:
    rates = [row.rate for row in found.rows]
    lines = [line("validation minus training", rates, [row.loss_gap for row in found.rows])]
    return Section(
        heading="Against no dropout, seed by seed",
        text=(
            (
                "With one seed all rates share images, initial weights and batches, so differences have "
                f"narrower intervals than values. The rate {found.compared:g} was chosen for the "
                "comparison before measuring."
            ),
        ),
        figure=_drawn(lines, "gap", "Gap in loss", "validation minus training loss"),
        table=Table(
            header=("rate", "gap, points", "validation accuracy, points", "gap in loss"),
            rows=[
                [
                    f"{row.rate:g}",
                    str(row.accuracy_gap_change),
                    str(row.val_accuracy_change),
                    written(row.loss_gap_change, "+.3f"),
                ]
                for row in found.rows
                if row.rate
            ],
        ),
    )


def _drawn(lines: Sequence[plots.Line], name: str, title: str, axis: str) -> str:
    description = "; ".join(
        f"{line.label} {line.y[0]:.3g} at {line.x[0]:g}, {line.y[-1]:.3g} at {line.x[-1]:g}"
        for line in lines
    )
    return plots.line_plot(
        lines, name=name, title=title, description=description, x_axis="dropout rate", y_axis=axis
    )
