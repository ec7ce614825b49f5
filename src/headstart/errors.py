"""Every error that Headstart raises on purpose, in one place.

    HeadstartError               a job could not be done              exit code 1
    ├── InputError               what the user gave is wrong        exit code 2
    │   ├── DataError            images, labels, splits, tables
    │   ├── BackboneError        unknown name, tap or architecture
    │   ├── WeightsError         a weight file that is damaged or does not fit
    │   ├── OutputError          a folder that exists, is read-only, a full disk
    │   └── RunError             a run folder that is damaged, foreign or too new
    └── StoreError               the feature store cannot be used

A message is one line and says what is wrong, where, the value received, and what to do. It names
parameters by :func:`argument`, so that each face can show them as its user typed them: Python
its name, the command its flag, the page its field (:func:`worded`). Faces print the message and return
``exit_code``; a traceback is shown only where it is asked for.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Iterator

_PARTS = re.compile(r"[:/.@]")
_ARGUMENT = re.compile(r"`([A-Za-z_]\w*)(?:=([^`]*))?`")

Namer = Callable[[str, str | None], str]
"""Shows a parameter, given its name and its value as Python writes it (None: the name alone)."""


class HeadstartError(Exception):
    """Base of all errors raised on purpose; its text is fit to be shown to a person."""

    exit_code = 1
    # Whether every process of a training on several raises it, so that the first one alone tells it.
    is_shared = False


class InputError(HeadstartError):
    """What the user gave (a path, an option, a file) is wrong."""

    exit_code = 2


class DataError(InputError):
    """Images, labels, splits or tables that cannot be used."""


class BackboneError(InputError):
    """An unknown backbone, architecture or tap."""


class WeightsError(InputError):
    """A weight file that is missing, damaged, or does not fit the architecture."""


class OutputError(InputError):
    """An output that exists already, cannot be written, or does not fit on the disk."""


class RunError(InputError):
    """A run folder that is missing, damaged, or written by a newer version."""


class StoreError(HeadstartError):
    """The feature store cannot be read or written."""


def argument(name: str, *value: object) -> str:
    """A parameter within a text, in backticks, with a value where one is meant.

    Examples
    --------
    >>> f"{argument('test_size')} must be between 0 and 1; got 2"
    '`test_size` must be between 0 and 1; got 2'
    >>> f"try {argument('backbone', 'embedded')}"
    "try `backbone='embedded'`"
    """
    return f"`{name}={value[0]!r}`" if value else f"`{name}`"


def worded(text: str, name: Namer) -> str:
    """`text` with every parameter in backticks shown as `name` shows it."""
    return _ARGUMENT.sub(lambda found: name(found[1], found[2]), text)


def did_you_mean(name: str, known: Iterable[str], *, n: int = 3, cutoff: float = 0.6) -> str:
    """`` Did you mean 'a' or 'b'?`` with a leading space, or an empty string.

    Names of which `name` is a whole part, such as ``embedded:lite1`` of ``lite1``, come before those that
    are spelled alike.
    """
    names = list(known)
    if whole := [k for k in names if name and name.casefold() in _PARTS.split(k.casefold())]:
        names, cutoff = whole, 0.0
    close = difflib.get_close_matches(name, names, n=n, cutoff=cutoff)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


def require_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Raise unless a parameter has one of some values.

    Raises
    ------
    InputError
    """
    legal = list(known)
    if value not in legal:
        either = " or ".join(filter(None, (", ".join(legal[:-1]), legal[-1])))
        shown = one_line(str(value), limit=80)
        near = did_you_mean(shown, legal, cutoff=0.75)  # of short words others are alike by chance
        raise InputError(f"{argument(name)} must be {either}; got {shown!r}{near and f'.{near}'}")


def visible(text: str) -> str:
    """``text`` with every character escaped that would steer a terminal instead of being seen.

    These are controls (line ends too), marks that turn the direction of writing, bytes that are no
    UTF-8, and whatever else Python does not call printable. File, class and column names may hold
    them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, *, limit: int = 300) -> str:
    """`visible`, and not too long for messages and tables."""
    flat = visible(text)
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


@contextlib.contextmanager
def explain_full_memory(device: str, remedy: str = "") -> Iterator[None]:
    """Replace torch's error on a full GPU by one line that says what to do.

    Raises
    ------
    HeadstartError
        Instead of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # of torch, which is slow to import
            raise
        raise HeadstartError(
            f"the memory of {device} is full: close other programs that use it (nvidia-smi lists it), "
            f"{remedy}or use {argument('device', 'cpu')}"
        ) from error
