"""What a table offers to predict, as a form shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headstart.data.offered import Offered, offered_columns


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_offered_columns__tells_labels_flags_and_numbers(tmp_path: Path) -> None:
    table = write(
        tmp_path / "tags.csv",
        "file,tags,age,is_dog,is_cat,split\n"
        "a.jpg,dog|sofa,3,1,0,train\nb.jpg,dog,4.5,yes,no,train\nc.jpg,sofa|cat,-2,0,1,test\n",
    )
    found = offered_columns(table)
    assert found == Offered(
        columns=("tags", "age", "is_dog", "is_cat"),
        several="tags",
        separator="|",
        flags=("is_dog", "is_cat"),
        numbers=("age",),
    )


def test_offered_columns__looks_again_when_the_table_changes(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "picture no,label\na.jpg,dog\nb.jpg,cat\n")
    found = offered_columns(table)
    assert found is not None
    assert (found.has_images, found.label) == (False, "label")
    assert found.columns == ("picture no", "label")
    write(tmp_path / "a.csv", "image,label,age\na.jpg,dog,1\nb.jpg,cat,2\n")
    again = offered_columns(table)
    assert again is not None
    assert again.numbers == ("age",)


def test_offered_columns__of_annotations_are_none_to_choose_from(tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
    }
    write(tmp_path / "_annotations.coco.json", json.dumps(coco))
    assert offered_columns(str(tmp_path)) == Offered()
    assert offered_columns(str(tmp_path / "_annotations.coco.json")) == Offered()
    records = write(
        tmp_path / "r.json", '[{"image": "a.jpg", "age": 3}, {"image": "b.jpg", "age": 4}]'
    )
    found = offered_columns(records)
    assert found is not None
    assert found.numbers == ("age",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("reviews.csv", "text,label\na film to see again,good\nnot worth the time,bad\n"),
        ("bare.csv", "a.jpg,dog\nb.jpg,cat\n"),
        ("broken.json", "{"),
        ("empty.csv", ""),
        ("images.csv", "image\na.jpg\nb.jpg\n"),
        ("notes.md", "# nothing"),
    ],
)
def test_offered_columns__of_anything_else_are_nothing(
    tmp_path: Path, name: str, text: str
) -> None:
    assert offered_columns(write(tmp_path / name, text)) is None


@pytest.mark.parametrize(
    "data", ["", " ", "digits", "no/such/table.csv", "a\0.csv", "~nobody/a.csv"]
)
def test_offered_columns__of_what_is_not_there_are_nothing(data: str) -> None:
    assert offered_columns(data) is None
