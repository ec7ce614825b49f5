"""The gap between training and validation against the dropout rate, with few images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.heads import Interval, is_significant, significance
from headstart.labs.networks import perceptron
from headstart.labs.samples import Samples, draw_task
from headstart.labs.spread import differences, over_seeds, share_over_seeds, triple
from headstart.labs.training import Log, adam, one_thread, train_small
from headstart.progress import Progress, silent
from headstart.wording import points, signed_points

RATES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8)
COMPARED = 0.5
"""The rate that is compared with none: Srivastava's for hidden layers, chosen before measuring."""

N_TRAIN, BATCH, N_EPOCHS, HIDDEN, RATE = 200, 25, 50, (256, 256), 1e-3
MEASURES = ("train_accuracy", "val_accuracy", "accuracy_gap", "val_loss", "loss_gap")


def dropout_trial(
    samples: Samples,
    seeds: Sequence[int],
    *,
    rates: Sequence[float] = RATES,
    n_epochs: int = N_EPOCHS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Does dropout narrow the gap, and does validation gain?

    A perceptron of two hidden layers, trained by Adam. Both accuracies are those of the network at
    rest, so the gap is not the one between a hindered and a whole network. A seed draws the images,
    the start, the batches and what is dropped.

    Parameters
    ----------
    samples : Samples
    seeds : sequence of int
    rates : sequence of float in [0, 1)
        With 0 and `COMPARED`.
    n_epochs : int
    progress : Progress

    Returns
    -------
    dict
        JSON-ready figures, with a ``sentence``.
    """
    logs: dict[float, list[Log]] = {}
    with one_thread():
        for i, rate in enumerate(rates):
            logs[rate] = []
            for j, seed in enumerate(seeds):
                logs[rate].append(_train(samples, rate, seed, n_epochs))
                progress("train", i * len(seeds) + j + 1, len(rates) * len(seeds))
    n_train = len(draw_task(samples, N_TRAIN, seed=seeds[0]).labels)
    values = {rate: _measures(logs[rate]) for rate in rates}
    rows = [
        {
            "rate": rate,
            **{name: triple(_interval(name, values[rate][name])) for name in MEASURES},
            "change": {
                name: triple(over_seeds(differences(values[rate][name], values[0.0][name])))
                for name in MEASURES
            },
        }
        for rate in rates
    ]
    found = {
        "data": samples.name,
        "n_train": n_train,
        "seeds": list(seeds),
        "n_epochs": n_epochs,
        "compared": COMPARED,
        "rows": rows,
        "by_seed": {f"{rate:g}": values[rate] for rate in rates},
    }
    return {"sentence": _sentence(values, n_train), "detail": _detail(values), **found}


def _interval(name: str, values: Sequence[float]) -> Interval:
    return share_over_seeds(values) if name.endswith("_accuracy") else over_seeds(values)


def _train(samples: Samples, rate: float, seed: int, n_epochs: int) -> Log:
    task = draw_task(samples, N_TRAIN, seed=seed)
    network = perceptron(
        task.images[0].numel(), task.n_classes, hidden=HIDDEN, dropout=rate, seed=seed
    )
    return train_small(network, task, adam(RATE), n_epochs=n_epochs, batch_size=BATCH, seed=seed)


def _measures(logs: Sequence[Log]) -> dict[str, list[float]]:
    """The figures of each seed's last epoch."""
    last = [log.last for log in logs]
    return {
        "train_accuracy": [e.train_accuracy for e in last],
        "val_accuracy": [e.val_accuracy for e in last],
        "accuracy_gap": [e.train_accuracy - e.val_accuracy for e in last],
        "val_loss": [e.val_loss for e in last],
        "loss_gap": [e.val_loss - e.train_loss for e in last],
    }


def _sentence(values: dict[float, dict[str, list[float]]], n_train: int) -> str:
    """Whether dropout narrows the gap in accuracy."""
    none, some = values[0.0], values[COMPARED]
    gap = over_seeds(differences(some["accuracy_gap"], none["accuracy_gap"]))
    before, after = (points(over_seeds(v["accuracy_gap"]).value, sign=False) for v in (none, some))
    verb = "narrows" if gap.value < 0 else "widens"
    if not is_significant(gap):
        verb = "does not change"
    return (
        f"With {n_train} training images dropout at {COMPARED:g} {verb} the gap between "
        f"training and validation accuracy: {before} points without, {after} with ({significance(gap)})."
    )


def _detail(values: dict[float, dict[str, list[float]]]) -> str:
    none, some = values[0.0], values[COMPARED]
    val = over_seeds(differences(some["val_accuracy"], none["val_accuracy"]))
    loss = over_seeds(differences(some["loss_gap"], none["loss_gap"]))
    third = "narrows" if loss.value < 0 else "widens"
    if not is_significant(loss):
        third = "does not change"
    return (
        f"Validation accuracy changes by {signed_points(val.value, val.low, val.high)} points "
        f"({significance(val)}); the gap in loss {third} ({significance(loss)})."
    )
