"""Backbones compared: the front, the choice, and what each costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import Backbone, load, measure_complexity
from headstart.data import Index
from headstart.errors import InputError
from headstart.experiments.backbones.measure import (
    BackboneComparison,
    Candidate,
    compare_backbones,
    pareto_front,
)
from headstart.experiments.features import Block, View


def candidate(name: str, macs: int, n_right: int, n: int = 400) -> Candidate:
    correct = np.arange(n) < n_right
    return Candidate(
        name=name, block=Block(tap="t", view=View(size_px=32)), C=1.0, n_parameters=macs, macs=macs,
        images_per_s=1.0, cv_correct=correct, test_correct=correct[:0],
    )  # fmt: skip


def compared(*candidates: Candidate) -> BackboneComparison:
    return BackboneComparison(candidates=candidates, n_train=400, n_test=0)


def test_pareto_front__leaves_out_what_costs_more_and_knows_less() -> None:
    rows = [
        candidate("dear", 9, 380), candidate("cheap", 1, 300), candidate("worse", 5, 290),
        candidate("middle", 4, 350), candidate("equal", 4, 350),
    ]  # fmt: skip
    assert [c.name for c in pareto_front(rows)] == ["cheap", "middle", "dear"]


def test_sentence__takes_the_cheapest_that_ties() -> None:
    small, large = candidate("small", 1, 379), candidate("large", 8, 380)
    # They err on different images, so that one image more is no sign of anything.
    small = dataclasses.replace(small, cv_correct=small.cv_correct[::-1])
    found = compared(small, large)
    assert found.chosen.name == "small"
    assert found.sentence.startswith("Take small: ")
    assert "large is 0.2 points higher (not significant)" in found.sentence
    assert "8.0 times" in found.sentence


def test_sentence__takes_the_best_where_nothing_cheaper_ties() -> None:
    found = compared(candidate("small", 1, 300), candidate("large", 8, 380))
    assert "small (75.0 %) and large (95.0 %)" in found.detail
    assert "Take large" in found.sentence


def test_sentence__one_backbone_is_the_only_one() -> None:
    found = compared(candidate("small", 1, 300))
    assert found.sentence.startswith("Take small: 75.0 % [")
    assert found.detail == "It is the only one."


def test_compare_backbones__measures_accuracy_and_cost(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    other = load("timm:test_resnet", pretrained=False)
    found = compare_backbones(indexed, [tiny, other], size_px=32, cache=cache, device="cpu")
    assert [c.macs for c in found.candidates] == sorted(c.macs for c in found.candidates)
    for net in (tiny, other):
        row = next(c for c in found.candidates if c.name == net.name)
        assert row.macs == measure_complexity(net, 32).macs
        assert row.n_parameters == net.n_parameters
        assert row.images_per_s > 0
        assert row.test_correct.shape == (len(indexed.test),)
    figures = found.to_dict()
    assert sum(c["is_chosen"] for c in figures["candidates"]) == 1


@pytest.mark.parametrize("twice", [True, False])
def test_compare_backbones__refuses_one_name_twice_and_none(
    twice: bool, indexed: Index, tiny: Backbone
) -> None:
    with pytest.raises(InputError, match="`backbones` takes one or more different names"):
        compare_backbones(indexed, [tiny, dataclasses.replace(tiny)] if twice else [])
