"""Linear SVMs on nested subsets of the training images, and the law through their errors.

Everything comes from stored features of one layer, scored on the same test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of
from headstart.data.records import Example, Examples, R
from headstart.data.training import training_records
from headstart.errors import DataError
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.features import Block, BlockReader, View, labels_of
from headstart.experiments.size.result import CurvePoint, Forecast, Needed, Point, SizeResult
from headstart.experiments.size.scratch import train_from_scratch
from headstart.experiments.size.settings import Settings
from headstart.heads import repeated_accuracy
from headstart.probe import judge, training_folds
from headstart.probe.judging import TOLERANCE
from headstart.probe.learning_curve import (
    choose_counts,
    independent_tests,
    learning_curve,
    random_order,
    take,
)
from headstart.probe.powerlaw import (
    CHECK_FROM,
    CHECK_SHARE,
    MIN_POINTS,
    CurveFit,
    fit_curve,
)
from headstart.progress import Progress, silent
from headstart.results import Interval

if TYPE_CHECKING:
    from headstart.experiments.texts import TextBlockReader


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A measured learning curve."""

    counts: tuple[int, ...]  # images per class asked for
    means: tuple[float, ...]  # images per class that a subset really had
    # (n_repeats, n_counts, n_test); whether each test image was recognised
    correct: NDArray[np.bool_]
    groups: list[str] | None = None  # the group of each test image, where the data have groups

    @property
    def errors(self) -> NDArray[np.float64]:
        """Share not recognised, (n_repeats, n_counts)."""
        return np.asarray(1 - self.correct.mean(axis=2))

    def accuracy(self, i: int) -> Interval:
        """Mean of the repeats with the i-th count."""
        return repeated_accuracy(self.correct[:, i], groups=self.groups)

    def fit(self, up_to: float = np.inf) -> CurveFit:
        """The law through the counts that are at most `up_to`, with the noise of new groups."""
        here = [i for i, mean in enumerate(self.means) if mean <= up_to]
        n_test = independent_tests(self.correct[:, here], self.groups)
        return fit_curve([self.means[i] for i in here], self.errors[:, here], n_test)

    def points(self) -> tuple[Point, ...]:
        """Every count with its accuracy."""
        return tuple(
            Point(
                n=n,
                mean_n=mean,
                accuracy=self.accuracy(i),
                lowest=float(1 - self.errors[:, i].max()),
                highest=float(1 - self.errors[:, i].min()),
            )
            for i, (n, mean) in enumerate(zip(self.counts, self.means, strict=True))
        )

    def forecasts(self) -> tuple[Forecast, ...]:
        """Each count predicted from those at most half as large, where these are enough."""
        found = []
        for i, mean in enumerate(self.means):
            below = [m for m in self.means if m <= CHECK_SHARE * mean]
            if mean < CHECK_FROM or len(below) < MIN_POINTS + 1:
                continue
            predicted = self.fit(below[-1]).accuracy(mean)
            measured = float(self.correct[:, i].mean())
            found.append(
                Forecast(
                    n=self.counts[i],
                    fitted_to=self.counts[len(below) - 1],
                    predicted=predicted,
                    measured=measured,
                    is_inside=predicted.low <= measured <= predicted.high,
                )
            )
        return tuple(found)


def measure(s: Settings, inputs: Inputs) -> SizeResult:
    """Fit the linear SVM on nested subsets of the training images, and score the test images.

    Raises DataError where there are too few images for a curve, or a count is more than any class
    has.
    """
    if inputs.is_text:
        return _measure_texts(s, inputs)
    from headstart.training.network import features_tap

    net = inputs.backbone()
    index = inputs.index(split=s.split)
    view = View(size_px=s.size_px or net.preprocessing.size_px)
    block = Block(tap=net.tap(s.tap).name if s.tap else features_tap(net).name, view=view)
    net, notes = inputs.with_best_crop(net, index)
    train, test = division(index)
    reader = BlockReader(
        backbone=net, views=(view,), device=s.device, cache=inputs.cache, progress=inputs.progress
    )
    reader.extract([*train, *test])
    found = _result(s, inputs, index, reader, block, net.name, view.size_px, notes)
    if not s.scratch:
        return found
    scratch = train_from_scratch(train, test, found.points, s, inputs)
    return msgspec.structs.replace(found, scratch=scratch)


def _measure_texts(s: Settings, inputs: Inputs) -> SizeResult:
    """The same on the features of texts."""
    from headstart.experiments.texts import TextBlockReader, find_candidate

    index = inputs.text_index()
    source = inputs.text_source(division(index)[0])
    candidate = find_candidate(source, s.tap)
    block = Block(tap=candidate.taps[0], view="")
    reader = TextBlockReader(source=source, blocks={block: candidate})
    encoder = source.encoder if candidate.layers else None
    return _result(s, inputs, index, reader, block, encoder or "", None, ())


def _result(
    s: Settings,
    inputs: Inputs,
    index: Examples[Any],
    reader: BlockReader | TextBlockReader,
    block: Block,
    backbone: str,
    size_px: int | None,
    notes: Sequence[str],
) -> SizeResult:
    """The curve of one block, its law, and what that says."""
    train, test = division(index)
    curve, C = measure_curve(s, index, reader, block, inputs.progress)
    points, fit, now = curve.points(), curve.fit(), curve.means[-1]
    grid = {*curve.means, *(now * f for f in (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)), now + s.more}
    return SizeResult(
        settings=s,
        datasets=(DataFacts.of(index, notes),),
        data=index.root.name,
        backbone=backbone,
        tap=block.tap,
        size_px=size_px,
        C=C,
        n_repeats=s.seeds,
        n_train=len(train),
        n_test=len(test),
        n_classes=len({r.label for r in train}),
        has_own_test=bool(index.test),
        points=points,
        law=fit.law,
        curve=tuple(CurvePoint(n=n, accuracy=fit.accuracy(n)) for n in sorted(grid)),
        now=now,
        accuracy_then=fit.accuracy(now + s.more),
        gain=fit.gain(now, s.more),
        forecasts=curve.forecasts() if s.check else (),
        needed=None if s.accuracy is None else needed_for(s.accuracy, fit),
    )


def measure_curve(
    s: Settings,
    index: Examples[Any],
    reader: BlockReader | TextBlockReader,
    block: Block,
    progress: Progress = silent,
) -> tuple[Curve, float]:
    """The learning curve of the features of one layer, and the C of its SVMs."""
    train, test = division(index)
    X, y = reader.read(block, train), labels_of(train)
    chosen = choose_counts(y, s.sizes)
    largest = take(y, random_order(train, s.seed), chosen[-1])
    C = _best_cost(index, [train[i] for i in largest], X[largest], s.seed)
    means, correct = learning_curve(
        train,
        test,
        (X, reader.read(block, test)),
        C,
        TOLERANCE,
        counts=chosen,
        seeds=range(s.seed, s.seed + s.seeds),
        progress=progress,
    )
    return Curve(counts=chosen, means=means, correct=correct, groups=groups_of(test)), C


def needed_for(accuracy: float, fit: CurveFit) -> Needed:
    """Images per class with which the law reaches an accuracy, and the interval of its draws."""

    # The ends are counts that a draw gives: between a number and never there is no mean.
    low, high = np.quantile(
        [law.count(1 - accuracy) for law in fit.draws], [0.025, 0.975], method="nearest"
    )
    n = fit.law.count(1 - accuracy)
    ends = n, min(low, n), max(high, n)
    value, least, most = map(_finite, ends)
    return Needed(n=value, low=least, high=most)


def _finite(n: float) -> float | None:
    return float(n) if np.isfinite(n) else None


def division(index: Examples[R]) -> tuple[tuple[R, ...], tuple[R, ...]]:
    """Examples to fit on and examples to score: those of the test, else a fifth of the training ones.

    Raises DataError where there are too few of a class.
    """
    train = training_records(index)
    if index.test:
        return train, index.test
    folds = training_folds(index, train)
    fit = tuple(r for r, k in zip(train, folds, strict=True) if k != 0)
    held_out = tuple(r for r, k in zip(train, folds, strict=True) if k == 0)
    if missing := {r.label for r in train} - {r.label for r in fit}:
        raise DataError(
            f"class {min(missing)!r} has no example left to fit on once a fifth is held out: "
            "give it some more, or leave it out"
        )
    return fit, held_out


def _best_cost(index: Examples[Any], records: Sequence[Example], X: Any, seed: int) -> float:
    """The best in cross-validation on a subset; 1 where a class has too few examples to tell."""
    y = labels_of(records)
    if np.unique(y, return_counts=True)[1].min() < 2:
        return 1.0
    return judge(X, y, training_folds(index, records, seed=seed), normalize="none").C
