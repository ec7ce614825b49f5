from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.heads import cross_validate, stratified_folds
from headstart.transfer.fitting import CS, N_FOLDS
from headstart.transfer.probe import linear_probe


def test_linear_probe__is_the_best_of_the_cross_validation() -> None:
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"])[np.arange(40) % 2]
    X = rng.normal(size=(40, 6)) + 0.8 * (y == "a")[:, None]
    found = linear_probe(X, y, seed=3)
    path = cross_validate(X, y, CS, stratified_folds(y, n_folds=N_FOLDS, seed=3))
    assert found.accuracy.value == pytest.approx(path.accuracy.max())
    assert found.C == path.C
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high


@pytest.mark.parametrize("y", [["a"] * 6, ["a", "b", "c"]])
def test_linear_probe__too_little_is_told(y: list[str]) -> None:
    with pytest.raises(DataError, match="cross-validation needs two classes or more"):
        linear_probe(np.eye(len(y)), y)
