"""The figures of an epoch of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict


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
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; NaN becomes None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Epoch:
        """Read what `to_dict` wrote."""
        values: dict[str, Any] = {k: float("nan") if v is None else v for k, v in data.items()}
        return cls(**values)


class Curves(TypedDict):
    """One value per epoch; NaN if not measured."""

    epochs: list[int]
    train_loss: list[float]
    val_loss: list[float]
    train_accuracy: list[float]
    val_accuracy: list[float]


def curves_of(history: Sequence[Mapping[str, Any]]) -> Curves:
    """Columns for plotting learning curves from the dictionaries of `Epoch.to_dict`."""

    def column(name: str) -> list[float]:
        return [float("nan") if epoch[name] is None else epoch[name] for epoch in history]

    return Curves(
        epochs=[int(epoch["epoch"]) for epoch in history],  # JSON may hold 1.0
        train_loss=column("train_loss"),
        val_loss=column("val_loss"),
        train_accuracy=column("train_accuracy"),
        val_accuracy=column("val_accuracy"),
    )
