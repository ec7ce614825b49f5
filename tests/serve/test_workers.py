"""The supervisor, with small processes in the place of workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import HeadstartError
from headstart.serve import workers
from headstart.serve.draining import StopSignals
from headstart.serve.settings import ServeSettings


def job_of(folder: Path) -> workers.Job:
    return workers.Job(
        folder=folder, settings=ServeSettings(n_workers=2), device=None, cache=None, caution=None,
        metrics_folder=folder,
    )  # fmt: skip


def started(number: int, n_failed: int, *, sends: Any) -> workers._Worker:
    """A process that sends its first message and ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=theirs.send, args=(sends,), name=f"worker {number}")
    process.start()
    theirs.close()
    return workers._Worker(number, process, ours, n_failed)


def test_watch__a_worker_that_cannot_start_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "RESTART_S", 0.01)
    stop = StopSignals()
    outcomes = iter([HeadstartError("no weights"), OSError(12, "Cannot allocate memory"), None])

    def start(job: Any, sock: Any, number: int, n_failed: int = 0) -> workers._Worker:
        outcome = next(outcomes, stop)
        if isinstance(outcome, OSError):
            raise outcome
        if outcome is stop:
            stop.receive(signal.SIGTERM)
            outcome = None
        return started(number, n_failed, sends=outcome)

    monkeypatch.setattr(workers, "_start", start)
    first = started(0, 0, sends=None)
    workers._await_ready(first, stop)
    running = [first]
    with socket.socket() as sock:
        workers._watch(running, job_of(tmp_path), sock, stop)
    workers._end(running, ServeSettings(), stop)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "worker 0 ended with exit code 0 and is started again",
        "no weights. Worker 0 is started again in 0.02 s.",
        "[Errno 12] Cannot allocate memory. Worker 0 is started again in 0.04 s.",
        "worker 0 ended with exit code 0 and is started again",
    ]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="POSIX signals")
def test_end__a_second_signal_does_not_wait() -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=time.sleep, args=(60,))
    process.start()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)  # it does not react to SIGTERM
    stop = StopSignals()
    stop.receive(signal.SIGTERM)
    stop.is_second = True
    ours, _theirs = context.Pipe()
    began = time.monotonic()
    workers._end([workers._Worker(0, process, ours)], ServeSettings(), stop)
    assert process.exitcode == -signal.SIGKILL
    assert time.monotonic() - began < 20
