"""Learning curves as arrays, smoothed, with estimates of their noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.training.history import Epoch

Floats = NDArray[np.float64]


class Curve:
    """One figure over the epochs.

    Attributes
    ----------
    raw, smooth : ndarray of shape (n_epochs,), float64
        As measured, and after `smoothed`.
    noise : float
        Jitter between epochs; see `noise`.
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
    """The four curves of a training, without NaN.

    Attributes
    ----------
    has_val : bool
        Whether every epoch has validation figures.
    fall : float
        Total fall of the smoothed training loss, the unit for changes of losses.
    """

    def __init__(self, history: Sequence[Epoch]) -> None:
        self.epochs = [e.epoch for e in history]
        self.train_loss = Curve([e.train_loss for e in history])
        self.train_accuracy = Curve([e.train_accuracy for e in history])
        self.has_val = all(math.isfinite(e.val_loss) for e in history)
        # Missing validation figures are not used; zeros avoid NaN warnings.
        self.val_loss = Curve([e.val_loss if self.has_val else 0.0 for e in history])
        self.val_accuracy = Curve([e.val_accuracy if self.has_val else 0.0 for e in history])
        self.fall = float(self.train_loss[0] - self.train_loss.smooth.min())

    @property
    def tail(self) -> int:
        """Index at which the last third begins."""
        return len(self.epochs) - 1 - max(1, len(self.epochs) // 3)

    @property
    def late_fall(self) -> float:
        """Fall of the training loss in the last third."""
        return self.train_loss[self.tail] - self.train_loss[-1]

    @property
    def late_share(self) -> float:
        """Share of the training loss's fall in the last third."""
        return self.late_fall / self.fall if self.fall > 0 else 0.0


def smoothed(values: Floats) -> Floats:
    """A running median of three, against single spikes, then a running mean of three.

    At the ends the window is truncated.
    """
    flat = np.array([np.median(values[max(0, i - 1) : i + 2]) for i in range(len(values))])
    return np.array([flat[max(0, i - 1) : i + 2].mean() for i in range(len(flat))])


def noise(values: Floats) -> float:
    """Standard deviation of the jitter between epochs, independent of trends.

    From the median size of the second differences, whose variance is six times that of the jitter;
    0 for fewer than three values.
    """
    if len(values) < 3:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(values, 2))) / math.sqrt(6))


def binomial_error(accuracy: float, n: int | None) -> float:
    """Standard error of an accuracy on `n` images; 0 if `n` is None."""
    return math.sqrt(max(accuracy * (1 - accuracy), 0.0) / n) if n else 0.0
