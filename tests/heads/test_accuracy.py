from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from headstart.heads import (
    Interval,
    accuracy_interval,
    balanced_accuracy_interval,
    balanced_recall,
    is_significant,
    mcnemar,
    paired_difference,
    paired_gain,
    repeated_accuracy,
    repeated_difference,
    significance,
    unseen_difference,
)
from headstart.heads.accuracy import _sign_flip


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
    assert str(Interval(0.9, 0.826, 0.945)) == "90.0 % [82.6, 94.5]"


def test_balanced_accuracy_interval__is_the_mean_of_recalls() -> None:
    truth = np.repeat([0, 1, 2], [50, 30, 20])
    predicted = truth.copy()
    predicted[:10] = 1  # recall 0.8
    predicted[50:65] = 2  # recall 0.5
    found = balanced_accuracy_interval(truth, predicted)
    assert found.value == pytest.approx((0.8 + 0.5 + 1.0) / 3)
    assert 0 < found.low < found.value < found.high <= 1


def test_balanced_accuracy_interval__is_agresti_and_coulls_for_one_class() -> None:
    correct = np.arange(40) < 31
    found = balanced_accuracy_interval(np.zeros(40), np.where(correct, 0, 1))
    share, z = 33 / 44, stats.norm.ppf(0.975)
    half = z * (share * (1 - share) / 44) ** 0.5
    expected = (31 / 40, share - half, share + half)
    assert (found.value, found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("recalls", "n"),
    [
        *itertools.product(
            [(0.9, 0.95), (0.5, 0.8, 0.99), (1, 0.71, 0.95, 0.87, 0.95, 0.95, 0.79), (0.95,) * 15],
            [6, 12, 40],
        ),
        (np.linspace(0.5, 1, 15), 3),
        (np.linspace(0.7, 1, 100), 2),
        (np.linspace(0.2, 1, 100), 1),
    ],
)
def test_balanced_accuracy_interval__covers_the_truth_about_as_often_as_it_says(
    recalls: Sequence[float], n: int
) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(len(recalls)), n)
    covered = []
    for _ in range(1500):
        correct = rng.random(len(truth)) < np.repeat(recalls, n)
        found = balanced_accuracy_interval(truth, np.where(correct, truth, -1))
        covered.append(found.low <= np.mean(recalls) <= found.high)
    assert 0.935 <= np.mean(covered) <= 0.99


def test_balanced_accuracy_interval__large_easy_classes_do_not_hide_small_hard_ones() -> None:
    # Shares of 50 easy classes of 50 images and 50 hard ones of a single image: the least favourable.
    rng = np.random.default_rng(0)
    sizes, recalls = np.repeat([50, 1], 50), np.repeat([0.99, 0.5], 50)
    truth = np.repeat(np.arange(100), sizes)
    covered = []
    for _ in range(1000):
        correct = rng.random(len(truth)) < np.repeat(recalls, sizes)
        found = balanced_accuracy_interval(truth, np.where(correct, truth, -1))
        covered.append(found.low <= recalls.mean() <= found.high)
    assert np.mean(covered) >= 0.88


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
    # Bonett and Price: 4 of 12 and 2 of 12 after one more for each side.
    half = 1.959964 * np.sqrt((4 / 12 + 2 / 12 - (2 / 12) ** 2) / 12)
    assert (found.low, found.high) == pytest.approx((2 / 12 - half, 2 / 12 + half), rel=1e-6)
    assert found.p_value == pytest.approx(stats.binomtest(3, 4).pvalue)
    assert found.is_tie  # three against one is nothing unusual


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_paired_difference__turns_sign_when_the_sides_are_swapped(
    pairs: list[tuple[bool, bool]],
) -> None:
    a, b = np.array(pairs).T
    one, two = paired_difference(a, b), paired_difference(b, a)
    assert one.value == pytest.approx(-two.value)
    assert one.low == pytest.approx(-two.high)
    assert one.p_value == pytest.approx(two.p_value)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([0.3, 0.95, 0.999]),
)
def test_paired_difference__holds_its_value_and_lies_in_its_range(
    pairs: list[tuple[bool, bool]], level: float
) -> None:
    a, b = np.array(pairs).T
    for found in (
        paired_difference(a, b, level=level),
        repeated_difference(a[None], b[None], level=level),
    ):
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


def test_paired_difference__claims_nothing_of_a_handful_of_disagreements() -> None:
    """4 to 0 comes up in an eighth of all worlds where both are equally good; 8 to 0 hardly ever."""
    for n_wins, is_clear in ((4, False), (5, False), (8, True)):
        a, b = np.ones(80, dtype=bool), np.arange(80) >= n_wins
        found = paired_difference(a, b)
        assert (found.low > 0) == is_clear
        assert (found.p_value <= 0.05) == is_clear


def test_paired_difference__weights_stand_for_repeated_examples() -> None:
    rng = np.random.default_rng(3)
    a, b, w = rng.random(40) < 0.8, rng.random(40) < 0.7, rng.integers(1, 4, 40)
    weighted, spelt = (
        paired_difference(a, b, weights=w),
        paired_difference(a.repeat(w), b.repeat(w)),
    )
    for name in ("value", "low", "high", "standard_error", "p_value"):
        assert getattr(weighted, name) == pytest.approx(getattr(spelt, name))


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
    assert repeated == once


def test_repeated_difference__the_same_repeat_again_makes_no_difference_significant() -> None:
    a, b = np.ones(20, dtype=bool), np.arange(20) >= 5
    found = repeated_difference([a] * 4, [b] * 4)
    assert found.p_value == pytest.approx(mcnemar(5, 0))
    assert not is_significant(found)


@given(arrays(bool, (2, 3, 25)))
def test_repeated_difference__its_interval_excludes_zero_exactly_where_p_is_below_5_percent(
    right: NDArray[np.bool_],
) -> None:
    found = repeated_difference(*right)
    assert is_significant(found) == (found.p_value < 0.05)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_sign_flip__counts_all_signs(totals: list[int]) -> None:
    signs = itertools.product([-1, 1], repeat=len(totals))
    sums = [abs(sum(s * t for s, t in zip(some, totals, strict=True))) for some in signs]
    expected = np.mean([s >= abs(sum(totals)) for s in sums])
    assert _sign_flip(np.array(totals)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "disagree", "gain"), [(20, 0.3, 0.1), (80, 0.1, 0.03), (400, 0.05, 0.0)]
)
def test_paired_difference__covers_the_truth_at_least_as_often_as_it_says(
    n: int, disagree: float, gain: float
) -> None:
    rng = np.random.default_rng(0)
    shares = [(disagree + gain) / 2, (disagree - gain) / 2, 1 - disagree]
    covered = []
    for _ in range(2000):
        drawn = rng.choice([1, -1, 0], n, p=shares)
        found = paired_difference(drawn >= 0, drawn <= 0)
        covered.append(found.low <= gain <= found.high)
    assert np.mean(covered) >= 0.945


def test_is_significant__of_intervals_triples_and_ratios() -> None:
    assert is_significant(Interval(0.1, 0.01, 0.2))
    assert not is_significant((0.1, -0.01, 0.2))
    assert not is_significant((0.1, None, None))
    assert is_significant((0.5, 0.4, 0.6), null=1.0)
    assert not is_significant(Interval(1e-17, 1e-17, 1e-17))
    assert [significance((v, v, v)) for v in (0.1, 0.0)] == ["significant", "not significant"]


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
def test_repeated_accuracy__refuses_other_shapes(bad: list[Any]) -> None:
    with pytest.raises(ValueError, match="two-dimensional and not empty"):
        repeated_accuracy(bad)


def test_balanced_recall__of_one_model_is_its_balanced_accuracy() -> None:
    truth = np.array(["a", "a", "a", "b"])
    said = np.array(["a", "a", "b", "b"])
    assert balanced_recall(truth, said == truth) == balanced_accuracy_interval(truth, said)


def test_balanced_recall__of_several_is_the_mean() -> None:
    truth = np.array(["a", "a", "b"])
    right = np.array([[True, True, False], [True, False, True]])
    each = [balanced_recall(truth, r).value for r in right]
    assert balanced_recall(truth, right.mean(axis=0)).value == pytest.approx(np.mean(each))


def test_accuracy_interval__of_groups_holds_the_accuracy_on_new_groups() -> None:
    rng = np.random.default_rng(0)
    held: dict[str, list[bool]] = {"groups": [], "alone": []}
    for _ in range(300):
        shares = rng.beta(4, 1, size=20)  # of each group, mean 0.8
        correct = (rng.random((20, 10)) < shares[:, None]).ravel()
        groups = np.repeat(np.arange(20), 10)
        for name, units in (("groups", groups), ("alone", None)):
            low, high = list(accuracy_interval(correct, groups=units))[1:]
            held[name].append(low <= 0.8 <= high)
    assert np.mean(held["groups"]) >= 0.9
    assert np.mean(held["groups"]) > np.mean(held["alone"]) + 0.05


def test_balanced_recall__of_groups_is_as_wide_as_the_accuracy_of_groups() -> None:
    rng = np.random.default_rng(1)
    correct = np.repeat(rng.random(20) < 0.7, 10)  # each group is right or wrong as a whole
    groups, labels = np.repeat(np.arange(20), 10), np.tile(["a", "b"], 100)
    alone, of_groups = (
        balanced_recall(labels, correct),
        balanced_recall(labels, correct, groups=groups),
    )
    assert of_groups.value == alone.value
    accuracy = accuracy_interval(correct, groups=groups)
    assert of_groups.high - of_groups.low > 0.8 * (accuracy.high - accuracy.low)
    assert of_groups.high - of_groups.low > 2 * (alone.high - alone.low)


def test_accuracy_interval__heeds_no_few_groups_and_no_groups_of_one() -> None:
    correct = np.array([True] * 30 + [False] * 10)
    plain = accuracy_interval(correct)
    assert accuracy_interval(correct, groups=np.arange(40) // 10) == plain
    alone = accuracy_interval(correct, groups=np.arange(40))
    assert alone.high - alone.low == pytest.approx(plain.high - plain.low, rel=0.02)
    with pytest.raises(ValueError, match="length"):
        accuracy_interval(correct, groups=[1])


def test_repeated__groups_widen_what_is_said_of_them() -> None:
    """Twenty films of ten frames, all frames of a film alike: twenty observations, not two hundred."""
    rng = np.random.default_rng(0)
    films = np.repeat(np.arange(20), 10)
    a, b = (np.repeat(rng.random((3, 20)) < p, 10, axis=1) for p in (0.7, 0.5))
    alone, grouped = (repeated_accuracy(a, groups=g) for g in (None, films))
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    paired, of_films = (repeated_difference(a, b, groups=g) for g in (None, films))
    assert of_films.value == pytest.approx(paired.value)
    assert of_films.p_value > paired.p_value
    repeats = (a.mean(axis=1) - b.mean(axis=1)).var(ddof=1) / 3
    sums = (a.mean(axis=0) - b.mean(axis=0))[::10]
    assert of_films.standard_error == pytest.approx(np.sqrt(sums.var() / 20 + repeats))
    assert repeated_difference(a[:1], b[:1], groups=films) == paired_gain(a[0], b[0], groups=films)
    few = np.repeat(np.arange(5), 40)  # too few groups to tell how much they differ
    assert repeated_difference(a, b, groups=few) == paired


def test_paired_gain__of_groups_without_a_difference_is_not_certain() -> None:
    right, groups = np.arange(60) % 4 > 0, np.arange(60) // 5
    found = paired_gain(right, right, groups=groups)
    assert found == paired_gain(right[:12], right[:12])
    assert found.low < 0 < found.high
    for n_repeats in (1, 3):
        repeats = np.tile(right, (n_repeats, 1))
        assert repeated_difference(repeats, repeats, groups=groups) == found


@pytest.mark.parametrize("n", [6, 12, 100])
def test_unseen_difference__less_is_never_significant(n: int) -> None:
    same = paired_difference([True] * n, [True] * n)
    least = unseen_difference(same, n)
    assert least is not None
    n_alone = round(least * n)
    if least == 6 / n:  # the first count of one-sided errors at which McNemar's test rejects
        assert mcnemar(n_alone, 0) < 0.05 < mcnemar(n_alone - 1, 0)
    assert mcnemar(5, 0) > 0.05


def test_unseen_difference__none_where_the_test_is_fine_or_the_difference_significant() -> None:
    assert unseen_difference(paired_difference([True] * 500, [True] * 500), 500) is None
    clear = paired_difference([True] * 12, [False] * 12)
    assert is_significant(clear)
    assert unseen_difference(clear, 12) is None


def test_unseen_difference__of_groups_it_is_at_least_half_the_interval() -> None:
    wide = Interval(0.0, -0.3, 0.3)
    assert unseen_difference(wide, 1000) == pytest.approx(0.3)
