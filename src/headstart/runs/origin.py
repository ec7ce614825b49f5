"""Which runs were made here, and where their data is.

A run folder says where its images or texts were. In a run that somebody else made, that is an address
which a stranger chose: it is opened only if the user gives it. Of every run that is made here, the
cache keeps the digest of its ``run.json`` and the place of its data, and so it does of a run whose
data the user has given once.

    <cache>/runs/<SHA-256 of run.json>.json
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import DataError, HeadstartError, RunError, argument, one_line
from headstart.files import mark_used, write_atomically
from headstart.home import cache_folder, expand
from headstart.runs.regular import read_regular
from headstart.runs.settings import FitSettings

if TYPE_CHECKING:
    from headstart.runs.run import Run

logger = logging.getLogger(__name__)

FOLDER = "runs"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a run's data is, as the user said."""

    # a path, absolute where it is a file or folder here; a URL, or the name of a set
    data: str | None = None
    split: str | None = None  # the split file
    encoder: str | None = None  # folder of the sentence encoder of a run on texts


def remember(folder: Path, origin: Origin) -> None:
    """Keep the origin of a run; where the cache cannot be written, nothing is kept.

    `folder`: of the run. `origin`: paths as the user gave them, seen from the current folder.
    """
    places = {name: place and _absolute(place) for name, place in asdict(origin).items()}
    with contextlib.suppress(OSError, HeadstartError):
        text = json.dumps(places, indent=1)
        write_atomically(_path(folder), text.encode("utf-8", "surrogateescape"))


def known_origin(folder: Path) -> Origin | None:
    """The origin of a run that was made here, or whose data the user has given; else None."""
    try:
        path = _path(folder)
        found = json.loads(path.read_bytes())
        mark_used(path)
        return Origin(**{name: place and str(place) for name, place in found.items()})
    except (OSError, ValueError, TypeError, AttributeError, HeadstartError):
        return None


def require_origin(run: Run, *, data: str | None = None, split: str | None = None) -> Origin:
    """Where to read a run's data: what the user gives, else what is known here.

    Raises DataError where the run was made elsewhere, and the user has not said where its data is.
    """
    known, said = known_origin(run.folder), run.settings
    if data is None and known is not None:
        data = known.data
    if data is None:
        raise DataError(
            f"{one_line(str(run.folder))} was not made here, so its data is not opened unasked; it "
            f"names {one_line(said.data, limit=120)}: say once where its data is with headstart similar "
            "RUN IMAGE --data FOLDER"
        )
    if split is None and known is not None:
        split = known.split
    if split is None and isinstance(said, FitSettings) and said.split:
        raise DataError(
            f"{one_line(str(run.folder))} was not made here, so its split file is not opened "
            f"unasked; it names {one_line(said.split, limit=120)}: give the split file with "
            f"{argument('split')}"
        )
    return Origin(data=data, split=split)


def require_encoder(folder: Path, named: Path) -> Path:
    """Where the sentence encoder of a run on texts is; loading one can run code in its folder.

    Raises RunError where the run was made elsewhere, and the user has not given the encoder.
    """
    known = known_origin(folder)
    if known is None or known.encoder is None:
        raise RunError(
            f"{one_line(str(folder))} was not made here, and the sentence encoder that it names, "
            f"{one_line(str(named), limit=120)}, is not opened unasked, because one can run code: "
            f"give its folder once with headstart predict {argument('encoder')}"
        )
    return Path(known.encoder)


def _path(folder: Path) -> Path:
    digest = hashlib.sha256(read_regular(folder, "run.json")).hexdigest()
    return cache_folder() / FOLDER / f"{digest}.json"


def _absolute(place: str) -> str:
    """A file or folder by its whole path; anything else, a URL or a name, as it is."""
    if "://" in place:
        return place
    path = expand(place)
    return str(path.absolute()) if path.exists() else place
