"""Limits on connections: their number, the time for headers, and which to close first.

If clients hold all connections without sending requests, or send slowly, the oldest of these is closed
for the next client. So `/health` can always be reached.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from headstart.serve.answers import failure

# Timeout for the headers of a connection.
HEADERS_S = 10.0
# Maximum number of connections; fewer if the process may open fewer files.
MAX_CONNECTIONS = 512


class Connections:
    """All connections of one service, in order of arrival."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: dict[Any, None] = {}

    def add(self, connection: Any) -> None:
        """Add a connection; if there are too many, close one.

        The oldest without a request is closed first, then the oldest whose request is arriving.
        """
        while len(self._open) >= self.limit:
            last = min(self._open, key=lambda c: c.stage)  # the oldest of equals
            del self._open[last]
            last.transport.abort()
        self._open[connection] = None

    def remove(self, connection: Any) -> None:
        """Remove an ended connection."""
        self._open.pop(connection, None)


def allowed_connections() -> int:
    """Half the limit of open files, at most `MAX_CONNECTIONS`."""
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    soft: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, soft // 2))


def protocol_of(connections: Connections, headers_s: float) -> type[H11Protocol]:
    """uvicorn's HTTP/1.1 protocol with `connections` and a timeout for headers."""

    class Protocol(H11Protocol):
        """Closes connections that do not finish their headers, for which uvicorn waits forever."""

        _timer: asyncio.TimerHandle | None = None

        @property
        def stage(self) -> int:
            """0 without a request, 1 while one arrives, 2 while one is answered."""
            if self.cycle is None or self.cycle.response_complete:
                return 0
            return 1 if self.cycle.more_body else 2

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            connections.add(self)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            connections.remove(self)
            self._stop()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            """As uvicorn's, in our form of errors."""
            body = json.dumps(failure(400, f"not a valid HTTP request: {msg}")).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
            response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _watch(self) -> None:
            if self.stage:
                self._stop()
            elif self._timer is None:
                self._timer = self.loop.call_later(headers_s, self.transport.close)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Protocol
