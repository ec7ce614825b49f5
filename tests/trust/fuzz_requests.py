"""Damaged HTTP requests: to the service's application, and as bytes to a real server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import random
import select
import socket
import threading
from pathlib import Path
from typing import Any

import mutation
from mutation import Defect

# A whole request is answered sooner.
WAITS_S = 0.5


@functools.cache
def _service(world: Path) -> Any:
    import headstart
    from headstart.runs.predictor import Predictor
    from headstart.serve.app import Service
    from headstart.serve.settings import ServeSettings

    run = headstart.load(world / "runs" / "photos")
    settings = ServeSettings(max_bytes=256 * 1024, max_images=4, max_pixels=1_000_000, timeout_s=5)
    predictor = Predictor(run.model, cache=world / "cache", max_pixels=settings.max_pixels)
    return Service("photos", predictor, settings)


def seeds(world: Path) -> list[tuple[str, bytes]]:
    """Whole HTTP requests."""
    image = (world / "photos" / "dark" / "0.png").read_bytes()
    jpeg = (world / "seeds" / "jpeg" / "rgb").read_bytes()

    def part(name: str, data: bytes) -> bytes:
        head = f'--x\r\nContent-Disposition: form-data; name="images"; filename="{name}"\r\n\r\n'
        return head.encode() + data + b"\r\n"

    def request(method: str, path: str, body: bytes = b"", kind: str = "") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += f"Content-Type: {kind}\r\n" if kind else ""
        return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body

    form = part("a.png", image) + part("é.jpg", jpeg) + b"--x--\r\n"
    chunks = b"%x\r\n" % len(image) + image + b"\r\n0\r\n\r\n"
    chunked = request("POST", "/predict", kind="image/png").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    return [
        ("form", request("POST", "/predict?top=3", form, "multipart/form-data; boundary=x")),
        ("image", request("POST", "/predict", image, "image/png")),
        ("bytes", request("POST", "/predict?top=1", jpeg, "application/octet-stream")),
        ("chunked", chunked + chunks),
        ("about", request("GET", "/")),
        ("metrics", request("GET", "/metrics")),
        ("openapi", request("GET", "/openapi.json")),
        ("health", request("GET", "/health")),
    ]


def mutate(data: bytes, rng: random.Random, others: Any) -> bytes:
    """The head as text or the body as bytes; then mostly with the length made right."""
    head, _, body = data.partition(b"\r\n\r\n")
    if rng.random() < 0.6:
        body = mutation.mutate_bytes(body, rng, others)
        if rng.random() < 0.8 and b"Content-Length: " in head:
            start, _, rest = head.partition(b"Content-Length: ")
            head = start + b"Content-Length: %d" % len(body) + rest.lstrip(b"0123456789")
    else:
        head = mutation.mutate_text(head, rng, others)
    return head + b"\r\n\r\n" + body


def read(world: Path, scratch: Path, name: str, data: bytes) -> str:
    """To the service's ASGI application, taken apart as leniently as may be."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    words = (*first.split(b" "), b"", b"")
    path, _, query = words[1].partition(b"?")
    headers = [(k.lower().strip(), v.strip()) for k, _, v in (li.partition(b":") for li in lines)]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": words[0].decode("latin-1").upper() or "GET", "root_path": "", "raw_path": path,
        "path": path.decode("utf-8", "replace"), "query_string": query, "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    status, said, answer = asyncio.run(_ask(world, scope, body))
    check_answer(status, said, answer)
    return "taken" if status == 200 else "refused"


async def _ask(world: Path, scope: Any, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    from headstart.serve.app import make_app

    pieces = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]
    messages = [
        {"type": "http.request", "body": p, "more_body": i < len(pieces) - 1}
        for i, p in enumerate(pieces)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await make_app(_service(world))(scope, receive, send)
    starts = [m for m in sent if m["type"] == "http.response.start"]
    if len(starts) != 1:
        raise Defect(f"{len(starts)} answers")
    body = b"".join(m.get("body", b"") for m in sent)
    return starts[0]["status"], dict(starts[0]["headers"]), body


def check_answer(status: int, headers: dict[bytes, bytes], body: bytes) -> None:
    """An answer is one that the documentation names; an error is one line of JSON."""
    if status not in (200, 307, 400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 503):
        raise Defect(f"status {status}: {body[:200]!r}")
    kind = headers.get(b"content-type", b"")
    if not kind.startswith((b"application/json", b"text/plain")) and body:
        raise Defect(f"an answer of the kind {kind!r}")
    if status not in (200, 422, 307):
        text = json.loads(body)["error"]
        if not text or "\n" in text or "Traceback" in text:
            raise Defect(f"status {status} says {text!r}")


@functools.cache
def _listening(world: Path) -> tuple[str, int]:
    """A real server in a thread of this process; what it logs as failures is a defect."""

    from headstart.serve.app import make_app
    from headstart.serve.server import _run, listen

    service = _service(world)
    sock = listen("127.0.0.1", 0)
    ready = threading.Event()
    logging.getLogger().addHandler(_FAILURES)
    threading.Thread(
        target=_run,
        args=(make_app(service), sock, service.settings, lambda url: ready.set()),
        daemon=True,
    ).start()
    assert ready.wait(30)
    return sock.getsockname()[:2]


class _Failures(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=40)
        self.seen: list[str] = []

    def emit(self, record: Any) -> None:
        error = record.exc_info[1] if record.exc_info else ""
        self.seen.append(f"{record.getMessage()} {error!r}")


_FAILURES = _Failures()


def _answer(sock: socket.socket) -> bytes:
    """All that the server says; where it waits for more, it is told that no more comes.

    Not before: a server may drop a connection whose other side was closed, answered or not.
    """
    found = b""
    with contextlib.suppress(ConnectionError):
        if not select.select([sock], [], [], WAITS_S)[0]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65536):
            found += piece
    return found


def read_wire(world: Path, scratch: Path, name: str, data: bytes) -> str:
    """As bytes on a connection of a real server, which must live on."""
    address = _listening(world)
    _FAILURES.seen.clear()
    with socket.create_connection(address, timeout=20) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(data)
        found = _answer(sock)
    if _FAILURES.seen:
        raise Defect("; ".join(_FAILURES.seen)[:300])
    if found and not found.startswith(b"HTTP/1.1 "):
        raise Defect(f"no HTTP: {found[:60]!r}")
    if found.startswith(b"HTTP/1.1 5") and not found.startswith(b"HTTP/1.1 503"):
        raise Defect(repr(found[:200]))
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        if not sock.recv(65536).startswith(b"HTTP/1.1 200 "):
            raise Defect("the server does not answer any more")
    return "taken" if found.startswith(b"HTTP/1.1 200") else "refused"
