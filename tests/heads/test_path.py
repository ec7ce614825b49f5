from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from headstart.heads import Criterion, cross_validate, stratified_folds
from headstart.heads.path import best_of

CS = (0.01, 1.0, 100.0)


@pytest.mark.parametrize(("n", "d"), [(90, 60), (240, 60)], ids=["gram", "primal"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_cross_validate__scores_held_out_examples_as_liblinear_does(
    clusters: Any, n: int, d: int, n_classes: int
) -> None:
    X, y = clusters(n, d, n_classes, noise=3.0)
    fold = stratified_folds(y, n_folds=3)
    found = cross_validate(X, y, CS, fold, "none", "cpu", tol=1e-8)
    assert found.decisions.shape == (n, n_classes)
    assert found.gap.max() <= 1e-8
    for i, C in enumerate(CS):
        alone = cross_validate(X, y, [C], fold, "none", "cpu", tol=1e-8)
        assert alone.accuracy == found.accuracy[i]
        if i == found.best:
            np.testing.assert_allclose(alone.decisions, found.decisions, atol=2e-3)
        for k in range(3):
            peer = LinearSVC(C=C, dual=False, tol=1e-10, max_iter=100_000)
            peer.fit(X[fold != k].astype(float), y[fold != k])
            expected = peer.decision_function(X[fold == k].astype(float))
            if n_classes == 2:
                expected = np.stack([-expected, expected], axis=1)
            np.testing.assert_allclose(alone.decisions[fold == k], expected, atol=2e-3)
    np.testing.assert_allclose(found.accuracy, found.correct.mean(axis=1))
    assert found.Cs[found.best] == found.C


@pytest.mark.parametrize(("n", "d"), [(60, 40), (160, 60)], ids=["gram", "primal"])
def test_cross_validate__never_lets_a_held_out_label_touch_its_score(
    clusters: Any, n: int, d: int
) -> None:
    X, y = clusters(n, d, 3, noise=3.0)
    fold = np.arange(n) % 4
    changed = y.copy()
    changed[fold == 2] = (changed[fold == 2] + 1) % 3
    for C in CS:
        one, two = (cross_validate(X, t, [C], fold, device="cpu", tol=1e-9) for t in (y, changed))
        # Scores of fold 2 come from models that saw the other folds only.
        np.testing.assert_allclose(one.decisions[fold == 2], two.decisions[fold == 2], atol=2e-4)
    assert np.abs(one.decisions - two.decisions).max() > 0.1


def test_cross_validate__never_predicts_a_class_it_did_not_train_on(clusters: Any) -> None:
    X, y = clusters(30, 20, 3)
    y = y.copy()
    y[4] = 7
    fold = np.arange(30) % 3
    found = cross_validate(X, y, CS, fold, device="cpu")
    assert found.classes.tolist() == [0, 1, 2, 7]
    assert np.isfinite(found.decisions).all()
    assert (found.decisions[fold == 1].argmax(axis=1) != 3).all()


def test_cross_validate__leaves_out_examples_that_no_fold_holds_out(clusters: Any) -> None:
    X, y = clusters(30, 20, 3)
    fold = np.arange(30) % 3
    fold[:6] = -1
    found = cross_validate(X, y, CS, fold, device="cpu")
    assert found.tested.sum() == 24
    assert np.isnan(found.decisions[:6]).all()
    np.testing.assert_allclose(found.accuracy, found.correct[:, 6:].mean(axis=1))


def test_cross_validate__sorts_costs_and_tells_of_progress(clusters: Any) -> None:
    X, y = clusters(30, 20, 3)
    told: list[tuple[str, int, int]] = []
    found = cross_validate(
        X, y, (10, 0.1), np.arange(30) % 2, device="cpu", progress=lambda *a: told.append(a)
    )
    assert found.Cs.tolist() == [0.1, 10]
    assert told == [("cross-validate", 1, 2), ("cross-validate", 2, 2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Cs": (1.0, 0.0)}, "Cs must be one or more finite numbers above 0"),
        ({"Cs": ()}, "Cs must be one or more finite numbers above 0"),
        ({"folds": np.zeros(7, dtype=int)}, "folds has 7 entries for 30 samples"),
        ({"folds": np.zeros(30, dtype=int)}, "no training samples"),
        ({"folds": []}, "holds no fold"),
        ({"folds": [([0, 1], [2, 3]), ([0, 1], [3, 4])]}, "sample 3 is held out by 2 folds"),
        ({"folds": [([0, 1], [1, 2])]}, "tests on some of them"),
        ({"y": np.zeros(30)}, "at least 2 classes"),
        ({"y": np.zeros(31)}, "one row per label"),
        ({"X": np.full((30, 2), np.nan)}, "first in row 0"),
        ({"device": "mps"}, "no float64"),
    ],
)
def test_cross_validate__names_what_is_wrong(
    clusters: Any, change: dict[str, Any], message: str
) -> None:
    X, y = clusters(30, 20, 3)
    settings: dict[str, Any] = {"X": X, "y": y, "Cs": CS, "folds": np.arange(30) % 3}
    with pytest.raises(ValueError, match=message):
        cross_validate(**{**settings, **change})


def test_cross_validate__takes_the_most_accurate_C_and_of_equals_the_nearest_to_10(
    clusters: Any,
) -> None:
    X, y = clusters(60, 20, 3, noise=3.0)
    path = cross_validate(X, y, CS, np.arange(60) % 3)
    assert path.Cs[path.best] == path.C
    assert path.accuracy[path.best] == path.accuracy.max()
    equals = path.Cs[path.accuracy == path.accuracy.max()]
    assert len(equals) > 1
    assert min(equals, key=lambda C: abs(np.log(C / 10))) == path.C


def test_best_of__equals_on_both_sides_of_10_are_as_near_and_the_smaller_is_taken() -> None:
    merits = np.ones((4, 5))
    assert best_of(merits, [0.01, 1.0, 100.0, 300.0]) == 1
    assert best_of(merits, np.array([30.0, 100.0, 300.0, 1000.0])) == 0
    merits[3] += 1e-6
    assert best_of(merits, [0.01, 1.0, 100.0, 300.0]) == 3


@pytest.mark.parametrize(("n", "d"), [(60, 40), (200, 20)], ids=["gram", "primal"])
def test_cross_validate__weighs_examples_as_liblinear_does(clusters: Any, n: int, d: int) -> None:
    X, y = clusters(n, d, 3, noise=3.0)
    fold = stratified_folds(y, n_folds=3)
    weight = np.random.default_rng(0).choice([0.0, 0.5, 2.0], n)
    found = cross_validate(X, y, [1.0], fold, "none", "cpu", tol=1e-8, sample_weight=weight)
    for k in range(3):
        peer = LinearSVC(dual=False, tol=1e-10, max_iter=100_000)
        peer.fit(X[fold != k].astype(float), y[fold != k], sample_weight=weight[fold != k])
        expected = peer.decision_function(X[fold == k].astype(float))
        np.testing.assert_allclose(found.decisions[fold == k], expected, atol=2e-3)
    assert found.accuracy[0] == pytest.approx(found.correct[0] @ weight / weight.sum())
    assert found.merits[0].mean() == pytest.approx(found.accuracy[0])


def test_cross_validate__takes_the_best_C_by_the_criterion(clusters: Any) -> None:
    X, y = clusters(120, 30, 3, noise=6.0)
    keep = np.r_[np.flatnonzero(y == 0)[:6], np.flatnonzero(y > 0)]
    X, y = X[keep], y[keep]
    fold = stratified_folds(y, n_folds=3)
    for metric in ("balanced_accuracy", "macro_f1", "log_loss", "roc_auc"):
        criterion = Criterion(metric=metric)
        found = cross_validate(X, y, CS, fold, "l2", "cpu", criterion=criterion)
        alone = [cross_validate(X, y, [C], fold, "l2", "cpu") for C in CS]
        values = [float(criterion.merits(one.decisions, y).mean()) for one in alone]
        assert found.merits.mean(axis=1) == pytest.approx(values, abs=1e-3)
        assert found.best == int(np.argmax(found.merits.mean(axis=1)))


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ([1.0] * 29, "shape"),
        ([-1.0] + [1.0] * 29, "0 or more; got -1 at position 0"),
        ([1.0, float("inf")] + [1.0] * 28, "got inf at position 1"),
        ([0.0] * 30, "not be zero for all"),
    ],
)
def test_cross_validate__names_what_is_wrong_with_weights(
    clusters: Any, weight: list[float], words: str
) -> None:
    X, y = clusters(30, 5, 2)
    with pytest.raises(ValueError, match=words):
        cross_validate(X, y, [1.0], stratified_folds(y, n_folds=3), sample_weight=weight)
