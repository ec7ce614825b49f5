"""The confusion matrix in ``metrics.json``: all of it for few classes, else what is not zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import RunError

# Up to so many classes every count is written.
MOST_DENSE = 50


def encode_counts(counts: NDArray[np.integer]) -> dict[str, Any]:
    """Counts (K, K) as ``rows``, or as ``cells``: row, column and count of those that are not zero."""
    if len(counts) <= MOST_DENSE:
        return {"rows": counts.tolist()}
    true, predicted = np.nonzero(counts)
    return {"cells": np.stack([true, predicted, counts[true, predicted]], axis=1).tolist()}


def read_counts(metrics: Mapping[str, Any]) -> NDArray[np.int64]:
    """Counts (K, K) of a run's metrics: true classes by predicted classes.

    Raises
    ------
    RunError
        There are neither ``rows`` nor ``cells``, or they do not fit the classes.
    """
    kept, n = metrics["confusion"], len(metrics["classes"])
    counts = np.zeros((n, n), dtype=np.int64)
    try:
        if "rows" in kept:
            counts[:] = np.array(kept["rows"], dtype=np.int64).reshape(n, n)
        else:
            cells = np.array(kept["cells"], dtype=np.int64).reshape(-1, 3)
            if cells.min(initial=0) < 0:
                raise ValueError("a cell is negative")
            counts[cells[:, 0], cells[:, 1]] = cells[:, 2]
    except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise RunError(
            f"metrics.json: the confusion matrix does not fit the {n} classes ({error}): fit again"
        ) from error
    return counts
