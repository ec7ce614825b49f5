"""The quadrants, and whether measurement agrees with the rule."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from headstart import transfer
from headstart.backbones import Backbone
from headstart.comparison.arms import Arm
from headstart.comparison.comparing import Comparison, Outcome
from headstart.data import Index
from headstart.errors import InputError
from headstart.experiments.advice.measure import best_regime, distances, make_rule
from headstart.experiments.advice.page import depth_verdict, regime_verdict, rule_sentence
from headstart.experiments.advice.result import ADVICE, Depth, Rule
from headstart.experiments.advice.settings import Settings
from headstart.experiments.experiment import Inputs
from headstart.heads import accuracy_interval, paired_difference
from headstart.results import Difference


def rule(n: float, distance: float) -> Rule:
    return Rule(n_per_class=n, distance=distance, much=100, far=0.3)


def depths(n_early: int, n_late: int, n: int = 500) -> Depth:
    early, late = np.arange(n) < n_early, np.arange(n) < n_late
    return Depth(
        early="e", late="l", early_cv=accuracy_interval(early), late_cv=accuracy_interval(late),
        gain=Difference.of(paired_difference(early, late)),
    )  # fmt: skip


def comparison(**n_right: int) -> Comparison:
    """Arms that recognised that many of 200 validation images; the first is the quickest."""
    return Comparison(
        arms=tuple(Arm(name=name, line="") for name in n_right),
        seeds=(0,),
        outcomes={
            name: (
                Outcome(
                    val_correct=np.arange(200) < n, test_correct=np.empty(0, dtype=bool),
                    seconds=float(i), n_trained_parameters=1,
                ),
            )
            for i, (name, n) in enumerate(n_right.items())
        },
        n_fit=800, n_val=200, n_test=0,
    )  # fmt: skip


@pytest.mark.parametrize("much", [False, True])
@pytest.mark.parametrize("far", [False, True])
def test_rule__has_an_advice_for_every_quadrant(much: bool, far: bool) -> None:
    found = rule(400 if much else 20, 1.0 if far else 0.1)
    assert found.quadrant == (much, far)
    assert found.advice == ADVICE[much, far]
    assert found.advice in rule_sentence(found)


def test_make_rule__unlike_begins_between_photographs_and_digits(indexed: Index) -> None:
    found = make_rule(indexed, 0.5, {"photographs": 0.1, "digits": 1.6})
    assert found.far == pytest.approx(0.4)
    assert found.quadrant == (False, True)
    assert found.n_per_class == pytest.approx(20.5)
    assert make_rule(indexed, 0.5, {}, much=20).quadrant[0]


@pytest.mark.parametrize("distance", [0.0, -1.0, math.inf])
def test_settings__refuse_a_distance_that_is_none(distance: float) -> None:
    with pytest.raises(InputError, match=r"`distance` must be a (finite )?number above 0"):
        Settings(data="x", distance=distance)


@pytest.mark.parametrize(
    ("distance", "n_early", "words"),
    [
        (1.0, 450, "as the rule says"),
        (0.1, 350, "as the rule says"),
        (0.1, 450, "against the rule, which keeps earlier layers for unlike data"),
        (1.0, 350, "against the rule, by which earlier layers suit unlike data better"),
        (0.1, 400, "(not significant)."),
        (1.0, 400, "suit unlike data better does not show here"),
    ],
)
def test_depth_verdict__sets_measurement_beside_the_rule(
    distance: float, n_early: int, words: str
) -> None:
    assert words in depth_verdict(rule(20, distance), depths(n_early, 400))


def test_depth_verdict__one_layer_only() -> None:
    assert "no earlier one" in depth_verdict(rule(20, 1.0), None)


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ({"linear SVM": 190, "all": 150}, "(linear SVM), as the rule says"),
        ({"linear SVM": 150, "all": 190}, "against the rule: +20.0 ["),
        ({"linear SVM, joined": 190, "linear SVM": 189}, "(not significant)"),
        ({"lower": 190, "all": 150}, "was not among the arms"),
    ],
)
def test_regime_verdict__says_whether_the_rule_holds(arms: dict[str, int], words: str) -> None:
    assert words in regime_verdict(best_regime(rule(20, 0.1), comparison(**arms)))


def test_advice__compares_earlier_layers_of_the_own_view_and_trains_on_request(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    found = transfer.advice(
        indexed, backbone=tiny, distance=0.1, size_px=32, measure=True, epochs=1, cache=cache,
        device="cpu",
    )  # fmt: skip
    names = [tap.name for tap in tiny.taps]
    assert found.depth is not None
    assert names.index(found.depth.early) < names.index(found.depth.late)
    assert found.depth.late == names[-2]
    assert [a.name for a in found.comparison.arms][-2:] == ["upper", "all"]
    assert found.regime.taken == found.comparison.taken
    assert found.sentence.startswith("Measured: take ")


def test_distances__are_of_the_data_and_of_what_is_always_there(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    trained = dataclasses.replace(tiny, module=copy.deepcopy(tiny.module))
    for layer in trained.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            layer.running_mean += 0.1  # as if it had seen images
    inputs = Inputs(settings=Settings(data="x", device="cpu"), cache=cache)
    distance, references = distances(indexed, trained, inputs)
    assert distance > 0
    assert {"photographs", "digits", "noise 1/f", "noise uniform"} == set(references)
