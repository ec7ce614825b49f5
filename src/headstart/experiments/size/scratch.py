"""Training from random weights on the same nested subsets: how many images pretraining saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.groups import groups_of
from headstart.experiments.compact import compact_backbone
from headstart.experiments.features import labels_of
from headstart.experiments.size.result import Point, ScratchPoint
from headstart.heads import accuracy_interval
from headstart.probe.learning_curve import random_order, take

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.experiments.experiment import Inputs
    from headstart.experiments.size.settings import Settings

SIZE_PX = 64
# Few images need as many steps, not epochs, as many do.
MIN_STEPS = 200


def scratch_counts(counts: Sequence[int]) -> tuple[int, ...]:
    """A few of the learning curve's counts: all, about a third, about a tenth."""
    most = counts[-1]
    near = [min(counts, key=lambda n: abs(np.log(n * share / most))) for share in (1, 3, 10)]
    return tuple(sorted(set(near)))


def train_from_scratch(
    records: Sequence[Record],
    test: Sequence[Record],
    points: Sequence[Point],
    s: Settings,
    inputs: Inputs,
) -> tuple[ScratchPoint, ...]:
    """Train a compact network from random weights on a few of the subsets of the first order.

    With few images there are more epochs than asked for, so that no training has fewer than
    `MIN_STEPS` steps.
    """
    from headstart.features import cache_folder
    from headstart.training import TrainSettings, train

    # All of its layers are trained, from the random weights that it comes with.
    net = compact_backbone(SIZE_PX, seed=s.seed)
    y, order = labels_of(records), random_order(records, s.seed)
    found = []
    for n in scratch_counts([p.n for p in points]):
        rows = take(y, order, n)
        steps = -(-len(rows) // 32)
        settings = TrainSettings(
            regime="all",
            size_px=SIZE_PX,
            epochs=max(s.epochs, -(-MIN_STEPS // steps)),
            layer_decay=1.0,
            normalise=False,
            keep="last",
            seed=s.seed,
        )
        trained = train(
            net,
            [records[i] for i in rows],
            (),
            tuple(np.unique(y).tolist()),
            settings,
            folder=None,
            cache=inputs.cache or cache_folder(),
            device=s.device or "auto",
            progress=inputs.progress,
        )
        correct = np.array(trained.predict(test, progress=inputs.progress)) == labels_of(test)
        accuracy = accuracy_interval(correct, groups=groups_of(test))
        found.append(
            ScratchPoint(
                n=n,
                accuracy=accuracy,
                seconds=trained.seconds,
                equal_n=equal_count(points, accuracy.value),
            )
        )
    return tuple(found)


def equal_count(points: Sequence[Point], accuracy: float) -> float | None:
    """Images per class with which the frozen features reach `accuracy`; None where they never do.

    Between two measured counts, along the straight line over the logarithm of the count.
    """
    reached = [p.accuracy.value for p in points]
    if reached[0] >= accuracy:
        return points[0].mean_n
    for i in range(1, len(reached)):
        if reached[i] >= accuracy > reached[i - 1]:
            share = (accuracy - reached[i - 1]) / (reached[i] - reached[i - 1])
            low, high = np.log(points[i - 1].mean_n), np.log(points[i].mean_n)
            return float(np.exp(low + share * (high - low)))
    return None
