"""Left-out scores against fits without the row, and what is found among flipped labels."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.reliability import labels
from headstart.reliability.labels import check_labels, left_out_scores


def _rows(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    member = np.arange(n) % 3
    X = rng.normal(size=(n, d)) + 2 * np.random.default_rng(9).normal(size=(3, d))[member]
    return X / np.linalg.norm(X, axis=1, keepdims=True), member


def _refitted(X: np.ndarray, member: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Scores of some rows by the plain formula, without these rows."""
    Z, Y = np.column_stack([X, np.ones(len(X))]), 2 * np.eye(3)[member] - 1
    A, T = Z[~out], Y[~out]
    w = np.linalg.solve(A.T @ A + 0.3 * np.eye(A.shape[1]), A.T @ T)
    return np.asarray(Z[out] @ w)


@pytest.mark.parametrize("d", [8, 60])
@pytest.mark.parametrize("has_groups", [False, True])
def test_left_out_scores__equal_fits_without_the_rows(d: int, has_groups: bool) -> None:
    X, member = _rows(40, d)
    together = np.arange(40) // 2 if has_groups else np.arange(40)
    scores = left_out_scores(X, member, together if has_groups else None)
    for group in (0, 7, 19):
        out = together == group
        assert scores[out] == pytest.approx(_refitted(X, member, out), abs=1e-9)


def test_left_out_scores__of_blocks_and_large_groups_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, member = _rows(60, 8)
    together = np.concatenate([np.zeros(20), 1 + np.arange(20) // 2, 50 + np.arange(20)])
    together = together[np.random.default_rng(0).permutation(60)]
    monkeypatch.setattr(labels, "BLOCK", 7)
    scores = left_out_scores(X.astype(np.float32), member, together)
    for group in (0, 3, 55):
        out = together == group
        assert scores[out] == pytest.approx(_refitted(X, member, out), abs=1e-5)


def test_check_labels__puts_flipped_labels_first_and_counts_them() -> None:
    X, true = _rows(300, 20)
    rng = np.random.default_rng(1)
    given = true.copy()
    flipped = rng.choice(300, 30, replace=False)
    given[flipped] = (given[flipped] + 1) % 3
    found = check_labels(left_out_scores(X, given), given)
    first = np.argsort(found.margin)[:30]
    assert len(set(first) & set(flipped)) >= 28
    assert (found.suggested[flipped] == true[flipped]).mean() > 0.9
    assert found.noise.low < 0.1 < found.noise.high
    clean = check_labels(left_out_scores(X, true), true)
    assert clean.noise.value < 0.02
