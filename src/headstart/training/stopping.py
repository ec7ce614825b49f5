"""Ctrl-C during training finishes the current step first."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

# torchrun forwards Ctrl-C to processes that have already received it from the terminal.
ECHO_S = 5.0


@contextlib.contextmanager
def held_interrupt(*, may_echo: bool = False) -> Iterator[Callable[[], bool]]:
    """Record the first Ctrl-C within the context, to finish a step; a second one interrupts.

    With `may_echo`, repetitions within a few seconds count as the same.
    """
    noted: list[float] = []

    def on_interrupt(number: int, frame: Any) -> None:
        now = time.monotonic()
        if noted and not (may_echo and now - noted[0] < ECHO_S):
            raise KeyboardInterrupt
        noted.append(now)

    # Only the main thread can set a handler.
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)
