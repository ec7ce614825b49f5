from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart import results, transfer
from headstart.backbones import load
from headstart.data import Index
from headstart.errors import DataError, InputError
from headstart.experiments.sift import page
from headstart.experiments.sift.measure import MethodResult, methods
from headstart.experiments.sift.result import SiftResult
from headstart.experiments.sift.settings import Settings

SMALL: dict[str, Any] = {
    "patches_px": (16,), "n_words": (4, 8), "n_levels": 2, "n_gaussians": 3, "backbone": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def found(stripes: Index, tmp_path_factory: pytest.TempPathFactory) -> SiftResult:
    result: SiftResult = transfer.sift(stripes, **SMALL, cache=tmp_path_factory.mktemp("cache"))
    return result


def test_sift__tells_stripes_apart_by_every_encoding(found: SiftResult) -> None:
    rows = {row.name: row for row in found.methods}
    assert list(rows) == [
        "tiny pixels, k-NN",
        "SIFT, bag of words",
        "SIFT, spatial pyramid",
        "SIFT, Fisher vector",
    ]
    assert rows["SIFT, bag of words"].test.value == 1
    assert rows["SIFT, Fisher vector"].test.value == 1
    assert list(rows["SIFT, bag of words"].tried) == [
        "4 words, hard", "4 words, soft", "8 words, hard", "8 words, soft",
    ]  # fmt: skip
    bag, pyramid = rows["SIFT, bag of words"], rows["SIFT, spatial pyramid"]
    assert bag.cv_accuracy == max(bag.tried.values())
    n_words = int(pyramid.detail.split()[0])
    assert pyramid.n_features == 5 * n_words
    assert found.n_descriptors == 20 * 7 * 8


def test_sift__is_the_same_from_the_cache_and_read_back(stripes: Index, tmp_path: Path) -> None:
    first = transfer.sift(stripes, **SMALL, cache=tmp_path)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert transfer.sift(stripes, **SMALL, cache=tmp_path) == first
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == files
    results.write(tmp_path / "sift.json", first)
    assert results.read(tmp_path / "sift.json", SiftResult) == first


def test_sift__test_labels_have_no_say_in_any_choice(
    found: SiftResult, stripes: Index, tmp_path: Path
) -> None:
    """The leakage test: with other labels on the test images, all but the scores stays."""
    turned = {"lying": "standing", "standing": "lying"}
    records = tuple(
        replace(r, label=turned[r.label]) if r.split == "test" else r for r in stripes.records
    )
    other = transfer.sift(replace(stripes, records=records), **SMALL, cache=tmp_path)
    for row, turned_row in zip(found.methods, other.methods, strict=True):
        for name in ("detail", "cv_accuracy", "tried", "n_features"):
            assert getattr(row, name) == getattr(turned_row, name)
        assert row.test.value == pytest.approx(1 - turned_row.test.value)


def test_sift__wants_enough_descriptors_for_the_vocabulary(stripes: Index, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a vocabulary of 400 words needs 4,000 descriptors"):
        transfer.sift(stripes, patches_px=(16,), backbone="none", cache=tmp_path)


def test_sift__wants_test_images(stripes: Index, tmp_path: Path) -> None:
    only = stripes.with_split({r.name: "train" for r in stripes.records})
    with pytest.raises(DataError, match="has no test images"):
        transfer.sift(only, **SMALL, cache=tmp_path)


def test_pixels__against_frozen_features_is_paired(stripes: Index, tmp_path: Path) -> None:
    found = transfer.pixels(stripes, backbone=load(), cache=tmp_path, size_px=64)
    pixels, network = found.methods
    assert pixels.difference.value == pytest.approx(pixels.test.value - network.test.value)
    assert network.difference is None
    assert network.detail.startswith("layer ")
    assert found.backbone == "embedded"


def _judged(name: str, kind: str, correct: list[int], cv: float = 0.5) -> MethodResult:
    return MethodResult(
        name=name, kind=kind, detail="", n_features=1, cv_accuracy=cv,
        correct=np.array(correct, dtype=bool),
    )  # fmt: skip


def _of(*judged: MethodResult) -> SiftResult:
    return SiftResult(
        settings=Settings(data="photos"), datasets=(), data="photos", backbone=None, n_classes=2,
        n_train=40, n_test=40, n_straddling=0, methods=methods(judged), n_descriptors=1,
    )  # fmt: skip


def test_methods__of_groups_are_compared_by_groups() -> None:
    """Twelve patients of ten pictures, each wholly right or wrong."""
    patients = [str(i // 10) for i in range(120)]
    wrong = np.repeat(np.arange(12) < 4, 10)
    judged = [
        _judged("SIFT, a", "sift", (~wrong).astype(int).tolist()),
        _judged("net", "network", [1] * 120),
    ]
    (alone, _), (grouped, _) = (methods(judged, g) for g in (None, patients))
    assert grouped.difference.value == pytest.approx(alone.difference.value)
    assert grouped.p_value > 100 * alone.p_value
    assert grouped.test.low < alone.test.low


def test_sift__fewer_groups_than_folds_are_refused(stripes: Index) -> None:
    grouped = replace(
        stripes,
        records=tuple(replace(r, group=f"p{i % 3}") for i, r in enumerate(stripes.records)),
    )
    with pytest.raises(DataError, match="5 groups or more among the training examples; got 3"):
        transfer.pixels(grouped, backbone="none")


def test_sentence__says_who_is_better_or_that_none_is() -> None:
    bad = _judged("SIFT, a", "sift", [1] * 10 + [0] * 30, cv=0.9)
    passed_over = _judged("SIFT, b", "sift", [1] * 39 + [0], cv=0.1)
    good = _judged("net, frozen features", "network", [1] * 36 + [0] * 4)
    said = page.sentence(_of(bad, passed_over, good))
    assert said.startswith(
        "net, frozen features (90.0\u00a0%) is 65.0 points above SIFT, a on the 40"
    )
    assert said.endswith("(significant).")
    assert "(p < 0.001)" in page.detail(_of(bad, passed_over, good))
    turned = page.sentence(_of(replace(good, kind="sift"), replace(bad, kind="network")))
    assert turned.startswith("net, frozen features (90.0\u00a0%)")
    near = _judged("net", "network", [1] * 11 + [0] * 29)
    assert page.sentence(_of(bad, near)).endswith("(not significant).")
    assert "not significant by McNemar's exact test (p = " in page.detail(_of(bad, near))
    assert "25.0 %" in page.sentence(_of(bad))
