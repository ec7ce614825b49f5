"""Browser pages of other sites that may use the service (CORS)."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from headstart.serve.answers import failure


class CrossOrigin(CORSMiddleware):
    """Starlette's middleware, with our form of errors.

    It is the outermost part, so that pages of allowed origins can read refusals too. Other origins
    are refused by the guard behind it.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("Authorization", "Content-Type"),
            expose_headers=("Retry-After",),
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser that asks before it sends."""
        found = super().preflight_response(request_headers)
        if found.status_code < 400:
            return found
        headers = {
            name: value
            for name, value in found.headers.items()
            if name not in ("content-length", "content-type")
        }
        text = bytes(found.body).decode()
        body = failure(found.status_code, f"{text}: start with --allow-origin to allow a site")
        return JSONResponse(body, found.status_code, headers)
