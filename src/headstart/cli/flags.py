"""Parameters of the library as the command line writes them."""

from __future__ import annotations

import ast
import functools
import shlex
from typing import Any

from headstart.errors import one_line, worded

# Where the flag is not the parameter's name.
FLAGS = {
    "Cs": "--C",
    "budget_s": "--budget",
    "every_s": "--every",
    "group_column": "--group",
    "n_folds": "--folds",
    "n_gaussians": "--gaussians",
    "n_images": "--images",
    "n_levels": "--levels",
    "n_views": "--views",
    "n_words": "--words",
    "n_workers": "--workers",
    "normalize": "--normalise",
    "purpose": "--for",
    "patches_px": "--patches",
    "size_px": "--size",
    "step_px": "--step",
}


def flag_of(name: str) -> str:
    """The option of a parameter, ``--test-size``."""
    return FLAGS.get(name, "--" + name.replace("_", "-"))


@functools.cache
def known_flags() -> frozenset[str]:
    """Every option of every verb."""
    from headstart.cli.app import whole_command

    found: set[str] = set()

    def collect(command: Any) -> None:
        for param in command.params:
            found.update(param.opts + param.secondary_opts)
        for inner in getattr(command, "commands", {}).values():
            collect(inner)

    collect(whole_command())
    return frozenset(found)


def as_flag(name: str, value: str | None) -> str:
    """``--test-size``, ``--backbone embedded``, ``--force`` or ``--no-finetune``.

    What is not an option of the command stays as it is.

    Parameters
    ----------
    name : str
        A parameter of the library.
    value : str, optional
        As Python writes it.
    """
    flag = flag_of(name)
    if flag not in known_flags():
        return f"`{name}`" if value is None else f"`{name}={value}`"
    if value is None:
        return flag
    try:
        given = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return f"`{name}={value}`"
    if given is True:
        return flag
    if given is False:
        return flag.replace("--", "--no-", 1)
    return f"{flag} {shlex.quote(str(given))}"


def note_line(note: str) -> str:
    """A note of the library as one line of the terminal."""
    return f"note: {worded(one_line(note, limit=600), as_flag)}"
