"""One rule for every statement about a difference: on the same outcomes no two pages disagree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.comparison.arms import Arm
from headstart.comparison.comparing import Comparison, Outcome
from headstart.experiments.advice.measure import best_regime
from headstart.experiments.advice.page import depth_verdict, regime_verdict
from headstart.experiments.advice.result import Depth, Rule
from headstart.experiments.backbones import page as backbones_page
from headstart.experiments.backbones.measure import Measured, candidates
from headstart.experiments.backbones.result import BackbonesResult
from headstart.experiments.backbones.settings import Settings as BackbonesSettings
from headstart.experiments.features import Block, View
from headstart.experiments.judged import Fitted
from headstart.experiments.layers import page as layers_page
from headstart.experiments.layers.measure import Trained as TrainedNets
from headstart.experiments.layers.result import KINDS, LayersResult
from headstart.experiments.layers.settings import Settings as LayersSettings
from headstart.experiments.profile import page as profile
from headstart.experiments.profile.result import Cell, Model, ProfileResult
from headstart.experiments.profile.settings import Settings as ProfileSettings
from headstart.experiments.shift import page as shift_words
from headstart.experiments.shift.measure import Measured as MeasuredShift
from headstart.experiments.shift.result import LINES, ShiftResult
from headstart.experiments.shift.settings import Settings as ShiftSettings
from headstart.experiments.sift import page as sift_page
from headstart.experiments.sift.measure import MethodResult, methods
from headstart.experiments.sift.result import SiftResult
from headstart.experiments.sift.settings import Settings as SiftSettings
from headstart.heads import accuracy_interval, is_significant, mcnemar, paired_difference
from headstart.probe.judging import Scores
from headstart.results import Difference
from headstart.runs.choose import Candidate
from headstart.runs.outcome import Comparison as Validation
from headstart.runs.outcome import Finetuning
from headstart.runs.sentence import detail, sentence
from headstart.runs.side_by_side import ComparedRun
from headstart.runs.side_by_side import detail as all_runs
from headstart.runs.side_by_side import sentence as runs_sentence
from headstart.runs.text_findings import verdict
from headstart.sources.text import AVERAGE, WORDS
from headstart.training.history import Epoch
from headstart.wording import points

Right = NDArray[np.bool_]


def outcomes(wins: int, losses: int, n: int) -> tuple[Right, Right]:
    """Of n images the first alone recognises `wins`, the second alone `losses`, both the rest."""
    first, second = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    second[:wins] = False
    first[wins : wins + losses] = False
    return first, second


def triple(a: Right, b: Right) -> list[float]:
    found = paired_difference(a, b)
    return [found.value, found.low, found.high]


def shares(right: Right) -> list[float]:
    found = accuracy_interval(right)
    return [found.value, found.low, found.high]


def fit_page(a: Right, b: Right) -> str:
    return sentence(
        chosen="Layer blocks.4 at 224 px", accuracy=accuracy_interval(a), where="some test images",
        baseline="the usual layer, conv_head at 224 px,", short="the usual layer, conv_head,",
        difference=paired_difference(a, b), n=len(a),
    )  # fmt: skip


def fit_detail(a: Right, b: Right) -> str:
    return detail("the usual layer, conv_head at 224 px,", paired_difference(a, b), len(a))


def compared(name: str, a: Right, b: Right | None) -> ComparedRun:
    return ComparedRun(
        name=name, data="d", backbone="b", chosen="c", n_train=1, n_test=len(a), n_classes=2,
        cv=accuracy_interval(a), test=accuracy_interval(a), is_significant=None, seconds=None,
        difference=None if b is None else paired_difference(a, b), sentence="",
    )  # fmt: skip


def runs_page(a: Right, b: Right) -> str:
    return runs_sentence([compared("one", a, None), compared("two", a, b)])


def many_runs(a: Right, b: Right) -> str:
    return all_runs([compared("one", a, None), compared("two", a, b), compared("three", a, b)])


def baseline_page(a: Right, b: Right) -> str:
    rival, network = (
        MethodResult(name=name, kind=kind, detail="", n_features=1, cv_accuracy=0.5, correct=right)
        for name, kind, right in (("SIFT", "sift", b), ("net", "network", a))
    )
    found = SiftResult(
        settings=SiftSettings(data="photos"), datasets=(), data="photos", backbone="net",
        n_classes=2, n_train=9, n_test=len(a), n_straddling=0, methods=methods([rival, network]),
        n_descriptors=1,
    )  # fmt: skip
    return sift_page.sentence(found)


def text_page(a: Right, b: Right) -> str:
    found = [
        Candidate(
            blocks=blocks,
            macs=1,
            judged=np.ones(len(a), dtype=bool),
            scores=Scores(
                n_features=1,
                C=1.0,
                accuracy_by_C=(0.5,),
                decisions=np.zeros((len(a), 2), dtype=np.float32),
                correct=right,
            ),
        )
        for blocks, right in ((AVERAGE, a), (WORDS, b))
    ]
    return verdict(found)


def outcome(right: Right, seconds: float = 1.0) -> Outcome:
    return Outcome(
        val_correct=right, test_correct=right, seconds=seconds, n_trained_parameters=1,
        history=(
            Epoch(
                epoch=1, train_loss=0.0, train_accuracy=1.0, val_loss=0.0, val_accuracy=1.0, lr=0.1,
                seconds=1.0,
            ),
        ),
    )  # fmt: skip


def arms(a: Right, b: Right) -> Comparison:
    return Comparison(
        arms=(Arm(name="linear SVM", line=""), Arm(name="all", line="")), seeds=(0,),
        outcomes={"linear SVM": (outcome(b),), "all": (outcome(a),)},
        n_fit=9, n_val=len(a), n_test=len(a),
    )  # fmt: skip


def comparison_page(a: Right, b: Right) -> str:
    return arms(a, b).sentence


def comparison_detail(a: Right, b: Right) -> str:
    found = arms(a, b)
    return found.detail if found.taken == "all" else found.sentence


def advice_page(a: Right, b: Right) -> str:
    found = arms(a, b)
    rule = Rule(n_per_class=9, distance=0.1, much=100, far=0.3)
    return regime_verdict(best_regime(rule, found)) if found.taken == "all" else found.sentence


def depth_page(a: Right, b: Right) -> str:
    found = Depth(
        early="early", late="late", early_cv=accuracy_interval(a), late_cv=accuracy_interval(b),
        gain=Difference.of(paired_difference(a, b)),
    )  # fmt: skip
    return depth_verdict(Rule(n_per_class=9, distance=0.1, much=100, far=0.3), found)


def compare_page(a: Right, b: Right) -> str:
    """`compare` speaks of a difference where the one that it takes is not the most accurate."""
    block = Block(tap="t", view=View(size_px=32))
    measured = [
        Measured(
            name=name, n_parameters=1, macs=macs, images_per_s=1.0,
            model=Fitted(
                blocks=(block,), n_features=1, C=1.0, cv_correct=right, test_correct=right[:0]
            ),
        )
        for name, macs, right in (("small", 1, b), ("large", 8, a))
    ]  # fmt: skip
    found = BackbonesResult(
        settings=BackbonesSettings(data="x"), datasets=(), data="x", n_train=len(a), n_test=0,
        candidates=candidates(measured),
    )  # fmt: skip
    return backbones_page.sentence(found) if found.chosen != found.best else fit_page(a, b)


def profile_of(**figures: Any) -> ProfileResult:
    empty: dict[str, Any] = {"taps": (), "cells": (), "models": ()}
    return ProfileResult(
        settings=ProfileSettings(data="x"), datasets=(), data="x", backbone="b", views=("224",),
        n_train=9, n_test=0, n_folds=5, n_selected_on=9, steps=(), **{**empty, **figures},
    )  # fmt: skip


def profile_page(a: Right, b: Right) -> str:
    def model(block: str, right: Right) -> Model:
        return Model(
            name="m", blocks=(block,), n_features=1, C=1.0, cv=accuracy_interval(right),
            cv_gain=Difference.of(paired_difference(right, b)), test=None, test_gain=None,
        )  # fmt: skip

    late, early = model("late at 224 px", b), model("early at 224 px", a)
    return profile.sentence(profile_of(models=(late, early, early)))


def depth_of_profile(a: Right, b: Right) -> str:
    cells = tuple(
        Cell(
            tap=tap, view="224", n_features=1, C=1.0, cv=accuracy_interval(right),
            is_best=tap == "early", is_tie=False, behind=Difference.of(paired_difference(right, a)),
        )
        for tap, right in (("early", a), ("late", b))
    )  # fmt: skip
    return profile.depth_sentence(profile_of(cells=cells, taps=("early", "late")))


def generality_page(a: Right, b: Right) -> str:
    nets = {(kind, "only"): (outcome(a),) for kind in KINDS}
    trained = TrainedNets(layers=("only",), base_a=(outcome(b),), base_b=(outcome(b),), nets=nets)
    found = LayersResult(
        settings=LayersSettings(), datasets=(), a="a", b="b", backbone="n", size_px=32, training={},
        seeds=(0,), n_train=(9, 9), **trained.figures(),
    )  # fmt: skip
    return layers_page.sentence(found)


def shift_page(a: Right, b: Right) -> str:
    """AdaBN on the source: the one figure of that page whose interval is of one difference alone."""
    measured = MeasuredShift(
        source_correct=b, correct=dict.fromkeys(LINES, b[None]), absent={}, source_adabn=a
    )
    found = ShiftResult(
        settings=ShiftSettings(data="a", target="b"), datasets=(), source_name="a", target_name="b",
        backbone="n", tap="t", size_px=32, seeds=(0,), n_train=(9, 9), **measured.figures(),
    )  # fmt: skip
    said = next(text for text in shift_words.findings(found) if "AdaBN" in text)
    return said.rpartition("; ")[2]


def finetuning_page(a: Right, b: Right) -> str:
    n = len(a)
    found = Validation(
        records=(), probabilities=np.empty((n, 2)), finetuned=a, svm=b, alone=a,
        difference=paired_difference(a, b), losses=np.zeros(n), svm_losses=np.zeros(n),
        is_mean=False,
    )  # fmt: skip
    return Finetuning(state="lost", comparison=found).sentence


PAGES: list[Callable[[Right, Right], str]] = [
    fit_page, fit_detail, runs_page, many_runs, baseline_page, text_page, comparison_page,
    comparison_detail, advice_page, depth_page, compare_page, profile_page, depth_of_profile,
    generality_page, shift_page, finetuning_page,
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
@pytest.mark.parametrize(
    ("wins", "losses", "n"),
    [(5, 0, 20), (6, 0, 20), (5, 0, 80), (6, 0, 2985), (8, 1, 40), (7, 1, 40), (30, 14, 500)],
)
def test_pages__say_of_one_difference_what_the_exact_test_says(
    page: Callable[[Right, Right], str], wins: int, losses: int, n: int
) -> None:
    said = page(*outcomes(wins, losses, n))
    expected = "significant" if mcnemar(wins, losses) < 0.05 else "not significant"
    assert ("not significant" if "not significant" in said else "significant") == expected, said
    assert "significant" in said
    assert "noise" not in said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
def test_pages__equal_accuracies_are_not_better_or_worse(
    page: Callable[[Right, Right], str],
) -> None:
    said = page(*outcomes(3, 3, 40))
    for wrong in (" 0.0 points", "+0.0", "−0.0", "-0.0", " significant", "(significant"):
        assert wrong not in said.replace("not significant", "").replace(" 0.0 [", "")


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400))
@settings(max_examples=300)
def test_paired_difference__its_interval_excludes_zero_exactly_where_the_exact_test_rejects(
    wins: int, losses: int, agreeing: int
) -> None:
    if wins + losses + agreeing == 0:
        return
    found = paired_difference(*outcomes(wins, losses, wins + losses + agreeing))
    assert is_significant(found) == (mcnemar(wins, losses) < 0.05)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 60))
def test_points__what_is_shown_excludes_zero_where_the_interval_does(
    wins: int, losses: int, agreeing: int
) -> None:
    found = paired_difference(*outcomes(wins, losses, wins + losses + agreeing))
    low, high = points(found.low), points(found.high)
    assert (low.startswith("+") or high.startswith("−")) == is_significant(found)
