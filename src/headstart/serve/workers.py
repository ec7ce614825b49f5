"""Several processes that answer on one listening socket, and the process that watches them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError
from headstart.serve.draining import StopSignals
from headstart.serve.server import STOP_SIGNALS, set_metrics_folder

if TYPE_CHECKING:
    from headstart.runs.caution import Caution
    from headstart.serve.settings import ServeSettings

logger = logging.getLogger(__name__)

# A worker that ends is started again, at most once in this time, which doubles up to the longest
# while starts fail.
RESTART_S = 1.0
MAX_RESTART_S = 60.0
# Beyond the time of the last requests.
END_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """What each worker serves; the arguments of :func:`headstart.serve.serve`."""

    folder: Path
    settings: ServeSettings
    device: str | None
    cache: Path | None
    caution: Caution | None
    metrics_folder: Path | None = None


@dataclass
class _Worker:
    number: int
    process: BaseProcess
    link: Connection
    n_failed: int = 0  # starts in a row
    is_ready: bool = False
    started: float = field(default_factory=time.monotonic)
    restart_at: float | None = None  # of one that has ended


def supervise(job: Job, sock: socket.socket, on_ready: Callable[[], None]) -> int:
    """Run the workers until a signal; the number of answered requests.

    Raises HeadstartError where a worker cannot start.

    `sock`: listening; all workers accept its connections. `on_ready`: called when all workers are
    ready.
    """
    set_metrics_folder(None)
    from headstart.serve.metrics import answered_requests

    with (
        tempfile.TemporaryDirectory(prefix="headstart-metrics-") as folder,
        _stop_signals() as stop,
    ):
        job = replace(job, metrics_folder=Path(folder))
        workers: list[_Worker] = []
        try:
            for i in range(job.settings.n_workers):
                workers.append(_first_start(job, sock, i))
            for worker in workers:
                _await_ready(worker, stop)
            if not stop.is_set():
                on_ready()
            _watch(workers, job, sock, stop)
        finally:
            sock.close()
            _end(workers, job.settings, stop)
        return answered_requests(Path(folder))


def _first_start(job: Job, sock: socket.socket, number: int) -> _Worker:
    try:
        return _start(job, sock, number)
    except OSError as error:
        raise HeadstartError(
            f"worker {number} cannot be started ({error.strerror}): try fewer --workers"
        ) from error


def _start(job: Job, sock: socket.socket, number: int, n_failed: int = 0) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(job, sock, theirs, number), name=f"worker {number}", daemon=True
    )
    process.start()
    theirs.close()
    return _Worker(number, process, ours, n_failed)


def _await_ready(worker: _Worker, stop: StopSignals) -> None:
    """Wait for a worker; raise what it could not start for."""
    while not stop.is_set():
        if worker.link.poll(0.1):
            error = _first_message(worker)
            if error is not None:
                raise error
            return


def _first_message(worker: _Worker) -> HeadstartError | None:
    """Mark a worker as ready, or return what it could not start for."""
    try:
        error: HeadstartError | None = worker.link.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode or 0
        hint = ": there may be too little memory for so many" if code < 0 else ""
        return HeadstartError(
            f"{worker.process.name} ended while it started (exit code {code}){hint}: try fewer --workers"
        )
    worker.is_ready = error is None
    return error


def _watch(workers: list[_Worker], job: Job, sock: socket.socket, stop: StopSignals) -> None:
    """Start workers again that end, until there is a signal; meanwhile the others are watched too."""
    while not stop.is_set():
        alive = [worker.process.sentinel for worker in workers if worker.restart_at is None]
        wait(alive, timeout=0.2)
        for i, worker in enumerate(workers):
            if stop.is_set():
                return
            if worker.restart_at is None:
                _check(worker, job)
            elif time.monotonic() >= worker.restart_at:
                try:
                    workers[i] = _start(job, sock, worker.number, worker.n_failed)
                except OSError as error:
                    _note_failure(worker, error)


def _check(worker: _Worker, job: Job) -> None:
    """Say when a worker that has ended is started again."""
    from prometheus_client.multiprocess import mark_process_dead

    is_alive, error = worker.process.is_alive(), None
    if not worker.is_ready and worker.link.poll():
        error = _first_message(worker)
        if error is None:
            worker.n_failed = 0
    if error is None and is_alive:
        return
    worker.process.kill()  # one that cannot start has nothing more to do
    worker.process.join()
    mark_process_dead(worker.process.pid, job.metrics_folder)  # type: ignore[no-untyped-call]
    worker.link.close()
    if error is not None:
        _note_failure(worker, error)
        return
    worker.restart_at = worker.started + RESTART_S
    logger.warning(
        "%s ended with exit code %s and is started again",
        worker.process.name,
        worker.process.exitcode,
    )


def _note_failure(worker: _Worker, error: Exception) -> None:
    """A start after the first failed: the service goes on, and tries again later."""
    worker.n_failed += 1
    delay = min(RESTART_S * 2.0 ** min(worker.n_failed, 10), MAX_RESTART_S)
    worker.restart_at = time.monotonic() + delay
    logger.warning("%s. Worker %d is started again in %g s.", error, worker.number, delay)


def _end(workers: list[_Worker], settings: ServeSettings, stop: StopSignals) -> None:
    """Hand the signal on and wait for open requests; after a second signal, or too long, kill."""
    for worker in workers:
        if worker.process.is_alive() and worker.process.pid:
            # Where another worker could not start there was no signal, and nothing is to be awaited.
            number = (stop.number or signal.SIGINT) if worker.is_ready else signal.SIGTERM
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, number)
    last = time.monotonic() + settings.grace_s + 2 * settings.timeout_s + END_S
    while alive := [worker.process.sentinel for worker in workers if worker.process.is_alive()]:
        if stop.is_second or time.monotonic() > last:
            break
        wait(alive, timeout=0.2)
    for worker in workers:
        worker.process.kill()
        worker.process.join()
        worker.link.close()


@contextlib.contextmanager
def _stop_signals() -> Iterator[StopSignals]:
    """What SIGTERM and Ctrl-C set."""
    stop = StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {n: signal.signal(n, stop.receive) for n in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(job: Job, sock: socket.socket, link: Connection, number: int) -> None:
    """The life of a worker."""
    for stop_signal in STOP_SIGNALS:  # until the server is there
        signal.signal(stop_signal, lambda *_: os._exit(0))
    _take_share_of_cores(number, job.settings.n_workers)
    threading.Thread(target=_end_with_supervisor, args=(link,), daemon=True).start()
    import headstart
    from headstart.serve.server import serve_on

    try:
        serve_on(
            sock,
            headstart.load(job.folder),
            job.settings,
            device=job.device,
            cache=job.cache,
            caution=job.caution,
            on_ready=lambda: link.send(None),
            metrics_folder=job.metrics_folder,
        )
    except HeadstartError as error:
        with contextlib.suppress(OSError):
            link.send(error)


def _end_with_supervisor(link: Connection) -> None:
    """Stop as after a signal where the supervisor is gone without one."""
    with contextlib.suppress(EOFError, OSError):
        link.recv()
    os.kill(os.getpid(), signal.SIGTERM)


def _take_share_of_cores(number: int, n_workers: int) -> None:
    """Pin this process, so that the workers' threads do not compete for the same cores."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = cores[number % len(cores) :: n_workers]
        os.sched_setaffinity(0, share or cores)
