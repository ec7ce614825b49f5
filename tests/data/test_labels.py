"""Labels that look the same, and labels that stand for nothing."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import pytest

from headstart.data.labels import (
    difference,
    label_key,
    label_notes,
    look_alikes,
    merge_labels,
    name_classes,
    spelled,
    twin_hint,
)

COMPOSED = unicodedata.normalize("NFC", "Café")
DECOMPOSED = unicodedata.normalize("NFD", "Café")


@dataclass(frozen=True)
class Item:
    label: str


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ("Cat", "cat", "case"),
        ("Straße", "STRASSE", "case"),
        (COMPOSED, DECOMPOSED, "Unicode form"),
        ("cat", "cat ", "spaces or invisible characters"),
        ("sea lion", "sea\u00a0lion", "spaces or invisible characters"),
        ("sea lion", "sea  lion", "spaces or invisible characters"),
        ("cat", "ca\u200bt", "spaces or invisible characters"),
        ("cat", "\ufeffcat", "spaces or invisible characters"),
        ("cat", "cat\u00ad", "spaces or invisible characters"),
        ("cat", "cat\ufe0f", "spaces or invisible characters"),
        ("cat", "\u202ecat", "spaces or invisible characters"),
        ("1", "1.0", "the spelling of the number"),
        ("1", "01", "the spelling of the number"),
        ("10", "1e1", "the spelling of the number"),
        ("0", "-0.0", "the spelling of the number"),
        ("cat", "\u0441at", "letters of another alphabet"),
        ("\u0410\u0412", "AB", "letters of another alphabet"),
        ("sea lion", "sea_lion", "case, separators or Unicode form"),
        ("sea-lion", "Sea Lion", "case, separators or Unicode form"),
        ("well-known", "well\u2011known", "case, separators or Unicode form"),
        ("\uff21", "a", "case, separators or Unicode form"),
    ],
)
def test_look_alikes__finds_labels_that_a_reader_takes_for_one(a, b, reason) -> None:
    assert look_alikes([a, b, "other"]) == [tuple(sorted([a, b]))]
    assert difference(a, b) == reason
    assert spelled(a, apart_from=b) != spelled(b, apart_from=a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("cat", "cats"),
        ("1", "10"),
        ("0", "O"),
        ("1", "l"),
        ("C", "C-"),
        ("-1", "1"),
        ("Café", "Cafe"),
        ("1", "1a"),
        ("0-1", "01"),
        ("\u0434", "d"),
    ],
)
def test_look_alikes__leaves_labels_that_differ(a, b) -> None:
    assert look_alikes([a, b]) == []


def test_look_alikes__joins_groups_that_share_a_member() -> None:
    labels = ["\u0421at", "Cat", "cat", "dog"]
    assert look_alikes(labels) == [("Cat", "cat", "\u0421at")]


def test_label_key__is_its_own_key() -> None:
    for label in ("Sea_Lion ", "01.50", DECOMPOSED, "a\u200b-b", "1e5", "", "N/A", "ﬁsh"):
        assert label_key(label_key(label)) == label_key(label)


def test_spelled__shows_what_is_not_seen() -> None:
    assert spelled("cat\u200b") == "'cat\\u200b'"
    assert spelled("a\u00a0b") == "'a\\xa0b'"
    assert spelled(DECOMPOSED, apart_from=COMPOSED) == "'Cafe\\u0301'"
    assert spelled(COMPOSED, apart_from=DECOMPOSED) == f"'{COMPOSED}'"
    assert spelled("\u0441at", apart_from="cat") == "'\\u0441at'"
    # Where case alone differs, a word in another alphabet stays readable.
    word = "\u0441\u043e\u0431\u0430\u043a\u0430"
    assert spelled(word, apart_from=word.title()) == f"'{word}'"


def test_label_notes__names_twins_with_their_numbers() -> None:
    [note] = label_notes(["Cat"] * 3 + ["cat", "dog"], "image")
    assert note.startswith("the labels 'Cat' (3 images) and 'cat' (1 image) differ in case only")
    assert "`merge_labels=True`" in note
    assert label_notes(["cat", "dog"], "image") == []


def test_label_notes__stays_short_with_many_twins() -> None:
    letters = [chr(code) for base in (65, 97) for code in range(base, base + 26)]
    [note] = label_notes(letters, "image")
    assert "and 23 more groups" in note
    assert len(note) < 400


@pytest.mark.parametrize(
    "label", ["nan", "NaN", "None", "null", "N/A", "<NA>", "-", "\u200b", "\u00a0"]
)
def test_label_notes__names_labels_that_stand_for_nothing(label) -> None:
    [note] = label_notes([label] * 2 + ["cat", "dog"], "text")
    assert f"{spelled(label)} (2 texts)" in note
    assert "missing value" in note


def test_merge_labels__takes_the_most_frequent_spelling() -> None:
    items = [Item("Cat"), Item("cat"), Item("cat"), Item("dog")]
    merged, [note] = merge_labels(items, "image")
    assert [item.label for item in merged] == ["cat", "cat", "cat", "dog"]
    assert "'Cat' (1 image) into 'cat' (2 images)" in note


def test_merge_labels__prefers_the_plain_spelling_in_a_tie() -> None:
    merged, _ = merge_labels([Item("\ufeffcat"), Item("cat")], "image")
    assert {item.label for item in merged} == {"cat"}
    merged, _ = merge_labels([Item(DECOMPOSED), Item(COMPOSED)], "image")
    assert {item.label for item in merged} == {COMPOSED}


def test_merge_labels__says_where_there_is_nothing_to_merge() -> None:
    items = [Item("cat"), Item("dog")]
    merged, [note] = merge_labels(items, "image")
    assert merged == items
    assert "nothing to merge" in note


def test_twin_hint__names_the_twin_only_where_there_is_one() -> None:
    assert twin_hint(["coast"], ["forest"]) == ""
    assert "'coast' and 'Coast' differ in case only" in twin_hint(["coast"], ["Coast", "forest"])


def test_name_classes__names_ten_and_counts_the_rest() -> None:
    names = [f"c{i:02d}" for i in range(12)]
    assert name_classes(names[:2]) == "'c00', 'c01'"
    assert name_classes(names[:10]).count("'") == 20
    assert name_classes(names).endswith("'c09', ... (12 in all)")
