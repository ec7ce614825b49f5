"""Labels for unlabelled examples: what they gain on made sets, and what the replay says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.reliability.asking import scores_of
from headstart.reliability.unlabelled import (
    USES,
    UseReplay,
    by_propagation,
    by_pseudo_labels,
    neighbours,
    replay_uses,
)


def replayed_uses(*args: Any, **settings: Any) -> UseReplay:
    found = replay_uses(*args, **settings)
    assert found is not None
    return found


def _world(n: int, spread: float, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Classes around directions of their own, rows of unit length."""
    rng = np.random.default_rng(0)
    member = np.arange(n) % n_classes
    X = np.eye(n_classes, 12)[member] + spread * rng.normal(size=(n, 12))
    return X / np.linalg.norm(X, axis=1, keepdims=True), member


def test_neighbours__is_symmetric_and_joins_no_row_to_itself() -> None:
    X, _ = _world(60, 0.2)
    W = neighbours(X).toarray()
    np.testing.assert_allclose(W, W.T)
    assert not W.diagonal().any()
    assert ((W > 0).sum(axis=1) >= 10).all()


def test_by_propagation__solves_the_equation_of_the_paper() -> None:
    X, member = _world(40, 0.3)
    graph, known, hidden = neighbours(X), np.arange(6), np.arange(6, 40)
    at, said, weight = by_propagation(X, graph, known, member, hidden)
    W = graph.toarray()
    scale = np.diag(W.sum(axis=1) ** -0.5)
    Y = np.zeros((40, 3))
    Y[known, member[known]] = 1 / 2
    exact = np.linalg.solve(np.eye(40) - 0.5 * scale @ W @ scale, Y)[hidden]
    np.testing.assert_array_equal(at, hidden)
    np.testing.assert_array_equal(said, exact.argmax(axis=1))
    assert ((weight >= 0) & (weight <= 1)).all()


def test_by_pseudo_labels__keeps_the_surest_half_of_each_class() -> None:
    X, member = _world(66, 0.3)
    known, hidden = np.arange(6), np.arange(6, 66)
    at, said, _ = by_pseudo_labels(X, neighbours(X), known, member, hidden)
    scores = scores_of(X, known, member, hidden)
    every = scores.argmax(axis=1)
    assert np.bincount(said).tolist() == [-(-m // 2) for m in np.bincount(every)]
    order = np.sort(scores, axis=1)
    margin = order[:, -1] - order[:, -2]
    for k in range(3):
        kept = np.isin(hidden, at) & (every == k)
        assert margin[kept].min() >= margin[(every == k) & ~kept].max()


@pytest.mark.parametrize(("spread", "helps"), [(0.25, True), (30.0, False)])
def test_replay_uses__tells_where_unlabelled_examples_help(spread: float, helps: bool) -> None:
    X, member = _world(72, spread, 12)
    found = replayed_uses(X, member, 500, n_repeats=20)
    assert {u.name for u in found.uses} == set(USES)
    assert (found.n_judged, found.n_known + found.n_hidden) == (14, 58)
    assert (found.best is not None) == helps


def test_replay_uses__depends_on_relative_weights_only() -> None:
    X, member = _world(60, 0.4)
    plain = replayed_uses(X, member, 60, n_repeats=3)
    assert replayed_uses(X, member, 60, weights=np.full(60, 4.0), n_repeats=3) == plain
    uneven = np.where(np.arange(60) < 30, 1.0, 9.0)
    assert replayed_uses(X, member, 60, weights=uneven, n_repeats=3).labelled != plain.labelled


def test_replay_uses__handles_a_class_that_is_never_labelled() -> None:
    X, member = _world(30, 0.3)
    member[:-1] = np.arange(29) % 2
    found = replayed_uses(X, member, 1, n_repeats=3)
    assert all(0 <= u.accuracy <= 1 for u in found.uses)


def test_by_propagation__leaves_out_what_no_label_reaches() -> None:
    X, member = _world(60, 0.1, 2)
    far = X[:30].copy()
    far[:, :2], far[:, 5] = 0, 1
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    data, own = np.vstack([X, far]), np.concatenate([member, np.zeros(30, dtype=int)])
    at, said, weight = by_propagation(data, neighbours(data), np.arange(20), own, np.arange(20, 90))
    assert at.tolist() == list(range(20, 60)), "a cluster without labels is of no class"
    assert (weight > 0).all()
    np.testing.assert_array_equal(said, own[at])


def test_replay_uses__stands_examples_that_no_label_reaches() -> None:
    member = np.arange(30) % 2
    found = replayed_uses(np.eye(30), member, 30, n_repeats=2)
    assert all(0 <= u.right <= 1 and 0 <= u.accuracy <= 1 for u in found.uses)


def test_replay_uses__hides_copies_together() -> None:
    X, member = _world(48, 0.9, 4)
    copies, own, together = (np.repeat(part, 4, axis=0) for part in (X, member, np.arange(48)))
    copies = copies + 1e-3 * np.random.default_rng(1).normal(size=copies.shape)
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    # With the copies of a hidden example labelled or judged, its label is known.
    right, accuracy = (
        {
            groups is None: (found.uses[0].right, found.labelled)
            for groups in (None, together)
            for found in [replayed_uses(copies, own, 192, groups, n_repeats=8)]
        }[is_leaky]
        for is_leaky in (False, True)
    )
    once = replayed_uses(X, member, 48, n_repeats=8)
    assert once.labelled == pytest.approx(right[1], abs=0.15)
    assert accuracy[1] > right[1] + 0.1
    assert accuracy[0] > right[0] + 0.1
