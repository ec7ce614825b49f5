from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart import results
from headstart.backbones import Backbone
from headstart.comparison.arms import SVM, SVM_JOINED, Arm, regime_arms
from headstart.comparison.comparing import Comparison, Outcome, compare, make_split
from headstart.comparison.fitting import Fitter
from headstart.comparison.result import ComparisonResult
from headstart.comparison.views import ViewFitter, view_arms
from headstart.data import Index
from headstart.errors import DataError, InputError
from headstart.progress import silent
from headstart.training import TrainSettings

BASE = TrainSettings(epochs=2, normalise=True, batch_size=16)
SIZE = 32


@pytest.fixture(scope="module")
def found(indexed: Index, tiny: Backbone, cache: Path) -> Comparison:
    arms = regime_arms(tiny, BASE, names=["all", "output"])
    return compare(indexed, tiny, arms, seeds=(0, 1), size_px=SIZE, cache=cache)


def test_comparison__in_a_notebook_it_shows_the_answer_and_the_accuracies(
    found: Comparison, indexed: Index
) -> None:
    result = found.result(indexed, title="Regimes", backbone="tiny", size_px=SIZE)
    for shown in (found._repr_html_(), result._repr_html_()):
        assert shown.count("<svg") == 1
        assert all(arm.name in shown for arm in found.arms)


def made(name: str, val: list[int], test: list[int], seconds: float) -> Outcome:
    return Outcome(
        val_correct=np.array(val, dtype=bool),
        test_correct=np.array(test, dtype=bool),
        seconds=seconds,
        n_trained_parameters=1,
    )


def two(first: Outcome, second: Outcome) -> Comparison:
    return Comparison(
        arms=(Arm(name="a", line=""), Arm(name="b", line="")),
        seeds=(0,),
        outcomes={"a": (first,), "b": (second,)},
        n_fit=10,
        n_val=len(first.val_correct),
        n_test=len(first.test_correct),
    )


def test_make_split__keeps_duplicates_together_and_covers_all(indexed: Index) -> None:
    for seed in range(4):
        split = make_split(indexed, seed)
        names = [{r.name for r in side} for side in (split.fit, split.val)]
        assert not names[0] & names[1]
        assert names[0] | names[1] == {r.name for r in indexed.train}
        copies = {"train/red/00.png", "train/red/copy.png"}
        assert any(copies <= side for side in names)
    assert make_split(indexed, 0) == make_split(indexed, 0)
    assert make_split(indexed, 0) != make_split(indexed, 1)


def test_make_split__the_only_image_of_a_class_is_fitted_on(indexed: Index) -> None:
    few = [r for r in indexed.train if r.label == "blue"][:1]
    rest = [r for r in indexed.train if r.label == "red"]
    small = dataclasses.replace(indexed, records=(*few, *rest), duplicates=())
    for seed in range(5):
        split = make_split(small, seed)
        assert few[0] in split.fit
        assert split.val


def test_make_split__validation_images_may_lack_a_class(indexed: Index) -> None:
    val = [r for r in indexed.train if r.label == "red"][:2]
    moved = {r.name: "val" for r in val}
    own = dataclasses.replace(indexed, duplicates=()).with_split(moved)
    assert {r.label for r in make_split(own, 0).val} == {"red"}


def test_make_split__refuses_one_image_a_class(indexed: Index) -> None:
    lone = [next(r for r in indexed.train if r.label == c) for c in ("red", "blue")]
    small = dataclasses.replace(indexed, records=tuple(lone), duplicates=())
    with pytest.raises(DataError, match="no example can be held out"):
        make_split(small, 0)


def test_comparison__uneven_classes_are_answered_with_balanced_accuracy() -> None:
    always_a = made("a", [1, 1, 1, 1], [1, 1, 1, 0], 1.0)
    right = made("b", [1, 1, 1, 1], [1, 1, 1, 0], 9.0)
    even = dataclasses.replace(two(always_a, right), test_labels=("a", "a", "a", "b"))
    uneven = dataclasses.replace(even, is_uneven=True)
    balanced = uneven.test_balanced("a")
    assert balanced is not None
    assert balanced.value == pytest.approx(0.5)
    said = uneven.detail
    assert f"the balanced accuracy of a on the test images is {balanced}" in said
    assert "balanced" not in even.detail


def test_compare__every_arm_has_every_seed(found: Comparison, indexed: Index) -> None:
    assert list(found.outcomes) == [SVM.name, SVM_JOINED.name, "all", "output"]
    for outcomes in found.outcomes.values():
        assert len(outcomes) == 2
        for outcome in outcomes:
            # The duplicates, which go together, may make one seed's part an image larger.
            assert len(outcome.val_correct) in (found.n_val, found.n_val + 1)
            assert outcome.test_correct.shape == (len(indexed.test),)
            assert outcome.seconds > 0
    assert [e.epoch for e in found.outcomes["all"][0].history] == [1, 2]
    assert found.outcomes["output"][0].note == "frozen activations were kept"
    # The head alone has a weight and an intercept for each feature and class.
    d = found.outcomes[SVM.name][0].n_trained_parameters
    assert found.outcomes["output"][0].n_trained_parameters == d


@pytest.mark.parametrize("arm", [SVM, *view_arms(2)], ids=lambda arm: arm.name)
def test_fit__weights_decide_between_labels_that_contradict(
    arm: Arm, indexed: Index, tiny: Backbone, cache: Path, tmp_path: Path
) -> None:
    shared: dict[str, Any] = {"backbone": tiny, "classes": indexed.classes, "test": indexed.test}
    shared |= {"size_px": SIZE, "cache": cache, "device": "cpu", "progress": silent}
    split = make_split(indexed, 0)
    other = {"red": "blue", "blue": "red"}
    wrong = [dataclasses.replace(r, label=other[r.label]) for r in split.fit]
    accuracies = []
    for weight in (9.0, 1 / 9):
        right = [dataclasses.replace(r, weight=weight) for r in split.fit]
        both = dataclasses.replace(
            split, fit=(*right, *wrong), groups=(*split.groups, *split.groups)
        )
        fitter = (
            Fitter(**shared)
            if arm == SVM
            else ViewFitter(records=indexed.train, n_views=2, **shared)
        )
        accuracies.append(fitter.fit(arm, both, tmp_path).test_correct.mean())
    assert accuracies[0] > 0.8
    assert accuracies[1] < 0.2


def test_compare__tells_colours_apart(found: Comparison) -> None:
    accuracy = found.test_accuracy("all")
    assert accuracy is not None
    assert accuracy.value > 0.8


def test_compare__a_second_call_trains_nothing(
    found: Comparison,
    indexed: Index,
    tiny: Backbone,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from headstart.comparison.fitting import Fitter

    def never(*_: object) -> None:
        raise AssertionError("fitted twice")

    monkeypatch.setattr(Fitter, "fit", never)
    arms = regime_arms(tiny, BASE, names=["all", "output"])
    again = compare(indexed, tiny, arms, seeds=(0, 1), size_px=SIZE, cache=cache)
    asked: dict[str, Any] = {"title": "t", "backbone": tiny.name, "size_px": SIZE}
    assert again.result(indexed, **asked) == found.result(indexed, **asked)


def test_compare__test_labels_change_neither_choice_nor_training(
    found: Comparison, indexed: Index, tiny: Backbone, tmp_path: Path
) -> None:
    flipped = tuple(
        dataclasses.replace(r, label={"red": "blue", "blue": "red"}[r.label])
        if r.split == "test"
        else r
        for r in indexed.records
    )
    arms = regime_arms(tiny, BASE, names=["all", "output"])
    other = dataclasses.replace(indexed, records=flipped)
    again = compare(other, tiny, arms, seeds=(0, 1), size_px=SIZE, cache=tmp_path)
    for name, outcomes in found.outcomes.items():
        for a, b in zip(outcomes, again.outcomes[name], strict=True):
            np.testing.assert_array_equal(a.val_correct, b.val_correct)
            np.testing.assert_array_equal(a.test_correct, ~b.test_correct)
            assert [e.val_loss for e in a.history] == [e.val_loss for e in b.history]


def test_compare__the_result_is_read_back_equal(
    found: Comparison, indexed: Index, tmp_path: Path
) -> None:
    written = found.result(indexed, title="t", backbone="b", size_px=None)
    results.write(tmp_path / "comparison.json", written)
    assert results.read(tmp_path / "comparison.json", ComparisonResult) == written
    assert [row.name for row in written.arms] == list(found.outcomes)
    assert [row.is_taken for row in written.arms].count(True) == 1
    assert written.sentence.startswith(f"Take {found.taken}")


def test_comparison__a_tie_takes_the_quicker() -> None:
    right = [1] * 50
    c = two(made("a", right, right, 1.0), made("b", right, right, 9.0))
    assert c.best == c.taken == "a"
    c = two(
        made("a", [0, 0, 1, *right], right, 1.0),
        made("b", [1, 1, 0, *right], right, 9.0),
    )
    assert c.best == "b"
    assert c.taken == "a"
    assert "b comes next, +1.9 [" in c.sentence
    assert "(not significant)" in c.sentence


def test_comparison__of_ties_that_take_about_as_long_the_clock_does_not_choose() -> None:
    right = [1] * 50
    less, more = [0, 0, 1, *right], [1, 1, 0, *right]
    for a_s, b_s, taken in (
        (1.0, 1.9, "b"),  # less than a second apart
        (1.9, 1.0, "b"),
        (100.0, 120.0, "b"),  # less than a quarter
        (120.0, 100.0, "b"),
        (100.0, 130.0, "a"),
        (1.0, 2.5, "a"),
    ):
        c = two(made("a", less, right, a_s), made("b", more, right, b_s))
        assert c.taken == taken, (a_s, b_s)
        said = "points against a on the validation images (not significant)"
        assert (said in c.sentence) == (taken == "b")
    for a_s, b_s in ((1.0, 1.1), (1.1, 1.0)):  # as accurate and as quick: the first
        c = two(made("a", less, right, a_s), made("b", less, right, b_s))
        assert c.best == c.taken == "a"


def test_comparison__a_clear_winner_is_taken_with_its_gain() -> None:
    c = two(
        made("a", [0] * 30 + [1] * 70, [0] * 30 + [1] * 70, 1.0),
        made("b", [1] * 100, [0] * 10 + [1] * 90, 9.0),
    )
    assert c.taken == "b"
    assert c.sentence == (
        "Take b: +30.0 [+20.2, +38.7] points against a on the validation images (significant), "
        "in 9.0 s instead of 1.0 s."
    )
    assert c.detail.startswith("On the test images: +20.0 [+11.4, +27.8] points (significant).")


def test_comparison__times_that_read_alike_are_the_same_time() -> None:
    c = two(
        made("a", [0] * 30 + [1] * 70, [1] * 100, 2.04),
        made("b", [1] * 100, [1] * 100, 1.96),
    )
    assert c.sentence.endswith("in the same time (2.0 s).")


def test_comparison__validation_images_that_all_seeds_share_count_once() -> None:
    """Five of twenty images are not significant, however often the same training is repeated."""
    a, b = made("a", [0] * 5 + [1] * 15, [], 1.0), made("b", [1] * 20, [], 1.0)
    for is_shared, said in ((True, "(not significant)"), (False, "(significant)")):
        c = Comparison(
            arms=(Arm(name="a", line=""), Arm(name="b", line="")), seeds=(0, 1, 2),
            outcomes={"a": (a,) * 3, "b": (b,) * 3},
            n_fit=1, n_val=20, n_test=0, is_val_shared=is_shared,
        )  # fmt: skip
        assert said in c.sentence


def test_comparison__the_choice_ignores_the_test_images() -> None:
    val = ([1] * 100, [0] * 30 + [1] * 70)
    worse = two(made("a", val[0], [0] * 100, 1.0), made("b", val[1], [1] * 100, 1.0))
    assert worse.taken == "a"


@pytest.mark.parametrize(
    ("arms", "seeds", "says"),
    [
        ((SVM,), (0,), "two or more arms"),
        ((SVM, SVM), (0,), "different names"),
        ((SVM, SVM_JOINED), (), "one or more different seeds"),
        ((SVM, SVM_JOINED), (1, 1), "one or more different seeds"),
    ],
)
def test_compare__refuses_what_is_no_comparison(
    indexed: Index, tiny: Backbone, arms: tuple[Arm, ...], seeds: tuple[int, ...], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        compare(indexed, tiny, arms, seeds=seeds)


def test_comparison__of_films_speaks_of_new_films() -> None:
    """Twelve films of ten frames, each recognised wholly or not at all."""
    films = [str(i // 10) for i in range(120)]
    right = [int(i >= 40) for i in range(120)]
    alone = two(made("a", right, right, 1.0), made("b", [1] * 120, [1] * 120, 1.0))
    grouped = dataclasses.replace(alone, val_groups=(films,), test_groups=films)
    assert alone.taken == "b"
    assert "(significant)" in alone.sentence
    for of in (lambda c: c.test_accuracy("a"), lambda c: c.test_difference("b")):
        narrow, wide = of(alone), of(grouped)
        assert wide.value == pytest.approx(narrow.value)
        assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)
    assert grouped.val_difference("b", "a").p_value > 1000 * alone.val_difference("b", "a").p_value
