"""Sets on the scale, in words and numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import nn

from headstart.backbones import Backbone, load
from headstart.data import Index
from headstart.errors import DataError
from headstart.experiments.similarity import page, scale
from headstart.experiments.similarity.distance import medians
from headstart.experiments.similarity.measure import correlations, place
from headstart.experiments.similarity.references import ImageSet, indexed_set
from headstart.experiments.similarity.result import Distance, Gain, Placed, SimilarityResult
from headstart.experiments.similarity.settings import Settings
from headstart.heads import Interval


def placed(name: str, kl: float, features: float | None = None) -> Placed:
    layers, ones = (0.0, kl, 9.0), (1.0, 1.0, 1.0)
    distance = Distance(
        n_images=10, layers=("a", "b", "c"), kl=layers, frechet=ones,
        medians=medians(layers, ones, {"kl": 0.01, "frechet": 0.1}),
    )  # fmt: skip
    gain = None
    if features is not None:
        ends, pixels = Interval(features, features - 0.01, features + 0.01), Interval(0.5, 0.4, 0.6)
        gain = Gain.of(
            ends,
            pixels,
            neighbours=Interval(0.5 + features / 2, 0.4, 1.0),
            neighbours_pixels=pixels,
            chance=0.2,
            n_images=290,
            n_neighbour_images=200,
            n_classes=3,
            others=(ends, pixels),
        )
    return Placed(name=name, note="", distance=distance, gain=gain)


def likeness(*sets: Placed) -> SimilarityResult:
    by_errors, by_chance, by_neighbours = correlations(sets)
    return SimilarityResult(
        settings=Settings(data="mine"), datasets=(), data="mine", backbone="b", size_px=32,
        target=sets[0].name, sets=tuple(sorted(sets, key=lambda s: s.kl)), by_errors=by_errors,
        by_chance=by_chance, by_neighbours=by_neighbours,
    )  # fmt: skip


def test_gain__normalisations_by_hand() -> None:
    gain = placed("x", 1.0, 0.9).gain
    assert gain is not None
    assert gain.errors_removed == pytest.approx(0.8)  # 0.1 of 0.5 are left
    assert gain.above_chance == pytest.approx(0.7 / 0.8)
    assert gain.neighbours_removed == pytest.approx(0.9)  # 0.05 of 0.5 are left
    assert gain.n_other_images == 90
    assert gain.others_removed == pytest.approx(0.8)


def test_gain__pixels_without_an_error_count_half_an_error() -> None:
    perfect, worse = Interval(1.0, 0.9, 1.0), Interval(0.9, 0.8, 1.0)
    facts: dict[str, Any] = {
        "chance": 0.5,
        "n_images": 10,
        "n_neighbour_images": 10,
        "n_classes": 2,
    }
    gain = Gain.of(worse, perfect, neighbours=perfect, neighbours_pixels=perfect, **facts)
    assert gain.errors_removed == pytest.approx(-1)  # one error for half an error
    assert gain.neighbours_removed == 0
    assert gain.others_removed is None


def with_others(each: Placed, removed: float | None) -> Placed:
    assert each.gain is not None
    return replace(each, gain=replace(each.gain, others_removed=removed))


def test_correlations__quick_score_against_images_that_it_has_not_seen() -> None:
    sets = [placed(str(i), i / 10 + 0.1, 0.6 + i / 20) for i in range(6)]
    assert correlations(sets)[2].kendall == pytest.approx(1)
    # The same errors on all images, the opposite order on the others.
    opposite = [with_others(each, 1 - i / 20) for i, each in enumerate(sets)]
    assert correlations(opposite)[2].kendall == pytest.approx(-1)
    assert correlations(opposite)[0] == correlations(sets)[0]
    small = with_others(sets[0], None)
    assert correlations([small, *sets[1:]])[2].n == 5
    assert correlations([small, *sets[1:]])[0].n == 6


def test_distance__median_and_interval() -> None:
    value, low, high = placed("x", 0.5).distance.medians["kl"]
    assert value == 0.5
    assert (low, high) == pytest.approx((0.5 - 0.0196, 0.5 + 0.0196))


def test_place__says_where_the_target_lies() -> None:
    found = likeness(placed("mine", 0.5), placed("near", 0.1), placed("far", 2.0))
    assert (
        page.place(found)
        == "mine lies 0.500 [0.480, 0.520] from the source: farther than near, nearer than far."
    )
    assert "needs three labelled sets; there are 0" in page.verdict(found)


def test_place__names_three_sets_on_either_side() -> None:
    others = [placed(f"s{i}", i / 10) for i in range(1, 10)]
    text = page.place(likeness(placed("mine", 0.55), *others))
    assert "farther than s3, s4, s5 and 2 others, nearer than s6, s7, s8 and 1 other." in text


def test_place__distances_that_read_the_same_are_equal() -> None:
    found = likeness(placed("mine", 0.5), placed("near", 0.4998), placed("far", 0.5003))
    assert page.sentence(found).endswith("from the source, as far as near.")
    assert page.place(found).endswith("as far as near and far.")


def test_verdict__agreement_failure_and_too_few() -> None:
    agrees = likeness(placed("a", 0.1, 0.95), placed("b", 0.2, 0.9), placed("c", 0.3, 0.8))
    assert "agrees with what transfer gave" in page.verdict(agrees)
    assert page.verdict(agrees).endswith("too few sets.")
    assert "once in 3" in page.caution(agrees)
    fails = likeness(*(placed(str(i), i / 10 + 0.1, 0.6 + i / 20) for i in range(6)))
    assert "goes against what transfer gave" in page.verdict(fails)
    assert page.caution(fails) == ""
    right = likeness(*(placed(str(i), i / 10 + 0.1, 0.9 - i / 20) for i in range(6)))
    assert "agrees with what transfer gave (Kendall −1.00 [−1.00, −1.00], −1" in page.verdict(right)
    scores = (0.9, 0.7, 0.8, 0.72, 0.75)
    mixed = likeness(*(placed(str(i), i / 10 + 0.1, a) for i, a in enumerate(scores)))
    assert "does not predict what transfer gave" in page.verdict(mixed)
    assert ": not significant." in page.verdict(mixed)
    assert "labelled images do (Kendall 1.00" in page.verdict(mixed)
    alike = likeness(*(placed(str(i), i / 10 + 0.1, 0.9) for i in range(3)))
    assert "all alike" in page.verdict(alike)


@pytest.fixture(scope="module")
def net() -> Backbone:
    backbone = load("timm:test_efficientnet", pretrained=False)
    for layer in backbone.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.add_(0.1)
    return dataclasses.replace(backbone, digest="1" * 64)


def grey(n_levels: int) -> ImageSet:
    def crops(preprocessing, n):
        rng = np.random.default_rng(0)
        side = preprocessing.size_px
        for _ in range(n):
            yield rng.integers(0, n_levels, (side, side, 3), dtype=np.uint8)

    return ImageSet(name=f"grey {n_levels}", crops=crops, note="made")


def test_place__measures_all_sets_and_labelled_ones_twice(
    net: Backbone, indexed: Index, cache: Path
) -> None:
    target = indexed_set("colours", indexed)
    found = place(net, target, [grey(2), grey(255)], n_images=8, size_px=32, cache=cache)
    assert {s.name for s in found} == {"colours", "grey 2", "grey 255"}
    kls = [s.kl for s in found]
    assert kls == sorted(kls)
    by_name = {s.name: s for s in found}
    assert by_name["grey 2"].gain is None
    gain = by_name["colours"].gain
    assert gain is not None
    assert gain.n_classes == 2
    # Reddish and bluish noise: pixels alone tell them apart.
    assert gain.pixels.value > 0.9
    assert gain.neighbours_pixels.value > 0.9
    assert gain.n_neighbour_images == gain.n_images
    assert (gain.n_other_images, gain.others_removed) == (0, None)
    assert by_name["colours"].distance.n_images == 8
    assert torch.isfinite(torch.tensor(kls)).all()


def test_place__labels_of_a_reference_that_cannot_be_cross_validated(
    net: Backbone, indexed: Index, cache: Path
) -> None:
    first = {r.label: r for r in reversed(indexed.train)}
    few = indexed_set("few", dataclasses.replace(indexed, records=tuple(first.values())))
    found = place(net, grey(255), [few], n_images=8, size_px=32, cache=cache)
    placed = next(s for s in found if s.name == "few")
    assert placed.gain is None
    assert "labels not used (cross-validation needs two classes or more" in placed.note
    with pytest.raises(DataError, match=r"^few: cross-validation needs"):
        place(net, few, [], n_images=8, size_px=32, cache=cache)


def test_curves__the_data_and_others_from_the_nearest_to_the_farthest() -> None:
    sets = [placed(str(i), i / 10 + 0.1) for i in range(12)]
    shown = [s.name for s in scale.curves(likeness(*sets[5:], *sets[:5]))]
    assert shown[0] == "5"
    assert (shown[1], shown[-1]) == ("0", "11")
    assert len(shown) == len(set(shown)) == 6
    assert [s.name for s in scale.curves(likeness(sets[0], sets[1]))] == ["0", "1"]
    assert [s.name for s in scale.curves(likeness(sets[0]))] == ["0"]
