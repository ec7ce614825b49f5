"""Few costs solved from one another against every cost solved on its own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.heads import cross_validate, outofcore
from headstart.heads.costs import COSTS
from headstart.heads.examples import Rows
from headstart.heads.search import CostSearch, best_cost, climb

Rights = NDArray[np.bool_]


def problem(n: int, d: int, K: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % K
    X = rng.normal(size=(n, d)) + 1.2 * rng.normal(size=(K, d))[y]
    return X.astype(np.float32), y


class Lazy:
    """Rows that no array stands behind."""

    dtype = np.dtype(np.float32)

    def __init__(self, X: NDArray[np.float32]) -> None:
        self._X, self.shape = X, X.shape

    def __len__(self) -> int:
        return len(self._X)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        return self._X[rows]


@pytest.mark.parametrize(
    ("n", "d", "K"), [(400, 60, 50), (300, 4, 45), (900, 12, 3), (240, 20, 2), (80, 90, 5)]
)
def test_cost_search__finds_at_each_cost_what_the_cross_validation_finds(
    n: int, d: int, K: int
) -> None:
    """Many classes on few and many features, weights and Gram matrices, two classes, few examples."""
    X, y = problem(n, d, K)
    folds = np.arange(n) // K % 5
    expected = cross_validate(X, y, [1.0, 3.0, 10.0], folds, tol=1e-6)
    search = CostSearch(X, y, folds, tol=1e-6)
    for C in (3.0, 10.0, 1.0):
        search.solve([C], range(5))
    found = search.result([3.0, 10.0, 1.0])
    assert found.gap.max() <= 1e-6
    assert found.Cs.tolist() == [1.0, 3.0, 10.0]
    assert (found.correct == expected.correct).mean() > 0.998
    assert found.best == expected.best
    np.testing.assert_allclose(found.decisions, expected.decisions, atol=0.02)


@pytest.mark.parametrize(("n", "d", "K"), [(400, 90, 45), (500, 4, 45), (900, 12, 3)])
def test_cost_search__labels_that_are_held_out_change_nothing(n: int, d: int, K: int) -> None:
    """To the bit, whatever was solved before: not even where a model starts may depend on them."""
    X, y = problem(n, d, K)
    folds = np.arange(n) // K % 5
    changed = y.copy()
    changed[folds == 4] = np.random.default_rng(1).permutation(y[folds == 4])
    assert (changed != y).sum() > 20
    found = []
    for labels in (y, changed):
        search = CostSearch(X, labels, folds)
        search.solve([3.0], [0])
        search.solve([1.0, 3.0, 10.0], range(5))
        found.append([search.result([C]).decisions[folds == 4] for C in (1.0, 3.0, 10.0)])
    np.testing.assert_array_equal(found[0], found[1])


def test_cost_search__starts_from_other_features_of_the_same_examples() -> None:
    X, y = problem(500, 40, 45)
    folds = np.arange(500) // 45 % 5
    other = X + 0.1 * np.random.default_rng(2).normal(size=X.shape)
    changed = y.copy()
    changed[folds == 4] = np.random.default_rng(1).permutation(y[folds == 4])
    alone = CostSearch(other, y, folds, tol=1e-5)
    alone.solve([3.0], range(5))
    found = []
    for labels in (y, changed):
        first = CostSearch(X, labels, folds, tol=1e-5)
        first.solve([3.0], range(5))
        second = CostSearch(other, labels, folds, tol=1e-5, like=first.active(3.0))
        second.solve([3.0], range(5))
        found.append(second.result([3.0]).decisions)
    np.testing.assert_allclose(found[0], alone.result([3.0]).decisions, atol=0.02)
    np.testing.assert_array_equal(found[0][folds == 4], found[1][folds == 4])


def test_cost_search__rows_left_where_they_are_give_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y = problem(600, 10, 3)
    folds = np.arange(600) // 3 % 4
    held = CostSearch(X, y, folds)
    monkeypatch.setattr(outofcore, "needs_gram", lambda X, n_models: False)
    rows = Lazy(X)
    assert isinstance(rows, Rows)
    streamed = CostSearch(rows, y, folds)
    assert isinstance(streamed.task, outofcore.StreamedTask)
    for search in (held, streamed):
        assert search.solve([1.0, 3.0], [0])[1.0].shape == (int((folds == 0).sum()),)
        search.solve([1.0, 3.0], range(4))
    assert (held.result([1.0, 3.0]).correct == streamed.result([1.0, 3.0]).correct).mean() > 0.99


def test_cost_search__knows_nothing_of_a_held_out_label() -> None:
    X, y = problem(400, 60, 50)
    folds = np.arange(400) // 50 % 4
    changed = np.where(folds == 0, (y + 1) % 50, y)
    before, after = (CostSearch(X, labels, folds) for labels in (y, changed))
    for search in (before, after):
        search.solve([1.0], [0])
    np.testing.assert_array_equal(before._scores[1.0, 0], after._scores[1.0, 0])


def peaked(at: float, n: int = 1000, loss: int = 60) -> dict[float, Rights]:
    """What is right at every cost, most at one, `loss` fewer with each half decade away from it."""
    costs = [float(f"{m}e{e}") for e in range(-6, 8) for m in (1, 3)]
    away = [abs(i - costs.index(at)) for i in range(len(costs))]
    return {C: np.arange(n) < 900 - loss * k for C, k in zip(costs, away, strict=True)}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (3.0, [1.0, 3.0, 10.0]),
        (30.0, [1.0, 3.0, 10.0, 30.0, 100.0]),
        (0.1, [0.03, 0.1, 0.3, 1.0, 3.0, 10.0]),
        (300.0, [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 3000.0]),
        (3000.0, [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 3000.0, 30000.0]),
        (0.001, [0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]),
    ],
)
def test_climb__goes_on_until_the_best_lies_between_two_that_are_not_better(
    at: float, expected: list[float]
) -> None:
    right = peaked(at)
    found = climb(lambda Cs: {C: right[C] for C in Cs}, COSTS, 3.0, is_open=True)
    assert sorted(found) == expected
    assert best_cost(found) == at


def test_climb__beyond_the_grid_it_stops_where_one_more_is_within_the_noise() -> None:
    right = peaked(10_000.0, loss=1)  # one example in a thousand more with each half decade,
    for i, C in enumerate(sorted(right)):
        right[C] = np.roll(right[C], 5 * i)  # but other ones
    found = climb(lambda Cs: {C: right[C] for C in Cs}, COSTS, 3.0, is_open=True)
    assert max(found) == 3000.0


def test_climb__a_grid_that_was_asked_for_is_not_left() -> None:
    right = peaked(1000.0)
    found = climb(lambda Cs: {C: right[C] for C in Cs}, [1.0, 10.0, 100.0], 3.0, is_open=False)
    assert sorted(found) == [1.0, 10.0, 100.0]


def test_climb__where_all_are_equal_the_smallest_costs_are_not_walked_down_for_ever() -> None:
    right = {C: np.ones(10, dtype=bool) for C in peaked(1.0)}
    found = climb(lambda Cs: {C: right[C] for C in Cs}, COSTS, 3.0, is_open=True)
    assert (min(found), max(found)) == (COSTS[0], 30.0)
    assert best_cost(found) == 10.0
