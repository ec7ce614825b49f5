"""A layer profile of tiny pictures: selection on training images alone, each figure by a second route."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart import results, transfer
from headstart.backbones import Backbone, load
from headstart.data import Index
from headstart.errors import BackboneError, DataError, InputError
from headstart.experiments.features import Block, BlockReader, View, labels_of, show_whole
from headstart.experiments.judged import judge_block, repeated_folds, usual_block
from headstart.experiments.profile.measure import default_resolutions
from headstart.experiments.profile.result import ProfileResult
from headstart.features import extract
from headstart.heads import LinearSVM, accuracy_interval
from headstart.heads.examples import normalize_rows

SIZES = (32, 48)


@pytest.fixture(scope="module")
def found(indexed: Index, tiny: Backbone, cache: Path) -> ProfileResult:
    result: ProfileResult = transfer.profile(
        indexed,
        backbone=tiny,
        resolutions=SIZES,
        mirror=True,
        whole=True,
        cache=cache,
        device="cpu",
    )
    return result


def test_profile__judges_every_tap_in_every_view(found: ProfileResult, tiny: Backbone) -> None:
    assert found.views == ("32", "48", "whole 32", "whole 48")
    assert len(found.cells) == 4 * len(tiny.taps)
    assert found.best.cv.value == max(c.cv.value for c in found.cells)
    assert sum(c.is_best for c in found.cells) == 1


def test_profile__scores_three_models_on_the_test_images(
    found: ProfileResult, indexed: Index, tiny: Backbone, cache: Path
) -> None:
    assert [m.name for m in found.models] == ["usual layer", "best single block", "concatenation"]
    usual, best, _ = found.models
    view = View(size_px=int(found.best.view.split()[-1]), is_whole="whole" in found.best.view)
    block = Block(tap=found.best.tap, view=view)
    assert best.blocks == (str(block),)
    assert usual.test_gain is not None
    assert usual.test_gain.value == 0
    reader = BlockReader(backbone=tiny, views=(view,), mirror=True, cache=cache, device="cpu")
    train, test = indexed.train, indexed.test
    reader.extract([*train, *test])
    X, X_test = (reader.read(block, part) for part in (train, test))
    svm = LinearSVM(best.C, normalize="none", tol=1e-3).fit(X, labels_of(train))
    assert best.test is not None
    assert best.test.value == pytest.approx((svm.predict(X_test) == labels_of(test)).mean())


def test_profile__test_labels_change_no_choice(
    found: ProfileResult, indexed: Index, tiny: Backbone, cache: Path
) -> None:
    swapped = {"red": "blue", "blue": "red"}
    records = tuple(
        dataclasses.replace(r, label=swapped[r.label]) if r.split == "test" else r
        for r in indexed.records
    )
    other = transfer.profile(
        dataclasses.replace(indexed, records=records), backbone=tiny, resolutions=SIZES,
        mirror=True, whole=True, cache=cache, device="cpu",
    )  # fmt: skip
    assert (other.cells, other.steps) == (found.cells, found.steps)
    for a, b in zip(found.models, other.models, strict=True):
        assert (a.blocks, a.C, a.cv) == (b.blocks, b.C, b.cv)
        assert a.test.value == pytest.approx(1 - b.test.value)


def test_profile__one_block_at_most_on_request(indexed: Index, tiny: Backbone, cache: Path) -> None:
    taps = [tiny.taps[-1].name, tiny.taps[0].name]
    found = transfer.profile(
        indexed,
        backbone=tiny,
        resolutions=SIZES,
        taps=taps,
        max_blocks=1,
        cache=cache,
        device="cpu",
    )
    assert found.taps == tuple(reversed(taps))  # in network order
    assert len(found.models[-1].blocks) == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"taps": ["nothing"]}, BackboneError, "has no tap 'nothing'"),
        ({"taps": []}, InputError, "`taps` names no layer"),
        ({"normalize": "l1"}, InputError, "`normalize` must be l2 or power; got 'l1'"),
        ({"pooling": "min"}, InputError, "`pooling` must be average, max or pyramid; got 'min'"),
    ],
)
def test_profile__says_what_is_wrong(
    options: dict[str, object],
    error: type[Exception],
    words: str,
    indexed: Index,
    tiny: Backbone,
    cache: Path,
) -> None:
    with pytest.raises(error, match=words):
        transfer.profile(indexed, backbone=tiny, **{"resolutions": [32], "cache": cache, **options})


def test_profile__one_class_is_refused(indexed: Index, tiny: Backbone, cache: Path) -> None:
    one = tuple(r for r in indexed.records if r.label == "red")
    with pytest.raises(DataError, match="of 1 class"):
        transfer.profile(dataclasses.replace(indexed, records=one), backbone=tiny, cache=cache)


def test_profile__the_page_follows_from_the_result_that_was_read_back(
    found: ProfileResult, tmp_path: Path
) -> None:
    results.write(tmp_path / "profile.json", found)
    again = results.read(tmp_path / "profile.json", ProfileResult)
    assert again == found
    assert again.sections() == found.sections()


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
    assert default_resolutions(load("squeezenet1_1", pretrained=False)) == (224, 320)


def test_usual_block__is_the_layer_before_the_logits_near_the_own_size() -> None:
    views = [View(size_px=s, is_whole=w) for w in (True, False) for s in (160, 256, 320)]
    assert usual_block(["a", "b", "logits"], views, 224) == Block(tap="b", view=View(size_px=256))
    assert usual_block(["logits"], views, 224).tap == "logits"


def test_profile__groups_stay_in_one_fold_and_widen_intervals(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    """Films of two pictures; the features are those of the other tests."""
    number = {r.name: i for i, r in enumerate(indexed.records)}
    records = tuple(
        dataclasses.replace(r, group=f"{r.label}{number[r.name] // 2}") for r in indexed.records
    )
    films = dataclasses.replace(indexed, records=records)
    train, y, folds = repeated_folds(films, seed=0, n_repeats=2)
    for division in folds:
        of_film = {(r.group, int(k)) for r, k in zip(train, division, strict=True)}
        assert len(of_film) == len({r.group for r in train})
    view = View(size_px=SIZES[0])
    reader = BlockReader(backbone=tiny, views=(view,), cache=cache, device="cpu")
    reader.extract(train)
    block = Block(tap=tiny.taps[0].name, view=view)
    judged = judge_block(reader, block, train, y, folds[0])
    assert judged.groups == [r.group for r in train]
    expected = accuracy_interval(judged.correct, groups=[r.group for r in train])
    assert judged.accuracy == expected
    two = tuple(dataclasses.replace(r, group=r.label) for r in indexed.records)
    with pytest.raises(DataError, match="needs 5 groups or more"):
        repeated_folds(dataclasses.replace(indexed, records=two), seed=0)
