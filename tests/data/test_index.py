"""The index as a whole: what a person brings, what they are told, what is kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart.data
from headstart.data import duplicate_groups, index
from headstart.data.sources import missing_path
from headstart.errors import DataError, InputError
from headstart.results import encode


def test_package__exports_its_public_names() -> None:
    assert sorted(headstart.data.__all__) == [
        "DuplicateGroup",
        "IMAGE_SUFFIXES",
        "Index",
        "MAX_PIXELS",
        "Part",
        "Picture",
        "Quarantined",
        "Record",
        "SPLITS",
        "Source",
        "duplicate_groups",
        "feature_pairs",
        "find_images",
        "find_parts",
        "index",
        "is_one_image",
        "is_packed",
        "list_sources",
        "make_split",
        "picture_of",
        "read_part",
        "read_pixels",
        "read_rgb",
        "sample_folder",
        "sample_names",
        "set_names",
        "training_records",
        "write_cat",
        "write_digits",
    ]
    assert all(hasattr(headstart.data, name) for name in headstart.data.__all__)


def test_index__describes_every_image(pets: Path) -> None:
    found = index(pets)
    assert found.root == pets
    assert found.source == "folder"
    assert found.classes == ("cat", "dog")
    assert [r.name for r in found.records] == sorted(
        p.relative_to(pets).as_posix() for p in pets.rglob("*.png")
    )
    for record in found.records:
        assert record.digest == hashlib.sha256(record.path.read_bytes()).hexdigest()
        with Image.open(record.path) as image:
            assert (record.width, record.height) == image.size
    assert found.counts() == {c: {"train": 4, "val": 0, "test": 1} for c in ("cat", "dog")}
    assert found.imbalance == 1.0
    assert found.split_made


def test_index__quarantines_bad_files_with_the_reason(
    pets: Path, picture, encode, huge_png
) -> None:
    whole = encode(picture(1, (200, 200)), "JPEG")
    (pets / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (pets / "cat" / "empty.jpg").write_bytes(b"")
    (pets / "dog" / "text.jpg").write_text("not a dog")
    (pets / "dog" / "huge.png").write_bytes(huge_png)
    (pets / "dog" / "dead.png").symlink_to(pets / "gone.png")
    found = index(pets)
    assert len(found) == 10
    reasons = {q.name: q.reason for q in found.quarantine}
    assert list(reasons) == sorted(reasons)
    for name, part in {
        "cat/cut.jpg": "truncated",
        "cat/empty.jpg": "0 bytes",
        "dog/text.jpg": "text",
        "dog/huge.png": "too large",
        "dog/dead.png": "leads nowhere",
    }.items():
        assert part in reasons[name]


def test_index__goes_by_seed_and_digests_not_names(pets: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    shutil.copytree(pets, renamed)
    for path in sorted(renamed.rglob("*.png")):
        path.rename(path.with_name(f"z{9 - int(path.stem)}.png"))

    def tested(root: Path, seed: int) -> set[str]:
        return {r.digest for r in index(root, seed=seed, test_size=0.4).test}

    assert tested(pets, 0) == tested(renamed, 0)
    assert len({frozenset(tested(pets, s)) for s in range(5)}) > 1


def test_index__keeps_copies_on_one_side(pets: Path, picture, encode) -> None:
    (pets / "cat" / "same.png").write_bytes((pets / "cat" / "0.png").read_bytes())
    (pets / "dog" / "near.jpg").write_bytes(encode(picture(10).resize((96, 80)), "JPEG"))
    (pets / "cat" / "wrong.png").write_bytes((pets / "dog" / "1.png").read_bytes())
    for seed in range(6):
        found = index(pets, seed=seed, test_size=0.5)
        groups = {g.names: g for g in found.duplicates}
        assert set(groups) == {
            ("cat/0.png", "cat/same.png"),
            ("cat/wrong.png", "dog/1.png"),
            ("dog/0.png", "dog/near.jpg"),
        }
        assert found.straddling == ()
        assert groups["dog/0.png", "dog/near.jpg"].kind == "near"
        assert [g.names for g in found.conflicting] == [("cat/wrong.png", "dog/1.png")]


def _seen_by_a_fixed_camera(picture, n: int, seed: int, noise: int = 8) -> list[Image.Image]:
    part = np.asarray(picture(seed, (128, 128)), int)
    rng = np.random.default_rng(seed)
    seen = [part + rng.integers(-noise, noise, part.shape) for _ in range(n)]
    return [Image.fromarray(np.clip(a, 0, 255).astype(np.uint8)) for a in seen]


def _write(root: Path, images: Mapping[str, Sequence[Image.Image]], encode) -> None:
    for label, members in images.items():
        (root / label).mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(members):
            (root / label / f"{i:02d}.png").write_bytes(encode(image))


def test_index__photographs_of_a_fixed_camera_are_different_images(
    tmp_path: Path, picture, encode
) -> None:
    of_one_part = _seen_by_a_fixed_camera(picture, 24, seed=1)
    others = [picture(seed) for seed in range(100, 110)]
    _write(tmp_path, {"ok": of_one_part[:12], "worn": of_one_part[12:], "else": others}, encode)
    found = index(tmp_path)
    counts = found.counts()
    assert all(counts[c]["test"] == 2 and counts[c]["train"] >= 8 for c in found.classes)
    [note] = [note for note in found.notes if "fixed camera" in note]
    assert "24 images" in note
    assert "'ok': 12 of 12" in note
    assert "'else'" not in note
    assert len(note) < 300  # all of it is shown
    assert found.straddling == ()


def test_index__several_parts_of_a_fixed_camera_stay_whole(tmp_path: Path, picture, encode) -> None:
    seen = [_seen_by_a_fixed_camera(picture, 8, seed=part) for part in range(5)]
    _write(
        tmp_path,
        {"ok": [im for s in seen for im in s[:4]], "worn": [im for s in seen for im in s[4:]]},
        encode,
    )
    found = index(tmp_path, test_size=0.2)
    assert [len(g.names) for g in found.duplicates] == [8] * 5
    assert found.straddling == ()
    assert not any("fixed camera" in note for note in found.notes)


def test_index__copies_among_photographs_of_a_fixed_camera_stay_together(
    tmp_path: Path, picture, encode
) -> None:
    seen = _seen_by_a_fixed_camera(picture, 12, seed=3, noise=40)
    _write(tmp_path, {"ok": seen[:6], "worn": seen[6:]}, encode)
    for label in ("ok", "worn"):
        for i in (0, 1):
            data = (tmp_path / label / f"{i:02d}.png").read_bytes()
            (tmp_path / label / f"{i:02d} again.png").write_bytes(data)  # exact
        with Image.open(tmp_path / label / "02.png") as image:
            (tmp_path / label / "02 small.png").write_bytes(encode(image.resize((96, 96))))
    for seed in range(5):
        found = index(tmp_path, seed=seed, test_size=0.4)
        side = {r.name: r.split for r in found.records}
        assert any("fixed camera" in note for note in found.notes)
        for label in ("ok", "worn"):
            assert side[f"{label}/00.png"] == side[f"{label}/00 again.png"]
            assert side[f"{label}/02.png"] == side[f"{label}/02 small.png"]


def test_index__a_class_of_two_near_copies_is_taken(tmp_path: Path, picture, encode) -> None:
    _write(tmp_path, {"a": [picture(1), picture(1, (96, 80))]}, encode)
    _write(tmp_path, {"b": [picture(seed) for seed in range(5, 9)]}, encode)
    found = index(tmp_path)
    assert found.counts()["a"] == {"train": 1, "val": 0, "test": 1}
    assert any("'a': 2 of 2" in note for note in found.notes)


def test_index__classes_tied_by_near_copies_are_taken(tmp_path: Path, picture, encode) -> None:
    small = (96, 80)
    tied = {
        "a": [picture(1), picture(2)],
        "b": [picture(1, small), picture(3)],
        "c": [picture(2, small), picture(3, small)],
    }
    _write(tmp_path, tied, encode)
    found = index(tmp_path)
    assert all(n["train"] == n["test"] == 1 for n in found.counts().values())
    assert found.straddling  # named, as those of a split that came with the data
    assert any("near duplicates could not" in note for note in found.notes)


def test_index__a_class_of_copies_of_one_file_is_refused(tmp_path: Path, picture, encode) -> None:
    _write(tmp_path, {"a": [picture(1)] * 6, "b": [picture(s) for s in range(5, 9)]}, encode)
    with pytest.raises(DataError, match=r"class 'a' has 6 images that are all copies"):
        index(tmp_path)


def test_index__a_given_split_of_a_fixed_camera_is_noted(tmp_path: Path, picture, encode) -> None:
    seen = _seen_by_a_fixed_camera(picture, 24, seed=2)
    _write(tmp_path / "train", {"ok": seen[:8], "worn": seen[8:16]}, encode)
    _write(tmp_path / "test", {"ok": seen[16:20], "worn": seen[20:]}, encode)
    found = index(tmp_path)
    assert any("24 images look almost the same" in note for note in found.notes)
    groups = duplicate_groups(found, found.train)
    assert all(len({g for g, r in zip(groups, found.train, strict=True) if r.label == c}) > 3
               for c in found.classes)  # fmt: skip


def test_duplicate_groups__near_copies_and_exact_ones_of_a_picture_share_a_group(
    pets: Path, picture, encode
) -> None:
    (pets / "cat" / "same.png").write_bytes((pets / "cat" / "0.png").read_bytes())
    (pets / "cat" / "near.jpg").write_bytes(encode(picture(0).resize((96, 80)), "JPEG"))
    found = index(pets)
    groups = dict(
        zip((r.name for r in found.records), duplicate_groups(found, found.records), strict=True)
    )
    assert groups["cat/0.png"] == groups["cat/same.png"] == groups["cat/near.jpg"]


def test_index__takes_thin_images_and_leaves_out_huge_ones(tree, encode, huge_png) -> None:
    root = tree({f"{c}/{i}.png": 10 * i + ord(c) for c in "ab" for i in range(4)})
    (root / "a" / "wide.png").write_bytes(encode(Image.new("L", (1_000_000, 1), 7)))
    (root / "a" / "huge.png").write_bytes(huge_png)
    found = index(root)
    assert "a/wide.png" in {r.name for r in found.records}
    [left_out] = found.quarantine
    assert left_out.name == "a/huge.png"
    assert "too large" in left_out.reason


def test_index__reports_copies_that_straddle_a_given_split(tree) -> None:
    names = [f"{s}/{c}/{i}.png" for s in ("train", "test") for c in "ab" for i in range(2)]
    files = {name: seed for seed, name in enumerate(names)}
    root = tree(files | {"train/a/x.png": 5000, "test/a/y.png": 5000})
    found = index(root)
    assert [(g.names, g.splits) for g in found.straddling] == [
        (("test/a/y.png", "train/a/x.png"), ("test", "train"))
    ]
    assert not found.split_made


def test_index__uses_val_as_test_where_there_is_no_test(tree) -> None:
    root = tree(
        {
            f"{s}/{c}/{i}.png": 1 + ord(c) + i + len(s) * 7
            for s in ("train", "val")
            for c in "ab"
            for i in range(2)
        }
    )
    found = index(root)
    assert len(found.test) == 4
    assert found.val == ()
    assert any("validation split is used as the test split" in n for n in found.notes)


def test_index__keeps_val_beside_test(tree) -> None:
    root = tree(
        {
            f"{s}/{c}/{i}.png": ord(c) * 10 + i
            for s in ("train", "val", "test")
            for c in "ab"
            for i in range(2)
        }
    )
    assert [len(part) for part in (index(root).train, index(root).val, index(root).test)] == [4] * 3


def test_index__makes_a_split_of_a_lone_train_folder(tree) -> None:
    root = tree({f"train/{c}/{i}.png": ord(c) * 10 + i for c in "ab" for i in range(4)})
    found = index(root)
    assert found.split_made
    assert any("training images only" in n for n in found.notes)


def test_index__applies_a_split_file(pets: Path, tmp_path: Path) -> None:
    names = [r.name for r in index(pets).records]
    split = tmp_path / "split.csv"
    split.write_text("".join(f"{'test' if '/0' in n else 'train'},{n}\n" for n in names))
    assert {r.name for r in index(pets, split=split).test} == {"cat/0.png", "dog/0.png"}


def test_index__takes_a_table(pets: Path) -> None:
    table = pets / "t.csv"
    rows = sorted(pets.rglob("*.png"))
    table.write_text(
        "image,label\n"
        + "".join(f"{p.relative_to(pets)},{p.parent.name}\n" for p in rows)
        + "cat/gone.png,cat\n"
    )
    found = index(table)
    assert found.source == "table"
    assert len(found) == 10
    assert [(q.name, q.reason) for q in found.quarantine] == [("cat/gone.png", "no such file")]


def test_index__takes_strange_names(tree) -> None:
    names = ["a b", "é", "🦊", "two\nlines", "<script>alert(1)<", "-rf", "%s{}"]
    wanted = [f"{c}/{n}.png" for c in ("<b>", "ü 🐱") for n in names]
    found = index(tree({name: i for i, name in enumerate(wanted)}))
    assert [r.name for r in found.records] == sorted(wanted)
    assert all(r.path.is_file() for r in found.records)
    encode(found.summary())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no images"),
        ({"cat/1.png": 1, "cat/2.png": 2}, "one class only"),
        ({"cat/1.png": 1, "cat/2.png": 2, "dog/1.png": 3}, r"class 'dog' has one image \('dog/1.png'\)"),
        ({"cat/1.png": b"", "dog/1.png": b""}, r"no usable image \(2 unusable files; first: 'cat/1.png'"),
        ({"cat/1.png": 1, "cat/2.png": 2, "dog/1.png": b""}, r"one class only \('cat'\) \(1 unusable file;"),
        ({"cat/1.png": 1, "cat/2.png": 2, "dog/1.png": 3, "dog/2.png": b"x"}, "class 'dog' has one image"),
        ({"test/cat/1.png": 1, "train/dog/1.png": 2, "train/cat/2.png": 9, "test/bird/1.png": 3}, r"no training images of 1 class: 'bird'"),
        ({"train/a/1.png": 1, "train/b/1.png": 2, "test/a/1.png": b"", "test/b/1.png": b""}, "no image of the test split can be used"),
    ],
)  # fmt: skip
def test_index__refuses_data_that_cannot_be_used(tree, files, message) -> None:
    root = tree(files)
    before = sorted(root.rglob("*"))
    with pytest.raises(DataError, match=message) as caught:
        index(root)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert sorted(root.rglob("*")) == before


def test_index__refuses_paths_that_are_no_data(tmp_path: Path, pets: Path) -> None:
    with pytest.raises(
        DataError, match=r"no such folder, table or data set: '.*sett'. Did you mean '.*set'"
    ):
        index(pets.parent / "sett")
    with pytest.raises(DataError, match=r"Did you mean 'flowers102'"):
        index("flowers10")
    with pytest.raises(DataError, match="no such folder"):
        index("")
    with pytest.raises(DataError, match="is a file but no table"):
        index(pets / "cat" / "0.png")
    with pytest.raises(DataError, match=r"cannot read|no such folder"):
        index("x" * 5000)
    with pytest.raises(InputError, match="NUL character"):
        index("nul\0byte")


def test_index__decodes_nothing_twice(pets: Path, tmp_path: Path, monkeypatch) -> None:
    (pets / "cat" / "bad.png").write_bytes(b"junk")
    first = index(pets, cache=tmp_path / "cache")

    def never(data: bytes) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("headstart.data.inspection.facts_of", never)
    assert index(pets, cache=tmp_path / "cache") == first
    (pets / "cat" / "new.png").write_bytes((pets / "cat" / "0.png").read_bytes())
    assert len(index(pets, cache=tmp_path / "cache")) == 11


def test_index__recomputes_what_a_damaged_cache_lost(pets: Path, tmp_path: Path) -> None:
    first = index(pets, cache=tmp_path / "cache")
    for file in (tmp_path / "cache").rglob("*.npy"):
        file.write_bytes(file.read_bytes()[:-7])
    assert index(pets, cache=tmp_path / "cache") == first


def test_index__writes_nothing_beside_the_data(pets: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in pets.rglob("*")}
    index(pets)
    assert {p: p.stat().st_mtime_ns for p in pets.rglob("*")} == before


def test_index__tells_progress(pets: Path) -> None:
    said: list[tuple[str, int, int]] = []
    index(pets, progress=lambda *event: said.append(event))
    assert said[-1] == ("read images", 10, 10)


def test_index__summary_is_plain_json(pets: Path) -> None:
    (pets / "cat" / "copy.png").write_bytes((pets / "cat" / "0.png").read_bytes())
    (pets / "cat" / "bad.png").write_bytes(b"")
    summary = json.loads(encode(index(pets).summary()))
    assert summary["n_images"] == 11
    assert summary["n_quarantined"] == 1
    assert summary["classes"][1] == {"class": "dog", "n_train": 4, "n_val": 0, "n_test": 1}
    assert summary["exact_duplicates"][0]["names"] == ["cat/0.png", "cat/copy.png"]
    assert summary["exact_duplicates"][0]["straddles"] is False
    assert summary["near_duplicates"] == []


def test_index__with_split_moves_records_and_groups(pets: Path) -> None:
    (pets / "cat" / "copy.png").write_bytes((pets / "cat" / "0.png").read_bytes())
    found = index(pets)
    moved = found.with_split({r.name: "train" for r in found.records} | {"cat/0.png": "test"})
    assert [r.name for r in moved.test] == ["cat/0.png"]
    assert [g.names for g in moved.straddling] == [("cat/0.png", "cat/copy.png")]


def test_index__reports_imbalance_of_the_training_split(tree) -> None:
    root = tree({f"a/{i}.png": i for i in range(20)} | {f"b/{i}.png": 100 + i for i in range(5)})
    assert index(root).imbalance == 16 / 4


def test_index__finds_the_copies_in_scene15(shared: Path, tmp_path: Path) -> None:
    scene15 = shared / "data" / "scene15"
    if not scene15.is_dir():
        pytest.skip("shared/data/scene15 is not here")
    found = index(scene15, split=shared / "data" / "scene15_split.csv", cache=tmp_path)
    assert (len(found), len(found.train), len(found.test)) == (4485, 1500, 2985)
    assert found.quarantine == ()
    exact = [g for g in found.duplicates if g.kind == "exact"]
    assert len(exact) == 18
    assert sum(g.straddles for g in exact) == 11
    near = {g.names for g in found.duplicates if g.kind == "near"}
    assert ("Bedroom/image_0077.jpg", "Bedroom/image_0157.jpg") in near  # a brightened copy
    assert 10 <= len(near) <= 20
    start = time.perf_counter()
    own = index(scene15, cache=tmp_path)
    assert time.perf_counter() - start < 5
    assert own.straddling == ()
    wanted = {c: round(0.2 * n) for c, n in Counter(r.label for r in own.records).items()}
    assert Counter(r.label for r in own.test) == wanted
    assert len(list((tmp_path / "images").iterdir())) == 1


def test_index__reads_the_textures(shared: Path) -> None:
    textures = shared / "data" / "textures"
    if not textures.is_dir():
        pytest.skip("shared/data/textures is not here")
    found = index(textures)
    assert (len(found), len(found.classes), len(found.quarantine)) == (200, 10, 0)
    assert np.isclose(found.imbalance, 1.0)


def test_index__names_the_classes_that_a_held_out_side_lacks(tree) -> None:
    found = index(
        tree(
            {
                "train/cat/1.png": 1, "train/dog/1.png": 2, "train/owl/1.png": 3,
                "train/cat/2.png": 4, "train/dog/2.png": 5, "train/owl/2.png": 6,
                "val/cat/1.png": 7, "test/cat/1.png": 8, "test/dog/1.png": 9,
            }
        )
    )  # fmt: skip
    assert "no test images of 1 class: 'owl'" in found.notes
    assert "no validation images of 2 classes: 'dog', 'owl'" in found.notes


def test_index__notes_labels_that_look_the_same_and_merges_them_when_asked(tree) -> None:
    names = [f"{c}/{i}.png" for c in ("Cat", "cat ", "dog") for i in range(3)] + ["Cat/3.png"]
    root = tree({name: seed for seed, name in enumerate(names)})
    found = index(root)
    assert found.classes == ("Cat", "cat ", "dog")
    assert any(
        n.startswith("the labels 'Cat' (4 images) and 'cat ' (3 images)") for n in found.notes
    )
    merged = index(root, merge_labels=True)
    assert merged.classes == ("Cat", "dog")
    assert len(merged) == len(found)
    assert any("merged labels" in n and "into 'Cat' (4 images)" in n for n in merged.notes)
    assert not any(n.startswith("the labels") for n in merged.notes)


def test_index__merges_labels_of_a_table(pets: Path) -> None:
    rows = [f"cat/{i}.png,{label}" for i, label in enumerate(["1", "1.0", "01", "1", "1"])]
    rows += [f"dog/{i}.png,nan" for i in range(5)]
    (pets / "table.csv").write_text("path,label\n" + "\n".join(rows))
    assert index(pets / "table.csv", merge_labels=True).classes == ("1", "nan")
    assert any("'nan' (5 images)" in n for n in index(pets / "table.csv", merge_labels=True).notes)


@pytest.mark.parametrize(
    ("train", "test", "shown"),
    [("Coast", "coast", "'Coast'"), ("Caf\u00e9", "Cafe\u0301", r"'Cafe\\u0301'")],
)
def test_index__names_the_twin_of_a_class_without_training_images(tree, train, test, shown) -> None:
    names = [f"train/{c}/{i}.png" for c in (train, "bar") for i in range(3)]
    names += [f"test/{c}/{i}.png" for c in (test, "bar") for i in range(2)]
    root = tree({name: seed for seed, name in enumerate(names)})
    with pytest.raises(DataError, match=f"no training images.*{shown}.*`merge_labels=True`"):
        index(root)
    found = index(root, merge_labels=True)
    assert set(found.classes) == {"bar", train}
    assert (len(found.train), len(found.test)) == (6, 4)


def test_index__names_the_twin_of_a_class_with_one_image(tree) -> None:
    names = [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(3)] + ["Cat/0.png"]
    with pytest.raises(DataError, match=r"class 'Cat' has one image .*'Cat' and 'cat' differ"):
        index(tree({name: seed for seed, name in enumerate(names)}))


def test_index__reads_the_folders_that_are_asked_for(tree) -> None:
    names = [f"p{p}/{c}/{i}.png" for p in range(3) for c in ("ill", "well") for i in range(2)]
    root = tree({name: seed for seed, name in enumerate(names)})
    with pytest.raises(DataError, match="`classes_from='inner'`"):
        index(root)
    assert index(root, classes_from="inner").classes == ("ill", "well")
    assert index(root, classes_from="outer").classes == ("p0", "p1", "p2")


def test_index__columns_are_refused_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match=r"names a column of a table, and .* is a folder"):
        index(tmp_path, label_column="x")
    with pytest.raises(InputError, match=r"image_column. 'x' names a column"):
        index(tmp_path, image_column="x")


def test_missing_path__suggests_a_path_that_can_be_copied(tmp_path: Path) -> None:
    (tmp_path / "bumpy_0141.jpg").touch()
    assert repr(str(tmp_path / "bumpy_0141.jpg")) in str(missing_path(tmp_path / "bumpy_0145.jpg"))
