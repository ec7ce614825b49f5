"""Groups: named by a column or a pattern, kept on one side of the split and in one fold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data import index
from headstart.data.groups import groups_by_pattern, require_enough_groups
from headstart.data.records import Record
from headstart.data.split import make_split
from headstart.data.texts import index_texts
from headstart.errors import DataError, InputError
from headstart.probe import training_folds

Tree = Callable[..., Path]


def _record(name: str, label: str, group: str, split: str = "train") -> Record:
    return Record(
        path=Path("/") / name, name=name, label=label, digest=f"digest of {name}", width=1, height=1,
        split=split, group=group,
    )  # fmt: skip


def _sides(records: object) -> dict[str, set[str]]:
    found = defaultdict(set)
    for r in records:  # type: ignore[attr-defined]
        found[r.group].add(r.split)
    return found


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=6, max_size=20),
    test_size=st.floats(0.1, 0.6),
    seed=st.integers(0, 99),
)
def test_make_split__keeps_groups_whole_and_near_the_target(sizes, test_size, seed) -> None:
    records = [
        _record(f"{c}/{g}-{i}", f"c{c}", f"g{g}")
        for g, n in enumerate(sizes)
        for c in range(2)
        for i in range(n)
    ]
    split = make_split(records, test_size=test_size, seed=seed)
    sides = defaultdict(set)
    for r in records:
        sides[r.group].add(split[r.name])
    assert all(len(side) == 1 for side in sides.values())
    tested = sum(side == "test" for side in split.values())
    assert 0 < tested < len(records)
    # A group more or less is what the sizes allow.
    assert abs(tested - test_size * len(records)) <= 2 * max(sizes) + 2


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=6, max_size=20), seed=st.integers(0, 9))
def test_training_folds__keep_groups_and_their_copies_in_one_fold(sizes, seed, tmp_path_factory):
    from headstart.data.records import DuplicateGroup, Index

    records = tuple(
        _record(f"{g}-{i}", f"c{i % 2}", f"g{g}") for g, n in enumerate(sizes) for i in range(2 * n)
    )
    pair = DuplicateGroup(
        names=("0-0", "1-0"), splits=("train", "train"), labels=("c0", "c0"), kind="near"
    )
    folds = training_folds(
        Index(root=Path("/"), source="", records=records, duplicates=(pair,)), records, seed=seed
    )
    fold_of = defaultdict(set)
    for r, fold in zip(records, folds, strict=True):
        fold_of[r.group].add(int(fold))
    assert all(len(found) == 1 for found in fold_of.values())
    assert fold_of["g0"] == fold_of["g1"]


def test_index__groups_by_a_pattern_over_names(tree: Tree) -> None:
    root = tree({f"{c}/p{p}_{i}.png": 10 * p + i for c in "ab" for p in range(6) for i in range(3)})
    found = index(root, group_by=r"p\d+", test_size=0.33)
    assert {r.group for r in found.records} == {f"p{p}" for p in range(6)}
    assert all(len(side) == 1 for side in _sides(found.records).values())
    assert found.summary().n_groups == 6


def test_index__groups_by_a_column(tree: Tree) -> None:
    root = tree({f"{c}{i}.png": i + 50 * (c == "b") for c in "ab" for i in range(12)})
    rows = [f"{c}{i}.png,{c},{i // 2}" for c in "ab" for i in range(12)]
    table = root / "table.csv"
    table.write_text("image,label,patient\n" + "\n".join(rows) + "\n")
    free = index(table)
    assert any("patient" in note and "group" in note for note in free.notes)
    found = index(table, group_column="patient")
    assert all(len(side) == 1 for side in _sides(found.records).values())
    assert not any("may name groups" in note for note in found.notes)
    with pytest.raises(DataError, match=r"pateint.*patient"):
        index(table, group_column="pateint")
    table.write_text(table.read_text() + "a0.png,a,\n".replace("a0", "a11x"))
    with pytest.raises(DataError, match=r"patient.*empty"):
        index(table, group_column="patient")


def test_index_texts__groups_by_a_column(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = [f"text {i} of {c},{c},author{i // 3}" for c in "ab" for i in range(15)]
    table.write_text("text,label,who\n" + "\n".join(rows) + "\n")
    found = index_texts(table, group_column="who")
    assert all(len(side) == 1 for side in _sides(found.records).values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"group_by": "("}, "regular expression"),
        ({"group_by": "x*"}, "matches nothing"),
        ({"group_by": "nowhere"}, "does not match"),
        ({"group_column": "patient"}, "table"),
    ],
)
def test_index__refuses_groups_that_it_cannot_make(pets: Path, options: dict, said: str) -> None:
    with pytest.raises((InputError, DataError), match=said):
        index(pets, **options)


def test_index__refuses_a_class_of_one_group(tree: Tree) -> None:
    root = tree({f"{c}/{c}{i}.png": i + 30 * (c == "b") for c in "ab" for i in range(8)})
    with pytest.raises(DataError, match=r"'a'.*one group"):
        index(root, group_by=r"[ab](?=\d)")


def test_index__notes_groups_on_both_sides_of_a_given_split(tree: Tree) -> None:
    files = {
        f"{side}/{c}/p{p}_{i}_{side}.png": 40 * (side == "test") + 20 * (c == "b") + 4 * p + i
        for side in ("train", "test") for c in "ab" for p in range(3) for i in range(2)
    }  # fmt: skip
    found = index(tree(files), group_by=r"p\d+")
    assert any("both sides" in note for note in found.notes)


def test_groups_by_pattern__takes_what_is_in_parentheses() -> None:
    assert groups_by_pattern(["a/x1-2.png", "a/x3-4.png"], r"x(\d)-") == ["1", "3"]
    assert groups_by_pattern(["s1/c2.png"], r"s(\d).*c(\d)") == ["1/2"]


def test_require_enough_groups__names_both_numbers() -> None:
    records = [_record(str(i), "c", f"g{i % 3}") for i in range(9)]
    with pytest.raises(DataError, match=r"5 groups or more.*got 3"):
        require_enough_groups(records, 5)
    require_enough_groups(records, 3)
    require_enough_groups([_record("0", "c", "")], 5)
    assert np.unique([r.group for r in records]).size == 3
