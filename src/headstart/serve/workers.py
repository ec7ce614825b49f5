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
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError

if TYPE_CHECKING:
    from headstart.runs.caution import Caution
    from headstart.serve.settings import ServeSettings

logger = logging.getLogger(__name__)

# A worker that ends is started again, at most once in this time.
RESTART_S = 1.0
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


@dataclass
class _Worker:
    number: int
    process: BaseProcess
    link: Connection
    started: float = field(default_factory=time.monotonic)


def supervise(job: Job, sock: socket.socket, on_ready: Callable[[], None]) -> int:
    """Run the workers until a signal; the number of answered requests.

    Parameters
    ----------
    job : Job
    sock : socket
        Listening; all workers accept its connections.
    on_ready : callable
        Called when all workers are ready.

    Raises
    ------
    HeadstartError
        A worker cannot start.
    """
    from headstart.serve.metrics import FOLDER_VARIABLE, answered_requests

    with (
        tempfile.TemporaryDirectory(prefix="headstart-metrics-") as folder,
        _environment(FOLDER_VARIABLE, folder),
        _stop_signals() as stop,
    ):
        workers = [_start(job, sock, i) for i in range(job.settings.n_workers)]
        try:
            for worker in workers:
                _await_ready(worker, stop)
            if not stop.is_set():
                on_ready()
            _watch(workers, job, sock, stop)
        finally:
            sock.close()
            _end(workers, job.settings)
        return answered_requests(Path(folder))


def _start(job: Job, sock: socket.socket, number: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(job, sock, theirs, number), name=f"worker {number}", daemon=True
    )
    process.start()
    theirs.close()
    return _Worker(number, process, ours)


def _await_ready(worker: _Worker, stop: threading.Event) -> None:
    """Wait for a worker; raise what it could not start for."""
    while not stop.is_set():
        if not worker.link.poll(0.1):
            continue
        try:
            error = worker.link.recv()
        except EOFError:
            worker.process.join()
            code = worker.process.exitcode or 0
            hint = ": there may be too little memory for so many" if code < 0 else ""
            raise HeadstartError(
                f"{worker.process.name} ended while it started (exit code {code}){hint}: try fewer --workers"
            ) from None
        if error is not None:
            raise error
        return


def _watch(workers: list[_Worker], job: Job, sock: socket.socket, stop: threading.Event) -> None:
    """Start workers again that end, until `stop` is set."""
    from prometheus_client.multiprocess import mark_process_dead

    while not stop.is_set():
        wait([worker.process.sentinel for worker in workers], timeout=0.2)
        for i, worker in enumerate(workers):
            if worker.process.is_alive() or stop.is_set():
                continue
            logger.warning(
                "%s ended with exit code %s and is started again",
                worker.process.name,
                worker.process.exitcode,
            )
            mark_process_dead(worker.process.pid)  # type: ignore[no-untyped-call]
            stop.wait(max(0.0, RESTART_S - (time.monotonic() - worker.started)))
            worker.link.close()
            workers[i] = _start(job, sock, worker.number)
            _await_ready(workers[i], stop)


def _end(workers: list[_Worker], settings: ServeSettings) -> None:
    for worker in workers:
        worker.process.terminate()
    last = time.monotonic() + settings.grace_s + 2 * settings.timeout_s + END_S
    for worker in workers:
        worker.process.join(max(0.0, last - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.link.close()


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Any] = {n: signal.signal(n, lambda *_: stop.set()) for n in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(job: Job, sock: socket.socket, link: Connection, number: int) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # until the server is there
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
