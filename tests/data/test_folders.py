"""Listing folders: classes, split folders, links, strange names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headstart.data.folders import list_folder
from headstart.errors import DataError

STRANGE = ["a b.png", "é.png", "🦊.png", "two\nlines.png", "<script>alert(1).png", "quote'\".PNG"]


def _names(root: Path) -> list[str]:
    return sorted(item.name for item in list_folder(root).items)


def test_list_folder__takes_each_folder_as_a_class(tree) -> None:
    root = tree({"cat/1.png": 1, "cat/deeper/2.jpg": 2, "dog/1.PNG": 3, "dog/notes.txt": "x"})
    (root / "Thumbs.db").write_bytes(b"x")
    (root / ".hidden").mkdir()
    listing = list_folder(root)
    assert [(i.name, i.label, i.split) for i in listing.items] == [
        ("cat/1.png", "cat", ""),
        ("cat/deeper/2.jpg", "cat", ""),
        ("dog/1.PNG", "dog", ""),
    ]
    assert listing.source == "folder"
    assert listing.ignored == 2
    assert listing.notes == [
        "left out 1 hidden folder: '.hidden'",
        "left out 2 files without the suffix of an image: 'Thumbs.db', 'dog/notes.txt'",
    ]


def test_list_folder__names_what_is_left_out_beside_split_folders(tree) -> None:
    files = {f"{s}/{c}/1.png": 1 for s in ("train", "test") for c in ("cat", "dog")}
    root = tree(files | {"README.md": "x", "train/cat/.1.png": 2, "train/labels.csv": "x"})
    notes = " ".join(list_folder(root).notes)
    assert "1 hidden file: 'train/cat/.1.png'" in notes
    assert "2 files without the suffix of an image: 'README.md', 'train/labels.csv'" in notes


@pytest.mark.parametrize(
    ("words", "splits"),
    [
        (("train", "test"), {"train", "test"}),
        (("Training", "Validation", "TEST"), {"train", "val", "test"}),
        (("train", "valid"), {"train", "val"}),
    ],
)
def test_list_folder__recognises_split_folders(tree, words, splits) -> None:
    root = tree({f"{w}/{c}/{i}.png": 1 for w in words for c in ("cat", "dog") for i in range(2)})
    listing = list_folder(root)
    assert listing.source == "split folders"
    assert {i.split for i in listing.items} == splits
    assert {i.label for i in listing.items} == {"cat", "dog"}


def test_list_folder__takes_train_for_a_class_where_it_holds_images(tree) -> None:
    root = tree({"train/1.png": 1, "plane/1.png": 2})
    assert {i.label for i in list_folder(root).items} == {"train", "plane"}


def test_list_folder__refuses_split_folders_beside_others(tree) -> None:
    root = tree({"train/cat/1.png": 1, "test/cat/1.png": 2, "extra/cat/1.png": 3})
    with pytest.raises(DataError, match=r"split folders .* beside 'extra'"):
        list_folder(root)


@pytest.mark.parametrize("name", STRANGE)
def test_list_folder__takes_strange_names(tree, name) -> None:
    root = tree({f"cat & {name}/{name}": 1, "dog/1.png": 2})
    assert f"cat & {name}/{name}" in _names(root)


def test_list_folder__takes_names_that_are_no_utf8(tree) -> None:
    root = tree({"cat/1.png": 1, "dog/1.png": 2})
    try:
        (root / "dog/1.png").rename(os.fsdecode(os.fsencode(root / "dog") + b"/\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert "dog/\\xff.png" in _names(root)
    "".join(_names(root)).encode()


def test_list_folder__notes_loose_images_and_empty_folders(tree) -> None:
    root = tree({"cat/1.png": 1, "dog/1.png": 2, "loose.png": 3})
    (root / "bird").mkdir()
    listing = list_folder(root)
    assert len(listing.items) == 2
    assert any(
        "left out 1 image in no class folder" in n and "loose.png" in n for n in listing.notes
    )
    assert any("'bird'" in n for n in listing.notes)


def test_list_folder__says_once_how_many_are_left_out(tree) -> None:
    names = [f"{i}.png" for i in range(5)]
    root = tree({"cat/1.png": 1, "dog/1.png": 2} | {name: 3 + i for i, name in enumerate(names)})
    note = next(n for n in list_folder(root).notes if "left out" in n)
    assert note == "left out 5 images in no class folder: '0.png', '1.png', '2.png', ..."


def test_list_folder__ends_where_links_make_a_loop(tree) -> None:
    root = tree({"cat/1.png": 1, "cat/in/2.png": 2, "dog/1.png": 3})
    (root / "cat" / "in" / "up").symlink_to(root, target_is_directory=True)
    (root / "cat" / "self").symlink_to(root / "cat", target_is_directory=True)
    (root / "dog" / "loop").symlink_to("loop")
    listing = list_folder(root)
    assert sorted(i.name for i in listing.items) == ["cat/1.png", "cat/in/2.png", "dog/1.png"]
    assert any("lead back" in n and "cat/self" in n for n in listing.notes)


def test_list_folder__follows_links_and_reports_dead_ones(tree) -> None:
    other = tree({"x.png": 1, "y.png": 2}, root="elsewhere")
    root = tree({"cat/1.png": 3})
    (root / "dog").symlink_to(other, target_is_directory=True)
    (root / "cat" / "x.png").symlink_to(other / "x.png")
    (root / "cat" / "dead.png").symlink_to(other / "gone.png")
    (root / "cat" / "self.png").symlink_to("self.png")
    listing = list_folder(root)
    assert sorted(i.name for i in listing.items) == [
        "cat/1.png",
        "cat/x.png",
        "dog/x.png",
        "dog/y.png",
    ]
    assert listing.missing == ["cat/dead.png", "cat/self.png"]


def test_list_folder__refuses_images_without_classes(tree) -> None:
    with pytest.raises(DataError, match="holds 2 images but no class folders"):
        list_folder(tree({"1.png": 1, "2.png": 2}))


def test_list_folder__refuses_an_empty_folder(tree) -> None:
    with pytest.raises(DataError, match="holds no images: expected a folder for each class"):
        list_folder(tree({}))
    with pytest.raises(DataError, match=r"holds no images \(1 other file\)"):
        list_folder(tree({"a.txt": "x"}, root="texts"))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ('{"settings": {"data": "data/photos"}}', "is a run, not data: its data is 'data/photos'"),
        ("[]", "is a run, not data: name the data"),
    ],
)
def test_list_folder__a_run_is_said_to_be_one(tree, made: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        list_folder(tree({"run.json": made}))


def test_list_folder__refuses_one_class_and_points_deeper(tree) -> None:
    with pytest.raises(DataError, match=r"one class only \('cat'\)"):
        list_folder(tree({"cat/1.png": 1}))
    with pytest.raises(DataError, match=r"Did you mean '.*animals'\?"):
        list_folder(tree({"animals/cat/1.png": 1, "animals/dog/1.png": 2}, root="zip"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_list_folder__refuses_a_folder_it_may_not_read(tree) -> None:
    root = tree({"cat/1.png": 1, "dog/1.png": 2})
    (root / "cat").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot list"):
            list_folder(root)
    finally:
        (root / "cat").chmod(0o700)
