"""Merits against scikit-learn's metrics and their derivatives by the weights of examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from headstart.heads import (
    Criterion,
    fit_temperature,
    least_cost,
    paired_difference,
    paired_gain,
)
from headstart.heads.criterion import LOWER_IS_BETTER, METRICS, ranks_of

COSTS = ((0.0, 1.0, 5.0), (2.0, 0.0, 1.0), (1.0, 1.0, 0.0))


def criterion(metric: str) -> Criterion:
    return Criterion(metric=metric, ranks=(2, 0, 1), costs=COSTS if metric == "cost" else None)


def by_sklearn(
    metric: str, P: NDArray[np.float64], y: NDArray[np.intp], w: NDArray[np.float64]
) -> float:
    """The same metric of scikit-learn, and of cost by its definition."""
    said, labels = P.argmax(axis=1), np.arange(P.shape[1])
    binary = y[:, None] == labels
    if metric == "cost":
        return float(w @ np.array(COSTS)[y, least_cost(P, COSTS)] / w.sum())
    if metric == "quadratic_kappa":
        rank = np.array([2, 0, 1])
        return float(
            metrics.cohen_kappa_score(rank[y], rank[said], weights="quadratic", sample_weight=w)
        )
    functions: dict[str, Any] = {
        "accuracy": lambda: metrics.accuracy_score(y, said, sample_weight=w),
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(y, said, sample_weight=w),
        "macro_f1": lambda: metrics.f1_score(y, said, average="macro", sample_weight=w),
        "log_loss": lambda: metrics.log_loss(y, P, labels=labels, sample_weight=w),
        "kappa": lambda: metrics.cohen_kappa_score(y, said, sample_weight=w),
        "roc_auc": lambda: np.mean(
            [metrics.roc_auc_score(binary[:, k], P[:, k], sample_weight=w) for k in labels]
        ),
        "average_precision": lambda: np.mean(
            [
                metrics.average_precision_score(binary[:, k], P[:, k], sample_weight=w)
                for k in labels
            ]
        ),
    }
    return float(functions[metric]())


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    """Probabilities with equal values among them, labels of three classes, weights."""
    n = draw(st.integers(9, 30))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    P = rng.dirichlet(np.ones(3), size=n).round(1) + 0.05
    P /= P.sum(axis=1, keepdims=True)
    P[:, 0] += 1e-9  # no two classes are equally probable, which scikit-learn decides otherwise
    y = np.r_[0, 1, 2, rng.integers(0, 3, n - 3)]
    return P, y, rng.uniform(0.2, 3.0, n)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=8)
@given(case=cases())
def test_merits__mean_and_slope_are_those_of_scikit_learn(metric: str, case: Any) -> None:
    P, y, w = case
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    merits = criterion(metric).of_probabilities(P, y, w)
    value = sign * by_sklearn(metric, P, y, w)
    assert merits.mean() == pytest.approx(value, abs=1e-9)
    step, i = 1e-5, len(y) // 2
    more, less = w.copy(), w.copy()
    more[i] += step
    less[i] -= step
    slope = sign * (by_sklearn(metric, P, y, more) - by_sklearn(metric, P, y, less)) / (2 * step)
    assert merits[i] == pytest.approx(value + len(y) * w[i] * slope, abs=1e-5)


def test_merits__of_accuracy_are_what_is_correct() -> None:
    scores = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]])
    assert Criterion().merits(scores, [0, 1, 1]).tolist() == [1.0, 1.0, 0.0]


def test_merits__of_probabilities_are_calibrated_first() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    scores = np.eye(3)[y] + rng.normal(0, 0.7, (60, 3))
    found = Criterion(metric="log_loss").merits(scores, y)
    P = fit_temperature(scores, y).probabilities(scores)
    assert -found.mean() == pytest.approx(metrics.log_loss(y, P))
    assert found == pytest.approx(Criterion(metric="log_loss").merits(100 * scores, y), abs=1e-6)


def test_merits__weights_that_are_whole_count_as_copies() -> None:
    rng = np.random.default_rng(1)
    y = np.r_[0, 1, 2, rng.integers(0, 3, 27)]
    P, times = rng.dirichlet(np.ones(3), 30), rng.integers(1, 4, 30)
    for metric in METRICS:
        found = criterion(metric).of_probabilities(P, y, times.astype(float))
        copied = criterion(metric).of_probabilities(np.repeat(P, times, axis=0), y.repeat(times))
        assert found.mean() == pytest.approx(copied.mean())


def test_criterion__refuses_what_lacks_order_or_costs() -> None:
    with pytest.raises(ValueError, match="Did you mean 'macro_f1'"):
        Criterion(metric="macrof1")
    with pytest.raises(ValueError, match="order"):
        Criterion(metric="quadratic_kappa")
    with pytest.raises(ValueError, match="costs"):
        Criterion(metric="cost")
    with pytest.raises(ValueError, match="each of the 2 classes once"):
        ranks_of(["low", "low"], ["low", "high"])


def test_least_cost__of_even_costs_is_the_most_probable() -> None:
    P = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    assert (least_cost(P, 1 - np.eye(4)) == P.argmax(axis=1)).all()
    assert (least_cost(P, np.zeros((4, 4))) == P.argmax(axis=1)).all()


def test_least_cost__avoids_the_costly_confusion() -> None:
    # Taking the first for the second costs ten times as much as the reverse.
    assert least_cost([[0.2, 0.8], [0.05, 0.95]], [[0, 10], [1, 0]]).tolist() == [0, 1]


def test_paired_gain__covers_the_difference_of_new_examples() -> None:
    """Of 200 samples, the 95 % interval of macro F1 holds the true difference in 90 to 99 %."""
    rng = np.random.default_rng(0)

    def sample(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y = rng.choice(3, n, p=[0.6, 0.3, 0.1])
        shared = rng.normal(0, 1, (n, 3))
        scores = [1.2 * np.eye(3)[y] + shared + rng.normal(0, s, (n, 3)) for s in (0.3, 0.6)]
        P = [fit_temperature(s, y).probabilities(s) for s in scores]
        a, b = (criterion("macro_f1").of_probabilities(p, y) for p in P)
        return a, b

    large = [m.mean() for m in sample(50_000)]
    truth, held = large[0] - large[1], 0
    for _ in range(200):
        d = paired_gain(*sample(150))
        held += d.low <= truth <= d.high
    assert 0.90 <= held / 200 <= 0.99


def test_paired_gain__of_zeros_and_ones_is_the_paired_difference() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(80) < 0.8, rng.random(80) < 0.7
    assert paired_gain(a, b) == paired_difference(a, b)


def test_paired_gain__of_groups_is_that_of_their_sums() -> None:
    rng = np.random.default_rng(0)
    of_group = rng.normal(0.1, 0.5, 20)
    a, groups = of_group.repeat(10), np.arange(20).repeat(10)
    found = paired_gain(a, np.zeros(200), groups=groups)
    assert found.value == pytest.approx(of_group.mean())
    assert found.standard_error == pytest.approx(of_group.std() / np.sqrt(20))
    assert found.standard_error > 2 * paired_gain(a, np.zeros(200)).standard_error


@pytest.mark.parametrize("dtype", [bool, float])
def test_paired_gain__one_nested_error_of_480_is_a_tie(dtype: type) -> None:
    best = np.r_[np.ones(470), np.zeros(10)].astype(dtype)
    behind = best.copy()
    behind[0] = 0
    assert paired_gain(behind, best).is_tie
    behind[:5] = 0
    assert not paired_gain(behind, best).is_tie
