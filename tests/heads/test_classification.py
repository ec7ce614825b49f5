"""Metrics against scikit-learn on random cases, their intervals against the truth by simulation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from headstart.heads.classification import _Curves, classification_metrics


def _draw(n: int, K: int, strength: float, seed: int, round_to: int | None = None) -> Any:
    rng = np.random.default_rng(seed)
    y = rng.integers(K, size=n)
    Z = rng.normal(size=(n, K))
    Z[np.arange(n), y] += strength
    P = np.exp(Z)
    P /= P.sum(axis=1, keepdims=True)
    if round_to is not None:  # ties among scores
        P = np.round(P, round_to) + 1e-3
        P /= P.sum(axis=1, keepdims=True)
    return y, P


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 80), K=st.integers(2, 6), strength=st.floats(0, 4), seed=st.integers(0, 999),
    round_to=st.sampled_from([None, 1]),
)  # fmt: skip
def test_classification_metrics__equals_scikit_learn(n, K, strength, seed, round_to) -> None:
    y, P = _draw(n, K, strength, seed, round_to)
    names = [f"c{k}" for k in range(K)]
    labels, predicted = np.array(names)[y], P.argmax(axis=1)
    found = classification_metrics(labels, P, names, order=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            y, predicted, average="macro", zero_division=0
        )
        assert found.accuracy.value == pytest.approx(sk.accuracy_score(y, predicted))
        assert found.macro_precision.value == pytest.approx(precision)
        assert found.macro_recall.value == pytest.approx(recall)
        assert found.macro_f1.value == pytest.approx(f1)
        seen = len(np.unique([*y, *predicted]))
        if seen > 1:
            assert found.kappa.value == pytest.approx(sk.cohen_kappa_score(y, predicted))
            quadratic = sk.cohen_kappa_score(
                y, predicted, weights="quadratic", labels=list(range(K))
            )
            assert found.quadratic_kappa is not None
            assert found.quadratic_kappa.value == pytest.approx(quadratic)
        assert found.log_loss.value == pytest.approx(sk.log_loss(y, P, labels=list(range(K))))
        assert found.brier.value == pytest.approx(((P - np.eye(K)[y]) ** 2).sum(axis=1).mean())
    own = [k for k in range(K) if 0 < (y == k).sum() < n]
    if own:
        area = np.mean([sk.roc_auc_score(y == k, P[:, k]) for k in own])
        average = np.mean([sk.average_precision_score(y == k, P[:, k]) for k in own])
        assert found.roc_auc is not None
        assert found.average_precision is not None
        assert found.roc_auc.value == pytest.approx(area)
        assert found.average_precision.value == pytest.approx(average)
    for k, of_class in enumerate(found.classes):
        assert of_class.n == (y == k).sum()
        if of_class.f1 is not None:
            f1_k = sk.f1_score(y == k, predicted == k, zero_division=0)
            assert of_class.f1.value == pytest.approx(f1_k)
            assert of_class.f1.low <= of_class.f1.value <= of_class.f1.high
    for interval in (found.macro_f1, found.kappa, found.log_loss, found.brier, found.ece):
        assert interval.low <= interval.value <= interval.high


def test_classification_metrics__top_k_counts_ties_for_the_model() -> None:
    y, P = _draw(200, 8, 1.0, 0)
    names = [str(k) for k in range(8)]
    found = classification_metrics(y.astype(str), P, names)
    for k, share in found.top_k.items():
        assert share.value == pytest.approx(sk.top_k_accuracy_score(y, P, k=k))
    assert list(found.top_k) == [1, 2, 3, 5]
    assert found.quadratic_kappa is None


@pytest.mark.parametrize(("n", "K", "strength"), [(100, 3, 2.0), (400, 5, 2.5)])
def test_classification_metrics__intervals_hold_the_truth(n: int, K: int, strength: float) -> None:
    names = [str(k) for k in range(K)]

    def measure(n: int, seed: int) -> Any:
        y, P = _draw(n, K, strength, seed)
        return classification_metrics(y.astype(str), P, names, order=names)

    truth = measure(60_000, 10**6)
    repeats = [measure(n, seed) for seed in range(100)]
    for name in (
        "accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "kappa",
        "quadratic_kappa", "roc_auc", "average_precision", "log_loss", "brier", "ece",
    ):  # fmt: skip
        value = getattr(truth, name).value
        held = [getattr(m, name).low <= value <= getattr(m, name).high for m in repeats]
        assert np.mean(held) >= 0.86, name  # 95 % less three standard errors


def test_classification_metrics__groups_widen_the_intervals_of_each_class() -> None:
    """In each group all are right or all are wrong: 20 copies of one example say no more than it."""
    rng = np.random.default_rng(0)
    y, right = np.repeat(["a", "b"], 30), rng.random(60) < 0.7
    of_a = np.where((y == "a") == right, 0.9, 0.1)
    P = np.column_stack([of_a, 1 - of_a])
    once = classification_metrics(y, P, ["a", "b"])
    rows = np.repeat(np.arange(60), 20)
    copies = classification_metrics(y[rows], P[rows], ["a", "b"], groups=rows)
    for one, many in zip(once.classes, copies.classes, strict=True):
        for name in ("precision", "recall", "f1"):
            alone, together = getattr(one, name), getattr(many, name)
            assert together.value == pytest.approx(alone.value)
            assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_classification_metrics__of_equal_probabilities_the_first_class_comes_first() -> None:
    P = np.full((4, 3), 1 / 3)
    found = classification_metrics(["a", "b", "c", "c"], P, ["a", "b", "c"])
    assert found.accuracy.value == found.top_k[1].value == 0.25
    assert found.top_k[2].value == 0.5


def test_classification_metrics__groups_widen_the_intervals() -> None:
    rng = np.random.default_rng(0)
    K, names = 3, ["0", "1", "2"]
    held, alone = [], []
    for _ in range(100):
        groups = np.repeat(np.arange(30), 10)
        y = np.repeat(rng.integers(K, size=30), 10)
        Z = np.repeat(rng.normal(size=(30, K)), 10, axis=0) + 0.1 * rng.normal(size=(300, K))
        Z[np.arange(300), y] += 1.5
        P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
        together = classification_metrics(y.astype(str), P, names, groups=groups).accuracy
        plain = classification_metrics(y.astype(str), P, names).accuracy
        assert together.high - together.low >= plain.high - plain.low - 1e-12
        held.append(together)
        alone.append(plain)
    # Two of three classes are beaten by 1.5 with noise of sqrt(2): measured on many groups.
    Z = rng.normal(size=(200_000, K))
    Z[:, 0] += 1.5
    truth = (Z.argmax(axis=1) == 0).mean()
    assert np.mean([i.low <= truth <= i.high for i in held]) >= 0.86
    assert np.mean([i.low <= truth <= i.high for i in alone]) < 0.8


def test_classification_metrics__reliability_adds_up() -> None:
    y, P = _draw(500, 4, 2.0, 0)
    P = P**2 / (P**2).sum(axis=1, keepdims=True)  # the posterior of these draws
    found = classification_metrics(y.astype(str), P, list("0123"))
    assert sum(b.n for b in found.reliability) == 500
    gap = sum(b.n * abs(b.confidence - b.accuracy.value) for b in found.reliability) / 500
    assert found.ece.value == pytest.approx(gap)
    sharp = classification_metrics(
        y.astype(str), P**4 / (P**4).sum(axis=1, keepdims=True), list("0123")
    )
    assert sharp.ece.low > 0
    assert sharp.ece.value > found.ece.value


@pytest.mark.parametrize(
    ("y", "P", "options", "said"),
    [
        (["a"], [[0.5, 0.5, 0.0]], {}, "shape"),
        ([], np.zeros((0, 2)), {}, "at least one"),
        (["c"], [[0.5, 0.5]], {}, "'c'"),
        (["a"], [[0.5, 0.5]], {"order": ["a"]}, "each of the 2 classes"),
        (["a", "b"], [[0.5, 0.5]] * 2, {"groups": [1]}, "one entry an example"),
    ],
)
def test_classification_metrics__refuses(y: Any, P: Any, options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        classification_metrics(y, P, ["a", "b"], **options)


def test_classification_metrics__of_one_example_and_of_one_class() -> None:
    one = classification_metrics(["a"], [[0.9, 0.1]], ["a", "b"])
    assert one.roc_auc is None
    assert (one.log_loss.low, one.log_loss.high) == (0, np.inf)
    same = classification_metrics(["a"] * 5, [[0.9, 0.1]] * 5, ["a", "b"])
    assert same.accuracy.value == 1
    assert same.classes[1].recall is None


def _named(n: int, K: int, seed: int) -> Any:
    """Labels with every class among the first, probabilities, and the classes."""
    y, P = _draw(n, K, 1.0, seed)
    y[:K] = np.arange(K)
    names = [f"c{k}" for k in range(K)]
    return np.array(names)[y], P, names


@settings(max_examples=15)
@given(n=st.integers(20, 80), K=st.integers(2, 4), seed=st.integers(0, 999))
def test_classification_metrics__weighted_equal_scikit_learn(n: int, K: int, seed: int) -> None:
    y, P, names = _named(n, K, seed)
    w = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 3.0], n)
    w[:K] = 1.0
    said = np.array(names)[P.argmax(axis=1)]
    found = classification_metrics(y, P, names, order=names, sample_weight=w)
    assert found.accuracy.value == pytest.approx(sk.accuracy_score(y, said, sample_weight=w))
    assert found.balanced_accuracy.value == pytest.approx(
        sk.balanced_accuracy_score(y, said, sample_weight=w)
    )
    options = {"average": "macro", "sample_weight": w, "zero_division": 0}
    assert found.macro_f1.value == pytest.approx(sk.f1_score(y, said, **options))
    assert found.macro_precision.value == pytest.approx(sk.precision_score(y, said, **options))
    for kappa, weights in ((found.kappa, None), (found.quadratic_kappa, "quadratic")):
        expected = sk.cohen_kappa_score(y, said, labels=names, weights=weights, sample_weight=w)
        assert kappa is not None
        assert kappa.value == pytest.approx(expected)
    assert found.log_loss.value == pytest.approx(sk.log_loss(y, P, labels=names, sample_weight=w))
    own = [(y == name) for name in names]
    areas = [sk.roc_auc_score(o, P[:, k], sample_weight=w) for k, o in enumerate(own)]
    averages = [sk.average_precision_score(o, P[:, k], sample_weight=w) for k, o in enumerate(own)]
    assert found.roc_auc is not None
    assert found.average_precision is not None
    assert found.roc_auc.value == pytest.approx(np.mean(areas))
    assert found.average_precision.value == pytest.approx(np.mean(averages))
    assert found.accuracy.low <= found.accuracy.value <= found.accuracy.high


def test_classification_metrics__weights_that_are_equal_change_nothing() -> None:
    y, P, names = _named(60, 3, 0)
    groups = np.arange(60) % 12
    one = classification_metrics(y, P, names, groups=groups)
    other = classification_metrics(y, P, names, groups=groups, sample_weight=np.full(60, 7.0))
    assert one.accuracy == other.accuracy
    assert one.macro_f1.value == pytest.approx(other.macro_f1.value)
    assert one.balanced_accuracy.low == pytest.approx(other.balanced_accuracy.low)
    assert one.classes[0].recall is not None
    assert other.classes[0].recall is not None
    assert one.classes[0].recall.low == pytest.approx(other.classes[0].recall.low)


def test_classification_metrics__uneven_weights_widen_the_intervals() -> None:
    y, P, names = _named(200, 3, 0)
    w = np.r_[np.full(20, 20.0), np.ones(180)]
    one = classification_metrics(y, P, names).accuracy
    other = classification_metrics(y, P, names, sample_weight=w).accuracy
    assert other.high - other.low > 1.5 * (one.high - one.low)


def test_classification_metrics__costs_decide_what_is_predicted() -> None:
    y, P, names = _named(80, 3, 1)
    costs = np.array([[0, 1, 1], [1, 0, 1], [10, 10, 0]])
    found = classification_metrics(y, P, names, costs=costs)
    said = (P @ costs).argmin(axis=1)
    truth = np.searchsorted(names, y)
    assert found.cost is not None
    assert found.cost.value == pytest.approx(costs[truth, said].mean())
    assert found.accuracy.value == pytest.approx((said == truth).mean())
    assert found.cost.value <= costs[truth, P.argmax(axis=1)].mean()
    assert classification_metrics(y, P, names).cost is None


def test_classification_metrics__weights_of_classes_leave_their_recalls_as_they_are() -> None:
    """A class whose examples all count five times is not known any better."""
    y, P, names = _named(90, 3, 2)
    w = np.where(y == "c0", 5.0, 1.0)
    one = classification_metrics(y, P, names)
    other = classification_metrics(y, P, names, sample_weight=w)
    assert [c.recall for c in one.classes] == [c.recall for c in other.classes]
    assert [c.n for c in one.classes] == [c.n for c in other.classes]
    assert one.balanced_accuracy.low == pytest.approx(other.balanced_accuracy.low)
    said = np.array(names)[P.argmax(axis=1)]
    for k, name in enumerate(names):
        precision = other.classes[k].precision
        assert precision is not None
        expected = sk.precision_score(y, said, labels=[name], average=None, sample_weight=w)[0]
        assert precision.value == pytest.approx(expected)


def test_curves__with_a_part_left_out_are_those_of_the_rest() -> None:
    rng = np.random.default_rng(0)
    truth, parts = rng.integers(0, 3, 60), rng.permutation(60) % 5
    P = rng.integers(0, 8, (60, 3)) / 8  # many equal scores
    w = rng.random(60)
    for k in range(3):
        found = _Curves(truth, P, w).of_class(k, parts)
        for part in range(5):
            rest = parts != part
            own = truth[rest] == k
            area = sk.roc_auc_score(own, P[rest, k], sample_weight=w[rest])
            average = sk.average_precision_score(own, P[rest, k], sample_weight=w[rest])
            np.testing.assert_allclose(found[:, 1 + part], [area, average], atol=1e-12)
    assert np.isnan(_Curves(truth, P, w).of_class(0, parts * 0)).any()  # nothing is left
