"""Ctrl-C during training: the step in hand is finished first."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

# torchrun passes Ctrl-C on to processes that the terminal has sent it to already.
ECHO_S = 5.0


@contextlib.contextmanager
def held_interrupt(*, may_echo: bool = False) -> Iterator[Callable[[], bool]]:
    """Within the context the first Ctrl-C is noted, so that a step is not torn; a second one acts.

    With `may_echo`, further ones within a few seconds count as the same.
    """
    noted: list[float] = []

    def on_interrupt(number: int, frame: Any) -> None:
        now = time.monotonic()
        if noted and not (may_echo and now - noted[0] < ECHO_S):
            raise KeyboardInterrupt
        noted.append(now)

    # Only the main thread may set a handler; elsewhere nothing arrives.
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)
