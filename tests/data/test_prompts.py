from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.prompts import TEMPLATES, fill, read_prompts, same_prompts
from headstart.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prompts.csv"


def test_fill__puts_the_name_of_the_class_for_the_braces() -> None:
    found = fill(TEMPLATES, ["golden_retriever", "cat"])
    assert found["golden_retriever"][0] == "a photo of a golden retriever."
    assert list(found) == ["golden_retriever", "cat"]
    assert all(len(texts) == len(TEMPLATES) for texts in found.values())


def test_read_prompts__templates_are_of_every_class(file: Path) -> None:
    file.write_text("a photo of a {}, a pet.\n\nart of the {}.\n")
    found = read_prompts(str(file), ["cat", "dog"])
    assert found["dog"] == ("a photo of a dog, a pet.", "art of the dog.")


def test_read_prompts__several_prompts_of_a_class(file: Path) -> None:
    file.write_text('class,prompt\ndog,a {}\ncat,"a cat, a pet"\ndog,a hound\n')
    assert read_prompts(str(file), ["cat", "dog"]) == {
        "cat": ("a cat, a pet",),
        "dog": ("a dog", "a hound"),
    }
    assert list(read_prompts(str(file))) == ["dog", "cat"]


@pytest.mark.parametrize("classes", [["cat", "dog"], None])
@pytest.mark.parametrize("header", ["", "class,prompt\n", "label,prompt\n", "Label,Text\n"])
def test_read_prompts__lines_of_classes_may_all_hold_braces(
    file: Path, header: str, classes: list[str] | None
) -> None:
    file.write_text(header + 'cat,a photo of a {}\ndog,"a {}, a pet"\ncat,the {}\n')
    assert read_prompts(str(file), classes) == {
        "cat": ("a photo of a cat", "the cat"),
        "dog": ("a dog, a pet",),
    }


def test_read_prompts__commas_of_templates_and_names_like_a_header(file: Path) -> None:
    file.write_text("close-up, a {}\na photo of a {}, a pet\n")
    assert read_prompts(str(file), ["cat", "dog"])["dog"] == (
        "close-up, a dog",
        "a photo of a dog, a pet",
    )
    file.write_text("label,text\ndog,a {}\n")
    assert read_prompts(str(file), ["label", "dog"]) == {"label": ("text",), "dog": ("a dog",)}


def test_same_prompts__are_groups_of_classes_that_always_tie() -> None:
    found = fill(TEMPLATES, ["big_cat", "dog", "big cat", "Dog", "fox"])
    assert same_prompts(found) == [("big_cat", "big cat"), ("dog", "Dog")]


@pytest.mark.parametrize(
    ("text", "classes", "said"),
    [
        ("", ["cat", "dog"], "is empty"),
        ("a {}\na photo\n", ["cat", "dog"], "line 1 has 1 cell"),
        ("cat,a cat,a pet\n", ["cat", "dog"], "line 1 has 3 cells"),
        ("cat,\n", ["cat", "dog"], "expected a class and one prompt"),
        ("cat,a cat\n", ["cat", "dog"], "no prompt for 1 class"),
        ("cat,a cat\ndgo,a dog\n", ["cat", "dog"], "did you mean"),
        ("a photo of a {}\n", None, "need the names of the classes"),
        ("cat,a {}\ndgo,a {}\n", ["cat", "dog"], "did you mean"),
        ("katze,a {}\nhund,a {}\n", ["cat", "dog"], "there is no class 'katze'"),
    ],
)
def test_read_prompts__errors(file: Path, text: str, classes: list[str] | None, said: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=f"(?i){said}") as error:
        read_prompts(str(file), classes)
    assert "\n" not in str(error.value)


def test_read_prompts__no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_prompts(str(tmp_path / "none.csv"), ["a", "b"])
