"""Nested subsets, their curve and the check of its forecast."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from headstart import transfer
from headstart.backbones import Backbone
from headstart.data import Index
from headstart.errors import DataError, InputError
from headstart.experiments.features import labels_of
from headstart.experiments.size import scratch
from headstart.experiments.size.measure import Curve, division, needed_for
from headstart.experiments.size.page import detail, sentence
from headstart.experiments.size.result import Needed, SizeResult
from headstart.experiments.size.scratch import equal_count, scratch_counts
from headstart.probe.learning_curve import choose_counts, random_order, take
from headstart.probe.powerlaw import PowerLaw
from headstart.results import Difference, Interval

COUNTS = (1, 2, 3, 5, 7, 10, 20, 30, 50, 100)


def curve(law: PowerLaw, *, n_test: int = 2000, n_repeats: int = 4, seed: int = 0) -> Curve:
    """Test images of different difficulty, recognised by that law."""
    rng = np.random.default_rng(seed)
    hardness = (np.arange(n_test) + 0.5) / n_test
    correct = np.empty((n_repeats, len(COUNTS), n_test), dtype=bool)
    for r in range(n_repeats):
        noisy = law.error(COUNTS) * (1 + 0.02 * rng.normal(size=len(COUNTS)))
        correct[r] = hardness < 1 - noisy[:, None]
    return Curve(counts=COUNTS, means=tuple(map(float, COUNTS)), correct=correct)


def test_forecasts__hold_where_the_law_holds() -> None:
    found = curve(PowerLaw(a=0.05, b=0.4, c=0.5)).forecasts()
    assert [f.n for f in found] == [10, 20, 30, 50, 100]
    assert all(f.fitted_to <= f.n / 2 for f in found)
    assert all(f.is_inside for f in found)
    assert found[-1].predicted.high - found[-1].predicted.low < 0.06


def test_forecasts__fail_where_the_law_breaks() -> None:
    size = curve(PowerLaw(a=0.05, b=0.4, c=0.5))
    broken = size.correct.copy()
    broken[:, -1] = np.arange(broken.shape[2]) < 0.6 * broken.shape[2]
    last = dataclasses.replace(size, correct=broken).forecasts()[-1]
    assert not last.is_inside
    assert last.measured == pytest.approx(0.6)


def test_fit__answers_what_more_would_bring() -> None:
    law = PowerLaw(a=0.05, b=0.4, c=0.5)
    expected = float(law.error(100) - law.error(200))
    gain = curve(law).fit().gain(100, 100)
    assert gain.value == pytest.approx(expected, abs=0.006)
    assert gain.low <= expected <= gain.high


def test_needed_for__is_where_the_law_reaches_the_accuracy_or_never() -> None:
    law = PowerLaw(a=0.05, b=0.4, c=0.5)
    found = needed_for(0.85, curve(law).fit())
    assert found.n is not None
    assert found.low is not None
    assert float(law.error(found.n)) == pytest.approx(0.15, abs=0.01)
    assert found.low <= found.n <= (found.high or np.inf)
    assert needed_for(0.999, curve(law).fit()).n is None


@pytest.fixture(scope="module")
def found(indexed: Index, tiny: Backbone, cache: Path) -> SizeResult:
    result: SizeResult = transfer.size(
        indexed, backbone=tiny, size_px=32, seeds=2, cache=cache, device="cpu",
        tap=tiny.taps[1].name, check=True, accuracy=0.9,
    )  # fmt: skip
    return result


def test_size__subsets_are_nested_and_the_last_is_everything(
    found: SizeResult, indexed: Index, tiny: Backbone
) -> None:
    assert [p.n for p in found.points] == [1, 2, 3, 5, 7, 10, 20]
    assert (found.n_test, found.n_repeats) == (len(indexed.test), 2)
    assert found.tap == tiny.taps[1].name
    # Both orders end with all the images of the smaller class.
    assert found.now == found.points[-1].mean_n == pytest.approx(20, abs=0.5)
    assert found.points[-1].accuracy.value >= found.points[0].accuracy.value
    assert found.curve[-1].n == found.now + found.settings.more


def test_size__the_page_follows_from_the_result_that_was_read_back(
    found: SizeResult, tmp_path: Path
) -> None:
    from headstart import results

    results.write(tmp_path / "size.json", found)
    again = results.read(tmp_path / "size.json", SizeResult)
    assert again == found
    assert again.sections() == found.sections()
    assert str(found.gain) in found.sentence
    assert "90.0" in found.detail
    assert "resampled" not in " ".join(s.caption for s in found.sections())


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ((0.01, 0.0001, 0.015), "+1.0 [0.0, +1.5] points, by the law fitted to all sizes, perhaps"),
        ((0.01, 0.001, 0.015), "+1.0 [+0.1, +1.5] points, by the law fitted to all sizes."),
        ((0.00002, 0.0, 0.008), "0.0 [0.0, +0.8] points"),
    ],
)
def test_sentence__says_nothing_perhaps_where_an_end_shows_as_zero(
    found: SizeResult, gain: tuple[float, float, float], said: str
) -> None:
    made = msgspec.structs.replace(found, gain=Difference(*gain))
    assert said in sentence(made)


def test_detail__sets_what_more_would_bring_beside_the_same_law(found: SizeResult) -> None:
    goal = dataclasses.replace(found.settings, accuracy=0.99)
    made = msgspec.structs.replace(
        found,
        settings=goal,
        gain=Difference(0.01, 0.0, 0.02),
        accuracy_then=Interval(0.969, 0.9, 1.0),
        needed=Needed(n=4.2e6, low=9_000.0, high=3e12),
    )
    said = detail(made)
    # By the law as many as now and then; what was measured, with its luck, is a sentence of its own.
    assert re.search(r"\. The law gives 95\.9.% for as many, and 96\.9", said)
    assert "4 million images per class [9,000, over a billion]" in said
    assert "by chance or because the law does not fit" in said


def test_size__shows_itself_in_a_notebook(found: SizeResult) -> None:
    assert "<svg" in found.plot()
    assert found.plot() in found._repr_html_()
    with pytest.raises(IndexError):
        found.plot(9)


def test_size__an_unknown_count_is_refused(indexed: Index, tiny: Backbone, cache: Path) -> None:
    with pytest.raises(InputError, match="`sizes` must lie between 1 and"):
        transfer.size(indexed, backbone=tiny, size_px=32, sizes=(1, 2, 500), cache=cache)


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
        (labels(a=30, b=30), [1, 2], "3 different numbers of examples"),
        (labels(a=2, b=2), None, "give it more examples"),
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


def test_size__trains_from_scratch_on_the_subsets_of_the_curve(
    indexed: Index, tiny: Backbone, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "MIN_STEPS", 2)
    monkeypatch.setattr(scratch, "SIZE_PX", 16)
    found = transfer.size(
        indexed, backbone=tiny, size_px=32, seeds=2, sizes=(1, 2, 3), scratch=True, epochs=1,
        cache=cache, device="cpu",
    )  # fmt: skip
    assert {p.n for p in found.scratch} <= {1, 2, 3}
    assert all(p.seconds > 0 for p in found.scratch)
    assert any("from scratch" in s.heading for s in found.sections())


def test_scratch_counts__are_all_a_third_and_a_tenth() -> None:
    assert scratch_counts(COUNTS) == (10, 30, 100)


def test_equal_count__reads_the_curve_backwards() -> None:
    points = curve(PowerLaw(a=0.0, b=0.5, c=0.5)).points()
    at_10 = points[COUNTS.index(10)].accuracy.value
    assert equal_count(points, at_10) == pytest.approx(10, rel=0.02)
    assert equal_count(points, 0.01) == 1
    assert equal_count(points, 0.999) is None


def test_size__groups_stay_together(tiny: Backbone, cache: Path, tmp_path: Path) -> None:
    """The files of a shot are on one side, so that fewer training images than held-out shots stay."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "shots" / name).mkdir(parents=True)
        for shot in range(6):
            for k in range(2):
                pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
                file = tmp_path / "shots" / name / f"{name}{shot}_{k}.png"
                Image.fromarray(pixels).save(file)
    found = transfer.size(
        tmp_path / "shots", backbone=tiny, group_by=r"[ab]\d", size_px=32, seeds=2, sizes=(1, 2, 3),
        cache=cache, device="cpu",
    )  # fmt: skip
    assert found.settings.group_by == r"[ab]\d"
    assert found.n_test % 2 == 0
    with pytest.raises(InputError, match="`group_column` 'shot' names a column of a table"):
        transfer.size(tmp_path / "shots", backbone=tiny, group_column="shot", cache=cache)


def test_fit__of_groups_has_the_noise_of_groups() -> None:
    """All 20 images of a group are alike, so that 20 groups tell what 20 images do."""
    alone = curve(PowerLaw(a=0.05, b=0.4, c=0.5), n_test=400)
    grouped = dataclasses.replace(alone, groups=[str(i // 20) for i in range(400)])
    one, many = alone.fit(), grouped.fit()
    assert one.n_test == 400
    assert many.n_test < 60
    assert many.law.error(100) == pytest.approx(one.law.error(100), abs=0.03)
    narrow, wide = (fit.accuracy(200) for fit in (one, many))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
