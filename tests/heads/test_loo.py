from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.heads import LinearSVM, leave_one_out


@pytest.mark.parametrize(("n", "d"), [(40, 60), (60, 8)], ids=["gram", "primal"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_leave_one_out__comes_close_to_training_without_each_example(
    clusters: Any, n: int, d: int, n_classes: int, C: float
) -> None:
    X, y = clusters(n, d, n_classes, noise=2.0)
    found = leave_one_out(X, y, C, device="cpu")
    brute = np.empty((n, n_classes))
    for i in range(n):
        rest = np.arange(n) != i
        score = LinearSVM(C, tol=1e-8, device="cpu").fit(X[rest], y[rest]).decision_function(X[[i]])
        brute[i] = (-score[0], score[0]) if n_classes == 2 else score[0]
    assert found.decisions.shape == brute.shape
    assert np.quantile(np.abs(found.decisions - brute), 0.95) < 0.15
    assert np.abs(found.decisions - brute).mean() < 0.025
    assert (found.correct == (brute.argmax(axis=1) == y)).mean() >= 0.95
    # The scores of the full model are much further off: the correction is what does it.
    full = LinearSVM(C, tol=1e-8, device="cpu").fit(X, y).decision_function(X)
    full = np.stack([-full, full], axis=1) if n_classes == 2 else full
    assert np.abs(full - brute).mean() > 3 * np.abs(found.decisions - brute).mean()


def test_leave_one_out__refuses_a_cost_that_is_not_positive() -> None:
    with pytest.raises(ValueError, match="C must be above 0; got 0"):
        leave_one_out(np.eye(4), [0, 1, 0, 1], 0)
