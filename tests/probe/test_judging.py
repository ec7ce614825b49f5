from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from headstart.heads import Criterion, LinearSVM, cross_validate, sparse, stratified_folds, task
from headstart.heads.costs import COSTS
from headstart.probe import Goal, Scores, fit_best, judge, judging, memo
from headstart.probe.judging import TOLERANCE, keep, recall, scores_path
from headstart.probe.screening import Entrant, judge_all
from pretend_gpu import gpu

SOURCE = Path(__file__).resolve().parents[2] / "src" / "headstart"
SCORES = Scores(
    n_features=7,
    C=0.3,
    accuracy_by_C=(0.5, 0.75),
    decisions=np.arange(8, dtype=np.float32).reshape(4, 2),
    correct=np.array([True, False, True, True]),
)


def problem(n: int = 60, d: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c"])[np.arange(n) % 3]
    X = rng.normal(size=(n, d)) + 1.5 * (y[:, None] == np.array(["a", "b", "c"] * (d // 3)))
    return X.astype(np.float32), y, np.arange(n) // 3 % 5


def test_judge__is_the_best_cost_of_the_cross_validation() -> None:
    X, y, folds = problem()
    found = judge(X, y, folds)
    path = cross_validate(X, y, COSTS, folds, tol=TOLERANCE)
    assert (found.C, found.n_features) == (path.C, 6)
    assert found.accuracy_by_C == pytest.approx(path.accuracy)
    np.testing.assert_array_equal(found.correct, path.correct[path.best])
    np.testing.assert_array_equal(found.correct, path.classes[found.decisions.argmax(axis=1)] == y)
    assert found.accuracy.low < found.accuracy.value == found.correct.mean() < found.accuracy.high


@pytest.mark.parametrize("is_full_at", ["the start", "a repeat"])
def test_judge__goes_on_on_the_cpu_where_a_gpu_is_full(
    is_full_at: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    X, y, folds = problem()
    more = [np.roll(folds, 7)]
    expected = judge(X, y, folds, more_folds=more)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(task, "_pays_on_gpu", lambda gpu, n, d: True)
    search = judging._search
    with gpu() as mode:

        def fill(*arguments: Any, **options: Any) -> Any:
            found = None if is_full_at == "the start" else search(*arguments, **options)
            mode.room_bytes = 8 * 7 * len(X)  # the features fit, and not their Gram matrix
            return found or search(*arguments, **options)

        monkeypatch.setattr(judging, "_search", fill)
        found = judge(X, y, folds, more_folds=more)
    [said] = caplog.messages
    assert "the memory of the GPU is full" in said
    assert found.C == expected.C
    np.testing.assert_allclose(found.decisions, expected.decisions, atol=0.05)


def test_judge__agrees_with_each_fold_fitted_by_hand() -> None:
    X, y, folds = problem()
    found = judge(X, y, folds, Cs=[1.0])
    for fold in range(5):
        held = folds == fold
        svm = LinearSVM(C=1.0).fit(X[~held], y[~held])
        assert (svm.predict(X[held]) == y[held]).tolist() == found.correct[held].tolist()


def test_judge__many_sparse_rows_go_to_the_solver_without_a_gram_matrix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y, folds = problem()
    held = judge(csr_array(np.abs(X)), y, folds, Cs=[0.3, 3.0])
    monkeypatch.setattr(sparse, "MOST_SPARSE_ROWS", 10)
    monkeypatch.setattr(sparse, "CV_TOL", 1e-5)  # of so few rows, as exact as theirs
    large = judge(csr_array(np.abs(X)), y, folds, Cs=[0.3, 3.0])
    assert large.C == held.C
    np.testing.assert_allclose(large.decisions, held.decisions, atol=0.02)


def test_fit_best__refits_on_all_rows_at_the_best_cost() -> None:
    X, y, folds = problem()
    layer = fit_best(X, y, folds)
    assert judge(X, y, folds).C == layer.path.C == layer.svm.C
    again = LinearSVM(C=layer.path.C).fit(X, y)
    np.testing.assert_allclose(layer.svm.coef_, again.coef_, atol=1e-3)


def test_costs__are_written_down_once() -> None:
    """There is one grid of C in the package."""
    grid = re.compile(r"^\s*(\w+_)?C[sS]\b[^=\n]*=\s*[(\[](?!\)|C\])|\blogspace\(", re.MULTILINE)
    files = [p for p in SOURCE.rglob("*.py") if grid.search(p.read_text())]
    assert files == []
    assert len(COSTS) == 10
    users = [p for p in SOURCE.rglob("*.py") if re.search(r"^COSTS\b.*=", p.read_text(), re.M)]
    assert [p.relative_to(SOURCE).as_posix() for p in users] == ["heads/costs.py"]


def test_recall__gives_back_what_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "heads" / "x.safetensors"
    assert recall(path) is None
    keep(path, SCORES)
    again = recall(path)
    assert again is not None
    assert (again.n_features, again.C, again.accuracy_by_C) == (7, 0.3, (0.5, 0.75))
    np.testing.assert_array_equal(again.decisions, SCORES.decisions)
    np.testing.assert_array_equal(again.correct, SCORES.correct)
    assert isinstance(again.decisions, np.memmap)


@pytest.mark.parametrize("damage", ["short", "other"])
def test_recall__a_damaged_file_counts_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = tmp_path / "x.safetensors"
    keep(path, SCORES)
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        memo.keep_arrays(path, {"decisions": SCORES.decisions})
    assert recall(path) is None
    assert "damaged" in caplog.text


def test_scores_path__differs_for_all_that_decides_the_scores(tmp_path: Path) -> None:
    facts = [["d1", "x"], ["d1", "y"], ["d2", "x"]]
    places = {scores_path(tmp_path, f, code=c) for f in facts for c in (("heads",), ("probe",))}
    assert len(places) == 6


def test_judge__as_many_classes_as_examples_solves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    y = np.array([f"class {i}" for i in range(500)])
    monkeypatch.setattr(judging, "CostSearch", None)
    found = judge(X, y, np.arange(500) % 5)
    assert (found.C, found.Cs, found.accuracy_by_C) == (1.0, (1.0,), (0.0,))
    assert found.decisions.shape == (500, 500)
    assert not found.correct.any()


@pytest.mark.parametrize("is_small", [True, False])
def test_judge__classes_of_one_example_among_many(
    monkeypatch: pytest.MonkeyPatch, is_small: bool
) -> None:
    """They are never right, and spoil nothing of the others."""
    X, labels, folds = problem(300)
    y = labels.astype("<U8")
    y[:60] = [f"lone {i}" for i in range(60)]
    monkeypatch.setattr(judging, "SMALL", 10**9 if is_small else 0)
    found = judge(X, y, folds)
    assert not found.correct[:60].any()
    assert found.correct[60:].mean() > 0.8
    assert np.isfinite(found.decisions).all()


@pytest.mark.parametrize("n_classes", [3, 45])
def test_judge__constant_and_repeated_columns(
    n_classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What adds nothing to the features changes nothing but the scale."""
    rng = np.random.default_rng(0)
    y = np.arange(540) % n_classes
    X = (rng.normal(size=(540, 6)) + 3 * rng.normal(size=(n_classes, 6))[y]).astype(np.float32)
    dull = np.hstack([X, X[:, :3], np.zeros((540, 4)), np.full((540, 2), 0.5)]).astype(np.float32)
    monkeypatch.setattr(judging, "SMALL", 0)
    folds = np.arange(540) // n_classes % 4
    plain, found = judge(X, y, folds), judge(dull, y, folds)
    assert np.isfinite(found.decisions).all()
    assert abs(found.correct.mean() - plain.correct.mean()) < 0.08
    same = judge(np.ones((540, 5), np.float32), y, folds)  # nothing to tell classes by
    assert same.correct.mean() < 2 / n_classes


def test_judge__repeats_are_the_means_of_other_divisions() -> None:
    X, y, _ = problem()
    divisions = [stratified_folds(y, n_folds=3, seed=seed) for seed in range(3)]
    Cs = [0.1, 1.0, 10.0]
    found = judge(X, y, divisions[0], Cs=Cs, more_folds=divisions[1:])
    paths = [cross_validate(X, y, Cs, folds, tol=TOLERANCE) for folds in divisions]
    means = np.mean([path.accuracy for path in paths], axis=0)
    assert Cs[int(means.argmax())] == found.C
    assert found.accuracy_by_C == pytest.approx(means)
    alone = [cross_validate(X, y, [found.C], folds, tol=TOLERANCE) for folds in divisions]
    np.testing.assert_allclose(
        found.decisions, np.mean([path.decisions for path in alone], axis=0), atol=0.02
    )
    assert found.shares is not None
    np.testing.assert_allclose(found.shares, np.mean([p.correct[0] for p in alone], axis=0))
    np.testing.assert_allclose(found.merits, found.shares)
    assert found.of_divisions is not None
    np.testing.assert_allclose(found.of_divisions.mean(axis=0), found.decisions, rtol=1e-5)
    once = judge(X, y, divisions[0], Cs=Cs)
    assert once.shares is None
    assert once.merits is once.correct


def test_judge__goals_decide_the_cost_and_are_kept(tmp_path: Path) -> None:
    X, y, _ = problem()
    folds = stratified_folds(y, n_folds=3)
    weight = np.where(y == y[0], 4.0, 1.0)
    goal = Goal(criterion=Criterion(metric="log_loss"), weight=weight)
    found = judge(X, y, folds, Cs=[0.1, 1.0, 10.0], goal=goal, kept_at=tmp_path / "memo")
    values = [
        goal.merits(judge(X, y, folds, Cs=[C], goal=goal).decisions, y, folds).mean()
        for C in found.Cs
    ]
    assert found.Cs[int(np.argmax(values))] == found.C
    assert found.merits.mean() == pytest.approx(max(values))
    again = recall(tmp_path / "memo")
    assert again is not None
    np.testing.assert_array_equal(again.merits, found.merits)


def test_judge_all__races_by_the_goal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Screening, the first fold and the rest all look at the metric; the winner is that of all SVMs."""
    monkeypatch.setattr("headstart.probe.judging.SMALL", 10)
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(60), np.ones(12)].astype(int)
    good = rng.normal(size=(72, 5)) + 1.5 * y[:, None]
    entrants = [
        Entrant(read=lambda X=X: X, kept_at=lambda stage, i=i: tmp_path / f"{i}-{stage}")  # type: ignore[misc]
        for i, X in enumerate([rng.normal(size=(72, 5)), good])
    ]
    goal = Goal(criterion=Criterion(metric="balanced_accuracy"))
    folds = stratified_folds(y, n_folds=3)
    found = judge_all(entrants, y, folds, Cs=(0.1, 1.0), goal=goal)
    assert found[1].merits.mean() > 0.7 > found[0].merits.mean()
    assert found[1].C in (0.1, 1.0)
