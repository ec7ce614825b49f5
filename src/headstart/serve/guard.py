"""Checks of every request: host, origin, token, size and time.

This is plain ASGI, so that the size of a body is limited while it arrives.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from headstart.serve.answers import failure
from headstart.serve.draining import Draining
from headstart.serve.metrics import Metrics
from headstart.serve.settings import ServeSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

# Health checks need no token, and are answered under any load.
HEALTH_PATHS = ("/health", "/livez", "/readyz")
# The interface's description needs no token either: a browser cannot send one when it opens a page.
DESCRIPTION_PATHS = ("/openapi.json", "/docs")
KNOWN_PATHS = ("/", "/predict", "/metrics", *HEALTH_PATHS, *DESCRIPTION_PATHS)
# Maximum number of concurrent requests, except health checks; below the limit of connections.
MAX_REQUESTS = 384
# Limit of the total size of bodies in memory, in multiples of the limit for one.
HELD_BODIES = 8
# After a refusal, reading continues for this time, so that the client sees the answer.
LINGER_S = 0.5


SERVICE_FAILED = "the service failed at this request"
_CLOSE = (b"connection", b"close")
_LENGTH = re.compile(r"[0-9]{1,18}")


class _Refused(BaseException):
    """Not an `Exception`, so that the web framework does not catch it and answer 500."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class Guard:
    """Checks host, origin, token, size and time before and while `app` reads a request.

    Parameters
    ----------
    draining : Draining, optional
    """

    def __init__(
        self,
        app: App,
        settings: ServeSettings,
        metrics: Metrics,
        draining: Draining | None = None,
    ) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._draining = draining or Draining()
        self._held = self._n_under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root_path = self._settings.root_path
        path = _plain_path(scope["path"], root_path)
        # The server itself leaves out the body of an answer to HEAD.
        method = "GET" if scope.get("method") == "HEAD" else scope.get("method")
        scope = {**scope, "path": root_path + path, "root_path": root_path, "method": method}
        is_limited = path not in HEALTH_PATHS
        is_counted = is_limited and not self._draining.is_closed
        started, status = time.perf_counter(), 500
        is_begun, body = False, _Body(self, receive)

        async def note(message: Message) -> None:
            nonlocal status, is_begun
            if message["type"] == "http.response.start":
                status, is_begun = message["status"], True
                # Answers contain names sent by clients, so they must not be interpreted as HTML.
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
                if self._draining.is_draining:
                    message["headers"] = [*_without_connection(message["headers"]), _CLOSE]
            await send(message)

        self._metrics.begin()
        try:
            try:
                self._n_under_way += is_limited
                self._draining.n_open += is_counted
                async with asyncio.timeout(self._settings.timeout_s):
                    self._admit(scope, path)
                    await self._app(scope, body.receive, note)
            except TimeoutError:
                raise self._late(body) from None
        except _Refused as refused:
            if not is_begun:
                await _refuse(refused, note, body)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("a request failed")
            if not is_begun:
                await _refuse(_Refused(500, SERVICE_FAILED), note, body)
        finally:
            self._held -= body.n_bytes
            self._n_under_way -= is_limited
            self._draining.n_open -= is_counted
            known = path if path in KNOWN_PATHS else "other"
            self._metrics.end(known, status, time.perf_counter() - started)

    def take(self, n_bytes: int, so_far: int) -> None:
        """Account for a piece of a body, or refuse it."""
        if so_far > self._settings.max_bytes:
            raise self._too_large()
        if self._held + n_bytes > HELD_BODIES * self._settings.max_bytes:
            raise _Refused(503, "too many large requests at once: try again", retry_after="1")
        self._held += n_bytes

    def _admit(self, scope: Scope, path: str) -> None:
        """Check the headers."""
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        host = headers.get("host", "")
        if not is_known_host(host, self._settings.allowed_hosts):
            raise _Refused(
                421, "this host name is not served here: start with --allow-host to serve it"
            )
        origin = headers.get("origin")
        # Pages of other sites can send requests although they cannot read the answers.
        if origin is not None and not self._is_allowed(origin, host):
            raise _Refused(
                403,
                "requests from pages of other sites are refused: start with --allow-origin to allow one",
            )
        if path not in HEALTH_PATHS:
            if path not in DESCRIPTION_PATHS and not path.startswith("/docs/"):
                self._check_token(headers.get("authorization", ""))
            if self._draining.is_closed:
                raise _Refused(503, "the service is stopping: try again", retry_after="1")
            if self._n_under_way > MAX_REQUESTS:
                raise _Refused(503, "too many requests at once: try again", retry_after="1")
        length = headers.get("content-length", "0")
        if not _LENGTH.fullmatch(length) or int(length) > self._settings.max_bytes:
            raise self._too_large()

    def _is_allowed(self, origin: str, host: str) -> bool:
        allowed = self._settings.allowed_origins
        return origin.partition("://")[2] == host or origin in allowed or "*" in allowed

    def _check_token(self, given: str) -> None:
        if self._settings.token is None:
            return
        scheme, _, token = given.partition(" ")
        # Constant-time comparison.
        is_same = hmac.compare_digest(token.strip().encode(), self._settings.token.encode())
        if scheme.lower() != "bearer" or not is_same:
            wrong = "the token is wrong" if token.strip() else "a token is needed"
            raise _Refused(401, f"{wrong}: Authorization: Bearer TOKEN", www_authenticate="Bearer")

    def _too_large(self) -> _Refused:
        limit = self._settings.max_bytes
        return _Refused(413, f"the request is larger than {limit:,} bytes: send less at once")

    def _late(self, body: _Body) -> _Refused:
        seconds = f"{self._settings.timeout_s:g} s"
        if not body.is_whole:
            return _Refused(408, f"the request did not arrive within {seconds}")
        return _Refused(503, f"no answer within {seconds}: try again", retry_after="1")


class _Body:
    """A request's body, counted while it arrives."""

    def __init__(self, guard: Guard, receive: Receive) -> None:
        self._guard, self._receive = guard, receive
        self.n_bytes, self.is_whole = 0, False

    async def receive(self) -> Message:
        """The next piece.

        Raises _Refused where the body is too large, or the connection ended.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.is_whole:
            raise _Refused(400, "the connection ended before the request did")
        if message["type"] == "http.request":
            n = len(message.get("body", b""))
            self._guard.take(n, self.n_bytes + n)
            self.n_bytes += n
            self.is_whole = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read and discard the rest for a moment."""
        try:
            async with asyncio.timeout(LINGER_S):
                while not self.is_whole:
                    message = await self._receive()
                    self.is_whole = message["type"] != "http.request" or not message.get(
                        "more_body", False
                    )
        except TimeoutError:
            pass


async def _refuse(refused: _Refused, send: Send, body: _Body) -> None:
    """Answer, and close the connection."""
    payload = json.dumps(failure(refused.status, str(refused))).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(payload)),
        "connection": "close",
        **{name.replace("_", "-"): value for name, value in refused.headers.items()},
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": payload, "more_body": True})
    await body.drain()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _plain_path(path: str, root_path: str) -> str:
    """The path without the prefix under which a proxy publishes the service, if it left it there."""
    if root_path and (path == root_path or path.startswith(f"{root_path}/")):
        return path[len(root_path) :] or "/"
    return path


def _without_connection(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    return (header for header in headers if header[0].lower() != b"connection")


def is_known_host(host: str, allowed: Iterable[str]) -> bool:
    """Whether the Host header is an address, ``localhost``, or one of the names allowed.

    A web page can make its own name resolve to this machine (DNS rebinding), so unknown names are
    refused; this is not possible with addresses.
    """
    names = {name.lower() for name in allowed}
    if "*" in names:
        return True
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip().lower().removesuffix(".")
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
