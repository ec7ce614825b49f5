"""Names in tables without suffix or folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.tables import list_table
from headstart.errors import DataError


def _table(folder: Path, *rows: str, header: str = "image,label") -> Path:
    path = folder / "t.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_find_files__adds_the_suffix_of_the_image_beside_or_below(tree) -> None:
    root = tree({"001.png": 1, "train/002.jpg": 2, "a/b/img.3.png": 3, "x/004.png": 4})
    listing = list_table(_table(root, "001,a", "002,b", "img.3,b", "x/004,a"))
    assert [i.name for i in listing.items] == [
        "001.png",
        "train/002.jpg",
        "a/b/img.3.png",
        "x/004.png",
    ]
    assert all(i.path.is_file() for i in listing.items)
    assert any("4 names without a suffix" in note for note in listing.notes)


def test_find_files__what_lies_beside_the_table_wins(tree) -> None:
    root = tree({"1.png": 1, "small/1.png": 2, "2.png": 3})
    assert [i.name for i in list_table(_table(root, "1,a", "2,b")).items] == ["1.png", "2.png"]


def test_find_files__a_name_that_fits_several_is_named(tree) -> None:
    root = tree({"images/1.png": 1, "masks/1.png": 2, "images/2.png": 3})
    with pytest.raises(DataError, match=r"line 2: '1' may be 'images/1.png', 'masks/1.png': write"):
        list_table(_table(root, "1,a", "2,b"))
    table = _table(root, "images/1,a", "images/2,b")
    assert [i.name for i in list_table(table).items] == ["images/1.png", "images/2.png"]


def test_find_files__names_without_their_folder(tree) -> None:
    root = tree({"train/1.png": 1, "train/2.png": 2})
    listing = list_table(_table(root, "1.png,a", "2.png,b"))
    assert [i.name for i in listing.items] == ["train/1.png", "train/2.png"]
    assert any("2 names without a folder" in note for note in listing.notes)


def test_find_files__what_is_not_found_is_left_to_the_quarantine(tree) -> None:
    root = tree({"1.png": 1})
    assert [i.name for i in list_table(_table(root, "1,a", "9,b")).items] == ["1.png", "9"]


def test_find_files__none_found_says_that_the_suffix_is_missing(tree) -> None:
    root = tree({"x.png": 1})
    with pytest.raises(DataError, match=r"none of the 2 files.*no suffix such as .jpg"):
        list_table(_table(root, "1,a", "2,b"))


def test_find_files__two_names_of_one_file_are_refused(tree) -> None:
    root = tree({"1.png": 1, "2.png": 2})
    with pytest.raises(DataError, match=r"line 3: '1.png' is there twice"):
        list_table(_table(root, "1,a", "1.png,b"))


def test_find_files__a_file_without_suffix_is_taken_as_it_is(tree) -> None:
    root = tree({"001": b"x", "001.png": 1, "2.png": 2})
    assert [i.name for i in list_table(_table(root, "001,a", "2.png,b")).items] == ["001", "2.png"]
