"""What a stream that is not UTF-8 cannot hold, and what is written instead.

Windows gives pipes its old code page, a bare ``LC_ALL=C`` gives ASCII, and ``PYTHONIOENCODING`` any
other. Drawings become plain signs, so that tables and curves keep their columns; characters of names
become ``\\uXXXX``, so that two names never become one.
"""

from __future__ import annotations

import codecs
import io
import json
import sys

ERRORS = "headstart.streams"

_SIGNS = {
    **dict.fromkeys("─━═╌╍┄┅╴╶╸╺", "-"),
    **dict.fromkeys("│┃║┆┇╎╏", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰┏┓┗┛┡┩╇╈╔╗╚╝╠╣╦╩╬", "+"),
    **dict(zip("▁▂▃▄▅▆▇", "_.:-=+*", strict=True)),
    **dict.fromkeys("█▉▊▋▌▍▎▏■▓▒░", "#"),
    **dict.fromkeys("▲↑", "^"),
    **dict.fromkeys("▼↓", "v"),
    **dict.fromkeys("•·∙", "."),
    **dict.fromkeys("−–—‐‑", "-"),
    **dict.fromkeys("‘’“”„‚", "'"),  # never the sign that CSV and JSON quote with
    **dict.fromkeys("\u00a0\u202f\u2009", " "),
    "×": "x",
    "→": "->",
    "←": "<-",
    "±": "+/-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "…": "...",
    "°": "deg",
}


def make_safe() -> None:
    """Let standard output and standard error take any text, whatever their encoding."""
    codecs.register_error(ERRORS, _replace)
    for stream in (sys.stdout, sys.stderr):
        # Not where a program that calls the command has put something of its own.
        if isinstance(stream, io.TextIOWrapper) and not _is_utf8(stream.encoding):
            stream.reconfigure(errors=ERRORS)


def escape(text: str) -> str:
    """``text`` for standard output as data: what the stream cannot hold as ``\\uXXXX``, nothing else.

    In JSON these are the same characters.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(c if _holds(encoding, c) else _escaped(c) for c in text)
    return text


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def _holds(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_SIGNS.get(c) or _escaped(c) for c in wrong), error.end
