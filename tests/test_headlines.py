"""Headlines of the longest kind: one sentence of at most 25 words, whatever was measured.

The pages that verbs write are checked where the verbs are tested (`tests/cli/conftest.py`).
"""

from __future__ import annotations

import numpy as np
import pytest

from headstart.comparison.arms import Arm
from headstart.comparison.comparing import Comparison, Outcome
from headstart.course.complexity import Published
from headstart.course.complexity import sentence as complexity_sentence
from headstart.experiments.advice.page import rule_headline
from headstart.experiments.advice.result import ADVICE, Rule
from headstart.experiments.backbones import page as backbones_page
from headstart.experiments.backbones.measure import Measured, candidates
from headstart.experiments.backbones.result import BackbonesResult
from headstart.experiments.backbones.settings import Settings as BackbonesSettings
from headstart.experiments.features import Block, View
from headstart.experiments.judged import Fitted
from headstart.experiments.profile import page as profile_page
from headstart.experiments.profile.result import Model, ProfileResult
from headstart.experiments.profile.settings import Settings as ProfileSettings
from headstart.experiments.size import page as size_page
from headstart.experiments.size.result import SizeResult
from headstart.experiments.size.settings import Settings as SizeSettings
from headstart.heads import Interval, paired_difference
from headstart.probe.powerlaw import PowerLaw
from headstart.results import Difference
from headstart.runs.sentence import sentence
from headstart.runs.side_by_side import ComparedRun
from headstart.runs.side_by_side import sentence as runs_sentence
from headstart.sources.blocks import Blocks
from headstart.wording import MOST_WORDS

RIGHT = np.arange(40) < 30
DIFFERENCE = paired_difference(np.arange(40) < 34, RIGHT)
TRIPLE = [0.1, -0.012, 0.212]


def check(said: str) -> None:
    assert len(said.split()) <= MOST_WORDS, said
    assert said.count(". ") == 0
    assert said.endswith(".")


@pytest.mark.parametrize("taps", [("blocks.4",), ("blocks.4", "blocks.5", "blocks.6", "conv_head")])
@pytest.mark.parametrize("sizes", [(224,), (224, 320)])
@pytest.mark.parametrize("where", ["80 test images", "2,985 training images, cross-validated"])
def test_sentence__of_a_run(taps: tuple[str, ...], sizes: tuple[int, ...], where: str) -> None:
    said = sentence(
        chosen=str(Blocks(taps=taps, resolutions=sizes)),
        accuracy=Interval(0.975, 0.913, 0.993),
        where=where,
        baseline="the usual layer, conv_head at 224 px,",
        short="the usual layer, conv_head,",
        difference=DIFFERENCE,
    )
    check(said)
    assert "97.5 % [91.3, 99.3]" in said


def test_sentence__of_a_run_whose_fine_tuned_network_won() -> None:
    check(
        sentence(
            chosen="Mean of the SVM and the fine-tuned network (layers above blocks.5, 12 epochs at 224 px)",
            accuracy=Interval(0.975, 0.913, 0.993),
            where="2,985 test images",
            baseline="the SVM on last 4 joined",
            short="the SVM",
            difference=DIFFERENCE,
        )
    )


@pytest.mark.parametrize(
    "names", [("a", "b"), ("a", "b", "c", "d"), ("my first run of the day",) * 3]
)
def test_sentence__of_runs_side_by_side(names: tuple[str, ...]) -> None:
    rows = [
        ComparedRun(
            name=name, data="d", backbone="b", chosen="c", n_train=1, n_test=1, n_classes=2,
            cv=Interval(*TRIPLE), test=None, difference=DIFFERENCE if i else None,
            is_significant=None, seconds=None, sentence="",
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    said = runs_sentence(rows)
    check(said)
    assert "1 test image," in said


def test_sentence__of_a_comparison_of_trainings() -> None:
    names = ("linear SVM", "linear SVM, joined")
    done = Outcome(val_correct=RIGHT, test_correct=RIGHT, seconds=500.0, n_trained_parameters=1)
    better = Outcome(
        val_correct=np.arange(40) < 39, test_correct=RIGHT, seconds=5.0, n_trained_parameters=1
    )
    found = Comparison(
        arms=tuple(Arm(name=n, line="") for n in names), seeds=(0,),
        outcomes={names[0]: (done,), names[1]: (better,)}, n_fit=9, n_val=40, n_test=40,
    )  # fmt: skip
    check(found.sentence)
    assert found.sentence.startswith("Take linear SVM, joined: ")


def test_sentence__of_backbones() -> None:
    block = Block(tap="t", view=View(size_px=32))
    measured = [
        Measured(
            name=f"timm:some_network_{i}.weights_of_it", n_parameters=1, macs=10**i, images_per_s=1.0,
            model=Fitted(
                blocks=(block,), n_features=1, C=1.0, cv_correct=np.arange(400) < 380 + i % 2,
                test_correct=RIGHT[:0],
            ),
        )
        for i in range(5)
    ]  # fmt: skip
    found = BackbonesResult(
        settings=BackbonesSettings(data="x"), datasets=(), data="x", n_train=400, n_test=0,
        candidates=candidates(measured),
    )  # fmt: skip
    check(backbones_page.sentence(found))


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("n_test", [0, 80])
def test_sentence__of_a_profile(n: int, n_test: int) -> None:
    interval, gain = Interval(*TRIPLE), Difference(*TRIPLE)

    def model(*blocks: str) -> Model:
        return Model(
            name="m", blocks=blocks, n_features=9, C=1.0, cv=interval, cv_gain=gain,
            test=interval if n_test else None, test_gain=gain if n_test else None,
        )  # fmt: skip

    usual = model("conv_head at 224 px, whole image")
    joined = model(*(f"blocks.{i} at 224 px" for i in range(n)))
    found = ProfileResult(
        settings=ProfileSettings(data="x"), datasets=(), data="x", backbone="b", taps=(), views=(),
        n_train=9, n_test=n_test, n_folds=5, n_selected_on=9, cells=(), steps=(),
        models=(usual, joined, joined),
    )  # fmt: skip
    check(profile_page.sentence(found))


def test_sentence__of_more_images() -> None:
    found = SizeResult(
        settings=SizeSettings(data="photos", more=1000), datasets=(), data="photos", backbone="b",
        tap="t", size_px=224, C=1.0, n_repeats=5, n_train=9, n_test=9, n_classes=3,
        has_own_test=True, points=(), law=PowerLaw(a=0.0, b=1.0, c=0.5), curve=(), now=3.0,
        accuracy_then=Interval(0.9, 0.8, 1.0), gain=Difference(0.01, 0.0, 0.02), forecasts=(),
    )  # fmt: skip
    check(size_page.sentence(found))


@pytest.mark.parametrize("quadrant", ADVICE)
def test_headline__of_the_rule(quadrant: tuple[bool, bool]) -> None:
    much, far = quadrant
    rule = Rule(n_per_class=400 if much else 20, distance=1.0 if far else 0.1, much=100, far=0.3)
    check(rule_headline(rule))


def test_sentence__of_published_accuracies() -> None:
    def network(name: str, giga_macs: float, n_parameters: int) -> Published:
        return Published(
            name=name,
            weights="W",
            accuracy=80.0,
            giga_macs=giga_macs,
            n_parameters=n_parameters,
            size_px=224,
            recipe="",
        )

    one, two = network("a", 1.0, 10**6), network("b", 4.0, 9 * 10**6)
    for reference in ("a", "b", "c"):
        check(complexity_sentence([one, two], [one], reference)[0])
