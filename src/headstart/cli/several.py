"""The command in several processes that train together: one of them speaks for all."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headstart.errors import InputError

if TYPE_CHECKING:
    from headstart.finetune.processes import Processes

# The verbs that know how to run in several processes.
IN_SEVERAL = ("finetune",)


def own_rank() -> int:
    """Which of several processes this is; 0 for one alone."""
    from headstart.finetune.processes import from_environment

    try:
        return from_environment().rank
    except InputError:
        return 0


def require_one(processes: Processes, what: str) -> None:
    """Refuse several processes.

    Raises
    ------
    InputError
        There are several.
    """
    if processes.is_several:
        error = InputError(
            f"{what} runs in one process, and {processes.size} were started: leave torchrun out"
        )
        error.is_shared = True
        raise error


@contextlib.contextmanager
def joined(device: str | None, n: int, argv: Sequence[str]) -> Iterator[Processes]:
    """The processes that were started together with this one, met; or it alone.

    Where `n` are wanted and none were started, this process starts them with the arguments `argv`,
    waits for them and ends as they do.
    """
    from headstart.finetune.processes import LostError, from_environment, guarded, join, own_device

    here = from_environment()
    if not here.is_several:
        if n > 1:
            from headstart.finetune.launching import launch

            sys.exit(launch([sys.executable, "-m", "headstart", *argv], n))
        yield here
        return
    from headstart.features.engines import pick_device

    everyone = join(own_device(pick_device(device)))
    try:
        with guarded(everyone):
            yield everyone
    except LostError:
        # Whoever started this process may end it now, and it has something to say first.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
