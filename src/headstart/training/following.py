"""A job that one process runs and whose trainings the other processes join.

The first process does everything else (features, an SVM, a comparison, a report). The others wait in
`follow`; when the first starts a training, it broadcasts its arguments, and all train together.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headstart.data.records import Record
from headstart.errors import HeadstartError
from headstart.training.processes import LostError, Processes, current, shared
from headstart.training.settings import TrainSettings

if TYPE_CHECKING:
    from headstart.backbones import Backbone

_leads = False


class _Training(msgspec.Struct, kw_only=True, tag=True):
    """The arguments of a training that all processes join."""

    sides: tuple[tuple[Record, ...], tuple[Record, ...]]
    classes: tuple[str, ...]
    settings: TrainSettings
    folder: Path | None
    cache: Path
    device: str


class _Ended(msgspec.Struct, tag=True):
    """The job is done."""


class _Failed(msgspec.Struct, tag=True):
    """The job failed."""

    kind: str
    message: str


_Message = _Training | _Ended | _Failed


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
            _tell(current(), _Failed(type(error).__name__, str(error)))
        raise
    else:
        if _leads:
            _tell(current(), _Ended())
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
    asked = _Training(
        sides=(tuple(sides[0]), tuple(sides[1])),
        classes=tuple(classes),
        settings=settings,
        folder=folder,
        cache=cache,
        device=device,
    )
    _tell(processes, asked)
    processes.together(lambda: None)


def follow(load: Callable[[], Backbone]) -> None:
    """Join the trainings of the first process until it finishes.

    Raises HeadstartError, the error that ended the first process's job.

    `load`: loads the backbone that the first process trains.
    """
    from headstart.training.training import train

    processes = current()
    loaded: Backbone | None = None
    while not isinstance(told := _hear(processes), _Ended):
        if isinstance(told, _Failed):
            raise shared(None, told.kind, told.message)
        try:
            loaded = processes.together(partial(_once, load, loaded))
            fit, val = told.sides
            train(
                loaded,
                fit,
                val,
                told.classes,
                told.settings,
                folder=told.folder,
                cache=told.cache,
                device=told.device,
            )
        except HeadstartError as error:
            # The first process may handle an error that all raise, and try again.
            if not error.is_shared:
                raise


def _once(load: Callable[[], Backbone], loaded: Backbone | None) -> Backbone:
    return loaded or load()


def _tell(processes: Processes, message: _Message) -> None:
    # json, since names of files may hold halves of surrogate pairs
    processes.texts(json.dumps(msgspec.to_builtins(message, enc_hook=str)))


def _hear(processes: Processes) -> _Message:
    said = json.loads(processes.texts("")[0])
    told: _Message = msgspec.convert(said, _Message, dec_hook=lambda kind, text: kind(text))
    return told
