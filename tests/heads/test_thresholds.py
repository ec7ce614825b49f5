"""Thresholds against scikit-learn's precision-recall curve and the plain definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, precision_score, recall_score

from headstart.heads import accuracy_interval, apply_thresholds, choose_thresholds


def draw(n: int, K: int, seed: int, digits: int = 6) -> Any:
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(K), rng.integers(0, K, n - K)]
    P = np.exp(rng.normal(size=(n, K)) + 1.5 * np.eye(K)[y])
    P = (P / P.sum(axis=1, keepdims=True)).round(digits)
    names = [f"c{k}" for k in range(K)]
    return np.array(names)[y], P, names


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    value=st.sampled_from([0.5, 0.8, 0.95, 1.0]),
    target=st.sampled_from(["precision", "recall"]),
    digits=st.sampled_from([1, 6]),
)
def test_choose_thresholds__is_the_best_point_of_the_curve(
    seed: int, value: float, target: Any, digits: int
) -> None:
    y, P, names = draw(40, 3, seed, digits)
    found = choose_thresholds(y, P, names, target=target, value=value)
    for k, c in enumerate(found.classes):
        own = y == c.name
        precision, recall, _ = precision_recall_curve(own, P[:, k])
        precision, recall = precision[:-1], recall[:-1]
        if c.threshold is None:
            assert target == "precision"
            assert precision.max() < value
            assert c.best == pytest.approx(precision.max())
            continue
        said = P[:, k] >= c.threshold
        reached = {"precision": precision_score(own, said), "recall": recall_score(own, said)}
        assert reached[target] >= value - 1e-9
        if target == "precision":
            assert reached["recall"] == pytest.approx(recall[precision >= value - 1e-12].max())
        else:  # no higher threshold keeps the recall
            higher = P[:, k] > P[said, k].min()
            assert recall_score(own, higher, zero_division=0) < value
        assert c.chosen_on is not None
        assert c.chosen_on.precision is not None
        assert c.chosen_on.precision.value == pytest.approx(reached["precision"])
        assert c.chosen_on.n == said.sum()


def test_apply_thresholds__says_what_they_reach_on_other_examples() -> None:
    y, P, names = draw(200, 3, 0)
    chosen = choose_thresholds(y[:100], P[:100], names, target="precision", value=0.9)
    tested = apply_thresholds(chosen, y[100:], P[100:])
    for k, c in enumerate(tested.classes):
        assert c.threshold is not None
        assert c.test is not None
        said = P[100:, k] >= c.threshold
        assert c.test.precision == accuracy_interval((y[100:] == c.name)[said])
        assert c.test.recall == accuracy_interval(said[y[100:] == c.name])
        assert c.chosen_on == chosen.classes[k].chosen_on


def test_choose_thresholds__weights_count_as_copies() -> None:
    y, P, names = draw(40, 3, 1)
    times = np.random.default_rng(0).integers(0, 4, 40)
    times[:3] = 1
    one = choose_thresholds(y, P, names, target="precision", value=0.9, sample_weight=times)
    rows = np.repeat(np.arange(40), times)
    other = choose_thresholds(y[rows], P[rows], names, target="precision", value=0.9)
    said = [
        [P[times > 0, k] >= (c.threshold or 2) for k, c in enumerate(t.classes)]
        for t in (one, other)
    ]
    np.testing.assert_array_equal(said[0], said[1])


def test_choose_thresholds__a_precision_that_none_reaches_has_no_threshold() -> None:
    found = choose_thresholds(
        ["a", "b", "b", "a"], [[0.4, 0.6], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], ["a", "b"],
        target="precision", value=0.9,
    )  # fmt: skip
    assert [c.name for c in found.unreached] == ["a"]
    assert found.classes[0].best == pytest.approx(2 / 3)
    assert found.classes[0].chosen_on is None
    assert apply_thresholds(found, ["a"], [[0.5, 0.5]]).classes[0].test is None


def test_choose_thresholds__refuses_a_share_that_is_none() -> None:
    for value in (0.0, 1.2, float("nan")):
        with pytest.raises(ValueError, match="value must lie in"):
            choose_thresholds(["a"], [[1.0]], ["a"], target="recall", value=value)
