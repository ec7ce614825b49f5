"""Thresholds of class probabilities, one per class, at a precision or a recall that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.accuracy import share_interval
from headstart.heads.criterion import read_weights
from headstart.results import Interval

Target = Literal["precision", "recall"]
# Shares nearer than this to the target reach it.
ROUNDING = 1e-12


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """What a threshold does to some examples."""

    n: int  # examples at or above the threshold
    precision: Interval | None  # share of them that are of the class; None where there are none
    # share of the class that is among them; None where the class has no example
    recall: Interval | None


class ClassThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """The threshold of one class."""

    name: str
    # an example is given the class where its probability is this or more; None where no threshold
    # reaches the target
    threshold: float | None
    best: float  # the highest precision, or recall, of any threshold
    chosen_on: Reached | None  # on the examples that it was chosen on, which flatters it
    test: Reached | None = None  # on test examples


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds of all classes.

    Attributes
    ----------
    target : {"precision", "recall"}
    value : float
        What each class was to reach.
    classes : tuple of ClassThreshold
    """

    target: Target
    value: float
    classes: tuple[ClassThreshold, ...]

    @property
    def unreached(self) -> list[ClassThreshold]:
        """The classes for which no threshold reaches the target."""
        return [c for c in self.classes if c.threshold is None]


def choose_thresholds(
    y: ArrayLike,
    P: ArrayLike,
    classes: Sequence[str],
    *,
    target: Target,
    value: float,
    sample_weight: ArrayLike | None = None,
) -> Thresholds:
    """The lowest threshold of each class at a precision, or the highest at a recall.

    Parameters
    ----------
    y : array-like of str, shape (n_samples,)
        True labels.
    P : array-like of float, shape (n_samples, n_classes)
        Calibrated probabilities of examples that the model did not see in training.
    classes : sequence of str
    target : {"precision", "recall"}
    value : float in (0, 1]
    sample_weight : array-like, shape (n_samples,), optional

    Returns
    -------
    Thresholds

    Raises
    ------
    ValueError
        `value` lies outside (0, 1], or the shapes do not fit.

    Examples
    --------
    >>> found = choose_thresholds(
    ...     ["a", "b", "a"], [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]], ["a", "b"],
    ...     target="precision", value=1.0)
    >>> found.classes[0].threshold
    0.75
    """
    if not 0 < value <= 1:
        raise ValueError(f"value must lie in (0, 1]; got {value!r}")
    labels, probabilities = np.asarray(y), np.asarray(P, dtype=np.float64)
    if probabilities.shape != (len(labels), len(classes)):
        raise ValueError(
            f"P must have the shape ({len(labels)}, {len(classes)}) of labels and classes; got "
            f"{probabilities.shape}"
        )
    w = read_weights(sample_weight, len(labels))
    found = []
    for k, name in enumerate(classes):
        own, p = labels == name, probabilities[:, k]
        threshold, best = _choose(own, p, w, target, value)
        on = None if threshold is None else _reached(own, p >= threshold, w)
        found.append(ClassThreshold(name=name, threshold=threshold, best=best, chosen_on=on))
    return Thresholds(target=target, value=value, classes=tuple(found))


def apply_thresholds(
    thresholds: Thresholds,
    y: ArrayLike,
    P: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
) -> Thresholds:
    """The same thresholds with what they reach on test examples; parameters as above."""
    labels, probabilities = np.asarray(y), np.asarray(P, dtype=np.float64)
    w = read_weights(sample_weight, len(labels))
    tested = [
        c
        if c.threshold is None
        else msgspec.structs.replace(
            c, test=_reached(labels == c.name, probabilities[:, k] >= c.threshold, w)
        )
        for k, c in enumerate(thresholds.classes)
    ]
    return msgspec.structs.replace(thresholds, classes=tuple(tested))


def _choose(
    own: NDArray[np.bool_],
    p: NDArray[np.float64],
    w: NDArray[np.float64],
    target: Target,
    value: float,
) -> tuple[float | None, float]:
    """The threshold, if one reaches the target, and the best that any reaches."""
    if not w[own].sum() > 0:
        return None, 0.0
    levels, at = np.unique(-p, return_inverse=True)
    at, n = at.reshape(-1), len(levels)
    hits = np.cumsum(np.bincount(at[own], weights=w[own], minlength=n))
    said = np.cumsum(np.bincount(at, weights=w, minlength=n))
    if target == "recall":
        share = hits / hits[-1]
    else:
        share = np.divide(hits, said, out=np.zeros(n), where=said > 0)
    enough = np.flatnonzero(share >= value - ROUNDING)
    if not enough.size:
        return None, float(share.max())
    i = int(enough[0] if target == "recall" else enough[-1])
    below = levels[i + 1] if i + 1 < n else levels[i]
    return -float(levels[i] + below) / 2, float(share.max())


def _reached(own: NDArray[np.bool_], said: NDArray[np.bool_], w: NDArray[np.float64]) -> Reached:
    return Reached(
        n=int(said.sum()), precision=_share(own[said], w[said]), recall=_share(said[own], w[own])
    )


def _share(hits: NDArray[np.bool_], w: NDArray[np.float64]) -> Interval | None:
    """Wilson's interval; weighted examples count as many as have the same variance."""
    total = float(w.sum())
    if not total > 0:
        return None
    return share_interval(float(w @ hits) / total, total**2 / float((w**2).sum()), 0.95)
