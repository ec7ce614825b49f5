"""How many images are enough: accuracy against images a class, and what more of them would bring.

Everything comes from stored features: nested random subsets of the training images, each with a
linear SVM on the last layer, scored on the same test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.experiments.features import Block, BlockReader, View, labels_of
from headstart.heads import (
    Interval,
    LinearSVM,
    repeated_accuracy,
)
from headstart.probe import judge, training_folds
from headstart.probe.judging import TOLERANCE
from headstart.probe.learning_curve import choose_counts, learning_curve, random_order, take
from headstart.probe.powerlaw import MIN_POINTS, CurveFit, fit_curve
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index, Record

# A forecast is checked where the largest count fitted to is at most this share of the count told.
CHECK_SHARE = 0.5
# Below this many images a class accuracies of repeats scatter more than a law can be judged by.
CHECK_FROM = 10


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A count foretold from smaller ones, and what was measured there.

    Attributes
    ----------
    n : int
        Images a class.
    fitted_to : int
        The largest count that the law was fitted to.
    told : (value, low, high)
        Accuracy with the 95 % interval of a measurement.
    measured : float
        Mean of the repeats.
    """

    n: int
    fitted_to: int
    told: tuple[float, float, float]
    measured: float

    @property
    def is_inside(self) -> bool:
        """Whether the measured accuracy lies in the interval."""
        return self.told[1] <= self.measured <= self.told[2]


@dataclass(frozen=True, kw_only=True)
class DataSize:
    """A learning curve over images a class.

    Attributes
    ----------
    block : Block
    counts : tuple of int
        Images a class asked for; a class with fewer gives all it has.
    means : tuple of float
        Images a class that a subset really had, on average over the classes.
    correct : bool array (n_repeats, n_counts, n_test)
        Whether each test image was recognised.
    C : float
        Of all SVMs: the best in cross-validation on the largest subset of the first repeat.
    n_classes, n_train : int
    has_own_test : bool
        Whether the test images were given; else they are a fifth of the training images.
    """

    block: Block
    counts: tuple[int, ...]
    means: tuple[float, ...]
    correct: NDArray[np.bool_]
    C: float
    n_classes: int
    n_train: int
    has_own_test: bool

    @property
    def n_repeats(self) -> int:
        """Random orders of the training images."""
        return int(self.correct.shape[0])

    @property
    def n_test(self) -> int:
        """Images scored."""
        return int(self.correct.shape[2])

    @property
    def errors(self) -> NDArray[np.float64]:
        """Share not recognised, (n_repeats, n_counts)."""
        return np.asarray(1 - self.correct.mean(axis=2))

    def accuracy(self, i: int) -> Interval:
        """Mean of the repeats with the i-th count, with a 95 % interval."""
        return repeated_accuracy(self.correct[:, i])

    def fit(self, up_to: float = np.inf) -> CurveFit:
        """The power law through the counts that are at most `up_to`."""
        here = [i for i, mean in enumerate(self.means) if mean <= up_to]
        return fit_curve([self.means[i] for i in here], self.errors[:, here], self.n_test)

    def forecasts(self) -> list[Forecast]:
        """Each count told from those at most half as large, where these are enough."""
        told = []
        for i, mean in enumerate(self.means):
            below = [m for m in self.means if m <= CHECK_SHARE * mean]
            if mean < CHECK_FROM or len(below) < MIN_POINTS + 1:
                continue
            fit = self.fit(below[-1])
            told.append(
                Forecast(
                    n=self.counts[i], fitted_to=self.counts[len(below) - 1],
                    told=fit.accuracy(mean), measured=float(self.correct[:, i].mean()),
                )
            )  # fmt: skip
        return told


def measure_datasize(
    index: Index,
    backbone: Backbone,
    *,
    tap: str | None = None,
    size_px: int | None = None,
    counts: Sequence[int] | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> DataSize:
    """Fit the linear SVM on nested subsets of the training images, and score the test images.

    Parameters
    ----------
    index : Index
    backbone : Backbone
    tap : str, optional
        Default the last layer before the logits.
    size_px : int, optional
        Side of the crops; default the backbone's own.
    counts : sequence of int, optional
        Images a class; default 1, 2, 3, 5, 7, 10, 20, ... up to all of a class of median size.
    seeds : sequence of int
        One a repeat, which takes the images in another order.
    device, cache, progress
        As everywhere.

    Returns
    -------
    DataSize

    Raises
    ------
    DataError
        There are too few images for a curve, or a count is more than any class has.
    """
    from headstart.finetune.network import features_tap

    name = backbone.tap(tap).name if tap else features_tap(backbone).name
    view = View(size_px=size_px or backbone.preprocessing.size_px)
    block = Block(tap=name, view=view)
    train, test = division(index)
    reader = BlockReader(
        backbone=backbone, views=(view,), device=device, cache=cache, progress=progress
    )
    reader.extract([*train, *test])
    X, y = reader.read(block, train), labels_of(train)
    X_test, y_test = reader.read(block, test), labels_of(test)
    chosen = choose_counts(y, counts)
    largest = take(y, random_order(train, seeds[0]), chosen[-1])
    C = _best_cost(index, [train[i] for i in largest], X[largest], seeds[0])

    def recognise(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        svm = LinearSVM(C, normalize="none", tol=TOLERANCE).fit(X[rows], y[rows])
        return np.asarray(svm.predict(X_test) == y_test)

    means, correct = learning_curve(train, chosen, seeds, recognise, progress)
    return DataSize(
        block=block, counts=chosen, means=means, correct=correct, C=C,
        n_classes=len(np.unique(y)), n_train=len(train), has_own_test=bool(index.test),
    )  # fmt: skip


def division(index: Index) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Images to fit on and images to score: the test images, else a fifth of the training images.

    Raises
    ------
    DataError
        There are too few images of a class.
    """
    from headstart.data import training_records

    train = training_records(index)
    if index.test:
        return train, index.test
    folds = training_folds(index, train)
    fit = tuple(r for r, k in zip(train, folds, strict=True) if k != 0)
    held_out = tuple(r for r, k in zip(train, folds, strict=True) if k == 0)
    if missing := {r.label for r in train} - {r.label for r in fit}:
        raise DataError(
            f"class {min(missing)!r} has no image left to fit on once a fifth is held out: "
            "give it some more, or leave it out"
        )
    return fit, held_out


def _best_cost(index: Index, records: Sequence[Record], X: NDArray[np.float32], seed: int) -> float:
    """The best in cross-validation on a subset; 1 where a class has too few images to tell."""
    y = labels_of(records)
    if np.unique(y, return_counts=True)[1].min() < 2:
        return 1.0
    return judge(X, y, training_folds(index, records, seed=seed), normalize="none").C


def to_dict(size: DataSize, more: int) -> dict[str, Any]:
    """JSON-ready figures, with what `more` images a class would bring."""
    fit, n_now = size.fit(), size.means[-1]
    ahead = [n_now * f for f in (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)] + [n_now + more]
    grid = sorted({*size.means, *ahead})
    return {
        "tap": size.block.tap,
        "size_px": size.block.view.size_px,
        "C": size.C,
        "n_repeats": size.n_repeats,
        "n_train": size.n_train,
        "n_test": size.n_test,
        "n_classes": size.n_classes,
        "has_own_test": size.has_own_test,
        "points": [
            {
                "n": n,
                "mean_n": mean,
                "accuracy": _plain(size.accuracy(i)),
                "lowest": float(1 - size.errors[:, i].max()),
                "highest": float(1 - size.errors[:, i].min()),
            }
            for i, (n, mean) in enumerate(zip(size.counts, size.means, strict=True))
        ],
        "law": {"a": fit.law.a, "b": fit.law.b, "c": fit.law.c},
        "curve": [{"n": n, "accuracy": list(fit.accuracy(n))} for n in grid],
        "more": more,
        "now": n_now,
        "accuracy_then": list(fit.accuracy(n_now + more)),
        "gain": list(fit.gain(n_now, more)),
        "forecasts": [
            {
                "n": f.n,
                "fitted_to": f.fitted_to,
                "told": list(f.told),
                "measured": f.measured,
                "is_inside": f.is_inside,
            }
            for f in size.forecasts()
        ],
    }


def _plain(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]
