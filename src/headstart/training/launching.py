"""Run one command in several processes on this machine, like torchrun but without its traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from headstart.features.cores import n_cores

# Remaining processes notice that one has ended and report it; after this time they are terminated.
GRACE_S = 10.0
KILL_S = 30.0


def launch(command: Sequence[str], n: int) -> int:
    """Run a command in `n` processes that find each other by environment variables.

    Ctrl-C and SIGTERM are forwarded once each. If one process fails, all do. Returns 0 if all
    succeeded, else the highest exit code; 1 for a killed process.

    `command`: the program and its arguments.
    """
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, n_cores() // n)),
    }
    started: list[subprocess.Popen[bytes]] = []
    with _passed_on(started):
        for rank in range(n):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            # Its own group, so that Ctrl-C in the terminal reaches only this process.
            started.append(
                subprocess.Popen(command, env={**os.environ, **shared, **own}, process_group=0)
            )
        return _wait(started)


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> int:
    failed_at = None
    try:
        while None in (codes := [process.poll() for process in started]):
            if failed_at is None and any(codes):
                failed_at = time.monotonic()
            waited = 0.0 if failed_at is None else time.monotonic() - failed_at
            if waited > GRACE_S:
                _signal(started, signal.SIGTERM)
            if waited > KILL_S:
                _kill(started)
            time.sleep(0.05)
    except BaseException:
        _kill(started)
        raise
    return max((code if code and code > 0 else int(bool(code))) for code in codes)


def _signal(started: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for process in started:
        # Windows cannot send Ctrl-C, which its terminal gives to all of them.
        with contextlib.suppress(ProcessLookupError, ValueError):
            process.send_signal(number)


def _kill(started: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in started:  # Windows has no SIGKILL
        process.kill()


@contextlib.contextmanager
def _passed_on(started: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Forward terminating signals to the started processes within the context."""

    def pass_on(number: int, frame: Any) -> None:
        _signal(started, number)

    # Only the main thread can set a handler.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.signal(n, pass_on) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
