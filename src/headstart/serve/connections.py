"""The connections of the service: how many there may be, how long each may be slow, which gives way.

However many clients hold connections without sending a request, or send one slowly, the next client
is let in and the oldest of those is closed. So `/health` needs no place of its own: whoever asks for
it has one for as long as it takes to answer.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# A connection that has not sent its headers after so long is closed.
HEADERS_S = 10.0
# Connections at the same time; fewer where the system allows the process fewer open files.
MAX_CONNECTIONS = 512


class Connections:
    """All connections of one service, in the order in which they came.

    Parameters
    ----------
    limit : int
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: dict[Any, None] = {}

    def add(self, connection: Any) -> None:
        """Take a connection in; where there are too many, one gives way.

        Those go first that have no request under way, then those whose request is still arriving;
        of these the oldest.
        """
        while len(self._open) >= self.limit:
            last = min(self._open, key=lambda c: c.stage)  # of equals, the first that came
            del self._open[last]
            last.transport.abort()
        self._open[connection] = None

    def remove(self, connection: Any) -> None:
        """Forget one that has ended."""
        self._open.pop(connection, None)


def allowed_connections() -> int:
    """Half of the files that the process may open, at most `MAX_CONNECTIONS`."""
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:  # Windows sets no such limit
        return MAX_CONNECTIONS
    soft: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, soft // 2))


def protocol_of(connections: Connections, headers_s: float) -> type[H11Protocol]:
    """uvicorn's HTTP/1.1, counted by `connections`, each given `headers_s` seconds for its headers."""

    class Protocol(H11Protocol):
        """Closes connections that never finish their headers; uvicorn waits for ever."""

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
