"""Images to predict: files, folders, patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data import find_images
from headstart.errors import DataError


def test_find_images__expands_folders_in_natural_order(tree, monkeypatch) -> None:
    root = tree({"img10.png": 1, "img2.png": 2, "Img1.jpg": 3, "deep/x.png": 4, "a.txt": "x"})
    monkeypatch.chdir(root.parent)
    assert [name for _, name in find_images(["set"])] == [
        "set/deep/x.png",
        "set/Img1.jpg",
        "set/img2.png",
        "set/img10.png",
    ]
    assert all(p.is_absolute() and p.is_file() for p, _ in find_images(["set"]))


def test_find_images__digits_that_are_no_numbers_are_letters(tree) -> None:
    root = tree({"5²7.png": 1, "٣.png": 2, "5.png": 3})
    assert [p.name for p, _ in find_images([root])] == ["5.png", "5²7.png", "٣.png"]


def test_find_images__warns_of_what_it_leaves_out(tree, monkeypatch, caplog) -> None:
    root = tree({"1.png": 1, "notes.txt": "x", ".2.png": 2})
    assert len(find_images([root])) == 1
    assert "left out 1 hidden file: '.2.png'" in caplog.text
    assert "left out 1 file without the suffix of an image: 'notes.txt'" in caplog.text
    caplog.clear()
    assert len(find_images([f"{root}/*"])) == 1
    assert "left out 1 file without the suffix of an image: 'notes.txt'" in caplog.text


def test_find_images__takes_files_as_given_once(tree) -> None:
    root = tree({"b.png": 1, "a.png": 2, "odd.dat": 3})
    found = find_images([root / "b.png", root / "odd.dat", root])
    assert [p.name for p, _ in found] == ["b.png", "odd.dat", "a.png"]


def test_find_images__expands_patterns(tree) -> None:
    root = tree({"x1.png": 1, "x2.png": 2, "y.png": 3, "x3.txt": "", "[x]1.png": 4})
    assert [p.name for p, _ in find_images([f"{root}/x*"])] == ["x1.png", "x2.png"]
    assert [p.name for p, _ in find_images([root / "[x]1.png"])] == ["[x]1.png"]


def test_find_images__lists_bad_files_for_the_caller_to_report(tree) -> None:
    root = tree({"bad.png": b""})
    assert [p.name for p, _ in find_images([root])] == ["bad.png"]


def test_find_images__refuses_nothing(tree, tmp_path: Path) -> None:
    root = tree({"a.png": 1})
    with pytest.raises(DataError, match=r"no such file or folder: .*b.png'"):
        find_images([root / "b.png"])
    with pytest.raises(DataError, match="no images in"):
        find_images([f"{root}/*.jpg"])
    with pytest.raises(DataError, match="no images in an empty list"):
        find_images([])
