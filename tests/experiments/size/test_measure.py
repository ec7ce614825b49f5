"""Nested subsets, their curve and the check of its forecast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.backbones import Backbone
from headstart.data import Index
from headstart.errors import DataError
from headstart.experiments.features import Block, View, labels_of
from headstart.experiments.size import scratch
from headstart.experiments.size.measure import (
    DataSize,
    division,
    measure_datasize,
    to_dict,
)
from headstart.experiments.size.scratch import equal_count, scratch_counts, train_from_scratch
from headstart.probe.learning_curve import choose_counts, random_order, take
from headstart.probe.powerlaw import PowerLaw

COUNTS = (1, 2, 3, 5, 7, 10, 20, 30, 50, 100)


def curve(law: PowerLaw, *, n_test: int = 2000, n_repeats: int = 4, seed: int = 0) -> DataSize:
    """Test images of different difficulty, recognised by that law."""
    rng = np.random.default_rng(seed)
    hardness = (np.arange(n_test) + 0.5) / n_test
    correct = np.empty((n_repeats, len(COUNTS), n_test), dtype=bool)
    for r in range(n_repeats):
        noisy = law.error(COUNTS) * (1 + 0.02 * rng.normal(size=len(COUNTS)))
        correct[r] = hardness < 1 - noisy[:, None]
    return DataSize(
        block=Block(tap="t", view=View(size_px=32)), counts=COUNTS,
        means=tuple(map(float, COUNTS)), correct=correct, C=1.0, n_classes=10, n_train=1000,
        has_own_test=True,
    )  # fmt: skip


def test_forecasts__hold_where_the_law_holds() -> None:
    found = curve(PowerLaw(a=0.05, b=0.4, c=0.5)).forecasts()
    assert [f.n for f in found] == [10, 20, 30, 50, 100]
    assert all(f.fitted_to <= f.n / 2 for f in found)
    assert all(f.is_inside for f in found)
    assert found[-1].told[2] - found[-1].told[1] < 0.06


def test_forecasts__fail_where_the_law_breaks() -> None:
    size = curve(PowerLaw(a=0.05, b=0.4, c=0.5))
    broken = size.correct.copy()
    broken[:, -1] = np.arange(size.n_test) < 0.6 * size.n_test
    last = dataclasses.replace(size, correct=broken).forecasts()[-1]
    assert not last.is_inside
    assert last.measured == pytest.approx(0.6)


def test_to_dict__answers_what_more_would_bring() -> None:
    law = PowerLaw(a=0.05, b=0.4, c=0.5)
    figures = to_dict(curve(law), 100)
    expected = float(law.error(100) - law.error(200))
    value, low, high = figures["gain"]
    assert value == pytest.approx(expected, abs=0.006)
    assert low <= expected <= high
    assert figures["now"] == 100
    assert figures["curve"][-1]["n"] == 400


def test_measure_datasize__subsets_are_nested_and_the_last_is_everything(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    found = measure_datasize(
        indexed, tiny, size_px=32, seeds=(0, 1), cache=cache, device="cpu", tap=tiny.taps[1].name
    )
    assert found.counts == (1, 2, 3, 5, 7, 10, 20)
    assert found.correct.shape == (2, 7, len(indexed.test))
    # Both orders end with all the images of the smaller class.
    assert found.means[-1] == pytest.approx(20, abs=0.5)
    assert found.errors[:, -1].mean() <= found.errors[:, 0].mean()


def test_take__is_nested_and_balanced() -> None:
    y = np.array(["a"] * 5 + ["b"] * 3)
    order = np.random.default_rng(0).permutation(8)
    before: set[int] = set()
    for k in (1, 2, 3, 4):
        rows = take(y, order, k)
        assert before <= set(rows.tolist())
        assert (y[rows] == "a").sum() == k
        assert (y[rows] == "b").sum() == min(k, 3)
        before = set(rows.tolist())


def test_random_order__puts_copies_last(indexed: Index) -> None:
    train = indexed.train
    order = random_order(train, 3)
    assert sorted(order.tolist()) == list(range(len(train)))
    assert len({train[i].digest for i in order[:-1]}) == len(train) - 1


def labels(**n: int) -> NDArray[np.str_]:
    return np.repeat(list(n), list(n.values()))


def test_choose_counts__goes_up_to_a_class_of_median_size() -> None:
    assert choose_counts(labels(a=16, b=16, c=100)) == (1, 2, 3, 5, 7, 10, 16)
    assert choose_counts(labels(a=30, b=30), [20, 5, 10]) == (5, 10, 20)


@pytest.mark.parametrize(
    ("y", "asked", "words"),
    [
        (labels(a=30, b=30), [5, 10, 40], "`sizes` must lie between 1 and 30"),
        (labels(a=30, b=30), [0, 1, 2], "`sizes` must lie between 1 and 30"),
        (labels(a=30, b=30), [1, 2], "3 different numbers of images"),
        (labels(a=2, b=2), None, "give it more images"),
        (labels(a=30), None, "two classes or more"),
    ],
)
def test_choose_counts__says_what_is_wrong(
    y: NDArray[np.str_], asked: list[int] | None, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        choose_counts(y, asked)


def test_division__holds_a_fifth_out_where_there_are_no_test_images(indexed: Index) -> None:
    without = dataclasses.replace(
        indexed, records=tuple(r for r in indexed.records if r.split != "test")
    )
    fit, held_out = division(without)
    assert not {r.digest for r in fit} & {r.digest for r in held_out}
    assert len(held_out) == pytest.approx(len(without.records) / 5, abs=2)
    assert set(labels_of(held_out)) == {"red", "blue"}


def test_train_from_scratch__is_on_the_subsets_of_the_curve(
    indexed: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "MIN_STEPS", 2)
    (point,) = train_from_scratch(indexed, [2], size_px=16, epochs=1, cache=cache, device="cpu")
    assert point.n == 2
    assert point.correct.shape == (len(indexed.test),)
    assert point.seconds > 0


def test_scratch_counts__are_all_a_third_and_a_tenth() -> None:
    assert scratch_counts(COUNTS) == (10, 30, 100)


def test_equal_count__reads_the_curve_backwards() -> None:
    size = curve(PowerLaw(a=0.0, b=0.5, c=0.5))
    at_10 = size.accuracy(COUNTS.index(10)).value
    assert equal_count(size, at_10) == pytest.approx(10, rel=0.02)
    assert equal_count(size, 0.01) == 1
    assert equal_count(size, 0.999) is None
