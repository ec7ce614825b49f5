"""Backbones compared: the front, the choice, and what each costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart import transfer
from headstart.backbones import Backbone, load, measure_complexity
from headstart.data import Index
from headstart.errors import InputError
from headstart.experiments.backbones import page
from headstart.experiments.backbones.measure import Measured, candidates, pareto_front
from headstart.experiments.backbones.result import BackbonesResult
from headstart.experiments.backbones.settings import Settings
from headstart.experiments.features import Block, View
from headstart.experiments.judged import Fitted


def candidate(
    name: str, macs: int, n_right: int, n: int = 400, *, turned: bool = False
) -> Measured:
    correct = np.arange(n) < n_right
    model = Fitted(
        blocks=(Block(tap="t", view=View(size_px=32)),), n_features=1, C=1.0,
        cv_correct=correct[::-1] if turned else correct, test_correct=correct[:0],
    )  # fmt: skip
    return Measured(name=name, model=model, n_parameters=macs, macs=macs, images_per_s=1.0)


def compared(*measured: Measured) -> BackbonesResult:
    return BackbonesResult(
        settings=Settings(data="x"), datasets=(), data="x", n_train=400, n_test=0,
        candidates=candidates(measured),
    )  # fmt: skip


def test_pareto_front__leaves_out_what_costs_more_and_knows_less() -> None:
    rows = [
        candidate("dear", 9, 380), candidate("cheap", 1, 300), candidate("worse", 5, 290),
        candidate("middle", 4, 350), candidate("equal", 4, 350),
    ]  # fmt: skip
    assert [c.name for c in pareto_front(rows)] == ["cheap", "middle", "dear"]


def test_sentence__takes_the_cheapest_that_ties() -> None:
    # They err on different images, so that one image more is no sign of anything.
    found = compared(candidate("small", 1, 379, turned=True), candidate("large", 8, 380))
    assert found.chosen.name == "small"
    assert page.sentence(found).startswith("Take small: ")
    assert "large is 0.2 points higher (not significant)" in page.sentence(found)
    assert "8.0 times" in page.sentence(found)


def test_sentence__takes_the_best_where_nothing_cheaper_ties() -> None:
    found = compared(candidate("small", 1, 300), candidate("large", 8, 380))
    assert "Both are on the Pareto front" in page.detail(found)
    assert "Take large" in page.sentence(found)


def test_detail__names_the_front_where_it_leaves_some_out() -> None:
    small, large = candidate("small", 1, 300), candidate("large", 8, 380)
    found = compared(small, candidate("worse", 4, 290), large)
    assert "front is small (75.0 %) and large (95.0 %)" in page.detail(found)
    found = compared(small, candidate("worse", 4, 290))
    assert "small (75.0 %) is the whole Pareto front" in page.detail(found)


def test_sentence__one_image_more_is_not_said_to_be_the_most_accurate() -> None:
    few = [candidate("small", 1, 46, 47), candidate("large", 8, 47, 47)]
    found = BackbonesResult(
        settings=Settings(data="x"), datasets=(), data="x", n_train=47, n_test=0,
        candidates=candidates(few),
    )  # fmt: skip
    assert found.chosen.name == "large"
    assert "47 images are too few to tell small from it" in page.sentence(found)
    assert "most accurate" not in page.sentence(found)


def test_sentence__one_backbone_is_the_only_one() -> None:
    found = compared(candidate("small", 1, 300))
    assert page.sentence(found).startswith("Take small: 75.0 % [")
    assert page.detail(found) == "It is the only one."


def test_backbones__measures_accuracy_and_cost(
    indexed: Index, tiny: Backbone, tmp_path: Path
) -> None:
    other = load("timm:test_resnet", pretrained=False)
    stages: set[str] = set()
    shares: list[float] = []

    def tell(stage: str, done: int, total: int) -> None:
        stages.add(stage)
        if stage == "compare networks":
            shares.append(done / total)

    found = transfer.backbones(
        indexed,
        backbones=[tiny, other],
        size_px=32,
        cache=tmp_path,  # nothing is extracted yet
        device="cpu",
        progress=tell,
    )
    assert {f"extract features, {net.name}" for net in (tiny, other)} <= stages
    assert shares[0] == 0  # told before anything is computed, for all of it
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert [c.macs for c in found.candidates] == sorted(c.macs for c in found.candidates)
    for net in (tiny, other):
        row = next(c for c in found.candidates if c.name == net.name)
        assert row.macs == measure_complexity(net, 32).macs
        assert row.n_parameters == net.n_parameters
        assert row.images_per_s > 0
        assert row.test is not None
    assert f"trained on all {found.n_train} training images" in found.detail
    assert "headstart fit tries more" in found.detail
    assert sum(c.is_chosen for c in found.candidates) == 1


@pytest.mark.parametrize("twice", [True, False])
def test_backbones__refuses_one_name_twice_and_none(
    twice: bool, indexed: Index, tiny: Backbone
) -> None:
    with pytest.raises(InputError, match="`backbones` takes one or more different names"):
        transfer.backbones(indexed, backbones=[tiny, dataclasses.replace(tiny)] if twice else [])
