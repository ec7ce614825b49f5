"""Several labels per image, and numbers, from the columns of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data import index
from headstart.data.sides import check_sides
from headstart.data.targets import TargetColumns, joined_names, names_of
from headstart.data.training import training_records
from headstart.errors import DataError, InputError
from headstart.probe.folds import training_folds

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
    ("tags", "gone", "left"),
    [
        (["a", "b;a", "", "a;c", "c", "b;rare"], "rare", ("a", "b", "c")),
        (["a;x", "a", "a;x", "a", "a"], "a", ("x",)),
        (["a;x", "a;x", "a;y", "a", "y"], "a", ("x", "y")),
    ],
)
def test_index__leaves_out_labels_that_cannot_be_learnt(
    write: Write, tags: Sequence[str], gone: str, left: tuple[str, ...]
) -> None:
    found = index(write("image,tags", tagged(tags)), multi_label=";")
    assert found.classes == left
    assert len(found) == len(tags)
    assert any(f"'{gone}'" in note and "left out" in note for note in found.notes)
    assert not any(gone in r.label.split("; ") for r in found.records)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["", "", "", ""], "no image has a label"),
        (["a;b", "", ""], "no label can be learnt.*'a', 'b'"),
    ],
)
def test_index__names_the_table_where_no_label_can_be_learnt(
    write: Write, tags: Sequence[str], said: str
) -> None:
    with pytest.raises(DataError, match=rf"table\.csv': {said}"):
        index(write("image,tags", tagged(tags)), multi_label=";")


def test_index__leaves_out_labels_that_a_given_split_does_not_train(write: Write) -> None:
    rows = [
        ("a;c", "train"),
        ("b;c", "train"),
        ("a;b;c", "train"),
        ("c;d", "test"),
        ("b", "test"),
        ("a;d", "test"),
    ]
    table = write("image,tags,split", [(f"{i}.png", *row) for i, row in enumerate(rows)])
    found = index(table, multi_label=";")
    assert found.classes == ("a", "b")
    assert any("no training image has the label 'd'" in note for note in found.notes)
    assert any("every training image has the label 'c'" in note for note in found.notes)


def copied(folder: Path, tags: Callable[[int], str]) -> Path:
    """24 soft pictures, each twice, the second as JPEG; a table of their tags, and of a number each."""
    rng, lines = np.random.default_rng(0), ["image,tags,number"]
    for i in range(24):
        picture = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        picture = picture.resize((48, 48), Image.Resampling.BICUBIC)
        picture.save(folder / f"{i}.png")
        picture.save(folder / f"{i}c.jpg", quality=85)
        lines += [f"{i}{end},{tags(i)},{i / 7:.3f}" for end in (".png", "c.jpg")]
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "table.csv"


@pytest.mark.parametrize("asked", [{"multi_label": ";"}, {"target_column": "number"}])
def test_index__keeps_near_copies_together_in_split_and_folds(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    found = index(copied(tmp_path, lambda i: f"own{i};part{i % 3}"), **asked)
    assert len(found.duplicates) == 24
    assert not found.straddling
    assert found.test
    assert set(found.classes) <= {name for r in found.train for name in names_of(r)}
    train = training_records(found)
    folds = dict(zip([r.name for r in train], training_folds(found, train), strict=True))
    pairs = [(f"{i}.png", f"{i}c.jpg") for i in range(24) if f"{i}.png" in folds]
    assert all(folds[a] == folds[b] for a, b in pairs)


def test_index__does_not_keep_a_film_of_all_images_together(write: Write) -> None:
    table = write("image,number", [(f"{i:02d}.png", i) for i in range(24)])
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 200, (12, 12, 3), dtype=np.uint8)
    for i in range(24):
        noise = rng.integers(0, 3, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(scene + noise).save(table.parent / f"{i:02d}.png")
    found = index(table, target_column="number")
    assert found.test
    assert any("24 images look almost the same" in note for note in found.notes)


def test_index__notes_a_large_test_side(write: Write) -> None:
    rows = [(f"{i:02d}.png", i, "ab"[i // 20]) for i in range(40)]
    found = index(write("image,n,patient", rows), target_column="n", group_column="patient")
    assert any("50 % of the images, where 20 %" in note for note in found.notes)


def test_index__says_that_another_separator_stands_in_the_cells(write: Write) -> None:
    rows = [(f"{i}.png", "cat;dog" if i % 2 else "dog") for i in range(8)]
    with pytest.raises(DataError, match=r"no cell.*'tags'.*holds '\|'.*';'"):
        index(write("image,tags", rows), multi_label="|")
    single = write("image,tags", [(f"{i}.png", "cat" if i % 2 else "dog") for i in range(8)])
    assert any("taken as one label" in note for note in index(single, multi_label=";").notes)


def test_index__merges_labels_that_look_the_same(write: Write) -> None:
    table = write(
        "image,tags", tagged(["Cat;dog", "cat", "cat", "dog", "", "CAT;dog", "x;dog", "x"])
    )
    assert any("merge_labels" in note for note in index(table, multi_label=";").notes)
    found = index(table, multi_label=";", merge_labels=True)
    assert found.classes == ("cat", "dog", "x")
    assert {r.name: r.target for r in found.records}["00.png"] == ("cat", "dog")


def test_index__reads_lists_in_cells(write: Write) -> None:
    cells = ["['cat', 'dog']", "[]", "['a, b']", "['dog', 'cat']", "['a, b', 'dog']", "[]"]
    table = write("image,tags", [(f"{i}.png", f'"{cell}"') for i, cell in enumerate(cells)])
    assert index(table, multi_label=",").classes == ("a, b", "cat", "dog")


def test_index__takes_columns_whose_name_holds_a_comma(write: Write) -> None:
    rows = [(f"{i}.png", i % 2, i // 2 % 2, i) for i in range(8)]
    table = write('image,"red, light",big,patient', rows)
    asked = joined_names(["red, light", "big"])
    assert index(table, label_columns=asked).classes == ("big", "red, light")
    with pytest.raises(DataError, match="double quotes"):
        index(table, label_columns="red, light")


def test_index__takes_every_free_column_for_a_star(write: Write) -> None:
    rows = [
        (f"{i}.png", i % 2, i // 2 % 2, f"p{i}", "train" if i < 6 else "test") for i in range(8)
    ]
    table = write("image,red,big,patient,split", rows)
    assert index(table, label_columns="*", group_column="patient").classes == ("big", "red")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{}e200", r"line 3.*at most 1e\+100; got '1e200'"),
        ("{}e-200", r"differ by .* another unit"),
        ("1000000.{:011d}", r"lost beside their size.*subtract"),
    ],
)
def test_index__refuses_numbers_that_floats_cannot_hold(
    write: Write, value: str, said: str
) -> None:
    rows = [(f"{i:02d}.png", value.format(i)) for i in range(24)]
    with pytest.raises(DataError, match=said):
        index(write("image,n", rows), target_column="n")


@pytest.mark.parametrize("cell", ["old", "nan", "inf", "", "3,5", "1_000", "0x10"])
def test_index__names_the_cell_that_is_not_a_number(write: Write, cell: str) -> None:
    rows = [(f"{i:02d}.png", f'"{cell}"' if i == 7 else i) for i in range(24)]
    with pytest.raises(DataError, match=r"line 9, column 'age': expected a number"):
        index(write("image,age", rows), target_column="age")


def test_index__says_how_many_cells_are_not_numbers(write: Write) -> None:
    gaps = {3, 5, 6, 9, 11, 20, 22}
    rows = [(f"{i:02d}.png", "" if i in gaps else i) for i in range(24)]
    with pytest.raises(DataError, match=r"line 5, .*an empty cell \(6 more rows like it: line 7, "):
        index(write("image,age", rows), target_column="age")
    rows = [(f"{i:02d}.png", 2 if i in (1, 4) else 0) for i in range(8)]
    with pytest.raises(DataError, match=r"line 3, .*got '2' \(1 more row like it: line 6\)"):
        index(write("image,red", rows), label_columns="red")


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


def test_index__keeps_groups_and_copies_on_one_side(write: Write) -> None:
    rows = [(f"{i:02d}.png", "a;b" if i % 3 else "b" * (i % 2), f"p{i // 4}") for i in range(40)]
    found = index(write("image,tags,patient", rows), multi_label=";", group_column="patient")
    sides: dict[str, set[str]] = {}
    for record in found.records:
        sides.setdefault(record.group, set()).add(record.split)
    assert all(len(of_group) == 1 for of_group in sides.values())
    assert {"train", "test"} == set.union(*sides.values())


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


@pytest.mark.parametrize("asked", [{"multi_label": ";"}, {"target_column": "n"}])
def test_check_sides__says_that_no_training_image_is_left(
    write: Write, asked: dict[str, Any]
) -> None:
    rows = [(f"{i:02d}.png", "ab"[i % 2], i) for i in range(24)]
    found = index(write("image,tags,n", rows), **asked)
    with pytest.raises(DataError, match="no training image is left"):
        check_sides(dataclasses.replace(found, records=found.test))
