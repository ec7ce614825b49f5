"""Files and columns of weights, costs and orders: what is read, and one clear line for what is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from headstart.data.index import index
from headstart.data.weights import (
    balanced_weights,
    example_weights,
    parse_order,
    read_class_weights,
    read_costs,
)
from headstart.errors import DataError, InputError

CLASSES = ("high", "low", "mid, or so")


@dataclass(frozen=True)
class Counted:
    """An example with a class and a weight."""

    label: str
    weight: float


def written(folder: Path, text: str) -> str:
    path = folder / "file.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
def test_balanced_weights__are_those_of_scikit_learn(labels: list[str]) -> None:
    names = sorted(set(labels))
    expected = compute_class_weight("balanced", classes=np.array(names), y=labels)
    assert balanced_weights(labels, None) == pytest.approx(dict(zip(names, expected, strict=True)))


def test_balanced_weights__count_examples_by_their_weights() -> None:
    assert balanced_weights(["a", "b"], np.array([3.0, 1.0])) == pytest.approx({"a": 2 / 3, "b": 2})


@pytest.mark.parametrize("header", ["", "class,weight\n"])
def test_read_class_weights__takes_one_for_classes_not_named(tmp_path: Path, header: str) -> None:
    path = written(tmp_path, f'{header}high,2.5\n"mid, or so",0.5\n')
    assert read_class_weights(path, CLASSES) == {"high": 2.5, "low": 1.0, "mid, or so": 0.5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("high,-1\n", "line 1: a weight must be a number of 0 or more; got '-1'"),
        ("high,1\nlow,nan\n", "line 2: a weight must be a number of 0 or more; got 'nan'"),
        ("high,inf\nlow,1\n", "line 1: .* got 'inf'"),
        ("class,weight\nhgih,2\n", "there is no class 'hgih'.*Did you mean 'high'"),
        ("high,1\nhigh,2\n", "'high' is there twice"),
        ("high,0\nlow,0\n", "at least two need a weight above 0"),
        ("high,0\n", "weight 0 \\('high'\\) and could not be learnt"),
        ("high\n", "1 cell: expected a class and its weight"),
        ("", "names no class"),
    ],
)
def test_read_class_weights__says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        read_class_weights(written(tmp_path, text), CLASSES)
    assert "\n" not in str(error.value)


def test_read_class_weights__a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"`class_weight`: there is no file 'nothere\.csv'"):
        read_class_weights("nothere.csv", CLASSES)


def test_read_costs__rows_and_columns_may_come_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, ";low;high\nlow;0;3\nhigh;1;0\n")
    assert read_costs(path, ("high", "low")) == ((0.0, 1.0), (3.0, 0.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (",high,low\nhigh,0,1\n", "true classes: 1 class missing \\('low'\\)"),
        (",high\nhigh,0\nlow,1\n", "predicted classes: 1 class missing"),
        (",high,low\nhigh,0,-2\nlow,1,0\n", "line 2, column 'low': a cost must be a number of 0"),
        (",high,low\nhigh,0,x\nlow,1,0\n", "got 'x'"),
        (",high,low\nhigh,0,1\nhigh,1,0\n", "'high' is there twice"),
        (",high,low\nhigh,0\nlow,1,0\n", "has 2 cells and the first line has 3"),
        (",high,low\nhigh,3,1\nlow,1,0\n", "taken for itself costs 3, more than a confusion"),
        (",high,low\nhigh,0,0\nlow,0,0\n", "no confusion costs more"),
        (",high,lwo\nhigh,0,1\nlow,1,0\n", "no class 'lwo'"),
        ("high,low\n", "not a table of costs"),
    ],
)
def test_read_costs__says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        read_costs(written(tmp_path, text), ("high", "low"))
    assert "\n" not in str(error.value)


def test_parse_order__takes_names_or_the_numbers_in_them() -> None:
    assert parse_order('low,"mid, or so",high', CLASSES) == ("low", "mid, or so", "high")
    assert parse_order(("low", "mid, or so", "high"), CLASSES)[0] == "low"
    assert parse_order("numbers", ("10", "9", "-1")) == ("-1", "9", "10")
    assert parse_order("numbers", ("grade 10", "grade 9")) == ("grade 9", "grade 10")
    assert parse_order("numbers", ("grade-2", "grade-0", "grade-1"))[0] == "grade-0"


@pytest.mark.parametrize(
    ("given", "classes", "words"),
    [
        ("low,high", CLASSES, "1 class missing"),
        ("low,high,high", CLASSES, "there twice"),
        ("low,high,middle", CLASSES, "no class 'middle'"),
        ("numbers", ("one", "2"), "class 'one' has no number in its name"),
        ("numbers", ("1 of 2", "3"), "class '1 of 2' has 2 numbers"),
        ("numbers", ("a1", "b1"), "have the same number"),
    ],
)
def test_parse_order__says_what_is_wrong(given: str, classes: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_order(given, classes)


def test_example_weights__refuse_a_class_that_does_not_count() -> None:
    every = [Counted("a", 1.0), Counted("b", 1.0)]
    assert example_weights(every) is None  # type: ignore[arg-type]
    some = [Counted("a", 0.5), Counted("a", 0.0), Counted("b", 1.0)]
    assert example_weights(some).tolist() == [0.5, 0.0, 1.0]  # type: ignore[arg-type]
    with pytest.raises(DataError, match="examples of 1 class are 0"):
        example_weights([Counted("a", 0.0), Counted("b", 1.0)])  # type: ignore[list-item]
    with pytest.raises(DataError, match="all training examples are 0"):
        example_weights([Counted("a", 0.0), Counted("b", 0.0)])  # type: ignore[list-item]


def test_index__reads_the_weights_of_a_table(stripes, tmp_path: Path) -> None:
    rows = [f"{r.path},{r.label},{i % 3}" for i, r in enumerate(stripes.records)]
    table = tmp_path / "table.csv"
    table.write_text("image,label,times\n" + "\n".join(rows) + "\n", encoding="utf-8")
    found = index(table, weight_column="times")
    assert sorted({r.weight for r in found.records}) == [0.0, 1.0, 2.0]
    with pytest.raises(DataError, match=r"no column 'time'.*Did you mean 'times'"):
        index(table, weight_column="time")
    table.write_text(f"image,label,times\n{rows[0]}\n{rows[1]}x\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3, column 'times': a weight must be a number"):
        index(table, weight_column="times")


def test_index__a_folder_has_no_column_of_weights(stripes) -> None:
    with pytest.raises(InputError, match="names a column of a table of paths"):
        index(stripes.root, weight_column="times")
