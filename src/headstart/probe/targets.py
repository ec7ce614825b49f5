"""Cross-validation of a ridge regression on several labels, or on a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.records import Example
from headstart.data.targets import kind_of
from headstart.heads.multilabel import precision_merits
from headstart.heads.regression import squared_merits
from headstart.heads.ridge_targets import FIRST_RIDGE, HeldOutRidge, sweep_targets
from headstart.probe.judging import Scores, keep, recall, width


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is to be predicted of some examples."""

    names: tuple[str, ...]  # length K; the labels; of a number its name
    Y: NDArray[np.float64]  # (n, K); 1 where an example has the label, else 0; or the number
    is_number: bool

    @classmethod
    def of(cls, records: Sequence[Example], names: Sequence[str]) -> Truth:
        """Of examples whose targets are labels among `names`, or numbers."""
        is_number = bool(records) and kind_of(records[0].target) == "numbers"
        if is_number:
            values = np.array([[r.target] for r in records], dtype=np.float64)
            return cls(names=tuple(names), Y=values, is_number=True)
        at = {name: k for k, name in enumerate(names)}
        Y = np.zeros((len(records), len(names)))
        for row, record in zip(Y, records, strict=True):
            assert isinstance(record.target, tuple)
            row[[at[name] for name in record.target]] = 1
        return cls(names=tuple(names), Y=Y, is_number=False)

    @property
    def has(self) -> NDArray[np.bool_]:
        """Which labels each example has, (n, K)."""
        return self.Y > 0.5

    @property
    def center(self) -> float:
        """What the regression subtracts: the mean of numbers; of labels one half."""
        return float(self.Y.mean()) if self.is_number else 0.5

    @property
    def scale(self) -> float:
        """What it divides by: the standard deviation of numbers; of labels one half."""
        return float(self.Y.std()) if self.is_number else 0.5

    @property
    def targets(self) -> NDArray[np.float64]:
        """What the regression is given, (n, K): -1 and +1 of labels."""
        return (self.Y - self.center) / self.scale

    def merits(self, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
        """The merit of each example for the mean average precision, or for R2, (n,)."""
        if self.is_number:
            return squared_merits(self.targets[:, 0], predicted[:, 0])
        return precision_merits(self.has, predicted)

    def correct(self, predicted: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether all labels have the right sign, or a number is nearer than the mean of all, (n,)."""
        if self.is_number:
            error = np.abs(self.targets - predicted)[:, 0]
            return np.asarray(error < np.abs(self.targets[:, 0]))
        return np.asarray(((predicted > 0) == self.has).all(axis=1))


def judge_targets(
    X: Any,
    truth: Truth,
    folds: NDArray[np.integer],
    *,
    first: float = FIRST_RIDGE,
    kept_at: Path | None = None,
) -> Scores:
    """Cross-validate a ridge regression, and keep the predictions of the best strength.

    Parameters
    ----------
    X : ndarray or Rows of shape (n, d)
        Features; rows are brought to unit length.
    folds : int array (n,)
        The fold that holds each example out.
    first : float > 0
        The strength to begin with.
    kept_at : Path, optional
        File of the memo: read if it is there, else written.

    Returns
    -------
    Scores
        `C` is the strength, and `accuracy_by_C` the metric at each.
    """
    if kept_at is not None and (known := recall(kept_at)) is not None:
        return known
    held_out = HeldOutRidge(X, truth.targets, folds)
    merits, best, predicted = sweep_targets(held_out, truth.merits, first=first)
    found = Scores(
        n_features=width(X),
        C=best,
        accuracy_by_C=tuple(float(m.mean()) for m in merits.values()),
        decisions=predicted.astype(np.float32),
        correct=truth.correct(predicted),
        Cs=tuple(merits),
        optimised=merits[best],
    )
    if kept_at is None:
        return found
    keep(kept_at, found)
    return recall(kept_at) or found
