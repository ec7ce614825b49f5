"""A split file put on a folder: every mismatch is said, nothing is guessed."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from headstart.data.folders import list_folder
from headstart.data.splitfile import apply_split_file
from headstart.errors import DataError

NAMES = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]


@pytest.fixture
def root(tree) -> Path:
    return tree({name: i for i, name in enumerate(NAMES)})


def _lines(names: list[str], prefix: str = "") -> list[str]:
    return [f"{'train' if '/1' in n else 'test'},{prefix}{n}" for n in names]


def _splits(root: Path, text: str) -> list[str]:
    path = root.parent / "split.csv"
    path.write_text(text, encoding="utf-8")
    return [i.split for i in apply_split_file(list_folder(root), path).items]


@pytest.mark.parametrize(
    "lines",
    [
        _lines(NAMES),
        ["split,file", *_lines(NAMES)],
        ["file;set", *[";".join(line.split(",")[::-1]) for line in _lines(NAMES)]],
        [",".join(line.split(",")[::-1]) for line in _lines(NAMES)],
        [line.upper().replace("/", "\\").replace("CAT", "cat").replace("DOG", "dog").replace("PNG", "png") for line in _lines(NAMES)],
        _lines(NAMES, prefix="./"),
        _lines(NAMES, prefix="set/"),
    ],
    ids=["plain", "header", "columns turned", "turned", "Windows", "dot", "root's name"],
)  # fmt: skip
def test_apply_split_file__reads_the_usual_forms(root, lines) -> None:
    assert _splits(root, "\n".join(lines)) == ["train", "test", "train", "test"]


def test_apply_split_file__notes_the_comment_lines(root) -> None:
    path = root.parent / "split.csv"
    path.write_text("\n".join(["# mine", *_lines(NAMES), "# train,cat/9.png"]))
    found = apply_split_file(list_folder(root), path)
    assert [i.split for i in found.items] == ["train", "test", "train", "test"]
    assert any("2 comment lines" in note for note in found.notes)


def test_apply_split_file__takes_absolute_names(root) -> None:
    text = "\n".join(_lines(NAMES, prefix=f"{root}/"))
    assert _splits(root, text) == ["train", "test", "train", "test"]


def test_apply_split_file__matches_either_form_of_an_accent(tree) -> None:
    root = tree({f"{unicodedata.normalize('NFD', 'é')}/1.png": 1, "b/2.png": 2})
    assert sorted(_splits(root, "train,é/1.png\ntest,b/2.png")) == ["test", "train"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [*_lines(NAMES), "train,cat/9.png"],
            r"names 1 of 5 images that are not under .*'cat/9.png'",
        ),
        (
            [*_lines(NAMES), "test,cat/1.png"],
            r"line 5: 'cat/1.png' is there twice \(first in line 1",
        ),
        ([*_lines(NAMES), "train,./cat/1.png"], r"line 5: 'cat/1.png' is there twice"),
        (_lines(NAMES[:3]), r"leaves out 1 image .*'dog/2.png'.*give the split file itself"),
        (["trian,cat/1.png", *_lines(NAMES[1:])], r"line 1: unknown split 'trian'.*'train'"),
        (["fold1,cat/1.png", "fold2,dog/1.png"], r"line 1: unknown split 'fold1'"),
        (["image,label", "cat/1.png,cat"], r"no split column"),
        (["split,what", "train,cat/1.png"], r"column of image paths|no image column"),
        (["cat/1.png", "cat/2.png"], r"column of image paths|no split column"),
        ([], r"has no rows"),
    ],
)
def test_apply_split_file__refuses_what_does_not_fit(root, lines, message) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _splits(root, "\n".join(lines))
    assert "\n" not in str(caught.value)


def test_apply_split_file__refuses_a_file_that_is_not_there(root) -> None:
    with pytest.raises(DataError, match="no such split file"):
        apply_split_file(list_folder(root), root / "gone.csv")
