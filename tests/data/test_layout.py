"""What the folders of a tree are taken for: classes, sides of a split, patients, copies."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from headstart.data.layout import Layout, read_layout, split_folders
from headstart.errors import DataError


def _files(*folders: str, n: int = 3) -> list[str]:
    return [f"{folder}/{i}.jpg" for folder in folders for i in range(n)]


def _product(outer: Iterable[str], inner: Iterable[str]) -> list[str]:
    return _files(*(f"{a}/{b}" for a in outer for b in inner))


def _read(names: list[str], classes_from: str = "auto") -> Layout:
    return read_layout("photos", names, classes_from)


def _found(layout: Layout) -> tuple[set[str], set[str]]:
    return set(layout.classes), set(layout.splits)


@pytest.mark.parametrize(
    ("train", "test", "side"),
    [
        ("train", "test", "test"),
        ("Train", "Validation", "val"),
        ("TRAIN", "valid", "val"),
        ("training", "testing", "test"),
        ("training_set", "test_set", "test"),
        ("train_images", "test-images", "test"),
        ("TrainImages", "TestImages", "test"),
        ("trainset", "valset", "val"),
        ("train1", "test1", "test"),
        ("images_train", "images_eval", "test"),
        ("train", "holdout", "test"),
        ("train", "held-out", "test"),
        ("train_data", "hold_out_set", "test"),
        ("seg_train", "seg_test", "test"),
        ("flowers-train", "flowers-val", "val"),
    ],
)
def test_read_layout__takes_folders_named_like_a_split_as_one(train, test, side) -> None:
    layout = _read(_product([train, test], ["cat", "dog"]))
    assert _found(layout) == ({"cat", "dog"}, {"train", side})
    assert layout.source == "split folders"
    is_plain = train.lower() in ("train", "training") and test.lower() in (
        "test", "testing", "valid", "validation",
    )  # fmt: skip
    assert bool(layout.notes) != is_plain


@pytest.mark.parametrize("wrapper", ["images", "seg_train", "data"])
def test_read_layout__passes_over_a_folder_that_wraps_the_classes(wrapper) -> None:
    inside = {"seg_train": "seg_test"}.get(wrapper, wrapper)
    names = _files(f"seg_train/{wrapper}/cat", f"seg_train/{wrapper}/dog", f"seg_test/{inside}/cat")
    assert _found(_read(names)) == ({"cat", "dog"}, {"train", "test"})


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("training_set", "test_set"), ("Train", "Validation"), ("val", "test")],
)
def test_read_layout__refuses_a_split_without_class_folders(train, test) -> None:
    with pytest.raises(DataError, match="named like a split") as caught:
        _read(_files(train, test))
    assert "`classes_from='outer'`" in str(caught.value)
    assert "table" in str(caught.value)


def test_read_layout__refuses_unlabelled_training_images_beside_a_labelled_test() -> None:
    with pytest.raises(DataError, match="no class folders in 'train'"):
        _read(_files("train", "test/cat", "test/dog"))


def test_read_layout__uses_a_training_side_beside_unlabelled_test_images() -> None:
    layout = _read(_files("train/cat", "train/dog", "test"))
    assert _found(layout) == ({"cat", "dog"}, {"train", "test"})
    assert layout.labels.count("") == 3


@pytest.mark.parametrize("classes", [("train", "bus"), ("valid", "invalid"), ("test", "control")])
def test_read_layout__takes_one_word_of_a_split_beside_a_class_as_a_class(classes) -> None:
    layout = _read(_files(*classes))
    assert _found(layout) == (set(classes), {""})
    assert any(f"'{classes[0]}' is taken as a class" in note for note in layout.notes)


def test_read_layout__takes_the_split_for_classes_when_told_so() -> None:
    assert _found(_read(_files("train", "test"), "outer")) == ({"train", "test"}, {""})
    vehicles = _files("train/steam", "train/diesel", "bus/city")
    with pytest.raises(DataError, match=r"split folders .* beside 'bus'"):
        _read(vehicles)
    assert _found(_read(vehicles, "outer")) == ({"train", "bus"}, {""})


def test_read_layout__refuses_split_folders_beside_classes() -> None:
    with pytest.raises(DataError, match=r"beside 'cat', 'dog', which hold images"):
        _read(_files("cat", "dog", "train", "test"))


def test_read_layout__takes_splits_inside_class_folders() -> None:
    layout = _read(_product(["cat", "dog"], ["train", "test"]))
    assert _found(layout) == ({"cat", "dog"}, {"train", "test"})
    assert any("as the split" in note for note in layout.notes)


def test_read_layout__refuses_splits_inside_class_folders_with_more_beside_them() -> None:
    bottle = _product(["bottle", "cable"], ["train/good", "test/broken", "ground_truth"])
    with pytest.raises(DataError, match="folders of the same names"):
        _read(bottle)


@pytest.mark.parametrize("copy", ["augmented data", "raw", "original", "all", "images", "holdout"])
@pytest.mark.parametrize("inside", [("yes", "no"), ("Yes", "NO"), ("v1/yes", "v1/no"), ("yes",)])
def test_read_layout__refuses_a_copy_of_the_data_beside_its_classes(copy, inside) -> None:
    names = _files("yes", "no", *(f"{copy}/{name}" for name in inside))
    with pytest.raises(DataError, match=f"the folder '{copy}' would be a class"):
        _read(names)
    assert copy in _read(names, "outer").classes


def test_read_layout__refuses_a_copy_inside_a_split() -> None:
    names = _product(["train", "test"], ["yes", "no"]) + _files("train/augmented/yes")
    with pytest.raises(DataError, match="the folder 'augmented' would be a class"):
        _read(names)


def test_read_layout__notes_classes_named_like_a_copy_of_the_data() -> None:
    layout = _read(_files("cat", "dog", "augmented data"))
    assert any("'augmented data' is taken as a class" in note for note in layout.notes)


@pytest.mark.parametrize(
    "names",
    [
        _product(["patient0", "patient1", "patient2"], ["benign", "malignant"]),
        _product(["camera1", "camera2"], ["day", "night", "dusk"]),
        _product(["site a", "site b"], ["0", "1"]),
        _product(["Art", "Clipart"], ["images/bike", "images/chair"]),
        _files("p0/benign", "p1/malignant", "p2/benign", "p3/malignant"),
        _files("p0/Benign", "p0/malignant", "p1/benign", "p1/Malignant"),
        _product(["fold1", "fold2", "fold3"], ["cat", "dog"]),
        [*_product(["p0", "p1"], ["benign", "malignant"]), "p0/portrait.jpg"],
        _product(["train/p0", "train/p1", "test/p2"], ["benign", "malignant"]),
    ],
)
def test_read_layout__refuses_folders_that_each_hold_the_same_folders(names) -> None:
    with pytest.raises(DataError, match="folders of the same names") as caught:
        _read(names)
    assert "`classes_from='inner'`" in str(caught.value)
    assert "`classes_from='outer'`" in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        _files("dog/husky", "dog/beagle", "cat/persian", "cat/siamese"),
        _product(["dog", "cat"], ["photos"]),
        _files("dog", "cat", "dog/day", "dog/night", "cat/day") + _files("dog", "cat", n=30),
        _files("benign/SOB/adenosis", "benign/SOB/tubular", "malignant/SOB/ductal"),
    ],
)
def test_read_layout__takes_nested_folders_as_their_class(names) -> None:
    layout = _read(names)
    assert set(layout.classes) == {name.split("/")[0] for name in names}
    assert layout.notes == []


def test_read_layout__reads_the_level_asked_for() -> None:
    names = _product(["patient0", "patient1"], ["benign", "malignant"])
    assert _found(_read(names, "outer")) == ({"patient0", "patient1"}, {""})
    inner = _read(names, "inner")
    assert _found(inner) == ({"benign", "malignant"}, {""})
    assert any("both sides of the split" in note for note in inner.notes)
    assert _found(_read([f"train/{n}" for n in names], "inner")) == (
        {"benign", "malignant"},
        {"train"},
    )


def test_read_layout__leaves_out_what_lies_above_the_inner_folders() -> None:
    names = [*_product(["p0", "p1"], ["benign", "malignant"]), "p0/portrait.jpg"]
    assert _read(names, "inner").labels[-1] == ""


def test_read_layout__refuses_inner_folders_that_are_not_there() -> None:
    with pytest.raises(DataError, match="`classes_from='inner'` needs folders"):
        _read(_files("cat", "dog"), "inner")


def test_read_layout__refuses_an_unknown_level() -> None:
    with pytest.raises(DataError, match=r"auto or outer or inner; got 'top'"):
        _read(_files("cat", "dog"), "top")


@pytest.mark.parametrize(
    "names",
    [
        ["bus", "car"],
        ["invalid", "retrain", "contest", "latest", "develop"],
        ["train station", "bus station"],
        ["pretrained", "tested"],
    ],
)
def test_split_folders__leaves_names_that_only_hold_such_a_word(names) -> None:
    assert split_folders(names) == {}
