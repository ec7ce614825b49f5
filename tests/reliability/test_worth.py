"""The worth of labels against refits, and labels that cost accuracy, named or not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.heads import stratified_folds
from headstart.reliability.labels import RIDGE
from headstart.reliability.worth import COST, LabelCost, label_cost, worth_of


def blobs(n: int, spread: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Three classes of rows of unit length that overlap."""
    rng = np.random.default_rng(seed)
    member = np.arange(n) % 3
    X = rng.normal(size=(3, 12))[member] + spread * rng.normal(size=(n, 12))
    return X / np.linalg.norm(X, axis=1, keepdims=True), member


def refitted_margin(
    X: NDArray[np.float64], member: NDArray[np.intp], keep: NDArray[np.bool_], j: int, second: int
) -> float:
    Z = np.column_stack([X, np.ones(len(X))])
    Y = 2.0 * np.eye(3)[member] - 1
    A = Z[keep].T @ Z[keep] + RIDGE * np.eye(Z.shape[1])
    scores = Z[j] @ np.linalg.solve(A, Z[keep].T @ Y[keep])
    return float(scores[member[j]] - scores[second])


@pytest.mark.parametrize("are_grouped", [False, True])
def test_worth_of__is_what_refits_say(are_grouped: bool) -> None:
    X, member = blobs(24, 1.2, seed=1)
    units = np.arange(24) // 2 * are_grouped + np.arange(24) * (not are_grouped)
    found = worth_of(X, member, units, rows=[3, 10])
    for i, value in zip([3, 10], found.value, strict=True):
        total = 0.0
        for j in np.flatnonzero(units != units[i]).tolist():
            without = units != units[j]
            margins = []
            for second in set(range(3)) - {member[j]}:
                plain = refitted_margin(X, member, without, j, second)
                both = refitted_margin(X, member, without & (np.arange(24) != i), j, second)
                margins.append((plain, both))
            plain, both = min(margins)  # the class that is second with all of them
            assert plain == pytest.approx(found.margin[j])
            total += 1 / (1 + np.exp(-found.scale * plain)) - 1 / (1 + np.exp(-found.scale * both))
        assert value == pytest.approx(total, abs=1e-8)


def cost_of(member: NDArray[np.intp], X: NDArray[np.float64]) -> LabelCost:
    folds = [stratified_folds(member, n_folds=5, seed=s) for s in range(3)]
    return label_cost(X, member, folds)


def test_label_cost__names_wrong_labels_and_is_silent_on_right_ones() -> None:
    X, member = blobs(240, 0.75, seed=2)
    clean = cost_of(member, X)
    assert not clean.holds
    assert clean.worth.shape == (240,)
    given = member.copy()
    wrong = np.random.default_rng(0).choice(240, 60, replace=False)
    given[wrong] = (given[wrong] + 1) % 3
    found = cost_of(given, X)
    assert found.holds
    assert found.gain.low > 0
    assert np.isin(found.rows, wrong).mean() > 0.8
    assert (found.worth[found.rows] < -COST).all()
    assert (np.diff(found.worth[found.rows]) >= 0).all()
