"""Telling texts from the names of files, and reading the files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from headstart.data.delimited import MOST_CHARACTERS
from headstart.data.sources import missing_path, shown
from headstart.data.texttables import JSON_SUFFIXES
from headstart.errors import DataError, argument
from headstart.home import expand

TABLES = JSON_SUFFIXES | {".csv", ".tsv", ".parquet", ".pq"}
# Ends of a single word that is a file's name rather than a text; a web address is a text.
_LIKE_A_FILE = re.compile(
    r"(?!\w+://)\S+\.(txt|text|md|csv|tsv|jsonl?|ndjson|parquet|pq|html?|xml|pdf|docx?|odt|rtf|eml|log|"
    r"xlsx?|zip|gz|jpe?g|png|gif|webp|tiff?|bmp)",
    re.IGNORECASE,
)
_LIKE_A_PATH = re.compile(r"(~?/|\.\.?/)\S*")


def names_a_file(given: Path | str) -> bool:
    """Whether what was given to classify is a file rather than a text.

    Raises DataError where it looks like a file that is not there, or is a folder.
    """
    text = str(given)
    if "\0" in text:
        return False
    try:
        path = expand(text)
        is_there = bool(text.strip()) and path.exists()
    except (OSError, ValueError, RuntimeError):  # longer than names may be: a text
        return False
    if is_there and path.is_dir():
        if isinstance(given, str) and "/" not in given:
            raise DataError(
                f"{shown(text)} is a folder, and a run on texts takes texts and files: name the files in "
                f"it, or give {argument('literal', True)} to classify the word itself"
            )
        raise DataError(
            f"{shown(text)} is a folder, and a run on texts takes texts and files: name the files in it"
        )
    if is_there:
        return True
    if (
        isinstance(given, Path)
        or _LIKE_A_FILE.fullmatch(text.strip())
        or _LIKE_A_PATH.fullmatch(text.strip())
    ):
        reason = missing_path(path, what="file of text")
        raise DataError(
            f"{reason} To classify the words themselves, give {argument('literal', True)}"
        )
    return False


def is_table_name(path: Path) -> bool:
    """Whether a file is a table by its suffix; ``.txt`` is a text here."""
    return path.suffix.lower() in TABLES


def read_text_file(path: Path) -> str:
    """The content of a file as one text.

    Raises DataError where it cannot be read, is not UTF-8 text, or is too long.
    """
    if not path.is_file():
        raise DataError("not a regular file")
    try:
        with path.open("rb") as file:
            return read_text(file)
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror}") from None


def read_text(file: BinaryIO) -> str:
    """What an open file holds as one text.

    Raises DataError as `read_text_file`.
    """
    raw = file.read(4 * MOST_CHARACTERS + 4)
    is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        if len(raw) <= 4 * MOST_CHARACTERS or error.start < len(raw) - 4:
            raise DataError(
                f"not a UTF-8 text (byte 0x{raw[error.start]:02X} at position {error.start})"
            ) from None
        text = raw[: error.start].decode("utf-8-sig")
    if "\0" in text:
        raise DataError("not a text: it holds binary data")
    if len(text) > MOST_CHARACTERS:
        raise DataError(f"more than {MOST_CHARACTERS:,} characters: split it into several texts")
    return text
