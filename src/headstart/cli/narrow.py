"""Help for a terminal of fewer than 80 columns: each option on a line of its own, what it does below."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Any

# Columns that the boxes of Rich need; in fewer they cut names off.
BOXED = 80


def fit_help(command: Any, width: int) -> None:
    """Give a command, and those within it, the help that has room in `width` columns."""
    command.rich_markup_mode = "markdown" if width >= BOXED else None
    usual = getattr(command, "usual_context", command.context_class)
    command.usual_context = usual
    command.context_class = usual if width >= BOXED else _narrow_context(usual, max(width, 20))
    for inner in getattr(command, "commands", {}).values():
        inner.short_help = " ".join((inner.help or "").split("\n\n")[0].split())  # uncut
        fit_help(inner, width)


def _narrow_context(base: Any, width: int) -> Any:
    class Stacked(base.formatter_class):  # type: ignore[misc]
        """No second column: a term, and its text below it."""

        def __init__(self, **_: object) -> None:
            super().__init__(width=width)

        def write_text(self, text: str) -> None:
            indent = " " * self.current_indent
            for paragraph in re.split(r"\n\s*\n", text.replace("`", "")):
                self.write(f"{_filled(' '.join(paragraph.split()), width, indent)}\n\n")

        def write_dl(self, rows: Iterable[tuple[str, str]], *_: object, **__: object) -> None:
            for term, text in rows:
                indent = " " * self.current_indent
                self.write(f"{_filled(term, width, indent)}\n")
                if text:
                    self.write(f"{_filled(text.replace('`', ''), width, indent + '    ')}\n")

    class Narrow(base):  # type: ignore[misc]
        formatter_class = Stacked

    return Narrow


def _filled(text: str, width: int, indent: str) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,  # a name within an example to copy stays whole
    )
