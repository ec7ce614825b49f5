"""A lower baseline: images of 16 x 16 pixels with nearest neighbours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.data import read_rgb
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.data import Record

SIDE_PX = 16
KS = (1, 3, 5, 9, 15, 25)


def tiny_images(
    records: Sequence[Record], *, side_px: int = SIDE_PX, progress: Progress = silent
) -> NDArray[np.float32]:
    """Every image squashed to a small square, centred, of unit length.

    The descriptor of Torralba, Fergus and Freeman (2008), "80 million tiny images".

    Raises DataError where a file can no longer be read.

    Parameters
    ----------
    side_px : int, default 16

    Returns
    -------
    float32 array (n, 3 * side_px**2)
    """
    rows = np.empty((len(records), 3 * side_px * side_px), np.float32)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        paths = [r.path for r in records]
        for i, row in enumerate(pool.map(lambda path: _tiny(path, side_px), paths)):
            rows[i] = row
            if i % 100 == 99 or i + 1 == len(records):
                progress("tiny images", i + 1, len(records))
    return rows


def _tiny(path: Path, side_px: int) -> NDArray[np.float32]:
    image = read_rgb(path, at_least=8 * side_px)
    small = image.resize((side_px, side_px), Image.Resampling.BOX)
    values = np.asarray(small, np.float32).ravel()
    values -= values.mean()
    length = float(np.linalg.norm(values)) or 1.0
    return values / length


def fit_neighbours(
    X: NDArray[np.float32], y: NDArray[np.str_], folds: NDArray[np.integer]
) -> tuple[Any, float]:
    """k nearest neighbours with the best ``k`` by cross-validation.

    Parameters
    ----------
    X : float32 array (n, d)
    y : array (n,) of str
    folds : int array (n,)
        The fold of each image.

    Returns
    -------
    model : sklearn.neighbors.KNeighborsClassifier
        Fitted on all rows.
    accuracy : float
        Cross-validated.
    """
    from sklearn.neighbors import KNeighborsClassifier

    n_least = min(int((folds != fold).sum()) for fold in np.unique(folds))
    ks = [k for k in KS if k <= n_least]
    right = dict.fromkeys(ks, 0)
    for fold in np.unique(folds):
        out = folds == fold
        for k in ks:
            model = KNeighborsClassifier(k, algorithm="brute").fit(X[~out], y[~out])
            right[k] += int((model.predict(X[out]) == y[out]).sum())
    best = max(ks, key=lambda k: (right[k], -k))
    return KNeighborsClassifier(best, algorithm="brute").fit(X, y), right[best] / len(y)
