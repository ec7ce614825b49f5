from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headstart.heads import (
    Interval,
    accuracy_interval,
    balanced_accuracy_interval,
    mcnemar,
    paired_difference,
    repeated_accuracy,
    repeated_difference,
)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_accuracy_interval__is_wilsons(case: tuple[int, int]) -> None:
    hits, n = case
    found = accuracy_interval(np.arange(n) < hits, level=0.9)
    expected = stats.binomtest(hits, n).proportion_ci(0.9, method="wilson")
    assert found.value == hits / n
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_accuracy_interval__refuses_nothing_and_bad_levels() -> None:
    with pytest.raises(ValueError, match="not empty"):
        accuracy_interval([])
    with pytest.raises(ValueError, match=r"level must lie in \(0, 1\); got 95"):
        accuracy_interval([True], level=95)


def test_interval__reads_as_percentages() -> None:
    assert str(Interval(0.9, 0.826, 0.945)) == "90.0% [82.6%, 94.5%]"


def test_balanced_accuracy_interval__is_the_mean_of_recalls() -> None:
    truth = np.repeat([0, 1, 2], [50, 30, 20])
    predicted = truth.copy()
    predicted[:10] = 1  # recall 0.8
    predicted[50:65] = 2  # recall 0.5
    found = balanced_accuracy_interval(truth, predicted)
    assert found.value == pytest.approx((0.8 + 0.5 + 1.0) / 3)
    assert 0 < found.low < found.value < found.high <= 1


def test_balanced_accuracy_interval__is_wilsons_for_one_class() -> None:
    correct = np.arange(40) < 33
    found = balanced_accuracy_interval(np.zeros(40), np.where(correct, 0, 1))
    expected = accuracy_interval(correct)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_balanced_accuracy_interval__covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    recalls, truth = np.array([0.95, 0.7, 0.85]), np.repeat([0, 1, 2], [40, 15, 25])
    hits = 0
    for _ in range(1000):
        correct = rng.random(80) < recalls[truth]
        found = balanced_accuracy_interval(truth, np.where(correct, truth, 9))
        hits += found.low <= recalls.mean() <= found.high
    assert 0.93 <= hits / 1000 <= 0.985


def test_balanced_accuracy_interval__refuses_arrays_that_do_not_match() -> None:
    with pytest.raises(ValueError, match="of one length"):
        balanced_accuracy_interval([0, 1], [0])


def test_paired_difference__by_hand() -> None:
    a = np.array([1, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    b = np.array([1, 0, 1, 0, 0, 1, 1, 1, 0, 0], dtype=bool)
    found = paired_difference(a, b)
    d = a.astype(float) - b.astype(float)
    assert found.value == pytest.approx(0.2)
    assert found.standard_error == pytest.approx(d.std() / np.sqrt(10))
    assert found.high - found.value == pytest.approx(1.959964 * found.standard_error, rel=1e-6)
    assert found.p_value == pytest.approx(stats.binomtest(3, 4).pvalue)
    assert found.is_tie == (found.standard_error >= 0.2)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_paired_difference__turns_sign_when_the_sides_are_swapped(
    pairs: list[tuple[bool, bool]],
) -> None:
    a, b = np.array(pairs).T
    one, two = paired_difference(a, b), paired_difference(b, a)
    assert one.value == pytest.approx(-two.value)
    assert one.low == pytest.approx(-two.high)
    assert one.p_value == pytest.approx(two.p_value)


def test_paired_difference__refuses_other_lengths() -> None:
    with pytest.raises(ValueError, match="differ in length: 2 and 1"):
        paired_difference([True, False], [True])


def test_mcnemar__is_certain_only_of_uneven_splits() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(10, 0) == pytest.approx(2 * 0.5**10)


def test_repeated_difference__of_one_repeat_is_the_paired_difference() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(200) < 0.8, rng.random(200) < 0.7
    once, repeated = paired_difference(a, b), repeated_difference([a], [b])
    assert repeated.value == pytest.approx(once.value)
    assert repeated.standard_error == pytest.approx(once.standard_error)
    assert repeated.low == pytest.approx(once.low)


def test_repeated_difference__covers_what_both_seeds_and_images_change() -> None:
    """Simulated: a true gain of 5 points, images and seeds drawn anew each time."""
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(300):
        hard = rng.random(300)
        a = np.array([rng.random(300) < 0.95 - 0.3 * hard + rng.normal(0, 0.01) for _ in range(3)])
        b = np.array([rng.random(300) < 0.90 - 0.3 * hard + rng.normal(0, 0.01) for _ in range(3)])
        d = repeated_difference(a, b)
        covered.append(d.low <= 0.05 <= d.high)
    assert np.mean(covered) >= 0.92


def test_repeated_accuracy__is_as_wide_as_that_of_one_repeat() -> None:
    correct = np.array([True] * 90 + [False] * 10)
    assert repeated_accuracy([correct, correct]) == accuracy_interval(correct)


@pytest.mark.parametrize("bad", [[], [True, False], [[]]])
def test_repeated_accuracy__refuses_other_shapes(bad: list[object]) -> None:
    with pytest.raises(ValueError, match="two-dimensional and not empty"):
        repeated_accuracy(bad)
