"""Six optimizers on one task from one start, each at its best rate of the same grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from headstart.finetune import Epoch
from headstart.heads import is_significant, significance
from headstart.labs.networks import perceptron
from headstart.labs.samples import Samples, Task, draw_task
from headstart.labs.spread import (
    differences,
    over_seeds,
    ratio_over_seeds,
    share_over_seeds,
    triple,
    written,
)
from headstart.labs.training import Log, one_thread, train_small
from headstart.progress import Progress, silent
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
"""torch's, with its defaults for everything but the rate and a momentum of 0.9."""

RATES = tuple(10 ** (k / 2) for k in range(-8, 2))
N_TRAIN, BATCH, N_EPOCHS, HIDDEN = 500, 50, 25, (64, 64)
N_TUNING = 2
# Shares of the loss of guessing; the lowest that every training reaches is the finishing line.
TARGETS = (0.02, 0.05, 0.1, 0.2, 0.5, 0.8)


def steps_to(history: Sequence[Epoch], target: float, steps_an_epoch: int) -> float:
    """Steps until the training loss is `target`, on straight lines in the logarithm of the loss.

    Infinite where it never is.
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
    """Mean training loss over the epochs, by which rates are chosen; infinite if it diverged."""
    if log.has_diverged:
        return math.inf
    return sum(e.train_loss for e in log.history[1:]) / (len(log.history) - 1)


def optimizer_trial(
    samples: Samples,
    seeds: Sequence[int],
    *,
    rates: Sequence[float] = RATES,
    n_epochs: int = N_EPOCHS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Which optimizer is the quickest, and is its lead significant over the seeds?

    The rate of each is the one with the least mean training loss over trainings with `N_TUNING`
    other seeds. In a comparison all start from the same weights and see the same batches.

    Parameters
    ----------
    samples : Samples
    seeds : sequence of int
    rates : sequence of float
    n_epochs : int
    progress : Progress

    Returns
    -------
    dict
        JSON-ready figures, with a ``sentence``.
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

    best: dict[str, float] = {}
    curve_of_rates: dict[str, list[float]] = {}
    logs: dict[str, list[Log]] = {}
    with one_thread():
        for name in OPTIMIZERS:
            means = [sum(mean_loss(fit(name, r, s)) for s in tuning) / len(tuning) for r in rates]
            best[name] = rates[means.index(min(means))]
            curve_of_rates[name] = means
        for name in OPTIMIZERS:
            logs[name] = [fit(name, best[name], seed) for seed in seeds]
    found = {
        "data": samples.name,
        "n_train": len(draw_task(samples, N_TRAIN, seed=seeds[0]).labels),
        "seeds": list(seeds),
        "tuning_seeds": tuning,
        "rates": list(rates),
        **_compared(samples, logs, best),
    }
    for row in found["rows"]:
        row["tuning_losses"] = [_finite(v) for v in curve_of_rates[row["name"]]]
        row["is_at_edge"] = row["rate"] in (rates[0], rates[-1])
    return {"sentence": _sentence(found), "detail": _detail(found), **found}


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


def _compared(
    samples: Samples, logs: dict[str, list[Log]], best: dict[str, float]
) -> dict[str, Any]:
    guess = math.log(len(samples.classes))
    any_log = next(iter(logs.values()))[0]
    an_epoch = max(1, any_log.n_steps // any_log.last.epoch)

    def steps(name: str, target: float) -> list[float]:
        return [steps_to(log.history, target, an_epoch) for log in logs[name]]

    reached = [
        share for share in TARGETS if all(max(steps(n, share * guess)) < math.inf for n in logs)
    ]
    share = reached[0] if reached else None
    rows = [_row(name, logs[name], best[name]) for name in logs]
    if share is not None:
        taken = {name: steps(name, share * guess) for name in logs}
        quickest = min(taken, key=lambda name: sum(taken[name]))
        for row in rows:
            own = taken[row["name"]]
            behind = over_seeds(differences(own, taken[quickest]))
            row["steps"] = triple(over_seeds(own, at_least=0.0))
            row["steps_by_seed"] = own
            row["behind"] = triple(behind)
            row["is_significant"] = is_significant(behind)
        rows.sort(key=lambda row: row["steps"][0])
    else:
        rows.sort(key=lambda row: row["last_loss"][0] or math.inf)
    target = None if share is None else share * guess
    return {"steps_an_epoch": an_epoch, "share": share, "target": target, "rows": rows}


def _row(name: str, logs: list[Log], rate: float) -> dict[str, Any]:
    n = min(len(log.history) for log in logs)
    # Of the logarithms: losses differ by factors, and the ends of the intervals stay above zero.
    spreads = [
        ratio_over_seeds([max(log.history[i].train_loss, 1e-12) for log in logs], [1.0] * len(logs))
        for i in range(n)
    ]
    return {
        "name": name,
        "rate": rate,
        "curve": {
            key: [_finite(getattr(s, key)) for s in spreads] for key in ("value", "low", "high")
        },
        "last_loss": triple(over_seeds([log.last.train_loss for log in logs], at_least=0.0)),
        "val_accuracy": triple(share_over_seeds([log.last.val_accuracy for log in logs])),
        "val_by_seed": [log.last.val_accuracy for log in logs],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sentence(found: dict[str, Any]) -> str:
    rows = found["rows"]
    if found["target"] is None:
        return (
            "No training loss was reached by all six optimizers with every seed; "
            f"{rows[0]['name']} ends with the lowest."
        )
    first = _first(rows)
    tied = [row["name"] for row in rows if not (row in first or row["is_significant"])]
    start = (
        f"{listed([row['name'] for row in first])} need{'s' * (len(first) == 1)} the fewest steps, "
        f"{_steps(rows[0])}, to a training loss of {found['target']:.2g}"
    )
    if len(first) + len(tied) == len(rows):
        return f"{start}; no difference between the {_COUNTS[len(rows)]} is significant."
    if tied:
        return f"{start}; the lead over {listed(tied)} is not significant."
    return f"{start}; the lead over all others is significant."


_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


def _first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The quickest, and those that take as many steps."""
    return [
        row
        for row in rows
        if row is rows[0] or (_steps(row) == _steps(rows[0]) and not row["is_significant"])
    ]


def _steps(row: dict[str, Any]) -> str:
    return f"{row['steps'][0]:.0f}"


def _detail(found: dict[str, Any]) -> str:
    rows = found["rows"]
    if found["target"] is None:
        return "So none is called the quickest."
    second = rows[1]
    # As in the table: whole numbers would hide on which side of zero a small interval lies.
    form = ".1f" if max(abs(v or 0.0) for v in second["behind"]) < 20 else ".0f"
    text = (
        f"{second['name']} takes {written(second['behind'], form)} steps more than {rows[0]['name']} "
        f"({significance(second['behind'])})"
    )
    if len(rows) > 2:
        text += f", {rows[-1]['name']} takes {_steps(rows[-1])} in all"
    return f"{text}. {_accuracy(rows)}"


def _accuracy(rows: Sequence[dict[str, Any]]) -> str:
    """Whether the quickest also generalises best."""
    first = rows[0]
    best = max(rows, key=lambda row: row["val_accuracy"][0])
    gap = over_seeds(differences(best["val_by_seed"], first["val_by_seed"]))
    if points(gap.value) == "0.0":
        return f"No other has a higher validation accuracy than {first['name']}."
    return (
        f"{best['name']} has the highest validation accuracy, "
        f"{unsigned_points(gap.value, gap.low, gap.high)} points above {first['name']} "
        f"({significance(gap)})."
    )
