"""Learning curves as arrays, smoothed, with the noise of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.finetune.history import Epoch

Floats = NDArray[np.float64]


class Curve:
    """One figure over the epochs.

    Attributes
    ----------
    raw, smooth : ndarray of shape (n_epochs,), float64
        As measured; and through `smoothed`.
    noise : float
        Jitter from epoch to epoch, see `noise`.
    end : float
        Mean of the last two smoothed values.
    """

    def __init__(self, values: Sequence[float]) -> None:
        self.raw: Floats = np.array(values, dtype=np.float64)
        self.smooth = smoothed(self.raw)
        self.noise = noise(self.raw)
        self.end = float(self.smooth[-2:].mean())

    def __getitem__(self, i: int) -> float:
        return float(self.smooth[i])


class Curves:
    """The four curves of a training without figures that are not numbers.

    Attributes
    ----------
    epochs : list of int
    train_loss, train_accuracy, val_loss, val_accuracy : Curve
    has_val : bool
        Whether every epoch has validation figures.
    fall : float
        How far the smoothed training loss fell: the unit in which losses are judged.
    """

    def __init__(self, history: Sequence[Epoch]) -> None:
        self.epochs = [e.epoch for e in history]
        self.train_loss = Curve([e.train_loss for e in history])
        self.train_accuracy = Curve([e.train_accuracy for e in history])
        self.has_val = all(math.isfinite(e.val_loss) for e in history)
        # Validation figures that are missing are never read; zeros keep the arithmetic quiet.
        self.val_loss = Curve([e.val_loss if self.has_val else 0.0 for e in history])
        self.val_accuracy = Curve([e.val_accuracy if self.has_val else 0.0 for e in history])
        self.fall = float(self.train_loss[0] - self.train_loss.smooth.min())

    @property
    def tail(self) -> int:
        """Where the last third begins."""
        return len(self.epochs) - 1 - max(1, len(self.epochs) // 3)

    @property
    def late_fall(self) -> float:
        """How far the training loss fell in the last third."""
        return self.train_loss[self.tail] - self.train_loss[-1]

    @property
    def late_share(self) -> float:
        """How much of the training loss's fall was made in the last third."""
        return self.late_fall / self.fall if self.fall > 0 else 0.0


def smoothed(values: Floats) -> Floats:
    """A running median of three against single spikes, then a running mean of three.

    The ends use what there is of their window.
    """
    flat = np.array([np.median(values[max(0, i - 1) : i + 2]) for i in range(len(values))])
    return np.array([flat[max(0, i - 1) : i + 2].mean() for i in range(len(flat))])


def noise(values: Floats) -> float:
    """Standard deviation of the jitter from epoch to epoch, untouched by trends.

    From the median size of the second differences, whose variance is six times that of the jitter;
    0 for fewer than three values.
    """
    if len(values) < 3:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(values, 2))) / math.sqrt(6))


def binomial_error(accuracy: float, n: int | None) -> float:
    """Standard error of an accuracy on `n` images; 0 where `n` is not told."""
    return math.sqrt(max(accuracy * (1 - accuracy), 0.0) / n) if n else 0.0
