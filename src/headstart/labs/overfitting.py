"""Capacity against data: how wide a network may be for how many images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.finetune.diagnosis import diagnose
from headstart.heads import is_significant, significance
from headstart.labs.networks import perceptron
from headstart.labs.samples import Samples, draw_task
from headstart.labs.spread import differences, over_seeds, share_over_seeds, triple
from headstart.labs.training import Log, adam, one_thread, train_small
from headstart.progress import Progress, silent
from headstart.wording import points

WIDTHS = (2, 8, 32, 128, 512)
SIZES = (50, 200, 800)
N_EPOCHS, STEPS_AN_EPOCH, RATE = 40, 10, 3e-3


def overfitting_trial(
    samples: Samples,
    seeds: Sequence[int],
    *,
    widths: Sequence[int] = WIDTHS,
    sizes: Sequence[int] = SIZES,
    n_epochs: int = N_EPOCHS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train and validation accuracy on a grid of widths and numbers of images, with a diagnosis.

    A perceptron of one hidden layer, trained by Adam. A batch is a tenth of the images, so that
    every training takes the same number of steps. Validation images are the same within a seed, and
    the larger training sets contain the smaller ones.

    Parameters
    ----------
    samples : Samples
    seeds : sequence of int
    widths : sequence of int
        Of the hidden layer, rising.
    sizes : sequence of int
        Training images, rising; what the data do not have is left out.
    n_epochs : int
    progress : Progress

    Returns
    -------
    dict
        JSON-ready figures, with a ``sentence``.
    """
    sizes = _there(samples, sizes)
    logs: dict[tuple[int, int], list[Log]] = {}
    with one_thread():
        for i, (n, width) in enumerate((n, width) for n in sizes for width in widths):
            logs[n, width] = []
            for j, seed in enumerate(seeds):
                logs[n, width].append(_train(samples, n, width, seed, n_epochs))
                progress("train", i * len(seeds) + j + 1, len(sizes) * len(widths) * len(seeds))
    n_val = len(draw_task(samples, sizes[-1], seed=seeds[0]).val_labels)
    cells = [
        _cell(n, width, logs[n, width], len(samples.classes), n_val)
        for n in sizes
        for width in widths
    ]
    found = {
        "data": samples.name,
        "seeds": list(seeds),
        "widths": list(widths),
        "sizes": list(sizes),
        "n_val": n_val,
        "n_epochs": n_epochs,
        "cells": cells,
    }
    return {"sentence": _sentence(found), "detail": _detail(found), **found}


def _there(samples: Samples, sizes: Sequence[int]) -> list[int]:
    """The sizes that the data have, or fractions of them where they have but one."""
    most = len(draw_task(samples, len(samples), seed=0).labels)
    kept = [n for n in sizes if n <= most]
    return kept if len(kept) > 1 else sorted({max(10, most // 8), max(10, most // 3), most})


def _train(samples: Samples, n: int, width: int, seed: int, n_epochs: int) -> Log:
    task = draw_task(samples, n, seed=seed)
    network = perceptron(task.images[0].numel(), task.n_classes, hidden=(width,), seed=seed)
    return train_small(
        network,
        task,
        adam(RATE),
        n_epochs=n_epochs,
        batch_size=max(2, len(task.labels) // STEPS_AN_EPOCH),
        seed=seed,
    )


def _cell(n: int, width: int, logs: Sequence[Log], n_classes: int, n_val: int) -> dict[str, Any]:
    train = [log.last.train_accuracy for log in logs]
    val = [log.last.val_accuracy for log in logs]
    # The start, before any epoch, is no part of a learning curve.
    histories = [log.history[1:] for log in logs]
    found = [diagnose(h, n_classes=n_classes, n_train=n, n_val=n_val) for h in histories]
    codes = [finding.code for findings in found for finding in findings]
    return {
        "n": n,
        "width": width,
        "train_accuracy": triple(share_over_seeds(train)),
        "val_accuracy": triple(share_over_seeds(val)),
        "gap": triple(over_seeds(differences(train, val))),
        "val_by_seed": val,
        "gap_by_seed": differences(train, val),
        "codes": {code: codes.count(code) for code in dict.fromkeys(codes)},
        "history": [epoch.to_dict() for epoch in histories[0]],
        "diagnosis": [f"{f.sentence}: {f.suggestion}" for f in found[0]],
    }


def cell(found: dict[str, Any], n: int, width: int) -> dict[str, Any]:
    """One place of the grid."""
    return next(c for c in found["cells"] if (c["n"], c["width"]) == (n, width))


def _sentence(found: dict[str, Any]) -> str:
    """Whether more images close the gap of the widest network."""
    few, many = found["sizes"][0], found["sizes"][-1]
    wide = found["widths"][-1]
    poor, rich = cell(found, few, wide), cell(found, many, wide)
    closed = over_seeds(differences(poor["gap_by_seed"], rich["gap_by_seed"]))
    verb = "close" if closed.value > 0 else "widen"
    if not is_significant(closed):
        verb = "do not close"
    before, after = (points(c["gap"][0], sign=False) for c in (poor, rich))
    return (
        f"At width {wide} more images {verb} the gap between training and validation accuracy: "
        f"{before} points with {few}, {after} with {many} ({significance(closed)})."
    )


def _detail(found: dict[str, Any]) -> str:
    few, many, narrow = found["sizes"][0], found["sizes"][-1], found["widths"][0]
    starved = cell(found, many, narrow)
    return (
        f"At width {narrow} the network fits {100 * starved['train_accuracy'][0]:.0f} % of {many} "
        f"training images. {_harm(found, few)}"
    )


def _harm(found: dict[str, Any], n: int) -> str:
    """Whether more width than the best costs validation accuracy where there are few images."""
    row = [cell(found, n, width) for width in found["widths"]]
    best = max(row, key=lambda c: c["val_accuracy"][0])
    widest = row[-1]
    lost = over_seeds(differences(best["val_by_seed"], widest["val_by_seed"]))
    if best is widest or points(lost.value) == "0.0":
        return (
            f"With {n} images no network has a higher validation accuracy than the widest: too much "
            "capacity does not harm here."
        )
    return (
        f"With {n} images width {widest['width']} is {points(lost.value, sign=False)} points below "
        f"width {best['width']} on validation images ({significance(lost)}): too much capacity "
        f"{'harms' if is_significant(lost) else 'does not harm here, as far as can be told'}."
    )
