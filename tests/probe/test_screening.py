from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.heads.costs import COSTS
from headstart.heads.ridge import RIDGES
from headstart.heads.search import CostSearch
from headstart.probe import judge, judging, screening
from headstart.probe.judging import Scores, recall, recall_start
from headstart.probe.screening import Entrant, contenders, finalists, judge_all, screen


def problem(n: int = 150, d: int = 8, K: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % K
    X = rng.normal(size=(n, d)) + 0.8 * rng.normal(size=(K, d))[y]
    return X.astype(np.float32), np.array(list("abcdefgh"))[y], np.arange(n) // K % 5


def test_screen__is_the_best_ridge_fitted_without_each_fold() -> None:
    X, y, folds = problem()
    found = screen(X, y, folds)
    Z = np.column_stack([X / np.linalg.norm(X, axis=1, keepdims=True), np.ones(len(X))])
    Y = np.where(y[:, None] == np.unique(y), 1.0, -1.0)
    by_strength = []
    for ridge in RIDGES:
        correct = np.empty(len(y), dtype=bool)
        for fold in range(5):
            out = folds == fold
            A = Z[~out]
            W = np.linalg.solve(A.T @ A + ridge * np.eye(A.shape[1]), A.T @ Y[~out])
            correct[out] = np.unique(y)[(Z[out] @ W).argmax(axis=1)] == y[out]
        by_strength.append(correct)
    assert found.correct.tolist() == max(reversed(by_strength), key=np.mean).tolist()
    assert found.is_screened
    assert np.isnan(found.C)


def test_screen__more_features_than_examples_give_the_same() -> None:
    X, y, folds = problem(n=60, d=6)
    wide = np.hstack([X, np.zeros((60, 100), np.float32)])  # the same products
    assert screen(X, y, folds).correct.tolist() == screen(wide, y, folds).correct.tolist()


def test_judge_all__screens_alike_however_many_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "SMALL", 100)
    X, y, folds = problem(d=9)

    def screened(most: int) -> tuple[list[Scores | None], list[int]]:
        monkeypatch.setattr(screening, "SCREENED_BYTES", most)
        steps: list[int] = []

        def entrant(d: int) -> Entrant:
            return Entrant(
                read=lambda: X[:, :d], kept_at=lambda stage: tmp_path / f"{most}-{d}-{stage}"
            )

        def progress(stage: str, done: int, total: int) -> None:
            if stage == "screen":
                steps.append(done)

        entrants = [entrant(d) for d in (2, 4, 9, 3)]
        judge_all(entrants, y, folds, Cs=COSTS, first=2, progress=progress)
        return [recall(e.kept_at("ridge")) for e in entrants], steps

    found, steps = zip(*(screened(most) for most in (2**30, 1)), strict=True)
    assert steps == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.correct, other.correct)


def test_screen__knows_nothing_of_a_held_out_label() -> None:
    X, y, folds = problem()
    before = screen(X, y, folds, normalize="none").correct
    changed = y.copy()
    out = np.flatnonzero(folds == 0)
    changed[out] = np.roll(np.array(["a", "b", "c"]), 1)[np.searchsorted(["a", "b", "c"], y[out])]
    after = screen(X, changed, folds, normalize="none").correct
    assert (before[out] & after[out]).mean() < 0.1


def test_screen__a_class_that_is_in_one_fold_alone_is_never_predicted() -> None:
    X, y, folds = problem()
    y = np.where((folds == 0) & (y == "a"), "z", y)
    found = screen(X, y, folds)
    assert not found.correct[y == "z"].any()


def test_screen__is_kept(tmp_path: Path) -> None:
    X, y, folds = problem()
    path = tmp_path / "x.safetensors"
    found = screen(X, y, folds, kept_at=path)
    again = recall(path)
    assert again is not None
    assert again.is_screened
    np.testing.assert_array_equal(again.correct, found.correct)
    assert recall(tmp_path / "y.safetensors") is None
    judge(X, y, folds, kept_at=tmp_path / "y.safetensors")
    assert not recall(tmp_path / "y.safetensors").is_screened


def test_finalists__are_those_near_the_best_and_the_usual_one() -> None:
    def right(n: int, shift: int = 0) -> np.ndarray:
        return np.roll(np.arange(1000) < n, shift)

    correct = [right(300), right(900), right(895), right(897, 40), right(500), right(860)]
    assert finalists(correct, always=[4]) == [1, 2, 3, 4]


def test_judge_all__races_where_there_are_many_and_judges_all_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, folds = problem()
    noise = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    features = [noise, X, X[:, :7]]
    read: list[int] = []

    def entrant(i: int, place: Path) -> Entrant:
        def rows() -> np.ndarray:
            read.append(i)
            return features[i]

        return Entrant(read=rows, kept_at=lambda stage: place / f"{i} {stage}")

    told: list[tuple[int, bool]] = []
    last: list[int] = []
    monkeypatch.setattr(judging, "SMALL", 0)
    found = judge_all(
        [entrant(i, tmp_path / "race") for i in range(3)], y, folds, Cs=COSTS, first=1,
        on_scores=lambda i, scores: told.append((i, scores.is_screened)),
        on_finalists=last.extend,
    )  # fmt: skip
    assert told[:3] == [
        (1, False),
        (0, True),
        (2, True),
    ]  # the early answer, then ridge classifiers
    assert found[0].is_screened  # the noise
    assert 0 not in last
    assert 1 not in last  # judged already
    exact = judge_all(
        [entrant(i, tmp_path / "exact") for i in range(3)], y, folds, Cs=COSTS, exact=True
    )
    assert all(set(COSTS) <= set(s.Cs) for s in exact)
    # Costs that differ by an example or two within the tolerance of the solvers.
    assert abs(exact[1].correct.mean() - found[1].correct.mean()) <= 2 / len(y)
    assert set(found[1].Cs) < set(COSTS)

    read.clear()
    again = judge_all(
        [entrant(i, tmp_path / "race") for i in range(3)], y, folds, Cs=COSTS, first=1
    )
    assert read == []  # all is kept
    for before, after in zip(found, again, strict=True):
        np.testing.assert_array_equal(before.correct, after.correct)


def test_judge_all__one_that_is_hopeless_on_the_first_fold_is_tried_at_one_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, folds = problem(n=600)
    worse = X + 3 * np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    features = [X, worse, X[:, :7]]
    solved: dict[int, set[float]] = {0: set(), 1: set(), 2: set()}
    solve = CostSearch.solve

    def watched(self: CostSearch, Cs: list[float], splits: list[int]) -> object:
        solved[self.number].update(Cs)  # type: ignore[attr-defined]
        return solve(self, Cs, splits)

    def search(rows: np.ndarray, *args: object, **settings: object) -> CostSearch:
        made = CostSearch(rows, *args, **settings)  # type: ignore[arg-type]
        made.number = [f is rows for f in features].index(True)  # type: ignore[attr-defined]
        return made

    monkeypatch.setattr(judging, "SMALL", 0)
    monkeypatch.setattr(screening, "MOST_ERRORS", 1e9)  # ridge classifiers rule out nothing
    monkeypatch.setattr(judging, "CostSearch", search)
    monkeypatch.setattr(CostSearch, "solve", watched)
    entrants = [
        Entrant(read=lambda i=i: features[i], kept_at=lambda stage, i=i: tmp_path / f"{i} {stage}")  # type: ignore[misc]
        for i in range(3)
    ]
    left: list[list[int]] = []
    found = judge_all(
        entrants, y, folds, Cs=COSTS, on_finalists=lambda some: left.append(list(some))
    )
    assert found[1].is_screened
    assert len(solved[1]) == 1
    assert len(solved[2]) > 1
    assert left[0] == [2, 1]
    assert left[-1] == []


def test_judge_all__one_cost_of_a_hopeless_one_is_not_the_search_of_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was behind a rival that a later run does not have, and would be judged at that cost alone."""
    X, y, folds = problem(n=600)
    noise = np.random.default_rng(1).normal(size=(len(X), 100)).astype(np.float32)
    features = {"good": X, "worse": np.hstack([0.05 * X, noise])}  # which a high cost finds
    monkeypatch.setattr(judging, "SMALL", 0)
    monkeypatch.setattr(judging, "MANY_HELD_OUT", 100)  # the first fold decides
    monkeypatch.setattr(screening, "MOST_ERRORS", 1e9)  # ridge classifiers rule out nothing
    read: list[str] = []

    def run(names: list[str], cache: str) -> list[Scores]:
        def entrant(name: str) -> Entrant:
            def rows() -> np.ndarray:
                read.append(name)
                return features[name]

            return Entrant(read=rows, kept_at=lambda stage: tmp_path / f"{cache} {name} {stage}")

        return judge_all([entrant(name) for name in names], y, folds, Cs=COSTS)

    assert run(["good", "worse"], "used")[1].is_screened
    read.clear()
    assert run(["good", "worse"], "used")[1].is_screened
    assert read == []  # all is kept
    start = recall_start(tmp_path / "used worse first fold")
    assert start is not None
    assert not start.is_searched
    [fresh], [used] = run(["worse"], "fresh"), run(["worse"], "used")
    assert start.C != fresh.C
    assert used.C == fresh.C
    np.testing.assert_array_equal(used.correct, fresh.correct)


def test_contenders__are_those_that_do_not_err_half_as_often_again() -> None:
    correct = [np.arange(1000) < n for n in (900, 860, 845, 500)]
    assert contenders(correct) == [0, 1]
