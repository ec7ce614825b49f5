"""Novelty: the formulas by a second route, false alarms, and what is found."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.reliability import novelty
from headstart.reliability.novelty import Novelty, choose_rows


def _rows(rng: np.random.Generator, n: int, d: int = 40, k: int = 4) -> tuple[np.ndarray, ...]:
    """Classes with a shared covariance that is no ball."""
    centres = np.random.default_rng(0).normal(size=(k, d))
    member = np.arange(n) % k
    stretch = np.linspace(0.1, 1, d)
    X = centres[member] + rng.normal(size=(n, d)) * stretch
    return X / np.linalg.norm(X, axis=1, keepdims=True), member


@pytest.fixture(scope="module")
def fitted() -> Novelty:
    X, member = _rows(np.random.default_rng(1), 200)
    return Novelty.fit(X, member, np.arange(200) % 5)


def test_novelty__flags_as_many_usual_examples_as_asked(fitted: Novelty) -> None:
    X, _ = _rows(np.random.default_rng(2), 2000)
    flagged = (fitted.share(fitted.score(X)) >= 0.9).mean()
    assert 0.05 < flagged < 0.15


def test_novelty__puts_other_things_above(fitted: Novelty) -> None:
    rng = np.random.default_rng(3)
    usual, _ = _rows(rng, 200)
    other = rng.normal(size=(200, 40))
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    a, b = fitted.score(usual), fitted.score(other)
    assert (a[:, None] < b).mean() > 0.99
    assert fitted.share(b).min() > 0.9


def test_novelty__equals_the_formulas_on_full_matrices() -> None:
    rng = np.random.default_rng(4)
    X, member = _rows(rng, 60, d=8)
    Q, _ = _rows(rng, 5, d=8)
    made = Novelty.fit(X, member, np.arange(60) % 3)
    k = np.unique(member)
    centres = np.stack([X[member == c].mean(axis=0) for c in k])

    def precision(rows: np.ndarray, n_free: int) -> np.ndarray:
        S = rows.T @ rows / n_free
        shrunk = 0.7 * S + 0.3 * np.trace(S) / 8 * np.eye(8)
        return np.asarray(np.linalg.inv(shrunk))

    within = precision(X - centres[member], 60 - len(k))
    overall = precision(X - X.mean(axis=0), 59)
    for q, score in zip(Q, made.score(Q), strict=True):
        to_class = min((q - c) @ within @ (q - c) for c in centres)
        relative = to_class - (q - X.mean(axis=0)) @ overall @ (q - X.mean(axis=0))
        near = np.linalg.norm(X - q, axis=1).min()
        (m1, s1), (m2, s2) = made.scales
        assert score == pytest.approx((relative - m1) / s1 + (near - m2) / s2, rel=0.02, abs=0.02)


def test_novelty__nearest_are_those_of_the_full_features(fitted: Novelty) -> None:
    X, _ = _rows(np.random.default_rng(1), 200)
    Q, _ = _rows(np.random.default_rng(5), 20)
    exact = np.linalg.norm(Q[:, None] - X, axis=2).argmin(axis=1)
    assert (fitted.nearest(Q, 3)[:, 0] == exact).mean() > 0.9


def test_novelty__of_tensors_is_the_same(fitted: Novelty) -> None:
    again = Novelty.of_tensors(fitted.tensors(), 40)
    X, _ = _rows(np.random.default_rng(6), 10)
    assert np.array_equal(again.score(X), fitted.score(X))
    with pytest.raises(ValueError, match="basis has the shape"):
        Novelty.of_tensors(fitted.tensors() | {"mean": np.zeros(41)}, 41)


def test_novelty__random_axes_do_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    X, member = _rows(np.random.default_rng(7), 100)
    exact = Novelty.fit(X, member, np.arange(100) % 5)
    monkeypatch.setattr(novelty, "_EXACT", 10)
    near = Novelty.fit(X, member, np.arange(100) % 5)
    Q, _ = _rows(np.random.default_rng(8), 50)
    assert np.corrcoef(exact.score(Q), near.score(Q))[0, 1] > 0.999


@pytest.mark.parametrize(("n", "n_folds"), [(9, 3), (20, 1)])
def test_novelty__refuses_too_few(n: int, n_folds: int) -> None:
    X, member = _rows(np.random.default_rng(0), n)
    with pytest.raises(ValueError, match="10 rows and 2 folds"):
        Novelty.fit(X, member, np.arange(n) % n_folds)


def test_choose_rows__keeps_the_shares_of_classes() -> None:
    member = np.repeat([0, 1], [900, 100])
    kept = choose_rows(member, 100)
    assert len(kept) == len(set(kept.tolist())) == 100
    assert 88 <= (member[kept] == 0).sum() <= 92
    assert choose_rows(member, 5000).tolist() == list(range(1000))
