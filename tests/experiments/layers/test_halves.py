from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from headstart.data import Index, Record
from headstart.errors import DataError, InputError
from headstart.experiments.layers.halves import require_disjoint, split_classes


def record(label: str, digest: str, split: str = "train") -> Record:
    return Record(
        path=Path("/x") / digest, name=f"{label}/{digest}", label=label, digest=digest,
        width=8, height=8, split=split,
    )  # fmt: skip


def of(*records: Record) -> Index:
    return Index(root=Path("/x"), source="folder", records=records)


FOUR = of(*(record(c, f"{c}{i}") for c in "abcde" for i in range(3)))


def test_split_classes__halves_share_nothing_and_cover_all() -> None:
    for seed in range(3):
        a, b = split_classes(FOUR, seed=seed)
        assert len(a.classes) == 3
        assert set(a.classes) | set(b.classes) == set("abcde")
        assert not set(a.classes) & set(b.classes)
        require_disjoint(a, b)
    assert split_classes(FOUR, seed=1) == split_classes(FOUR, seed=1)
    assert len({split_classes(FOUR, seed=s)[0].classes for s in range(9)}) > 1


def test_split_classes__the_first_half_may_be_given() -> None:
    a, b = split_classes(FOUR, first=["b", "d"])
    assert a.classes == ("b", "d")
    assert b.classes == ("a", "c", "e")
    with pytest.raises(InputError, match="no class 'z'"):
        split_classes(FOUR, first=["z"])


def test_split_classes__an_image_of_both_halves_is_in_neither() -> None:
    doubled = of(*FOUR.records, record("a", "same"), record("b", "same"))
    a, b = split_classes(doubled, first=["a", "c"])
    assert "same" not in {r.digest for r in (*a.records, *b.records)}
    assert a.notes == ("Left out, because they are in both halves: 1 image.",)


def test_split_classes__needs_four_classes() -> None:
    three = dataclasses.replace(FOUR, records=FOUR.records[:9])
    with pytest.raises(DataError, match=r"`halves` needs 4 classes or more.*x has 3"):
        split_classes(three)


def test_require_disjoint__names_the_first_image_of_both() -> None:
    with pytest.raises(DataError, match=r"1 images are in both .first: a/same of A is q/same of B"):
        require_disjoint(of(record("a", "same")), of(record("q", "same"), record("q", "other")))
