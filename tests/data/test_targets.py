"""Several labels an image, and numbers, from the columns of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data import index
from headstart.data.targets import TargetColumns
from headstart.errors import DataError, InputError

Write = Callable[[str, Sequence[Sequence[Any]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a table beside different small pictures, which its first column names."""

    def write(header: str, rows: Sequence[Sequence[Any]]) -> Path:
        rng = np.random.default_rng(0)
        for name, *_ in rows:
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name)
        table = tmp_path / "table.csv"
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return table

    return write


TAGS = ["a;b", "b", "", " b ; a ", "c", "c;a", "b;c", "a", "", "b;;a", "c", "a;b;c"]


def tagged(tags: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"{i:02d}.png", tag) for i, tag in enumerate(tags)]


def test_index__reads_several_labels_of_a_cell(write: Write) -> None:
    found = index(write("image,tags", tagged(TAGS)), multi_label=";")
    assert found.kind == "labels"
    assert found.classes == ("a", "b", "c")
    of = {r.name: r.target for r in found.records}
    assert of["00.png"] == of["03.png"] == of["09.png"] == ("a", "b")
    assert of["02.png"] == ()
    assert {r.split for r in found.records} == {"train", "test"}
    assert {c.name: c.n_train + c.n_test for c in found.summary().classes} == {
        "a": 6,
        "b": 6,
        "c": 5,
    }


def test_index__reads_a_column_a_label(write: Write) -> None:
    flags = [("1", "no"), ("0", "yes"), ("true", "y"), ("False", "n"), ("1.0", "1"), ("0", "0")]
    table = write("image,is_red,is_big", [(f"{i}.png", *f) for i, f in enumerate(flags)])
    by_pattern = index(table, label_columns="is_*")
    by_name = index(table, label_columns="is_big, is_red")
    assert [r.target for r in by_pattern.records] == [
        ("is_red",), ("is_big",), ("is_big", "is_red"), (), ("is_big", "is_red"), (),
    ]  # fmt: skip
    assert by_name.records == by_pattern.records


def test_index__reads_numbers(write: Write) -> None:
    values = [*np.linspace(-2, 3, 23), 1e3]
    found = index(
        write("image,age", [(f"{i:02d}.png", v) for i, v in enumerate(values)]), target_column="age"
    )
    assert found.kind == "numbers"
    assert [r.target for r in found.records] == pytest.approx(values)
    assert found.classes == ()
    assert len(found.test) in (4, 5)


def test_index__splits_in_the_same_way_whatever_files_are_called(write: Write) -> None:
    rows = tagged(TAGS * 2)
    table = write("image,tags", rows)
    first = {r.digest: r.split for r in index(table, multi_label=";").records}
    for name, _ in rows:
        (table.parent / name).rename(table.parent / f"z{99 - int(name[:2])}.png")
    lines = [f"z{99 - int(name[:2])}.png,{tags}" for name, tags in reversed(rows)]
    table.write_text("\n".join(["image,tags", *lines]), encoding="utf-8")
    assert {r.digest: r.split for r in index(table, multi_label=";").records} == first


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["a", "b;a", "", "a;c", "c", "b;rare"], "'rare'"),
        (["a;x", "a", "a;x", "a", "a"], "every image has the label 'a'"),
        (["a;x", "a;x", "a;y", "a", "y"], "all images but one have the label 'a'"),
        (["", "", "", ""], "no image has a label"),
    ],
)
def test_index__refuses_labels_that_cannot_be_learnt(
    write: Write, tags: Sequence[str], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        index(write("image,tags", tagged(tags)), multi_label=";")


@pytest.mark.parametrize("cell", ["old", "nan", "inf", "", "3,5", "1_000", "0x10"])
def test_index__names_the_cell_that_is_not_a_number(write: Write, cell: str) -> None:
    rows = [(f"{i:02d}.png", f'"{cell}"' if i == 7 else i) for i in range(24)]
    with pytest.raises(DataError, match=r"line 9, column 'age': expected a number"):
        index(write("image,age", rows), target_column="age")


def test_index__refuses_numbers_that_say_nothing(write: Write) -> None:
    table = write("image,age", [(f"{i:02d}.png", 4) for i in range(24)])
    with pytest.raises(DataError, match=r"4.0 for every image"):
        index(table, target_column="age")
    few = write("image,age", [(f"{i:02d}.png", i) for i in range(6)])
    with pytest.raises(DataError, match=r"20 images or more; got 6"):
        index(few, target_column="age")


def test_index__names_the_flag_that_is_not_one(write: Write) -> None:
    table = write("image,red", [("0.png", 1), ("1.png", 2)])
    with pytest.raises(DataError, match=r"line 3, column 'red': expected 1 or 0.*got '2'"):
        index(table, label_columns="red")
    with pytest.raises(DataError, match=r"no column 'rde'.*Did you mean 'red'"):
        index(table, label_columns="rde")
    with pytest.raises(DataError, match=r"no column like 'is_"):
        index(table, label_columns="is_*")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"separator": ""}, "empty"),
        ({"separator": "tags"}, "label_column"),
        ({"separator": "--label-column"}, "label_column"),
        ({"separator": ";", "number": "age"}, "exclude each other"),
        ({"number": " "}, "must name a column"),
        ({"label_columns": ","}, "must name a column"),
    ],
)
def test_target_columns__refuses(asked: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TargetColumns(**asked)


def test_index__refuses_labels_of_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"table of paths"):
        index(tmp_path, multi_label=";")


def test_index__refuses_a_training_side_that_all_have_a_label(write: Write) -> None:
    rows = [
        ("0.png", "a", "train"),
        ("1.png", "a;b", "train"),
        ("2.png", "b", "test"),
        ("3.png", "", "test"),
    ]
    with pytest.raises(DataError, match=r"every training image has the label 'a'"):
        index(write("image,tags,split", rows), multi_label=";")


def test_index__keeps_groups_and_copies_on_one_side(write: Write) -> None:
    rows = [(f"{i:02d}.png", "a;b" if i % 3 else "b" * (i % 2), f"p{i // 4}") for i in range(40)]
    found = index(write("image,tags,patient", rows), multi_label=";", group_column="patient")
    sides: dict[str, set[str]] = {}
    for record in found.records:
        sides.setdefault(record.group, set()).add(record.split)
    assert all(len(of_group) == 1 for of_group in sides.values())
    assert {"train", "test"} == set.union(*sides.values())


def test_index__refuses_a_label_that_only_test_images_have(write: Write) -> None:
    rows = [
        (f"{i}.png", tags, "p" if "c" in tags else f"q{i}")
        for i, tags in enumerate(["a", "b", "c", "c;a", "b", ""])
    ]
    table = write("image,tags,split", [(n, t, "test" if "c" in t else "train") for n, t, _ in rows])
    with pytest.raises(DataError, match="no training images of 1 label: 'c'"):
        index(table, multi_label=";")


def test_index__refuses_training_numbers_that_are_all_the_same(write: Write) -> None:
    rows = [(f"{i:02d}.png", i // 20, "train" if i < 20 else "test") for i in range(25)]
    with pytest.raises(DataError, match="for every training image"):
        index(write("image,age,split", rows), target_column="age")


def test_index__offers_several_labels_where_cells_hold_them(write: Write) -> None:
    found = index(write("image,label", tagged(["x", "x", "y", "y", "x;y", "x;y", "y;x", "y;x"])))
    assert any("multi_label" in note and "'x;y'" in note for note in found.notes)
    with pytest.raises(DataError, match=r"one image.*Also.*multi_label"):
        index(write("image,label", tagged(["x", "y", "x;y", "y;z", "z;x", "z"])))


def test_index__offers_several_labels_where_an_image_has_none(write: Write) -> None:
    table = write("image,label", tagged(["x", "x;y", "", "y;x", "y"]))
    with pytest.raises(DataError, match=r"line 4: the label of '02.png' is missing.*multi_label"):
        index(table)


def test_index__offers_to_predict_a_number(write: Write) -> None:
    table = write("image,label", [(f"{i:02d}.png", i * 1.5) for i in range(24)])
    with pytest.raises(DataError, match=r"the labels are numbers.*target_column"):
        index(table)
