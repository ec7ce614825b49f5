"""Label sets that hold the true class as often as asked (conformal prediction)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import InputError, argument


def set_threshold(own: ArrayLike, level: float, *, name: str = "label_sets") -> float:
    """The probability from which a class belongs to the label set, for a coverage of ``level``.

    Split conformal prediction with the score ``1 - p_true``, which gives the smallest sets (Sadinle,
    Lei and Wasserman 2019, "Least ambiguous set-valued classifiers"). The scores are out-of-fold ones,
    and the model that is shipped is fitted on all examples. Its coverage is therefore measured rather
    than guaranteed: see ``docs/reliability.md``.

    Raises InputError where ``level`` lies outside (0, 1), or there are too few examples for it.

    Parameters
    ----------
    own : array-like of shape (n,)
        Probability of the true class of each example, by a model that had not seen it.
    level : float in (0, 1)
        Share of new examples whose set is to hold the true class.
    name : str
        What the caller's parameter is called, for errors.

    Examples
    --------
    >>> set_threshold([0.9, 0.2, 0.8, 0.7], 0.75)
    0.2
    """
    probabilities = np.sort(np.asarray(own, dtype=np.float64))
    require_share(name, level)
    n = len(probabilities)
    rank = math.ceil((n + 1) * level - 1e-9)
    if rank > n:
        needed = math.ceil(level / (1 - level) - 1e-9)
        raise InputError(
            f"{argument(name)} {level:g} needs at least {needed:,} cross-validated examples, and the "
            f"run has {n:,}: ask for {math.floor(1e4 * n / (n + 1)) / 1e4:g} or less, or fit with more examples"
        )
    return float(probabilities[n - rank])


def label_sets(P: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Which classes each label set holds, (n, K): those from the threshold on, and the most probable.

    Parameters
    ----------
    P : array-like of shape (n, K)
        Class probabilities.
    threshold : float
        As of :func:`set_threshold`.
    """
    probabilities = np.asarray(P, dtype=np.float64)
    held = probabilities >= threshold
    held[np.arange(len(held)), probabilities.argmax(axis=1)] = True
    return np.asarray(held)


def require_share(name: str, value: float) -> None:
    """Raise InputError where a parameter is not a share strictly between 0 and 1."""
    if not 0 < value < 1:
        raise InputError(f"{argument(name)} must be a number between 0 and 1; got {value + 0!r}")
