"""The command in several processes that train together: one of them speaks for all."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from headstart.errors import InputError

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.training.processes import Processes

# The verbs that know how to run in several processes.
IN_SEVERAL = ("finetune",)


def own_rank() -> int:
    """Which of several processes this is; 0 for one alone."""
    return _here().rank


def _here() -> Processes:
    """This process; an environment that does not fit is reported later, by the command."""
    from headstart.training.processes import ALONE, from_environment

    try:
        return from_environment()
    except InputError:
        return ALONE


def require_one(what: str) -> None:
    """Refuse several processes.

    Raises
    ------
    InputError
        There are several.
    """
    from headstart.training.processes import from_environment

    if (here := from_environment()).is_several:
        error = InputError(
            f"{what} runs in one process, and {here.size} were started: leave torchrun out"
        )
        error.is_shared = True
        raise error


@contextlib.contextmanager
def speaking_for_all() -> Iterator[None]:
    """Around a command: its outcome in the first process is sent to those that follow it."""
    here = _here()
    if not here.is_several:
        yield
        return
    from headstart.training.following import led
    from headstart.training.processes import LostError, guarded, leave

    try:
        with guarded(here), led():
            yield
    except LostError:
        # Whoever started this process may end it now, and it has something to say first.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
    except BaseException:
        leave()
        raise
    leave()


def follows(n: int, argv: Sequence[str], device: str | None, load: Callable[[], Backbone]) -> bool:
    """Whether this process has done its part by joining the trainings of another.

    Where `n` are wanted and none were started, this process starts them with the arguments `argv`,
    waits for them and ends as they do.
    """
    from headstart.training.processes import from_environment, join, own_device

    here = from_environment()
    if not here.is_several:
        if n > 1:
            from headstart.training.launching import launch

            # -P: a file of the working folder must not stand for a module.
            sys.exit(launch([sys.executable, "-P", "-m", "headstart", *argv], n))
        return False
    from headstart.features.engines import pick_device
    from headstart.training.following import follow, lead

    try:
        own = own_device(pick_device(device))
    except InputError as error:
        error.is_shared = here.local_rank > 0  # one of each machine tells it
        raise
    if join(own).is_first:
        lead()
        return False
    follow(load)
    return True
