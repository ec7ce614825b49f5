"""With and without BatchNorm: which rates train, how smooth the loss is, how far layers shift.

Ioffe and Szegedy (2015) explain BatchNorm by reduced internal covariate shift; Santurkar et al.
(2018) by a smoother loss. Both are measured here, also, as in the second paper, for a network with
noise after each BatchNorm: more shift, but still BatchNorm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.augment.searching import one_thread
from headstart.course.labs.batchnorm import words
from headstart.course.labs.batchnorm.landscape import covariate_shift, smoothness
from headstart.course.labs.batchnorm.result import (
    KINDS,
    MEASURES,
    BatchnormResult,
    Cell,
    Comparison,
    Look,
)
from headstart.course.labs.networks import convnet, trained_layers
from headstart.course.labs.samples import Samples, Task, draw_task
from headstart.course.labs.spread import (
    UNKNOWN,
    differences,
    over_seeds,
    ratio_over_seeds,
    share_over_seeds,
)
from headstart.course.labs.training import Log, OnStep, sgd, train_small
from headstart.progress import Progress, silent
from headstart.results import Difference, Interval

RATES = (0.03, 0.1, 0.3, 1.0, 3.0)
N_TRAIN, N_VAL, BATCH, N_EPOCHS, WIDTH, N_LAYERS = 500, 500, 50, 20, 8, 4
# Epochs between evaluations, and steps between measurements.
CHECK_EVERY, EVERY = 5, 20
# Santurkar's range: from half to four times the learning rate.
STEP_LENGTHS = (0.5, 1.0, 2.0, 3.0, 4.0)
# A network counts as trained below this share of the loss of guessing.
TRAINED = 0.5

_Logs = dict[tuple[str, float], list[Log]]
_Probes = dict[tuple[str, float], list["Probe"]]


def measure(
    samples: Samples,
    seeds: Sequence[int],
    *,
    rates: Sequence[float] = RATES,
    n_epochs: int = N_EPOCHS,
    n_layers: int = N_LAYERS,
    progress: Progress = silent,
) -> BatchnormResult:
    """Test whether BatchNorm works by reducing internal covariate shift.

    Plain stochastic gradient descent on a small ConvNet without BatchNorm, with it, and with it and
    `Noise`, from the same initial weights and with the same batches. Smoothness and shift are
    measured before every `EVERY`-th step, in trainings with the rate that is best without BatchNorm
    (the fairest for the network without it) and with the best rate of each.

    `rates`: rising. `n_layers`: number of convolutions.
    """
    tasks = {seed: draw_task(samples, N_TRAIN, n_val=N_VAL, seed=seed) for seed in seeds}
    with one_thread():
        logs, probes, choices = _trainings(tasks, rates, n_epochs, n_layers, progress)
    guess = math.log(len(samples.classes))
    found = BatchnormResult(
        data=samples.name,
        n_train=len(tasks[seeds[0]].labels),
        n_layers=n_layers + 1,
        seeds=list(seeds),
        rates=list(rates),
        best_rates=choices[-1],
        step_lengths=list(STEP_LENGTHS),
        grid={kind: [_cell(rate, logs[kind, rate], guess) for rate in rates] for kind in KINDS},
        gain=_gain("with", logs, choices[-1]),
        looks=[_look(at, logs, probes) for at in choices],
    )
    cause = words.say_cause(found)
    return msgspec.structs.replace(
        found,
        sentence=words.say_answer(found),
        detail=f"{words.say_shift(found.looks[0])} {cause}",
        cause=cause,
        worth=words.say_worth(found),
    )


def _trainings(
    tasks: dict[int, Task],
    rates: Sequence[float],
    n_epochs: int,
    n_layers: int,
    progress: Progress,
) -> tuple[_Logs, _Probes, list[dict[str, float]]]:
    """The whole grid, the measurements, and their rates: one for all, then the best of each."""
    n_jobs = len(KINDS) * len(tasks) * (len(rates) + 2)
    done = 0

    def fit(kind: str, rate: float, seed: int, *, is_probed: bool) -> tuple[Log, Probe]:
        nonlocal done
        network = small_network(tasks[seed], kind, n_layers, seed)
        probe = Probe(network, rate)
        log = train(network, tasks[seed], rate, n_epochs, seed, probe if is_probed else None)
        done += 1
        progress("train", done, n_jobs)
        return log, probe

    logs = {
        (kind, rate): [fit(kind, rate, seed, is_probed=False)[0] for seed in tasks]
        for kind in KINDS
        for rate in rates
    }
    best = {kind: min(rates, key=lambda r: _mean_loss(logs[kind, r])) for kind in KINDS}
    choices = [dict.fromkeys(KINDS, best["without"]), best]
    probes = {
        (kind, rate): [fit(kind, rate, seed, is_probed=True)[1] for seed in tasks]
        for kind, rate in dict.fromkeys(pair for at in choices for pair in at.items())
    }
    progress("train", n_jobs, n_jobs)
    return logs, probes, choices


class Probe:
    """Measures the loss before every `EVERY`-th step of a training.

    Attributes
    ----------
    values : list of dict of `MEASURES` to float
        One per step, averaged over the layers.
    layers : list of lists of dicts
        One per step; the shift of each layer from the second on.
    """

    def __init__(self, network: nn.Module, rate: float) -> None:
        self._network, self._rate = network, rate
        self._layers = trained_layers(network)
        self.steps: list[int] = []
        self.values: list[dict[str, float]] = []
        self.layers: list[list[dict[str, float]]] = []

    def __call__(self, step: int, images: Tensor, labels: Tensor) -> None:
        if step % EVERY:
            return
        # A forward pass updates BatchNorm's running statistics, which measuring must not.
        kept = {name: b.clone() for name, b in self._network.named_buffers()}

        def loss() -> Tensor:
            return F.cross_entropy(self._network(images), labels)

        lengths = [self._rate * times for times in STEP_LENGTHS]
        smooth = smoothness(loss, list(self._network.parameters()), lengths)
        shifts = covariate_shift(loss, self._layers, [self._rate] * len(self._layers))
        with torch.no_grad():
            for name, buffer in self._network.named_buffers():
                buffer.copy_(kept[name])
        layers = [
            {
                "shift": s.distance,
                "relative_shift": s.relative,
                "angle": math.degrees(math.acos(s.cosine)),
            }
            for s in shifts[1:]  # the first layer has nothing below it
        ]
        self.steps.append(step)
        self.layers.append(layers)
        self.values.append(
            {**vars(smooth), **{key: _mean(layer[key] for layer in layers) for key in layers[0]}}
        )

    def mean(self, name: str) -> float:
        """The mean of one measure over the steps."""
        return _mean(value[name] for value in self.values)

    def mean_of_layer(self, name: str, layer: int) -> float:
        """The mean of one measure of one layer over the steps."""
        return _mean(layers[layer][name] for layers in self.layers)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def small_network(task: Task, kind: str, n_layers: int, seed: int) -> nn.Sequential:
    """The ConvNet of this experiment."""
    n_channels = task.images.shape[1]
    return convnet(n_channels, task.n_classes, width=WIDTH, n_layers=n_layers, norm=kind, seed=seed)


def train(
    network: nn.Module,
    task: Task,
    rate: float,
    n_epochs: int,
    seed: int,
    on_step: OnStep | None = None,
) -> Log:
    """Train with the settings of this experiment."""
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


def _cell(rate: float, logs: Sequence[Log], guess: float) -> Cell:
    is_trained = [not log.has_diverged and log.last.train_loss < TRAINED * guess for log in logs]
    return Cell(
        rate=rate,
        train_accuracy=share_over_seeds([log.last.train_accuracy for log in logs]),
        val_accuracy=share_over_seeds([log.last.val_accuracy for log in logs]),
        n_trained=sum(is_trained),
        n_diverged=sum(log.has_diverged for log in logs),
    )


def _gain(kind: str, logs: _Logs, at: dict[str, float]) -> Difference:
    """Validation accuracy minus that without BatchNorm, at these rates."""
    val = {k: [log.last.val_accuracy for log in logs[k, at[k]]] for k in (kind, "without")}
    return Difference(*over_seeds(differences(val[kind], val["without"])))


def _look(at: dict[str, float], logs: _Logs, probes: _Probes) -> Look:
    """Everything that was measured at these rates."""
    probed = {kind: probes[kind, at[kind]] for kind in KINDS}
    n_steps = min(len(probe.steps) for each in probed.values() for probe in each)
    n_layers = len(probed["with"][0].layers[0])
    return Look(
        rates=dict(at),
        gain={kind: _gain(kind, logs, at) for kind in KINDS[1:]},
        measures={name: _comparison(probed, name) for name in MEASURES},
        steps=probed["with"][0].steps[:n_steps],
        variation={
            kind: [_geometric([p.values[i]["variation"] for p in each]) for i in range(n_steps)]
            for kind, each in probed.items()
        },
        angle_by_layer={
            kind: [
                over_seeds([p.mean_of_layer("angle", i) for p in each], at_least=0.0, at_most=180.0)
                for i in range(n_layers)
            ]
            for kind, each in probed.items()
        },
    )


def _comparison(probed: dict[str, list[Probe]], name: str) -> Comparison:
    values = {kind: [probe.mean(name) for probe in each] for kind, each in probed.items()}
    return Comparison(
        values={kind: over_seeds(values[kind], at_least=0.0) for kind in KINDS},
        ratio=_ratio(values["with"], values["without"]),
        noisy_ratio=_ratio(values["noisy"], values["without"]),
    )


def _ratio(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Unknown where one diverged or is zero."""
    if all(math.isfinite(v) and v > 0 for v in (*above, *below)):
        return ratio_over_seeds(above, below)
    return UNKNOWN


def _geometric(values: Sequence[float]) -> Interval:
    """The geometric mean, for a logarithmic axis."""
    return _ratio(values, [1.0] * len(values))
