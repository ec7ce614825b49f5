"""Starting and stopping the service."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from headstart.errors import InputError, one_line

if TYPE_CHECKING:
    from headstart.runs.caution import Caution
    from headstart.runs.run import Run
    from headstart.serve.draining import Draining
    from headstart.serve.settings import ServeSettings


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Of prometheus_client, which accepts both cases.
_FOLDER_VARIABLES = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def need_packages() -> None:
    """Raise InputError if the extra is not installed."""
    import importlib.util

    wanted = {
        "fastapi": "fastapi",
        "prometheus_client": "prometheus-client",
        "python_multipart": "python-multipart",
        "uvicorn": "uvicorn",
    }
    missing = [name for module, name in wanted.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(
            f"the service needs {' and '.join(missing)}: pip install 'headstart[serve]'"
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises InputError where the port is in use or not allowed, or the address is not of this
    machine.
    """
    shown = one_line(host)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"--host {shown} is not an address of this machine: try 127.0.0.1"
        ) from error
    sock = socket.socket(family, kind, protocol)
    try:
        # A port that a service before this one left a second ago is free; on Windows the option
        # would allow two at once.
        if hasattr(signal, "SIGKILL"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise InputError(_why_not(error, shown, port)) from error
    return sock


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: choose another --port (0 takes a free one)"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed to you: choose a --port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is not an address of this machine: try 127.0.0.1"
    return f"cannot listen on {host}, port {port}: {error.strerror}"


def serve(
    run: Run,
    settings: ServeSettings,
    *,
    device: str | None = None,
    cache: Path | None = None,
    caution: Caution | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
) -> int:
    """Serve a run until SIGTERM or Ctrl-C; requests that have begun are answered first.

    Raises InputError where the port is in use, a package is missing, or there is no such device;
    WeightsError where the network's weights are missing or changed; RunError where the sentence
    encoder of a run on texts is not there. Returns the number of answered requests.

    `device`, `cache`: as for :class:`headstart.runs.predictor.Predictor`. `caution`: as of
    :meth:`headstart.runs.run.Run.careful`. `on_ready`: called with the address when the service is
    ready.
    """
    from headstart.features.engines import check_device
    from headstart.runs.model import need_images

    need_packages()
    check_device(device)
    if not run.is_texts:
        need_images(run.model, "headstart serve")
    sock = listen(settings.host, settings.port)
    try:
        if settings.n_workers > 1:
            from headstart.serve.workers import Job, supervise

            job = Job(
                folder=run.folder.resolve(),
                settings=settings,
                device=device,
                cache=cache,
                caution=caution,
            )
            return supervise(job, sock, lambda: on_ready(url_of(sock)))
        return serve_on(
            sock,
            run,
            settings,
            device=device,
            cache=cache,
            caution=caution,
            on_ready=lambda: on_ready(url_of(sock)),
        )
    finally:
        sock.close()


def serve_on(
    sock: socket.socket,
    run: Run,
    settings: ServeSettings,
    *,
    device: str | None,
    cache: Path | None,
    caution: Caution | None,
    on_ready: Callable[[], None],
    metrics_folder: Path | None = None,
) -> int:
    """Load the model and answer on a listening socket, in this process; see `serve`."""
    set_metrics_folder(metrics_folder)
    from headstart.runs.predictor import Predictor
    from headstart.runs.text_predictor import TextPredictor
    from headstart.serve.app import Service, make_app

    careful = run.careful(caution)
    reference = careful.reference if careful.caution.novelty is not None else None
    predictor: Predictor | TextPredictor
    if run.is_texts:
        predictor = TextPredictor(run.model)
    else:
        predictor = Predictor(
            run.model,
            device=device,
            cache=cache,
            max_pixels=settings.max_pixels,
            reference=reference,
        )
    service = Service(run.folder.resolve().name, predictor, settings, careful, metrics_folder)
    try:
        _run(make_app(service), sock, settings, service.draining, on_ready)
    finally:
        service.close()
    return service.metrics.n_requests


def set_metrics_folder(folder: Path | None) -> None:
    """Say where processes share their metrics; a folder of another program's is left out.

    ``prometheus_client`` decides by the environment when it is imported, so that afterwards nothing is
    changed.
    """
    if "prometheus_client" in sys.modules:
        return
    for name in _FOLDER_VARIABLES:
        os.environ.pop(name, None)
    if folder is not None:
        os.environ[_FOLDER_VARIABLES[0]] = str(folder)


def url_of(sock: socket.socket) -> str:
    """``http://127.0.0.1:8000`` of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _run(
    app: Any,
    sock: socket.socket,
    settings: ServeSettings,
    draining: Draining,
    on_ready: Callable[[], None],
) -> None:
    """Run uvicorn with one socket until a signal, logging only failures."""
    import uvicorn

    from headstart.serve.connections import (
        HEADERS_S,
        Connections,
        allowed_connections,
        protocol_of,
    )
    from headstart.serve.draining import StopSignals

    headers_s, signals = min(HEADERS_S, settings.timeout_s), StopSignals()
    protocol = protocol_of(Connections(allowed_connections()), headers_s)

    class Server(uvicorn.Server):
        """Reports when it is ready, and answers open requests before it ends."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_ready()

        async def on_tick(self, counter: int) -> bool:
            self.should_exit = self.should_exit or draining.is_over
            return await super().on_tick(counter)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # A second signal does not wait. Of several workers the supervisor sees to that: a signal
            # to the process group reaches a worker twice, the second time from the supervisor.
            signals.receive(sig)
            if signals.is_second and settings.n_workers == 1:
                self.should_exit = self.force_exit = True
            draining.begin(at_once=sig == signal.SIGINT)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {number: signal.signal(number, self.handle_exit) for number in STOP_SIGNALS}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    # It logs each malformed form, so a client could fill the log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=int(HEADERS_S),
        timeout_graceful_shutdown=math.ceil(settings.timeout_s),
    )
    Server(config).run(sockets=[sock])
