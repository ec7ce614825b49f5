"""A job that one process runs and whose trainings the other processes join.

The first process does everything else (features, an SVM, a comparison, a report). The others wait in
`follow`; when the first starts a training, it broadcasts its arguments, and all train together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError
from headstart.training.processes import LostError, Processes, current, shared
from headstart.training.settings import TrainSettings

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record

_leads = False


@contextlib.contextmanager
def led() -> Iterator[None]:
    """The first process leads within the context; at its end or on an error it notifies the others."""
    global _leads
    try:
        yield
    except LostError:
        raise
    except HeadstartError as error:
        if _leads:
            current().texts(json.dumps({"error": [type(error).__name__, str(error)]}))
        raise
    else:
        if _leads:
            current().texts(json.dumps({"end": True}))
    finally:
        _leads = False


def lead() -> None:
    """Let the others join trainings from now on, until the end of `led`."""
    global _leads
    _leads = True


def ask(
    processes: Processes,
    sides: tuple[Sequence[Record], Sequence[Record]],
    classes: Sequence[str],
    settings: TrainSettings,
    folder: Path | None,
    cache: Path,
    device: str,
) -> None:
    """If this process leads, request the others to train the same."""
    if not _leads:
        return
    asked = {
        "sides": [[_plain(record) for record in side] for side in sides],
        "classes": list(classes),
        "settings": settings.to_dict(),
        "folder": None if folder is None else str(folder),
        "cache": str(cache),
        "device": device,
    }
    processes.texts(json.dumps(asked))
    processes.together(lambda: None)


def follow(load: Callable[[], Backbone]) -> None:
    """Join the trainings of the first process until it finishes.

    Raises HeadstartError, the error that ended the first process's job.

    `load`: loads the backbone that the first process trains.
    """
    from headstart.training.training import train

    processes = current()
    loaded: Backbone | None = None
    while "end" not in (told := json.loads(processes.texts("")[0])):
        if "error" in told:
            raise shared(None, *told["error"])
        try:
            loaded = processes.together(partial(_once, load, loaded))
            fit, val = ([_record(facts) for facts in side] for side in told["sides"])
            train(
                loaded,
                fit,
                val,
                told["classes"],
                TrainSettings.from_dict(told["settings"]),
                folder=None if told["folder"] is None else Path(told["folder"]),
                cache=Path(told["cache"]),
                device=told["device"],
            )
        except HeadstartError as error:
            # The first process may handle an error that all raise, and try again.
            if not error.is_shared:
                raise


def _once(load: Callable[[], Backbone], loaded: Backbone | None) -> Backbone:
    return loaded or load()


def _plain(record: Record) -> dict[str, Any]:
    return {**dataclasses.asdict(record), "path": str(record.path)}


def _record(facts: dict[str, Any]) -> Record:
    from headstart.data import Record

    return Record(**{**facts, "path": Path(facts["path"])})
