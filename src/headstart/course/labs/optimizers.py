"""``lab optimizers``: six optimizers on one task, each with its best learning rate of one grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import msgspec
import torch
from torch import nn

from headstart import plots
from headstart.augment.searching import one_thread
from headstart.course.labs.networks import perceptron
from headstart.course.labs.result import LabResult
from headstart.course.labs.samples import Samples, Task, draw_task
from headstart.course.labs.spread import (
    differences,
    method,
    over_seeds,
    percent,
    ratio_over_seeds,
    share_over_seeds,
    whole,
    written,
)
from headstart.course.labs.training import Log, train_small
from headstart.heads import is_significant, significance
from headstart.progress import Progress, silent
from headstart.results import Interval
from headstart.runs.report.pages import Section, Table
from headstart.training import Epoch
from headstart.wording import listed, points, unsigned_points

Parameters = list[nn.Parameter]
OPTIMIZERS: dict[str, Callable[[Parameters, float], torch.optim.Optimizer]] = {
    "SGD": lambda p, rate: torch.optim.SGD(p, lr=rate),
    "momentum": lambda p, rate: torch.optim.SGD(p, lr=rate, momentum=0.9),
    "Nesterov": lambda p, rate: torch.optim.SGD(p, lr=rate, momentum=0.9, nesterov=True),
    "RMSprop": lambda p, rate: torch.optim.RMSprop(p, lr=rate),
    "Adam": lambda p, rate: torch.optim.Adam(p, lr=rate),
    "AdamW": lambda p, rate: torch.optim.AdamW(p, lr=rate),
}
"""torch's optimizers with their defaults, but for the rate and a momentum of 0.9."""

RATES = tuple(10 ** (k / 2) for k in range(-8, 2))
N_TRAIN, BATCH, N_EPOCHS, HIDDEN = 500, 50, 25, (64, 64)
N_TUNING = 2
# Fractions of the loss of guessing; the lowest that every training reaches is the target.
TARGETS = (0.02, 0.05, 0.1, 0.2, 0.5, 0.8)
_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


class Lead(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of one optimizer to the target loss."""

    steps: Interval
    by_seed: list[float]  # length n_seeds
    behind: Interval  # steps more than the quickest, seed by seed
    is_significant: bool  # whether that difference is significant


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One optimizer."""

    name: str
    rate: float  # the best of the grid; `is_at_edge` if it is the lowest or the highest
    is_at_edge: bool
    # length n_rates; mean training loss over the epochs and the tuning seeds
    tuning_losses: list[float]
    curve: list[Interval]  # length n_epochs + 1; training loss: geometric mean over the seeds
    last_loss: Interval
    val_accuracy: Interval
    val_by_seed: list[float]
    lead: Lead | None = None  # None if there is no target

    @property
    def steps(self) -> str:
        """Mean steps to the target."""
        return f"{self.lead.steps.value:.0f}" if self.lead else ""

    @property
    def is_slower(self) -> bool:
        """Whether it is significantly slower than the quickest."""
        return self.lead is not None and self.lead.is_significant


class OptimizersResult(LabResult, frozen=True, kw_only=True, tag="lab-optimizers"):
    """What `measure` returns."""

    data: str
    n_train: int
    seeds: list[int]
    tuning_seeds: list[int]
    rates: list[float]
    steps_an_epoch: int
    share: float | None
    # training loss, the `share` of the loss of guessing; None if not all reached one of `TARGETS`
    target: float | None
    rows: list[Row]  # the quickest first; by last loss if there is no target


def steps_to(history: Sequence[Epoch], target: float, steps_an_epoch: int) -> float:
    """Steps until the training loss is `target`, interpolated linearly in the logarithm of the loss.

    Infinite if it is not reached.
    """
    for before, after in itertools.pairwise(history):
        if before.train_loss <= target:
            return float(before.epoch * steps_an_epoch)
        if after.train_loss <= target:
            first, last = (math.log(max(e.train_loss, 1e-12)) for e in (before, after))
            share = (first - math.log(target)) / (first - last)
            return (before.epoch + share) * steps_an_epoch
    return math.inf


def mean_loss(log: Log) -> float:
    """Mean training loss over the epochs, the criterion for rates; infinite if it diverged."""
    if log.has_diverged:
        return math.inf
    return sum(e.train_loss for e in log.history[1:]) / (len(log.history) - 1)


def measure(
    samples: Samples,
    seeds: Sequence[int],
    *,
    rates: Sequence[float] = RATES,
    n_epochs: int = N_EPOCHS,
    progress: Progress = silent,
) -> OptimizersResult:
    """Measure which optimizer is the quickest, and whether its lead is significant over the seeds.

    The rate of each has the lowest mean training loss over trainings with `N_TUNING` other seeds.
    With one seed all start from the same weights and see the same batches.
    """
    tuning = [max(seeds) + 1 + k for k in range(N_TUNING)]
    n_jobs = len(OPTIMIZERS) * (len(rates) * len(tuning) + len(seeds))
    done = 0

    def fit(name: str, rate: float, seed: int) -> Log:
        nonlocal done
        log = _train(draw_task(samples, N_TRAIN, seed=seed), name, rate, n_epochs, seed)
        done += 1
        progress("train", done, n_jobs)
        return log

    rows, logs = [], {}
    with one_thread():
        for name in OPTIMIZERS:
            losses = [sum(mean_loss(fit(name, r, s)) for s in tuning) / len(tuning) for r in rates]
            best = rates[losses.index(min(losses))]
            logs[name] = [fit(name, best, seed) for seed in seeds]
            rows.append(_row(name, logs[name], best, rates, losses))
    log = logs["SGD"][0]
    steps_an_epoch = max(1, log.n_steps // log.last.epoch)
    guess = math.log(len(samples.classes))
    share = _common_share(logs, guess, steps_an_epoch)
    if share is not None:
        rows = _ranked(rows, logs, share * guess, steps_an_epoch)
    else:
        rows.sort(key=lambda row: row.last_loss.value)
    found = OptimizersResult(
        data=samples.name,
        n_train=len(draw_task(samples, N_TRAIN, seed=seeds[0]).labels),
        seeds=list(seeds),
        tuning_seeds=tuning,
        rates=list(rates),
        steps_an_epoch=steps_an_epoch,
        share=share,
        target=None if share is None else share * guess,
        rows=rows,
    )
    return msgspec.structs.replace(found, sentence=sentence(found), detail=_detail(found))


def _train(task: Task, name: str, rate: float, n_epochs: int, seed: int) -> Log:
    network = perceptron(task.images[0].numel(), task.n_classes, hidden=HIDDEN, seed=seed)
    return train_small(
        network,
        task,
        lambda parameters: OPTIMIZERS[name](parameters, rate),
        n_epochs=n_epochs,
        batch_size=BATCH,
        seed=seed,
    )


def _row(
    name: str, logs: list[Log], rate: float, rates: Sequence[float], losses: list[float]
) -> Row:
    n = min(len(log.history) for log in logs)
    ones = [1.0] * len(logs)
    return Row(
        name=name,
        rate=rate,
        is_at_edge=rate in (rates[0], rates[-1]),
        tuning_losses=losses,
        # Losses differ by factors, and intervals of the logarithm stay above zero.
        curve=[
            ratio_over_seeds([max(log.history[i].train_loss, 1e-12) for log in logs], ones)
            for i in range(n)
        ],
        last_loss=over_seeds([log.last.train_loss for log in logs], at_least=0.0),
        val_accuracy=share_over_seeds([log.last.val_accuracy for log in logs]),
        val_by_seed=[log.last.val_accuracy for log in logs],
    )


def _common_share(logs: dict[str, list[Log]], guess: float, steps_an_epoch: int) -> float | None:
    """The lowest share of the loss of guessing that every training reaches."""
    every = [log for each in logs.values() for log in each]
    return next(
        (
            share
            for share in TARGETS
            if all(steps_to(log.history, share * guess, steps_an_epoch) < math.inf for log in every)
        ),
        None,
    )


def _ranked(
    rows: list[Row], logs: dict[str, list[Log]], target: float, steps_an_epoch: int
) -> list[Row]:
    taken = {
        name: [steps_to(log.history, target, steps_an_epoch) for log in each]
        for name, each in logs.items()
    }
    quickest = min(taken.values(), key=sum)
    ranked = [msgspec.structs.replace(r, lead=lead(taken[r.name], quickest)) for r in rows]
    return sorted(ranked, key=lambda row: sum(taken[row.name]))


def lead(own: list[float], quickest: list[float]) -> Lead:
    """Steps seed by seed against those of the quickest."""
    behind = over_seeds(differences(own, quickest))
    return Lead(
        steps=over_seeds(own, at_least=0.0),
        by_seed=own,
        behind=behind,
        is_significant=is_significant(behind),
    )


def sentence(found: OptimizersResult) -> str:
    """The headline: the quickest, and over which others its lead is not significant."""
    rows = found.rows
    if found.target is None:
        return (
            "No training loss was reached by all six optimizers with every seed; "
            f"{rows[0].name} ends with the lowest."
        )
    first = [r for r in rows if r is rows[0] or (r.steps == rows[0].steps and not r.is_slower)]
    tied = [row.name for row in rows if not (row in first or row.is_slower)]
    start = (
        f"{listed([row.name for row in first])} need{'s' * (len(first) == 1)} the fewest steps, "
        f"{rows[0].steps}, to a training loss of {found.target:.2g}"
    )
    if len(first) + len(tied) == len(rows):
        return f"{start}; no difference between the {_COUNTS[len(rows)]} is significant."
    if tied:
        return f"{start}; the lead over {listed(tied)} is not significant."
    return f"{start}; the lead over all others is significant."


def _detail(found: OptimizersResult) -> str:
    first, second, *others = found.rows
    if first.lead is None or second.lead is None:
        return "So none is called the quickest."
    behind = second.lead.behind
    # As in the table: whole numbers would hide on which side of zero a small interval lies.
    form = ".1f" if max(abs(v) for v in behind if math.isfinite(v)) < 20 else ".0f"
    text = (
        f"{second.name} takes {written(behind, form)} steps more than {first.name} "
        f"({significance(behind)})"
    )
    if others:
        text += f", {others[-1].name} takes {others[-1].steps} in all"
    return f"{text}. {_accuracy(found.rows)}"


def _accuracy(rows: Sequence[Row]) -> str:
    """Whether the quickest also generalises best."""
    first, best = rows[0], max(rows, key=lambda row: row.val_accuracy.value)
    gap = over_seeds(differences(best.val_by_seed, first.val_by_seed))
    if points(gap.value) == "0.0":
        return f"No other has a higher validation accuracy than {first.name}."
    return (
        f"{best.name} has the highest validation accuracy, {unsigned_points(*gap)} points above "
        f"{first.name} ({significance(gap)})."
    )


def page(found: OptimizersResult) -> list[Section]:
    """The curves and the table, then how the rates were chosen."""
    curves = plots.line_plot(
        [_curve(row, found.steps_an_epoch) for row in _by_name(found)],
        name="curves",
        title="Training loss of six optimizers",
        description="; ".join(f"{r.name} ends at {r.last_loss.value:.2g}" for r in found.rows),
        x_axis="steps",
        y_axis="training loss",
        log_y=True,
        height=340,
    )
    return [
        Section(
            heading="One task, one start, six optimizers",
            text=(
                method(
                    found.data,
                    found.seeds,
                    f"A perceptron with two hidden layers of 64 units, {found.n_train} training "
                    "images, batches of 50. With one seed all six start from the same weights and see "
                    "the same batches; each uses its own best rate.",
                ),
            ),
            figure=curves,
            caption="Training loss in eval mode after each epoch: geometric mean over the seeds, every fifth with its interval.",
            table=_table(found),
        ),
        _rates(found),
    ]


def _by_name(found: OptimizersResult) -> list[Row]:
    """By name, so that an optimizer's line looks the same in both figures."""
    return sorted(found.rows, key=lambda row: row.name.lower())


def _curve(row: Row, steps_an_epoch: int) -> plots.Line:
    nan = math.nan
    return plots.Line(
        label=row.name,
        x=[i * steps_an_epoch for i in range(len(row.curve))],
        y=[v.value for v in row.curve],
        # Every fifth interval is enough.
        low=[nan if i % 5 or math.isinf(v.low) else v.low for i, v in enumerate(row.curve)],
        high=[nan if math.isinf(v.high) else v.high for v in row.curve],
    )


def _table(found: OptimizersResult) -> Table:
    header = ["", "best rate"]
    if found.target is not None:
        header += [f"steps to a loss of {found.target:.2g}", "behind the first"]
    header += ["last loss", "validation accuracy, %"]
    rows = []
    for i, row in enumerate(found.rows):
        cells = [row.name, f"{row.rate:.2g}{' (edge)' if row.is_at_edge else ''}"]
        if row.lead is not None:
            tie = "" if row.is_slower else " ~"
            cells += [whole(row.lead.steps), f"{whole(row.lead.behind)}{tie}" if i else ""]
        cells += [written(row.last_loss, ".2g"), percent(row.val_accuracy)]
        rows.append(cells)
    return Table(header=header, rows=rows, chosen=0 if found.target is not None else None)


def _rates(found: OptimizersResult) -> Section:
    lines = [
        plots.Line(
            label=row.name,
            x=found.rates,
            # Far above the loss of guessing there is nothing to see.
            y=[v if v <= 10 else math.nan for v in row.tuning_losses],
        )
        for row in _by_name(found)
    ]
    return Section(
        heading="How the rates were chosen",
        text=(
            (
                "The rate with the lowest training loss, averaged over the epochs of "
                f"{len(found.tuning_seeds)} trainings with seeds that are not among those above. The grid "
                "is the same for all, in half decades. ~ in the table: not significantly slower than the "
                "first. Where a best rate is at the edge, the grid may have missed a better one."
            ),
        ),
        figure=plots.line_plot(
            lines,
            name="rates",
            title="Mean training loss against the rate",
            description="; ".join(f"{r.name} is best at {r.rate:.2g}" for r in found.rows),
            x_axis="learning rate",
            y_axis="mean training loss",
            log_x=True,
            log_y=True,
        ),
        caption="Losses above 10 and trainings that diverged are left out.",
    )
