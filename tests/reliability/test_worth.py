"""The worth of labels against refits, and labels that cost accuracy, named or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.heads import stratified_folds
from headstart.reliability.labels import RIDGE
from headstart.reliability.worth import COST, LabelCost, label_cost, worth_of
from headstart.results import Interval


def blobs(
    n: int, spread: float, seed: int, d: int = 12
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Three classes of rows of unit length that overlap."""
    rng = np.random.default_rng(seed)
    member = np.arange(n) % 3
    X = rng.normal(size=(3, d))[member] + spread * rng.normal(size=(n, d))
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
    X, member = blobs(30, 1.2, seed=1)
    uneven = np.flatnonzero((member > 0) | (np.arange(30) < 12))  # classes of 4, 10 and 10
    X, member = X[uneven], member[uneven]
    weight = 24 / (3 * np.bincount(member)[member])  # classes count alike
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
            change = 1 / (1 + np.exp(-found.scale * plain)) - 1 / (1 + np.exp(-found.scale * both))
            total += weight[j] * change
        assert value == pytest.approx(total, abs=1e-8)


def cost_of(
    member: NDArray[np.intp], X: NDArray[np.float64], is_sure: NDArray[np.bool_] | None = None
) -> LabelCost:
    folds = [stratified_folds(member, n_folds=5, seed=s) for s in range(3)]
    return label_cost(X, member, folds, is_sure=is_sure)


@pytest.mark.parametrize("n_rare", [10, 15])
def test_label_cost__does_not_name_a_rare_class(n_rare: int) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        member = np.repeat([0, 1], [150 - n_rare, n_rare])
        X = rng.normal(size=(2, 60))[member] + 5 * rng.normal(size=(150, 60))
        found = cost_of(member, X / np.linalg.norm(X, axis=1, keepdims=True))
        assert not found.holds


def test_label_cost__names_wrong_labels_and_is_silent_on_right_ones() -> None:
    X, member = blobs(240, 1.2, seed=2, d=40)
    clean = cost_of(member, X)
    assert not clean.holds
    assert clean.worth.shape == (240,)
    given = member.copy()
    wrong = np.random.default_rng(0).choice(240, 48, replace=False)
    given[wrong] = (given[wrong] + 1) % 3
    found = cost_of(given, X)
    assert found.holds
    assert found.gain.low > 0
    assert found.share < 1 / 3
    assert np.isin(found.rows, wrong).mean() > 0.8
    assert (found.worth[found.rows] < -COST).all()
    assert (np.diff(found.worth[found.rows]) >= 0).all()
    sure = np.zeros(240, dtype=bool)
    sure[found.rows[:5]] = True
    without = cost_of(given, X, is_sure=sure)
    assert set(without.rows.tolist()) == set(found.rows[5:].tolist())
    assert without.gain.value < found.gain.value, "the figures are of the labels that are named"


def test_label_cost__is_silent_where_much_of_a_class_is_named() -> None:
    gain = Interval(0.02, 0.01, 0.03)
    rows, worth = np.arange(3), np.full(9, -1.0)
    few = LabelCost(rows=rows, share=0.3, worth=worth, chance=gain, gain=gain)
    assert few.holds
    assert not replace(few, share=0.5).holds
    assert not replace(few, gain=Interval(0.02, -0.01, 0.05)).holds, "accuracy is what is claimed"
