"""With and without BatchNorm: which rates train, how smooth the loss is, and what lower layers do.

Ioffe and Szegedy (2015) hold that BatchNorm works by reducing internal covariate shift; Santurkar
et al. (2018) that it does not, and makes the loss smoother. Both are measured here, and, as theirs,
a network with noise after each BatchNorm: more shift, but still BatchNorm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.labs.bn_words import (
    say_answer,
    say_cause,
    say_shift,
    say_smoothness,
    say_worth,
)
from headstart.labs.landscape import covariate_shift, smoothness
from headstart.labs.networks import convnet, trained_layers
from headstart.labs.samples import Samples, Task, draw_task
from headstart.labs.spread import (
    differences,
    over_seeds,
    ratio_over_seeds,
    share_over_seeds,
    triple,
)
from headstart.labs.training import Log, OnStep, one_thread, sgd, train_small
from headstart.progress import Progress, silent

RATES = (0.03, 0.1, 0.3, 1.0, 3.0)
N_TRAIN, N_VAL, BATCH, N_EPOCHS, WIDTH, N_LAYERS = 500, 500, 50, 20, 8, 4
# Epochs between checks of the accuracies, and steps between measurements.
CHECK_EVERY, EVERY = 5, 20
# Santurkar's range: from half to four times the rate in use.
STEP_LENGTHS = (0.5, 1.0, 2.0, 3.0, 4.0)
# A training counts as one where this share of the loss of guessing is gone.
TRAINED = 0.5
MEASURES = ("variation", "predictiveness", "beta", "shift", "relative_shift", "angle")
KINDS = ("without", "with", "noisy")


def batchnorm_trial(
    samples: Samples,
    seeds: Sequence[int],
    *,
    rates: Sequence[float] = RATES,
    n_epochs: int = N_EPOCHS,
    n_layers: int = N_LAYERS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Does BatchNorm work by reducing internal covariate shift?

    Plain stochastic gradient descent on a small ConvNet, with the same starting weights and batches
    without BatchNorm, with it, and with it and `Noise`. Smoothness and shift are measured, before
    every `EVERY`-th step, in trainings at the rate that is best without BatchNorm, which is the
    fairest to the network without it, and at the best rate of each.

    Parameters
    ----------
    samples : Samples
    seeds : sequence of int
    rates : sequence of float
        Rising.
    n_epochs : int
    n_layers : int
        Convolutions.
    progress : Progress

    Returns
    -------
    dict
        JSON-ready figures, with a ``sentence``.
    """
    tasks = {seed: draw_task(samples, N_TRAIN, n_val=N_VAL, seed=seed) for seed in seeds}
    with one_thread():
        logs, watched, choices = _trainings(tasks, rates, n_epochs, n_layers, progress)
    best = choices[-1]
    found: dict[str, Any] = {
        "data": samples.name,
        "n_train": len(tasks[seeds[0]].labels),
        "n_layers": n_layers + 1,
        "seeds": list(seeds),
        "rates": list(rates),
        "best_rates": best,
        "step_lengths": list(STEP_LENGTHS),
        "grid": {
            kind: [_cell(rate, logs[kind, rate], samples) for rate in rates] for kind in KINDS
        },
        "gain": _gain("with", logs, best),
        "looks": [_look(at, logs, watched) for at in choices],
    }
    found["cause"] = say_cause(found)
    found["worth"] = say_worth(found)
    return {
        "sentence": say_answer(found),
        "detail": f"{found['looks'][0]['shift']} {found['cause']}",
        **found,
    }


_Measured = dict[str, Any]
_Logs = dict[tuple[str, float], list[Log]]
_Watched = dict[tuple[str, float], list[_Measured]]


def _trainings(
    tasks: dict[int, Task],
    rates: Sequence[float],
    n_epochs: int,
    n_layers: int,
    progress: Progress,
) -> tuple[_Logs, _Watched, list[dict[str, float]]]:
    """The whole grid; what was measured; and at which rates: one for all, then the best of each."""
    n_jobs = len(KINDS) * len(tasks) * (len(rates) + 2)
    done = 0

    def fit(kind: str, rate: float, seed: int, is_watched: bool = False) -> tuple[Log, _Measured]:
        nonlocal done
        network = _network(tasks[seed], kind, n_layers, seed)
        watch = _Watch(network, rate)
        log = _train(network, tasks[seed], rate, n_epochs, seed, watch if is_watched else None)
        done += 1
        progress("train", done, n_jobs)
        return log, watch.result() if is_watched else {}

    pairs = [(kind, rate) for kind in KINDS for rate in rates]
    logs = {(kind, rate): [fit(kind, rate, seed)[0] for seed in tasks] for kind, rate in pairs}
    best = {kind: min(rates, key=lambda r: _mean_loss(logs[kind, r])) for kind in KINDS}
    choices = [dict.fromkeys(KINDS, best["without"]), best]
    looked_at = dict.fromkeys(pair for at in choices for pair in at.items())
    watched = {
        (kind, rate): [fit(kind, rate, seed, True)[1] for seed in tasks] for kind, rate in looked_at
    }
    progress("train", n_jobs, n_jobs)
    return logs, watched, choices


class _Watch:
    """Called before each step of a training: measures every `EVERY`-th one."""

    def __init__(self, network: nn.Module, rate: float) -> None:
        self._network, self._rate = network, rate
        self._layers = trained_layers(network)
        self._steps: list[int] = []
        self._smooth: list[dict[str, float]] = []
        self._shifts: list[list[dict[str, float]]] = []

    def __call__(self, step: int, images: Tensor, labels: Tensor) -> None:
        if step % EVERY:
            return
        # A forward pass moves BatchNorm's running statistics, which looking must not.
        kept = {name: b.clone() for name, b in self._network.named_buffers()}

        def loss() -> Tensor:
            return F.cross_entropy(self._network(images), labels)

        lengths = [self._rate * times for times in STEP_LENGTHS]
        smooth = smoothness(loss, list(self._network.parameters()), lengths)
        shifts = covariate_shift(loss, self._layers, [self._rate] * len(self._layers))
        with torch.no_grad():
            for name, buffer in self._network.named_buffers():
                buffer.copy_(kept[name])
        self._steps.append(step)
        self._smooth.append(vars(smooth))
        # The lowest layer has nothing below it.
        self._shifts.append(
            [
                {
                    "shift": s.distance,
                    "relative_shift": s.relative,
                    "angle": math.degrees(math.acos(s.cosine)),
                }
                for s in shifts[1:]
            ]
        )

    def result(self) -> _Measured:
        """Means over the steps, by layer, and by step."""
        flat = [
            {
                **smooth,
                **{key: sum(s[key] for s in shifts) / len(shifts) for key in shifts[0]},
            }
            for smooth, shifts in zip(self._smooth, self._shifts, strict=True)
        ]
        n = len(flat)
        return {
            "steps": self._steps,
            "mean": {name: sum(each[name] for each in flat) / n for name in MEASURES},
            "by_step": {name: [each[name] for each in flat] for name in MEASURES},
            "by_layer": {
                key: [
                    sum(shifts[i][key] for shifts in self._shifts) / n
                    for i in range(len(self._shifts[0]))
                ]
                for key in ("shift", "relative_shift", "angle")
            },
        }


def _network(task: Task, kind: str, n_layers: int, seed: int) -> nn.Sequential:
    return convnet(
        task.images.shape[1],
        task.n_classes,
        width=WIDTH,
        n_layers=n_layers,
        norm=kind,
        seed=seed,
    )


def _train(
    network: nn.Module,
    task: Task,
    rate: float,
    n_epochs: int,
    seed: int,
    on_step: OnStep | None = None,
) -> Log:
    return train_small(
        network,
        task,
        sgd(rate),
        n_epochs=n_epochs,
        batch_size=BATCH,
        seed=seed,
        check_every=CHECK_EVERY,
        on_step=on_step,
    )


def _mean_loss(logs: Sequence[Log]) -> float:
    """Over epochs and seeds; infinite where one diverged."""
    if any(log.has_diverged for log in logs):
        return math.inf
    return sum(sum(e.train_loss for e in log.history[1:]) for log in logs)


def _cell(rate: float, logs: Sequence[Log], samples: Samples) -> dict[str, Any]:
    guess = math.log(len(samples.classes))
    trained = [not log.has_diverged and log.last.train_loss < TRAINED * guess for log in logs]
    return {
        "rate": rate,
        "train_accuracy": triple(share_over_seeds([log.last.train_accuracy for log in logs])),
        "val_accuracy": triple(share_over_seeds([log.last.val_accuracy for log in logs])),
        "n_trained": sum(trained),
        "n_diverged": sum(log.has_diverged for log in logs),
    }


def _gain(kind: str, logs: _Logs, at: dict[str, float]) -> list[float | None]:
    """Validation accuracy less that without BatchNorm, at these rates."""
    val = {k: [log.last.val_accuracy for log in logs[k, at[k]]] for k in (kind, "without")}
    return triple(over_seeds(differences(val[kind], val["without"])))


def _look(
    at: dict[str, float],
    logs: _Logs,
    watched: _Watched,
) -> dict[str, Any]:
    """All that was measured at these rates, and what it answers."""
    measured = {kind: watched[kind, at[kind]] for kind in KINDS}
    look: dict[str, Any] = {
        "rates": dict(at),
        "gain": {kind: _gain(kind, logs, at) for kind in KINDS[1:]},
        "measures": {name: _compared(measured, name) for name in MEASURES},
    }
    return {
        **look,
        "shift": say_shift(look),
        "smooth": say_smoothness(look["measures"]),
        "by_layer": _by_layer(measured),
        "by_step": _by_step(measured),
    }


def _compared(measured: dict[str, list[_Measured]], name: str) -> dict[str, Any]:
    """One measure of all three, and how many times as large it is as without BatchNorm."""
    values = {kind: [m["mean"][name] for m in measured[kind]] for kind in KINDS}
    return {
        **{kind: triple(over_seeds(values[kind], at_least=0.0)) for kind in KINDS},
        "ratio": _ratio(values["with"], values["without"]),
        "noisy_ratio": _ratio(values["noisy"], values["without"]),
    }


def _ratio(above: Sequence[float], below: Sequence[float]) -> list[float | None]:
    """Of no value where one diverged or is zero."""
    if all(math.isfinite(v) and v > 0 for v in (*above, *below)):
        return triple(ratio_over_seeds(above, below))
    return [None, None, None]


def _by_layer(measured: dict[str, list[_Measured]]) -> dict[str, Any]:
    return {
        kind: {
            key: [
                triple(
                    over_seeds(
                        [m["by_layer"][key][i] for m in measured[kind]],
                        at_least=0.0,
                        at_most=180.0 if key == "angle" else math.inf,
                    )
                )
                for i in range(len(measured[kind][0]["by_layer"][key]))
            ]
            for key in ("shift", "relative_shift", "angle")
        }
        for kind in KINDS
    }


def _by_step(measured: dict[str, list[_Measured]]) -> dict[str, Any]:
    n = min(len(m["steps"]) for each in measured.values() for m in each)
    return {
        "steps": measured["with"][0]["steps"][:n],
        **{
            kind: {
                name: [
                    _geometric([m["by_step"][name][i] for m in measured[kind]]) for i in range(n)
                ]
                for name in MEASURES
            }
            for kind in KINDS
        },
    }


def _geometric(values: Sequence[float]) -> list[float | None]:
    """The geometric mean with its interval, for figures with a logarithmic axis."""
    return _ratio(values, [1.0] * len(values))
