"""Diagnosis of learning curves, in words.

Losses are only compared with themselves: augmentation, mixing, smoothed labels and dropout shift the
training loss relative to the validation loss by amounts that say nothing about fit. Levels are compared
by accuracy. docs/learning-curves.md gives the reason for every threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.training.curves import Curves, binomial_error
from headstart.training.history import Epoch

# Fewer epochs have no shape.
MIN_EPOCHS = 4
# Minimum rise of the validation loss, as a share of the training loss's total fall.
RISE_SHARE = 0.05
# A straight line falls by a third in its last third; an exponential over three time constants by 0.09.
SLOW_SHARE = 0.20
UNFINISHED_SHARE = 0.10
# Chance-corrected accuracy below which the network does not fit its own images.
POOR_FIT = 0.8
# Training accuracy minus validation accuracy.
WIDE_GAP = 0.15
# Training accuracy: a typical jump between epochs, and a lasting loss, that do not occur with a good rate.
WILD_ACCURACY = 0.03
LOST_ACCURACY = 0.10
# Increases of the training loss as a share of all its changes; 0.5 is no progress.
WILD_SHARE = 0.25
# A first epoch with this multiple of the loss of guessing has diverged before learning.
JUMP = 3.0
# Label noise: validation accuracy lost after its peak while training accuracy gained as much.
FORGOTTEN = 0.03
MEMORISED = 0.10


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A finding about the curves."""

    # ``rate-too-high``, ``over-fits``, ``label-noise``, ``under-fits``, ``rate-too-low``,
    # ``unfinished``, ``gap``, ``too-short`` or ``fine``
    code: str
    sentence: str  # the observation, with epochs and figures
    suggestion: str  # what to try
    epoch: int | None = None  # first epoch, for a mark in the plot


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """Further facts about the training."""

    n_classes: int | None
    n_train: int | None
    n_val: int | None

    def above_chance(self, accuracy: float) -> float:
        """Accuracy scaled to 0 for guessing and 1 for perfect; unscaled if `n_classes` is None."""
        chance = 1 / self.n_classes if self.n_classes and self.n_classes > 1 else 0.0
        return (accuracy - chance) / (1 - chance)


def diagnose(
    history: Sequence[Epoch],
    *,
    n_classes: int | None = None,
    n_train: int | None = None,
    n_val: int | None = None,
) -> tuple[Finding, ...]:
    """Diagnose the learning curves of one training.

    Parameters
    ----------
    history : sequence of Epoch, length n_epochs
        In order; validation figures may be NaN, and findings that need them are then skipped.
    n_classes : int, optional
        For comparing accuracy and the first loss with guessing.
    n_train, n_val : int, optional
        Number of images; with few, accuracies must change more to count.

    Returns
    -------
    tuple of Finding
        At least one, the most serious first; only ``fine`` if nothing is wrong. A too high rate is
        reported alone, since it masks other findings.

    Notes
    -----
    The codes are invariant to adding constants to the training or validation losses and to
    multiplying both by a positive constant (if `n_classes` is None).
    """
    blown = _not_finite(history)
    if blown is not None:
        return (blown,)
    if len(history) < MIN_EPOCHS:
        return (_too_short(len(history)),)
    curves = Curves(history)
    task = _Task(n_classes=n_classes, n_train=n_train, n_val=n_val)
    wild = _rate_too_high(curves, task)
    if wild is not None:
        return (wild,)
    checks: tuple[Callable[[Curves, _Task], Finding | None], ...] = (
        _over_fits,
        _label_noise,
        _under_fits,
        _slow,
        _gap,
    )
    found = tuple(f for f in (check(curves, task) for check in checks) if f is not None)
    return found or (_fine(curves),)


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.1f} %"


def _not_finite(history: Sequence[Epoch]) -> Finding | None:
    for e in history:
        # Without validation images both figures are NaN; after divergence the accuracy is a number.
        has_val = math.isfinite(e.val_accuracy)
        if math.isfinite(e.train_loss) and (math.isfinite(e.val_loss) or not has_val):
            continue
        return Finding(
            code="rate-too-high",
            sentence=f"the loss is no longer a number from epoch {e.epoch}: training diverged",
            suggestion="divide the learning rate by 10, or clip gradients; if that does not help, "
            "look for images or weights that are not numbers",
            epoch=e.epoch,
        )
    return None


def _too_short(n_epochs: int) -> Finding:
    have = f"{n_epochs} epoch{'s' if n_epochs != 1 else ''}"
    return Finding(
        code="too-short",
        sentence=f"{have} cannot be judged: a curve needs {MIN_EPOCHS} or more",
        suggestion="train for more epochs if the accuracy is not enough",
    )


def _rate_too_high(c: Curves, task: _Task) -> Finding | None:
    seen = _lost(c, task) or _oscillates(c, task) or _jumped(c, task)
    if seen is None:
        return None
    return Finding(
        code="rate-too-high",
        sentence=f"the learning rate is too high: {seen[0]}",
        suggestion="divide the learning rate by 3 to 10, or warm up for longer",
        epoch=seen[1],
    )


def _lost(c: Curves, task: _Task) -> tuple[str, int] | None:
    """Training accuracy gained and then lost again."""
    best, end = int(c.train_accuracy.smooth.argmax()), c.train_accuracy.end
    bar = max(LOST_ACCURACY, 3 * binomial_error(end, task.n_train))
    if c.train_accuracy[best] - end < bar:
        return None
    top, epoch = _percent(c.train_accuracy[best]), c.epochs[best]
    return f"training accuracy fell from {top} near epoch {epoch} to {_percent(end)}", epoch


def _oscillates(c: Curves, task: _Task) -> tuple[str, int] | None:
    steps = np.diff(c.train_loss.raw)
    ups, moves = steps[steps > 0].sum(), np.abs(steps).sum()
    jitter = c.train_accuracy.noise
    bar = max(WILD_ACCURACY, 2 * binomial_error(0.5, task.n_train))
    if moves == 0 or ups / moves < WILD_SHARE or jitter < bar:
        return None
    words = (
        f"the training loss rose in {(steps > 0).sum()} of {len(steps)} epochs, and training "
        f"accuracy jumps by {100 * jitter:.0f} points from one epoch to the next"
    )
    return words, c.epochs[1 + int(np.argmax(steps > 0))]


def _jumped(c: Curves, task: _Task) -> tuple[str, int] | None:
    if not task.n_classes or task.n_classes < 2:
        return None
    guess, first = math.log(task.n_classes), float(c.train_loss.raw[0])
    if first < JUMP * guess:
        return None
    return f"the first epoch's loss is {first:.3g}, where guessing has {guess:.3g}", c.epochs[0]


def _rise(c: Curves) -> tuple[int, float]:
    """The epoch of the lowest validation loss, and the rise since; 0 if within the noise."""
    near = max(int(c.val_loss.smooth.argmin()) - 1, 0)
    # Smoothing shifts the minimum of an asymmetric curve by an epoch; use the raw minimum nearby.
    low = near + int(c.val_loss.raw[near : near + 3].argmin())
    if not c.has_val or len(c.epochs) - 1 - low < 2:
        return low, 0.0
    rise = c.val_loss.end - float(c.val_loss.smooth.min())
    is_real = rise > max(4 * c.val_loss.noise, RISE_SHARE * c.fall)
    train_falls = c.train_loss[-1] <= c.train_loss[low] + c.train_loss.noise
    return low, rise if is_real and train_falls else 0.0


def _over_fits(c: Curves, task: _Task) -> Finding | None:
    low, rise = _rise(c)
    if not rise:
        return None
    kept, end = c.val_accuracy[low], c.val_accuracy.end
    bar = max(0.01, 2 * c.val_accuracy.noise, binomial_error(kept, task.n_val))
    tail = f"validation accuracy went from {_percent(kept)} to {_percent(end)}"
    if kept - end <= bar:
        tail += ", so it is mostly false confidence that grows"
    return Finding(
        code="over-fits",
        sentence=f"over-fits from epoch {c.epochs[low + 1]}: the validation loss rose from "
        f"{c.val_loss.raw[low]:.3g} to {c.val_loss.raw[-1]:.3g} while the training loss went from "
        f"{c.train_loss.raw[low]:.3g} to {c.train_loss.raw[-1]:.3g}; {tail}",
        suggestion=f"keep the weights of epoch {c.epochs[low]} (early stopping), augment more, or "
        "train fewer layers",
        epoch=c.epochs[low + 1],
    )


def _label_noise(c: Curves, task: _Task) -> Finding | None:
    """General patterns are learnt first, then wrong labels are memorised (Arpit 2017, Liu 2020)."""
    if not _rise(c)[1]:
        return None
    peak = int(c.val_accuracy.smooth.argmax())
    top, end = c.val_accuracy[peak], c.val_accuracy.end
    bar = max(FORGOTTEN, 3 * c.val_accuracy.noise, 2 * binomial_error(top, task.n_val))
    gained = c.train_accuracy.end - c.train_accuracy[peak]
    if top - end < bar or gained < MEMORISED:
        return None
    epoch = c.epochs[peak]
    return Finding(
        code="label-noise",
        sentence=f"wrong labels are suspected: after epoch {epoch} training accuracy rose by another "
        f"{100 * gained:.0f} points to {_percent(c.train_accuracy.end)} while validation accuracy "
        f"fell from {_percent(top)} to {_percent(end)}, as when labels are learnt by heart",
        suggestion='look through "Labels to check" in the report of headstart fit, stop at epoch '
        f"{epoch}, or smooth the labels",
        epoch=epoch,
    )


def _under_fits(c: Curves, task: _Task) -> Finding | None:
    train = c.train_accuracy.end
    val = c.val_accuracy.end if c.has_val else train
    # Augmented training images may be harder than validation images, so the better accuracy counts.
    fit = task.above_chance(max(train, val))
    if fit >= POOR_FIT or train - val >= WIDE_GAP or _rise(c)[1] or _late(c):
        return None
    beside = f" and {_percent(val)} of the validation images" if c.has_val else ""
    if fit < 0.1:
        beside += ", hardly better than guessing (the rate may be far from right)"
    return Finding(
        code="under-fits",
        sentence=f"under-fits: {_percent(train)} of the training images{beside} are right, and the "
        "training loss no longer falls",
        suggestion="train more layers, take a larger backbone or resolution, or weaken augmentation "
        "and weight decay; images that cannot be told apart look the same",
    )


def _late(c: Curves) -> str | None:
    """``rate-too-low`` or ``unfinished`` if the losses still fall beyond their noise."""
    if c.late_share < UNFINISHED_SHARE or c.late_fall < 3 * c.train_loss.noise or _rise(c)[1]:
        return None
    gain = c.val_loss[c.tail] - c.val_loss.end
    if c.has_val and gain < max(2 * c.val_loss.noise, UNFINISHED_SHARE / 2 * c.fall):
        return None
    return "rate-too-low" if c.late_share >= SLOW_SHARE else "unfinished"


def _slow(c: Curves, task: _Task) -> Finding | None:
    code, begin = _late(c), c.epochs[c.tail]
    if code is None:
        return None
    seen = (
        f"{100 * c.late_share:.0f} % of its fall came after epoch {begin}, from "
        f"{c.train_loss[c.tail]:.3g} to {c.train_loss[-1]:.3g}"
    )
    if code == "unfinished":
        return Finding(
            code=code,
            sentence=f"not finished: the training loss still falls; {seen}",
            suggestion="train for more epochs",
            epoch=begin,
        )
    return Finding(
        code=code,
        sentence="the learning rate is too low, or the training too short: the training loss falls "
        f"almost evenly to the end; {seen}",
        suggestion="multiply the learning rate by 3 to 10 (a range test shows how far), or train for "
        "longer",
        epoch=begin,
    )


def _gap(c: Curves, task: _Task) -> Finding | None:
    if not c.has_val or _rise(c)[1]:
        return None
    train, val = c.train_accuracy.end, c.val_accuracy.end
    if train - val < max(WIDE_GAP, 2 * binomial_error(val, task.n_val)):
        return None
    return Finding(
        code="gap",
        sentence=f"{_percent(train)} of the training images are right but {_percent(val)} of the "
        "validation images, though the validation loss does not rise",
        suggestion="more images or more augmentation help most; stopping earlier does not",
    )


def _fine(c: Curves) -> Finding:
    if not c.has_val:
        return Finding(
            code="fine",
            sentence=f"learns as it should: training accuracy {_percent(c.train_accuracy.end)}; "
            "without validation images over-fitting cannot be seen",
            suggestion="keep images for validation",
        )
    best = int(np.argmin(c.val_loss.raw))
    return Finding(
        code="fine",
        sentence=f"learns as it should: the validation loss is least at epoch {c.epochs[best]} of "
        f"{len(c.epochs)}, with {_percent(float(c.val_accuracy.raw[best]))} right",
        suggestion="nothing to change",
        epoch=c.epochs[best],
    )
