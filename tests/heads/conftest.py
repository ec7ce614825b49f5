from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Clusters = Callable[..., tuple[NDArray[np.float32], NDArray[np.int64]]]


@pytest.fixture
def clusters() -> Clusters:
    """Makes features of unit length in overlapping clusters, as pooled CNN features are."""

    def make(
        n: int, d: int, n_classes: int, *, noise: float = 1.0, seed: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rng = np.random.default_rng(seed)
        y = np.arange(n) % n_classes
        centres = rng.standard_normal((n_classes, d))
        X = np.maximum(centres[y] + noise * rng.standard_normal((n, d)), 0)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
        return X.astype(np.float32), y

    return make
