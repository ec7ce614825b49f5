"""The person's home folder, ``~`` in paths, and a temporary folder where there is no home.

A container that runs under a user number of its own (``docker run -u 1234``) has no entry in the
list of users: there ``~`` leads nowhere, and each library that keeps something in the home folder
fails in its own way.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import stat
import tempfile
from pathlib import Path

from headstart.errors import InputError, one_line

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "HEADSTART_CACHE"
# What `provide_home` has made the home folder of this process.
_provided: set[Path] = set()


def expand(path: str | os.PathLike[str]) -> Path:
    """``path`` with ``~`` and ``~user`` in front replaced by a home folder.

    A file or folder whose own name begins with ``~`` stays what it is, and so does a name that is
    no user's.

    Raises InputError where it is neither a text nor a path, where it begins with ``~/`` and there is no
    home folder, and where it holds a NUL character.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a path is needed; got {one_line(repr(path), limit=80)}")
    place = Path(path)
    if "\0" in str(place):
        raise InputError(
            f"'{one_line(str(place))}' holds a NUL character, which no path can hold: remove it"
        )
    first = place.parts[0] if place.parts else ""
    if not first.startswith("~") or (first != "~" and os.path.lexists(first)):
        return place
    home = home_folder() if first == "~" else _home_of(first)
    if home is not None:
        return home.joinpath(*place.parts[1:])
    if first == "~" and not os.path.lexists(place):
        raise InputError(
            f"{one_line(str(place))} begins with ~, and there is no home folder here: write the "
            "whole path, or set HOME"
        )
    return place


def home_folder() -> Path | None:
    """The home folder by ``HOME`` or the list of users; None where neither knows one."""
    return _home_of("~")


def _home_of(word: str) -> Path | None:
    with contextlib.suppress(RuntimeError):
        home = Path(word).expanduser()
        return home if home.is_absolute() else None
    return None


def cache_place() -> Path:
    """Where the cache is, whether or not it is there: see `cache_folder`.

    Raises InputError where ``HEADSTART_CACHE`` begins with ``~`` and there is no such home folder.
    """
    named = os.environ.get(CACHE_VARIABLE, "")
    if named.strip():
        place = expand(named)
        if place.parts[0].startswith("~") and not os.path.lexists(place.parts[0]):
            raise InputError(f"{_named(named)}, and there is no such user: write the whole path")
        return place.absolute()
    usual = _usual_base()
    if usual is not None and can_write(usual / "headstart"):
        return usual / "headstart"
    return _instead() / "headstart"


def cache_folder() -> Path:
    """The cache: ``$HEADSTART_CACHE``, else ``headstart`` in the user's cache folder.

    Where the user has none that can be written, it is a temporary folder of the user's own, and a
    warning says so once.

    Raises
    ------
    InputError
        It is a file, or cannot be made.
    """
    place = cache_place()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        named = os.environ.get(CACHE_VARIABLE, "")
        what = _named(named) if named.strip() else f"the cache is {one_line(str(place))}"
        reason = "it is a file" if place.is_file() else error.strerror or str(error)
        raise InputError(
            f"{what}, and no folder can be made there ({reason}): set {CACHE_VARIABLE} to a folder "
            "that can be written"
        ) from error
    return place


def _named(value: str) -> str:
    return f"{CACHE_VARIABLE} is {one_line(value)}"


def _usual_base() -> Path | None:
    """``$XDG_CACHE_HOME``, of which only absolute values count, else ``~/.cache``."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named.strip():
        with contextlib.suppress(InputError):
            if (place := expand(named)).is_absolute():
                return place
    home = home_folder()
    return None if home is None or home in _provided else home / ".cache"


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which need not be there yet."""
    with contextlib.suppress(OSError):
        for place in (folder, *folder.parents):
            if os.path.lexists(place):
                return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    return False


def provide_home() -> None:
    """Set ``HOME`` to a temporary folder where there is none, for the libraries that need one.

    torch, the hub's client and others would fail, or make a folder that is called ``~``. A home
    folder that is read-only and holds caches stays: they are read.
    """
    home = home_folder()
    if home is not None and home.is_dir() and (can_write(home) or (home / ".cache").is_dir()):
        return
    with contextlib.suppress(InputError):  # what then needs a home folder says so itself
        _provided.add(_temporary())
        os.environ["HOME"] = str(_temporary())


def _instead() -> Path:
    place = _temporary()
    _note(place)
    return place


@functools.cache
def _note(place: Path) -> None:
    logger.warning(
        "there is no home folder that can be written: the cache is in %s; set %s to keep it "
        "elsewhere",
        place,
        CACHE_VARIABLE,
    )


@functools.cache
def _temporary() -> Path:
    """A folder of this user's alone in the system's folder for temporary files.

    The same in every process of a user, so that the cache is found again. Others may write in the
    folder around it: one of that name which is not this user's own is not taken.
    """
    owner = os.getuid() if hasattr(os, "getuid") else None
    try:
        place = Path(tempfile.gettempdir()) / f"headstart-{'user' if owner is None else owner}"
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
        found = place.lstat()
        is_own = owner is None or (found.st_uid == owner and not found.st_mode & 0o022)
        if stat.S_ISDIR(found.st_mode) and is_own:
            return place
        return Path(tempfile.mkdtemp(prefix="headstart-"))
    except OSError as error:
        raise InputError(
            f"there is neither a home folder nor a temporary folder that can be written "
            f"({error.strerror or error}): set {CACHE_VARIABLE} to a folder that can"
        ) from error
