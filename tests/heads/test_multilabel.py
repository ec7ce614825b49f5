from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from headstart.heads.accuracy import accuracy_interval
from headstart.heads.multilabel import (
    average_precision,
    best_thresholds,
    fit_sigmoids,
    given_per_fold,
    labels_figures,
    precision_merits,
    random_average_precision,
    sigmoid,
)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30))
def test_average_precision__equals_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    has, scores = np.array([p[0] for p in pairs]), np.array([float(p[1]) for p in pairs])
    has[0] = True
    weights = np.arange(len(has)) % 3 + 1.0
    found = average_precision(has, scores, np.stack([np.ones(len(has)), weights]))
    expected = [
        average_precision_score(has, scores),
        average_precision_score(has, scores, sample_weight=weights),
    ]
    assert found == pytest.approx(expected)


def test_average_precision__is_not_defined_without_the_label() -> None:
    found = average_precision(np.array([True, False]), np.zeros(2), np.array([[0.0, 1.0]]))
    assert np.isnan(found).all()


def test_precision_merits__have_the_mean_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    has, scores = rng.random((50, 4)) < 0.3, rng.integers(0, 9, (50, 4)).astype(float)
    expected = average_precision_score(has, scores, average="macro")
    merits = precision_merits(has, scores)
    assert merits.mean() == pytest.approx(expected)
    # Their spread is that of the metric over resamples of the examples.
    some = np.random.default_rng(1).integers(0, 50, (120, 50))
    drawn = [average_precision_score(has[i], scores[i]) for i in some if has[i].any(axis=0).all()]
    assert merits.std() / np.sqrt(50) == pytest.approx(np.std(drawn), rel=0.3)


def test_fit_sigmoids__equal_logistic_regression_with_platts_targets() -> None:
    rng = np.random.default_rng(1)
    own = rng.random(80) < 0.3
    s = own + rng.normal(0, 1, 80)
    slope, offset = fit_sigmoids(s[:, None], own[:, None])
    high, low = (own.sum() + 1) / (own.sum() + 2), 1 / ((~own).sum() + 2)
    t = np.where(own, high, low)
    twice = LogisticRegression(C=1e9, tol=1e-10, max_iter=1_000).fit(
        np.concatenate([s, s])[:, None], np.repeat([1, 0], 80), np.concatenate([t, 1 - t])
    )
    assert slope[0] == pytest.approx(twice.coef_[0, 0], rel=1e-3)
    assert offset[0] == pytest.approx(twice.intercept_[0], rel=1e-3)


def test_fit_sigmoids__never_turn_the_order_round() -> None:
    own = np.array([[True], [True], [False], [False]])
    for scores in ([0.0, 0.1, 0.9, 1.0], [1.0, 1.0, 1.0, 1.0]):
        slope, offset = fit_sigmoids(np.array(scores)[:, None], own)
        assert slope[0] == 0
        assert sigmoid(offset)[0] == pytest.approx(0.5)


def test_best_thresholds__have_the_highest_f1_of_all() -> None:
    rng = np.random.default_rng(2)
    has = rng.random((60, 3)) < [0.1, 0.4, 0.9]
    P = np.clip(0.3 * has + rng.random((60, 3)) * 0.7, 0, 1)
    for k, t in enumerate(best_thresholds(has, P)):
        best = max(f1_score(has[:, k], P[:, k] >= u) for u in [0.0, *P[:, k]])
        assert f1_score(has[:, k], P[:, k] >= t) == pytest.approx(best)


def test_given_per_fold__no_example_chooses_its_own_thresholds() -> None:
    rng = np.random.default_rng(5)
    has, P, folds = rng.random((60, 3)) < 0.3, rng.random((60, 3)), np.arange(60) % 4
    given = given_per_fold(has, P, folds)
    changed = has.copy()
    changed[folds == 2] = ~changed[folds == 2]
    np.testing.assert_array_equal(given_per_fold(changed, P, folds)[folds == 2], given[folds == 2])
    # Scores that say nothing look better by their own thresholds than they are.
    own = labels_figures(has, P, "abc", best_thresholds(has, P))
    honest = labels_figures(has, P, "abc", best_thresholds(has, P), given=given)
    assert own.micro_f1 is not None
    assert honest.micro_f1 is not None
    assert honest.micro_f1.value < own.micro_f1.value
    assert honest.mean_average_precision == own.mean_average_precision


def test_labels_figures__equal_scikit_learn_and_have_intervals() -> None:
    rng = np.random.default_rng(3)
    has = rng.random((120, 3)) < [0.2, 0.5, 0.7]
    P = np.clip(0.4 * has + rng.random((120, 3)) * 0.6, 0, 1)
    t = np.array([0.4, 0.5, 0.6])
    found = labels_figures(has, P, ["a", "b", "c"], t)
    assert found.mean_average_precision is not None
    assert found.mean_average_precision.value == pytest.approx(average_precision_score(has, P))
    for average, interval in (("micro", found.micro_f1), ("macro", found.macro_f1)):
        assert interval is not None
        assert interval.value == pytest.approx(f1_score(has, t <= P, average=average))
        assert interval.low < interval.value < interval.high
    assert found.exact.value == pytest.approx(accuracy_score(has, t <= P))
    drawn = [average_precision_score(has, rng.random(has.shape)) for _ in range(60)]
    assert found.trivial_map == pytest.approx(np.mean(drawn), abs=0.01)
    every = np.ones_like(has)
    assert found.trivial_micro_f1 == pytest.approx(f1_score(has, every, average="micro"))
    assert found.trivial_macro_f1 == pytest.approx(f1_score(has, every, average="macro"))


def test_labels_figures__leave_labels_out_that_no_example_has() -> None:
    has = np.array([[True, False], [False, False], [True, False]])
    P = np.array([[0.9, 0.9], [0.1, 0.1], [0.8, 0.2]])
    found = labels_figures(has, P, ["a", "b"], np.array([0.5, 0.5]))
    assert found.labels[1].average_precision is None
    assert found.labels[1].recall is None
    assert found.mean_average_precision is not None
    assert found.mean_average_precision.value == 1
    assert found.macro_f1 is not None
    assert found.macro_f1.value == 1


def test_labels_figures__are_not_defined_where_no_example_has_a_label() -> None:
    has, P = np.zeros((6, 2), dtype=bool), np.linspace(0, 1, 12).reshape(6, 2)
    found = labels_figures(has, P, ["a", "b"], np.full(2, 0.5))
    assert found.mean_average_precision is None
    assert found.micro_f1 is None
    assert found.macro_f1 is None
    assert found.trivial_map is None
    assert found.exact.value == pytest.approx(0.5)
    assert found.labels[0].precision is not None
    assert found.labels[0].precision.value == 0


def test_labels_figures__are_not_certain_after_few_examples() -> None:
    has = np.array([[True, False], [False, True]] * 4)
    found = labels_figures(has, np.where(has, 0.9, 0.1), ["a", "b"], np.full(2, 0.5))
    assert found.exact == accuracy_interval([True] * 8)
    for f in found.labels:
        assert f.recall == f.precision == accuracy_interval([True] * 4)
        assert f.f1 is not None
        assert f.average_precision is not None
        assert f.f1.low == f.average_precision.low < 0.6
    assert found.mean_average_precision is not None
    assert found.mean_average_precision.low < 0.7
    groups = [str(i // 2) for i in range(40)]
    half = np.repeat(np.arange(20) < 10, 2)[:, None]
    grouped = labels_figures(
        np.ones((40, 1), bool), half.astype(np.float64), ["a"], np.array([0.5]), groups
    )
    assert grouped.labels[0].recall == accuracy_interval(half[:, 0], groups=groups)


def test_best_thresholds__give_a_label_that_cannot_be_told_to_none_or_to_all() -> None:
    has = np.zeros((100, 2), dtype=bool)
    has[:2, 0], has[:90, 1] = True, True
    scores = np.random.default_rng(0).normal(size=(100, 2)) - 3 * has
    slope, offset = fit_sigmoids(scores, has)
    assert not slope.any()
    P = sigmoid(scores * slope + offset)
    given = best_thresholds(has, P) <= P
    assert not given[:, 0].any()
    assert given[:, 1].all()


def test_random_average_precision__is_that_of_random_orders() -> None:
    rng = np.random.default_rng(0)
    for n_own, n in ((1, 1), (1, 12), (3, 12), (12, 12)):
        has = np.arange(n) < n_own
        drawn = [average_precision(has, rng.random(n), np.ones((1, n)))[0] for _ in range(800)]
        assert random_average_precision(n_own, n) == pytest.approx(np.mean(drawn), abs=0.02)


def test_labels_figures__are_less_sure_of_groups() -> None:
    rng = np.random.default_rng(4)
    has = np.repeat(rng.random((20, 2)) < 0.5, 6, axis=0)
    P = np.clip(0.3 * has + np.repeat(rng.random((20, 2)), 6, axis=0) * 0.7, 0, 1)
    groups = [str(i // 6) for i in range(120)]
    alone = labels_figures(has, P, ["a", "b"], np.full(2, 0.5)).micro_f1
    grouped = labels_figures(has, P, ["a", "b"], np.full(2, 0.5), groups).micro_f1
    assert alone is not None
    assert grouped is not None
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
