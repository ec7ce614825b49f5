from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.backbones import load
from headstart.baselines import SiftSettings, compare_pixels, compare_sift, tiny_images
from headstart.baselines.comparison import MethodResult
from headstart.baselines.descriptors import SHARD_IMAGES, Descriptors
from headstart.baselines.pixels import fit_neighbours
from headstart.baselines.words import answer, detail
from headstart.data import Index
from headstart.errors import DataError, InputError

SMALL = SiftSettings(patches_px=(16,), n_words=(4, 8), n_levels=2, n_gaussians=3, n_components=6)


@pytest.fixture(scope="module")
def found(stripes: Index, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return compare_sift(stripes, None, SMALL, cache=tmp_path_factory.mktemp("cache"))


def test_compare_sift__tells_stripes_apart_by_every_encoding(found: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in found["methods"]}
    assert list(rows) == [
        "tiny pixels, k-NN",
        "SIFT, bag of words",
        "SIFT, spatial pyramid",
        "SIFT, Fisher vector",
    ]
    assert rows["SIFT, bag of words"]["test"][0] == 1
    assert rows["SIFT, Fisher vector"]["test"][0] == 1
    assert list(rows["SIFT, bag of words"]["tried"]) == [
        "4 words, hard", "4 words, soft", "8 words, hard", "8 words, soft",
    ]  # fmt: skip
    bag, pyramid = rows["SIFT, bag of words"], rows["SIFT, spatial pyramid"]
    assert bag["cv_accuracy"] == max(bag["tried"].values())
    n_words = int(pyramid["detail"].split()[0])
    assert pyramid["n_features"] == 5 * n_words
    assert rows["SIFT, Fisher vector"]["n_features"] == 3 * (1 + 2 * 8)
    assert found["n_descriptors"] == 20 * 7 * 8


def test_compare_sift__is_the_same_from_the_cache(stripes: Index, tmp_path: Path) -> None:
    first = compare_sift(stripes, None, SMALL, cache=tmp_path)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert compare_sift(stripes, None, SMALL, cache=tmp_path) == first
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == files


def test_compare_sift__test_labels_have_no_say_in_any_choice(
    found: dict[str, Any], stripes: Index, tmp_path: Path
) -> None:
    """The leakage test: with other labels on the test images, all but the scores stays."""
    turned = {"lying": "standing", "standing": "lying"}
    records = tuple(
        replace(r, label=turned[r.label]) if r.split == "test" else r for r in stripes.records
    )
    other = compare_sift(replace(stripes, records=records), None, SMALL, cache=tmp_path)
    for row, turned_row in zip(found["methods"], other["methods"], strict=True):
        for name in ("detail", "cv_accuracy", "tried", "n_features"):
            assert row[name] == turned_row[name]
        assert row["test"][0] == pytest.approx(1 - turned_row["test"][0])


def test_compare_sift__wants_enough_descriptors_for_the_vocabulary(
    stripes: Index, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="a vocabulary of 400 words needs 4,000 descriptors"):
        compare_sift(stripes, None, SiftSettings(patches_px=(16,)), cache=tmp_path)


def test_compare_sift__wants_test_images(stripes: Index, tmp_path: Path) -> None:
    only = stripes.with_split({r.name: "train" for r in stripes.records})
    with pytest.raises(DataError, match="has no test images"):
        compare_sift(only, None, SMALL, cache=tmp_path)


def test_compare_pixels__against_frozen_features_is_paired(stripes: Index, tmp_path: Path) -> None:
    found = compare_pixels(stripes, load(), cache=tmp_path, size_px=64)
    pixels, network = found["methods"]
    assert pixels["difference"][0] == pytest.approx(pixels["test"][0] - network["test"][0])
    assert network["difference"] is None
    assert network["detail"].startswith("layer ")
    assert found["backbone"] == "embedded"


def test_descriptors__a_damaged_shard_is_computed_anew(stripes: Index, tmp_path: Path) -> None:
    store = Descriptors(SMALL, tmp_path)
    store.fill(stripes.records)
    digest = stripes.records[0].digest
    before = store.read(digest)[0].copy()
    (shard,) = store.folder.glob("shard-*.arrow")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(bytes(data))
    again = Descriptors(SMALL, tmp_path)
    assert digest not in again
    again.fill(stripes.records)
    np.testing.assert_array_equal(again.read(digest)[0], before)
    assert len(stripes.records) < SHARD_IMAGES


def test_descriptors__a_stopped_run_goes_on(stripes: Index, tmp_path: Path) -> None:
    Descriptors(SMALL, tmp_path).fill(stripes.records[:7])
    told: list[tuple[int, int]] = []
    store = Descriptors(SMALL, tmp_path)
    store.fill(stripes.records, lambda _, done, total: told.append((done, total)))
    assert told == [(0, 13), (13, 13)]
    assert all(r.digest in store for r in stripes.records)


def test_tiny_images__have_no_mean_and_unit_length(stripes: Index) -> None:
    rows = tiny_images(stripes.records[:3])
    assert rows.shape == (3, 3 * 16 * 16)
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_fit_neighbours__takes_the_k_of_cross_validation() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b"], 30)
    X = (rng.normal(size=(60, 2)) + 1.2 * (y == "b")[:, None]).astype(np.float32)
    folds = np.arange(60) % 5
    model, accuracy = fit_neighbours(X, y, folds)
    assert model.n_neighbors > 1
    assert 0.7 < accuracy < 1
    few, _ = fit_neighbours(X[28:32], y[28:32], np.arange(4) % 2)
    assert few.n_neighbors == 1


def _judged(name: str, kind: str, correct: list[int], cv: float = 0.5) -> MethodResult:
    return MethodResult(
        name=name, kind=kind, detail="", n_features=1, cv_accuracy=cv,
        correct=np.array(correct, dtype=bool),
    )  # fmt: skip


DATA = {"n_test": 40, "data": "photos"}


def test_answer__says_who_is_better_or_that_none_is() -> None:
    bad = _judged("SIFT, a", "sift", [1] * 10 + [0] * 30, cv=0.9)
    passed_over = _judged("SIFT, b", "sift", [1] * 39 + [0], cv=0.1)
    good = _judged("net, frozen features", "network", [1] * 36 + [0] * 4)
    said = answer(DATA, [bad, passed_over, good])
    assert said.startswith("net, frozen features (90.0 %) is 65.0 points above SIFT, a on the 40")
    assert said.endswith("(significant).")
    assert "(p < 0.001)" in detail([bad, passed_over, good], good)
    turned = answer(DATA, [good.__class__(**{**_fields(good), "kind": "sift"}), _as_network(bad)])
    assert turned.startswith("net, frozen features (90.0 %)")
    near = _judged("net", "network", [1] * 11 + [0] * 29)
    assert answer(DATA, [bad, near]).endswith("(not significant).")
    assert "not significant by McNemar's exact test (p = " in detail([bad, near], near)
    assert "25.0 %" in answer(DATA, [bad])


def _fields(judged: MethodResult) -> dict[str, Any]:
    return {name: getattr(judged, name) for name in judged.__dataclass_fields__}


def _as_network(judged: MethodResult) -> MethodResult:
    return MethodResult(**{**_fields(judged), "kind": "network"})
