"""Training from nothing on the same nested subsets: what pretraining saves in images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.experiments.compact import compact_backbone
from headstart.experiments.features import labels_of
from headstart.experiments.size.measure import DataSize, division
from headstart.heads import Interval, accuracy_interval
from headstart.probe.learning_curve import random_order, take
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.data import Index

SIZE_PX = 64
# Steps, not epochs, are what few images need as many of as many images do.
MIN_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class ScratchPoint:
    """One training from random weights.

    Attributes
    ----------
    n : int
        Images a class.
    correct : bool array (n_test,)
    seconds : float
    """

    n: int
    correct: NDArray[np.bool_]
    seconds: float

    @property
    def accuracy(self) -> Interval:
        """On the test images, with a 95 % interval."""
        return accuracy_interval(self.correct)


def scratch_counts(counts: Sequence[int]) -> tuple[int, ...]:
    """A few of the learning curve's counts: all, about a third, about a tenth."""
    most = counts[-1]
    near = [min(counts, key=lambda n: abs(np.log(n * share / most))) for share in (1, 3, 10)]
    return tuple(sorted(set(near)))


def train_from_scratch(
    index: Index,
    counts: Sequence[int],
    *,
    size_px: int = SIZE_PX,
    epochs: int = 30,
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> tuple[ScratchPoint, ...]:
    """Train a compact network from random weights on the first `n` images a class, for each count.

    Parameters
    ----------
    index : Index
    counts : sequence of int
        Images a class; the subsets are those of `measure_datasize` with the same seed.
    size_px : int, default 64
    epochs : int, default 30
        With few images there are more, so that no training has fewer than `MIN_STEPS` steps.
    seed, device, cache, progress
        As everywhere.
    """
    from headstart.features import cache_folder
    from headstart.finetune import TrainSettings, train

    # All of its layers are trained, from the random weights that it comes with.
    net = compact_backbone(size_px, seed=seed)
    records, test = division(index)
    y, order = labels_of(records), random_order(records, seed)
    points = []
    for n in counts:
        rows = take(y, order, n)
        steps = -(-len(rows) // 32)
        settings = TrainSettings(
            regime="all", size_px=size_px, epochs=max(epochs, -(-MIN_STEPS // steps)),
            layer_decay=1.0, normalise=False, keep="last", seed=seed,
        )  # fmt: skip
        trained = train(
            net, [records[i] for i in rows], (), index.classes, settings,
            folder=None, cache=cache or cache_folder(), device=device or "auto", progress=progress,
        )  # fmt: skip
        correct = np.array(trained.predict(test, progress=progress)) == labels_of(test)
        points.append(ScratchPoint(n=n, correct=correct, seconds=trained.seconds))
    return tuple(points)


def equal_count(size: DataSize, accuracy: float) -> float | None:
    """Images a class with which the frozen features reach `accuracy`; None where they never do.

    Between two measured counts, along the straight line over the logarithm of the count.
    """
    reached = [size.accuracy(i).value for i in range(len(size.means))]
    if reached[0] >= accuracy:
        return size.means[0]
    for i in range(1, len(reached)):
        if reached[i] >= accuracy > reached[i - 1]:
            share = (accuracy - reached[i - 1]) / (reached[i] - reached[i - 1])
            low, high = np.log(size.means[i - 1]), np.log(size.means[i])
            return float(np.exp(low + share * (high - low)))
    return None


def to_dict(points: Sequence[ScratchPoint], size: DataSize, name: str) -> dict[str, Any]:
    """JSON-ready figures."""
    return {
        "name": name,
        "points": [
            {
                "n": p.n,
                "accuracy": [p.accuracy.value, p.accuracy.low, p.accuracy.high],
                "seconds": p.seconds,
                "equal_n": equal_count(size, p.accuracy.value),
            }
            for p in points
        ],
    }
