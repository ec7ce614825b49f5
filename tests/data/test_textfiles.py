"""What is a text and what is the name of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.textfiles import names_a_file, read_text_file
from headstart.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "a film to remember",
        "great",
        "https://example.org/a.html",
        "and/or",
        "x" * 5000,
        "a\0b",
        "",
        "1.5",
        "Look at this: cat.jpg",
        "~nobody",
        "node.js",
    ],
)
def test_names_a_file__texts(tmp_path, monkeypatch, text) -> None:
    monkeypatch.chdir(tmp_path)
    assert not names_a_file(text)


def test_names_a_file__what_exists_is_a_file_whatever_it_is_called(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a film").write_text("x")
    assert names_a_file("a film")
    assert names_a_file(Path("a film"))


@pytest.mark.parametrize(
    "given", ["letter.txt", "./letter", "/no/where", "sub/new.csv", Path("letter")]
)
def test_names_a_file__a_file_that_is_not_there_is_no_text(tmp_path, monkeypatch, given) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no such file of text.*`literal=True`"):
        names_a_file(given)


def test_names_a_file__a_folder_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        names_a_file(tmp_path)


def test_read_text_file__in_utf_8_and_utf_16(tmp_path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "a.txt").write_text("süß\nund", encoding=encoding)
        assert read_text_file(tmp_path / "a.txt") == "süß\nund"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"caf\xe9 noir", "byte 0xE9 at position 3"),
        (b"\x89PNG\r\n", "not a UTF-8 text"),
        (b"a\0b", "binary data"),
        ("ü".encode() * 100_001, "more than 100,000 characters"),
        ("€".encode() * 300_000, "more than 100,000 characters"),
    ],
)
def test_read_text_file__says_why_it_cannot_be_used(tmp_path, content, said) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_text_file(tmp_path / "a.txt")


def test_read_text_file__refuses_what_is_no_regular_file() -> None:
    with pytest.raises(DataError, match="not a regular file"):
        read_text_file(Path("/dev/zero"))
