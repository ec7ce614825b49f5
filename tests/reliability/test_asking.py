"""Choosing what to label next: each strategy does what it says, and the replay is honest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.reliability import asking
from headstart.reliability.asking import (
    STRATEGIES,
    Replay,
    reduce,
    replay,
    scores_of,
    split_units,
)
from headstart.reliability.unlabelled import replay_uses


def replayed(*args: Any, **settings: Any) -> Replay:
    found = replay(*args, **settings)
    assert found is not None
    return found


def _world(n: int, seed: int = 0, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    member = np.arange(n) % 4
    X = np.random.default_rng(9).normal(size=(4, 12))[member] + spread * rng.normal(size=(n, 12))
    return X / np.linalg.norm(X, axis=1, keepdims=True), member


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies__choose_so_many_of_the_pool_once(name: str) -> None:
    X, member = _world(80)
    known, pool = np.arange(20), np.arange(20, 80)
    for m in (1, 15, 60):
        chosen = STRATEGIES[name](X, known, member, pool, m, np.random.default_rng(0), None)
        assert len(chosen) == len(set(chosen.tolist())) == m
        assert set(chosen.tolist()) <= set(pool.tolist())


def test_by_margin__takes_those_between_two_classes() -> None:
    X = np.array([[1, 0], [0, 1], [1, 0.05], [0.7, 0.72], [0.05, 1]], dtype=float)
    member = np.array([0, 1, 0, 0, 1])
    rng = np.random.default_rng(0)
    assert asking.by_margin(X, np.array([0, 1]), member, np.array([2, 3, 4]), 1, rng) == [3]


def test_by_coverage__takes_what_is_far_from_all() -> None:
    X = np.array([[0.0], [1], [2], [10]])
    member, rng = np.zeros(4, dtype=int), np.random.default_rng(0)
    chosen = asking.by_coverage(X, np.array([0]), member, np.array([1, 2, 3]), 2, rng)
    assert chosen.tolist() == [3, 2]


def test_by_typicality__takes_the_middle_of_a_cluster_without_labels() -> None:
    rng = np.random.default_rng(0)
    near = rng.normal(size=(30, 2)) * 0.1
    far = rng.normal(size=(30, 2)) * 0.1 + 5
    X, member = np.vstack([near, far]), np.zeros(60, dtype=int)
    [chosen] = asking.by_typicality(X, np.arange(5), member, np.arange(5, 60), 1, rng)
    assert chosen >= 30
    assert np.linalg.norm(X[chosen] - 5) < 0.2


def test_scores_of__is_ridge_in_both_forms() -> None:
    X, member = _world(60)
    few, many = np.arange(8), np.arange(40)
    for known in (few, many):
        Z, Y = np.column_stack([X[known], np.ones(len(known))]), 2 * np.eye(4)[member[known]] - 1
        w = np.linalg.solve(Z.T @ Z + 0.3 * np.eye(13), Z.T @ Y)
        expected = np.column_stack([X[40:], np.ones(20)]) @ w
        assert scores_of(X, known, member, np.arange(40, 60)) == pytest.approx(expected)


def test_replay__counts_examples_by_their_weights() -> None:
    X, member = _world(150, spread=0.8)
    plain = replayed(X, member, 20, n_repeats=3)
    assert replayed(X, member, 20, weights=np.full(150, 7.0), n_repeats=3) == plain
    # Images of no weight, whatever their labels, change nothing that is learnt or judged.
    odd = np.arange(150) % 3 == 0
    wrong = np.where(odd, (member + 1) % 4, member)
    weights = np.where(odd, 0.0, 2.0)
    assert replayed(X, wrong, 20, weights=weights, n_repeats=3).random > plain.random - 0.1
    assert replayed(X, wrong, 20, n_repeats=3).random < plain.random - 0.15


def test_relative_weights__are_one_on_average() -> None:
    rows = np.array([0, 2])
    assert asking.relative_weights(None, rows).tolist() == [1, 1]
    assert asking.relative_weights([1, 50, 3], rows).tolist() == [0.5, 1.5]
    assert asking.relative_weights([0, 50, 0], rows).tolist() == [1, 1]


def test_balanced_accuracy__counts_by_weight_within_each_class() -> None:
    own, said = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert asking.balanced_accuracy(own, said) == 0.75
    assert asking.balanced_accuracy(own, said, np.array([3.0, 1, 1, 1])) == 0.875
    assert asking.balanced_accuracy(own, said, np.array([0.0, 0, 1, 1])) == 1
    assert np.isnan(asking.balanced_accuracy(own, said, np.zeros(4)))


def test_replay__is_none_where_what_is_held_out_has_no_weight() -> None:
    X, member = _world(60)
    weights = np.where(np.arange(60) == 7, 1.0, 0.0)  # not held out in every repeat
    assert replay(X, member, 5, weights=weights, n_repeats=6) is None
    assert replay_uses(X, member, 60, weights=weights, n_repeats=6) is None


def test_replay__finds_no_gain_where_there_is_nothing_to_learn() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 12))
    found = replayed(X, np.arange(120) % 3, 20, n_repeats=10)
    assert found.best is None
    assert found.n_chosen == 20
    assert found.n_judged == 48


def test_replay__finds_the_gain_of_rare_groups_that_random_labels_miss() -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(24, 24)) * 3
    kind = np.concatenate([np.zeros(150, dtype=int), 1 + np.arange(90) % 23])
    X = centres[kind] + rng.normal(size=(240, 24)) * 0.3
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    found = replayed(X, kind % 4, 25, n_repeats=10)
    assert found.best is not None
    assert found.best.gain.low > 0
    assert found.best.worth is None or found.best.worth > found.n_chosen


def test_reduce__keeps_all_products_where_it_can() -> None:
    X, _ = _world(30)
    Z = reduce(X)
    assert pytest.approx(X @ X.T) == Z @ Z.T
    assert reduce(np.random.default_rng(0).normal(size=(60, 50)), 5).shape == (60, 5)


def test_strategies__choose_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    X, member = _world(80)
    known, pool = np.arange(20), np.arange(20, 80)

    def chosen(name: str) -> list[int]:
        rows = STRATEGIES[name](X, known, member, pool, 12, np.random.default_rng(0), None)
        return [int(i) for i in rows]

    whole = {name: chosen(name) for name in STRATEGIES}
    monkeypatch.setattr(asking, "BLOCK", 7)
    assert {name: chosen(name) for name in STRATEGIES} == whole
    monkeypatch.setattr(asking, "MOST_NEAR", 15)
    for name in STRATEGIES:
        assert len(set(chosen(name))) == 12


def test_replay__of_many_examples_plays_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    X, member = _world(200)
    monkeypatch.setattr(asking, "MOST_PLAYED", 60)
    found = replayed(X, member, 5, n_repeats=2)
    assert (found.n_played, found.n_judged) == (60, 24)
    assert found == replayed(X, member, 5, n_repeats=2)


def test_split_units__divides_no_unit_and_leaves_no_part_empty() -> None:
    rng = np.random.default_rng(0)
    for units in (np.arange(40) // 4, np.repeat([0, 1, 2, 3], [37, 1, 1, 1]), np.arange(3)):
        for _ in range(20):
            parts = split_units(units, (10, 12), rng)
            assert sorted(np.concatenate(parts).tolist()) == list(range(len(units)))
            seen = [set(units[part].tolist()) for part in parts]
            assert all(seen)
            assert sum(map(len, seen)) == len(set(units.tolist()))
    alone = split_units(np.arange(40), (10, 12), np.random.default_rng(3))
    order = np.random.default_rng(3).permutation(40)
    assert [len(part) for part in alone] == [10, 12, 18]
    np.testing.assert_array_equal(np.concatenate(alone), order)
    with pytest.raises(ValueError, match="3 parts"):
        split_units(np.array([0, 0, 1]), (1, 1), rng)


def test_replay__judges_no_copy_of_what_is_labelled() -> None:
    X, member = _world(40, spread=1.5)
    copies, own, together = (np.repeat(part, 4, axis=0) for part in (X, member, np.arange(40)))
    leaky = replayed(copies, own, 30, n_repeats=6)
    found = replayed(copies, own, 30, together, n_repeats=6)
    assert leaky.random > found.random + 0.1
    assert (found.n_judged, found.n_played) == (64, 160)
