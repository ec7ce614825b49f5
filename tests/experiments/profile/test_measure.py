"""A layer profile of tiny pictures: selection on training images alone, each figure by a second route."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import Backbone
from headstart.data import Index
from headstart.errors import BackboneError, DataError, InputError
from headstart.experiments.features import Block, BlockReader, View, labels_of, show_whole
from headstart.experiments.profile.measure import default_resolutions, measure_profile, usual_block
from headstart.experiments.profile.profiled import Profile, to_dict
from headstart.features import extract
from headstart.heads import LinearSVM
from headstart.heads.examples import normalize_rows

SIZES = (32, 48)


@pytest.fixture(scope="module")
def found(indexed: Index, tiny: Backbone, cache: Path) -> Profile:
    return measure_profile(
        indexed, tiny, resolutions=SIZES, mirror=True, whole=True, cache=cache, device="cpu"
    )


def test_measure_profile__judges_every_tap_in_every_view(found: Profile, tiny: Backbone) -> None:
    assert [str(v) for v in found.views] == ["32", "48", "whole 32", "whole 48"]
    assert len(found.cells) == 4 * len(tiny.taps)
    assert all(c.correct.shape == (found.n_train,) for c in found.cells)
    assert found.best.accuracy.value == max(c.accuracy.value for c in found.cells)


def test_measure_profile__scores_three_models_on_the_test_images(
    found: Profile, indexed: Index, tiny: Backbone, cache: Path
) -> None:
    assert [m.name for m in found.models] == [
        "usual layer",
        "best single block",
        "concatenation",
    ]
    best = found.model("best single block")
    assert best.blocks == (found.best.block,)
    reader = BlockReader(backbone=tiny, views=found.views, mirror=True, cache=cache, device="cpu")
    train, test = indexed.train, indexed.test
    reader.extract([*train, *test])
    X, X_test = (reader.read(best.blocks[0], part) for part in (train, test))
    svm = LinearSVM(best.C, normalize="none", tol=1e-3).fit(X, labels_of(train))
    np.testing.assert_array_equal(svm.predict(X_test) == labels_of(test), best.test_correct)


def test_measure_profile__test_labels_change_no_choice(
    found: Profile, indexed: Index, tiny: Backbone, cache: Path
) -> None:
    swapped = {"red": "blue", "blue": "red"}
    records = tuple(
        dataclasses.replace(r, label=swapped[r.label]) if r.split == "test" else r
        for r in indexed.records
    )
    other = measure_profile(
        dataclasses.replace(indexed, records=records), tiny, resolutions=SIZES, mirror=True,
        whole=True, cache=cache, device="cpu",
    )  # fmt: skip
    for a, b in zip(found.models, other.models, strict=True):
        assert (a.blocks, a.C) == (b.blocks, b.C)
        np.testing.assert_array_equal(a.test_correct, ~b.test_correct)


def test_measure_profile__one_block_at_most_on_request(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    taps = [tiny.taps[-1].name, tiny.taps[0].name]
    found = measure_profile(
        indexed, tiny, resolutions=SIZES, taps=taps, max_blocks=1, cache=cache, device="cpu"
    )
    assert found.taps == tuple(reversed(taps))  # in network order
    assert len(found.model("concatenation").blocks) == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"taps": ["nothing"]}, BackboneError, "has no tap 'nothing'"),
        ({"taps": []}, InputError, "`taps` names no layer"),
        ({"normalize": "l1"}, InputError, "`normalize` 'l1' is unknown"),
        ({"pooling": "min"}, InputError, "`pooling` 'min' is unknown"),
    ],
)
def test_measure_profile__says_what_is_wrong(
    options: dict[str, object],
    error: type[Exception],
    words: str,
    indexed: Index,
    tiny: Backbone,
    cache: Path,
) -> None:
    with pytest.raises(error, match=words):
        measure_profile(indexed, tiny, resolutions=[32], cache=cache, **options)  # type: ignore[arg-type]


def test_measure_profile__one_class_is_refused(indexed: Index, tiny: Backbone, cache: Path) -> None:
    one = tuple(r for r in indexed.records if r.label == "red")
    with pytest.raises(DataError, match="of 1 class"):
        measure_profile(dataclasses.replace(indexed, records=one), tiny, cache=cache)


def test_to_dict__is_complete(found: Profile) -> None:
    figures = to_dict(found)
    assert sum(c["is_best"] for c in figures["cells"]) == 1
    assert [len(m["blocks"]) for m in figures["models"][:2]] == [1, 1]
    assert figures["models"][0]["test_gain"][0] == 0


def test_block_reader__averages_an_image_and_its_mirror_image(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    view = View(size_px=32)
    block = Block(tap=tiny.taps[2].name, view=view)
    records, rows = indexed.train, []
    for mirrored in (False, True):
        stores = extract(
            records, tiny, resolutions=[32], mirrored=mirrored, cache=cache, device="cpu"
        ).stores
        rows.append(stores[32].read([r.digest for r in records], block.tap))
    assert not np.array_equal(rows[0], rows[1])
    reader = BlockReader(backbone=tiny, views=(view,), mirror=True, cache=cache, device="cpu")
    reader.extract(records)
    expected = normalize_rows((rows[0] + rows[1]) / 2, "l2")
    np.testing.assert_allclose(reader.read(block, records), expected, rtol=1e-5)


def test_block_reader__joined_blocks_count_the_same(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    view = View(size_px=32)
    blocks = [Block(tap=tap.name, view=view) for tap in tiny.taps[:3]]
    reader = BlockReader(backbone=tiny, views=(view,), normalize="power", cache=cache, device="cpu")
    reader.extract(indexed.train)
    X = reader.join(blocks, indexed.train)
    ends = np.cumsum([tap.n_features for tap in tiny.taps[:3]])
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        norms = np.linalg.norm(X[:, start:end], axis=1)
        np.testing.assert_allclose(norms, 1 / np.sqrt(3), rtol=1e-4)


def test_show_whole__cuts_nothing_off(tiny: Backbone) -> None:
    preprocessing = show_whole(tiny).preprocessing
    assert preprocessing.resize_px == preprocessing.size_px == tiny.preprocessing.size_px
    assert preprocessing.crop_mode == "squash"


def test_default_resolutions__are_the_own_and_a_larger_one() -> None:
    assert default_resolutions(224) == (224, 320)


def test_usual_block__is_the_layer_before_the_logits_near_the_own_size() -> None:
    views = [View(size_px=s, is_whole=w) for w in (True, False) for s in (160, 256, 320)]
    assert usual_block(["a", "b", "logits"], views, 224) == Block(tap="b", view=View(size_px=256))
    assert usual_block(["logits"], views, 224).tap == "logits"
