"""The figures of an epoch of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypedDict

# JSON has null in place of NaN and infinity; it is read back as NaN.
if TYPE_CHECKING:
    Figure = float
else:
    Figure = float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One pass over the training images, and the evaluation after it.

    Parameters
    ----------
    epoch : int
        From 1.
    train_loss : float
        Mean loss of the augmented training batches, without penalties.
    train_accuracy : float in [0, 1]
        Accuracy on the same batches before their steps; for mixed images, the class with the larger
        weight counts as correct.
    val_loss : float
        Mean cross-entropy on the validation images, without label smoothing; NaN without any.
    val_accuracy : float in [0, 1]
        NaN without validation images. An image counts as often as its weight says, here and in `val_loss`;
        in `train_accuracy` once.
    lr : float
        Learning rate of the output layer at the last step of the epoch.
    seconds : float
        Training and validation.
    """

    epoch: int
    train_loss: Figure
    train_accuracy: Figure
    val_loss: Figure
    val_accuracy: Figure
    lr: Figure
    seconds: float

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) is None:
                object.__setattr__(self, field.name, math.nan)


class Curves(TypedDict):
    """One value per epoch; NaN if not measured."""

    epochs: list[int]
    train_loss: list[float]
    val_loss: list[float]
    train_accuracy: list[float]
    val_accuracy: list[float]


def curves_of(history: Sequence[Epoch]) -> Curves:
    """Columns for plotting learning curves."""
    return Curves(
        epochs=[e.epoch for e in history],
        train_loss=[e.train_loss for e in history],
        val_loss=[e.val_loss for e in history],
        train_accuracy=[e.train_accuracy for e in history],
        val_accuracy=[e.val_accuracy for e in history],
    )
