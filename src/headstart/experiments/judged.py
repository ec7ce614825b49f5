"""Blocks of features judged by cross-validation, and models fitted on them and tested once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import before_output
from headstart.data.groups import groups_of, require_enough_groups
from headstart.data.records import Examples, R
from headstart.data.training import training_records
from headstart.errors import DataError
from headstart.experiments.features import Block, BlockReader, View, labels_of
from headstart.heads import PairedDifference, accuracy_interval, paired_gain
from headstart.heads.output_layer import fit_predict
from headstart.probe import judge, training_folds
from headstart.probe.folds import N_FOLDS
from headstart.probe.judging import TOLERANCE
from headstart.results import Interval

if TYPE_CHECKING:
    from headstart.experiments.texts import TextBlockReader


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One block, judged by cross-validation on the training images."""

    block: Block
    n_features: int
    C: float  # the most accurate of the grid
    # (n_train,); whether each image was recognised by the fold's model that had not seen it
    correct: NDArray[np.bool_]
    groups: list[str] | None = None  # the group of each image, where the data have groups

    @property
    def accuracy(self) -> Interval:
        """Cross-validated, with a 95 % interval."""
        return accuracy_interval(self.correct, groups=self.groups)

    def gain(self, other: Judged) -> PairedDifference:
        """Cross-validated accuracy less that of another block."""
        return paired_gain(self.correct, other.correct, groups=self.groups)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model on one or more blocks, fitted on all training images and scored on the test images."""

    blocks: tuple[Block, ...]
    n_features: int
    C: float
    cv_correct: NDArray[np.bool_]  # (n_train,)
    test_correct: NDArray[np.bool_]  # (n_test,); empty where there are no test images
    # groups, test_groups: the group of each image, where the data have groups
    groups: list[str] | None = None
    test_groups: list[str] | None = None

    @property
    def cv(self) -> Interval:
        """Cross-validated accuracy on the training images."""
        return accuracy_interval(self.cv_correct, groups=self.groups)

    @property
    def test(self) -> Interval | None:
        """Test accuracy; None without test images."""
        if not self.test_correct.size:
            return None
        return accuracy_interval(self.test_correct, groups=self.test_groups)

    def cv_gain(self, other: Fitted) -> PairedDifference:
        """Cross-validated accuracy less that of another model."""
        return paired_gain(self.cv_correct, other.cv_correct, groups=self.groups)

    def test_gain(self, other: Fitted) -> PairedDifference | None:
        """Test accuracy less that of another model; None without test images."""
        if not self.test_correct.size:
            return None
        return paired_gain(self.test_correct, other.test_correct, groups=self.test_groups)


def usual_block(taps: Sequence[str], views: Sequence[View], own_px: int) -> Block:
    """The usual choice: the last layer before the logits, in the view nearest the network's own."""
    view = min(views, key=lambda v: (v.is_whole, abs(v.size_px - own_px), v.size_px))
    return Block(tap=before_output(taps)[-1], view=view)


def repeated_folds(
    index: Examples[R], seed: int, n_repeats: int = 1
) -> tuple[tuple[R, ...], NDArray[np.str_], NDArray[np.int64]]:
    """Training examples, their labels, and their folds (n_repeats, n); duplicates and groups share a fold.

    Raises DataError where there are fewer than two classes, or fewer groups than folds.
    """
    train = training_records(index)
    y = labels_of(train)
    if len(np.unique(y)) < 2:
        raise DataError(f"the training examples are of {len(np.unique(y))} class; two are needed")
    require_enough_groups(train, N_FOLDS)
    folds = [training_folds(index, train, seed=seed + i) for i in range(n_repeats)]
    return train, y, np.array(folds)


def judge_block(
    reader: BlockReader | TextBlockReader,
    block: Block,
    train: Sequence[Any],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
) -> Judged:
    """Cross-validate the linear SVM on one block."""
    X = reader.read(block, train)
    found = judge(X, y, folds, normalize="none")
    return Judged(
        block=block,
        n_features=X.shape[1],
        C=found.C,
        correct=found.correct,
        groups=groups_of(train),
    )


def score(
    blocks: tuple[Block, ...],
    reader: BlockReader | TextBlockReader,
    train: Sequence[Any],
    test: Sequence[Any],
    folds: NDArray[np.int64],
    known: Mapping[Block, Judged],
) -> Fitted:
    """Choose C by cross-validation, fit on all training images, score the test images.

    A single block was cross-validated before, and is among the `known`.
    """
    y, X = labels_of(train), reader.join(blocks, train)
    if len(blocks) == 1:
        C, cv_correct = known[blocks[0]].C, known[blocks[0]].correct
    else:
        found = judge(X, y, folds, normalize="none")
        C, cv_correct = found.C, found.correct
    correct = np.empty(0, dtype=bool)
    if test:
        said = fit_predict(X, y, reader.join(blocks, test), C, TOLERANCE)
        correct = np.asarray(said == labels_of(test))
    return Fitted(
        blocks=blocks,
        n_features=X.shape[1],
        C=C,
        cv_correct=cv_correct,
        test_correct=correct,
        groups=groups_of(train),
        test_groups=groups_of(test),
    )
