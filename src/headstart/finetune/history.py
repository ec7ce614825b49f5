"""What one epoch of training came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One pass over the training images, and the check on the validation images after it.

    Parameters
    ----------
    epoch : int
        From 1.
    train_loss : float
        Mean loss of the batches as they were trained on: augmented, with penalties left out.
    train_accuracy : float in [0, 1]
        Share of the same batches that was right before its own step; where images were mixed, a
        prediction counts as right when it is the class with the larger share.
    val_loss : float
        Mean cross-entropy on the validation images, without label smoothing; NaN without any.
    val_accuracy : float in [0, 1]
        NaN where there are no validation images.
    lr : float
        Rate of the output layer at the epoch's last step.
    seconds : float
        Training and validation together.
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
