"""The server of the page: this computer only, nothing from the network, a clear word on the port."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from headstart.errors import InputError, one_line
from headstart.web.workspace import MAX_UPLOAD_GB

if TYPE_CHECKING:
    from fastapi import FastAPI

    from headstart.web.jobs import Jobs
    from headstart.web.workspace import Workspace

LOCAL = frozenset(["127.0.0.1", "localhost", "::1"])
# The browser is told to load nothing from anywhere else, whatever the page's parts would like.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
# A run may be anybody's: its report is a page of its own, which has no part in this one.
# Its own script runs, and can reach nothing of this server's.
REPORT_POLICY = "sandbox allow-scripts"
PROTECTION = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
NOT_FROM_HERE = "not from this page"
UNKNOWN_HOST = "this host name is not served here: start headstart web with --allow-host and the name to serve it"
MISSING = 'headstart web needs the extra "web": pip install "headstart[web]"'


def serve(
    *,
    host: str,
    port: int,
    runs: Path,
    on_ready: Callable[[str], None],
    allowed_hosts: Iterable[str] = (),
) -> None:
    """Serve the page until it is interrupted; jobs that run are stopped then.

    Raises InputError where the address or port cannot be had, or Gradio is not installed.

    Parameters
    ----------
    host : str
        Address to listen at.
    port : int
        0 takes a free one.
    runs : Path
        Folder of run folders.
    on_ready : callable
        Given the page's address as soon as it answers.
    allowed_hosts : iterable of str
        Names under which browsers may ask besides those of this computer: that of a proxy.
    """
    taken = open_port(host, port)
    temporary = tempfile.mkdtemp(prefix="headstart-web-")
    try:
        _quieten(temporary)
        try:
            import gradio  # noqa: F401
            import uvicorn
        except ImportError as error:
            raise InputError(MISSING) from error
        from headstart.web.jobs import Jobs

        jobs = Jobs(runs)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{taken.getsockname()[1]}/"
        config = uvicorn.Config(
            make_app(runs, jobs, host, Path(temporary), allowed_hosts),
            log_level="warning",
            timeout_graceful_shutdown=2,
        )

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                on_ready(url)

        try:
            # uvicorn ends well on a signal, then raises it again: this leads through what follows.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            Server(config).run(sockets=[taken])
        finally:
            jobs.close()
    finally:
        taken.close()
        shutil.rmtree(temporary, ignore_errors=True)


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens nowhere yet, bound to the address.

    Raises InputError where the port is in use, or the address is none of this computer's.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port must be from 0 to 65535; got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # else a port just left cannot be had for a minute
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise InputError(
            f"cannot listen at {one_line(host)}, port {port} ({error.strerror or error}): choose "
            "another --port, or --port 0 for a free one"
        ) from error
    return taken


def make_app(
    runs: Path, jobs: Jobs, host: str, temporary: Path, allowed_hosts: Iterable[str] = ()
) -> FastAPI:
    """The page, the reports of its runs, the tab Live, and what guards them."""
    import gradio as gr
    from fastapi import FastAPI

    from headstart.web import html
    from headstart.web.live.routes import serve_live
    from headstart.web.page import MEND, build_page, theme
    from headstart.web.workspace import Workspace

    work = Workspace(runs)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    serve_reports(app, work)
    serve_live(app, work, jobs, temporary / "live")
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        build_page(work, jobs),
        path="/",
        theme=theme(),
        # `css` would lose the rules for the dark.
        head=f"<style>{html.stylesheet()}</style><script>{html.live_script()}</script>",
        js=MEND,
        footer_links=[],
        run_history=False,
        max_file_size=f"{MAX_UPLOAD_GB}gb",
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=True,
    )
    mounted.add_middleware(Guard, host=host, allowed=allowed_hosts)
    return mounted


def serve_reports(app: FastAPI, work: Workspace) -> None:
    """Add ``/reports/NAME``: the report of a run, in a sandbox, and never from a link."""
    from fastapi.responses import HTMLResponse, PlainTextResponse, Response

    from headstart.errors import RunError
    from headstart.runs.regular import read_regular

    @app.get("/reports/{name}")
    def report(name: str, download: bool = False) -> Response:
        try:
            folder = work.run_folder(name)
            if folder.is_symlink():
                raise RunError(f"{one_line(name)} is a link: its report is not shown here")
            page = read_regular(folder, "report.html")
        except RunError as error:
            return PlainTextResponse(str(error), 404)
        except OSError:
            return PlainTextResponse(f"the run {one_line(name)} has no report", 404)
        headers = {"content-security-policy": REPORT_POLICY}
        if download:
            saved = quote(f"{name}-report.html", safe="")
            headers["content-disposition"] = f"attachment; filename*=UTF-8''{saved}"
        return HTMLResponse(page, headers=headers)


class Guard:
    """Refuses what other pages in the browser would ask of this server.

    A page from elsewhere can send requests to this computer, and with a name that it makes point
    here (DNS rebinding) even read the answers. So requests must name this computer, and those that
    say from which page they come must come from this one.
    """

    def __init__(self, app: Any, host: str, allowed: Iterable[str] = ()) -> None:
        self.app = app
        self.is_open = host not in LOCAL
        self.names = LOCAL | {name.lower().removesuffix(".") for name in allowed}
        if self.is_open:
            self.names |= {host.lower(), socket.gethostname().lower()}

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        if why := self._refusal(headers):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            plain = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": plain})
            await send({"type": "http.response.body", "body": why.encode()})
            return

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *PROTECTION]
            await send(message)

        await self.app(scope, receive, with_policy)

    def _refusal(self, headers: dict[str, str]) -> str:
        """Why a request is not answered; "" where it is."""
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name = urlsplit(f"//{host}").hostname or ""
            ours = origin is None or urlsplit(origin).netloc == host
        except ValueError:  # no address at all
            return NOT_FROM_HERE
        if "@" in host or not name:
            return NOT_FROM_HERE
        if not self._is_known(name):
            return UNKNOWN_HOST
        # A picture or a script on another page asks without an origin; a link that is followed may.
        site, mode = headers.get("sec-fetch-site", ""), headers.get("sec-fetch-mode", "navigate")
        is_foreign = site == "cross-site" and mode != "navigate"
        return "" if ours and not is_foreign else NOT_FROM_HERE

    def _is_known(self, name: str) -> bool:
        """Whether a host is this computer by an address or by its own name.

        Open to others, any address will do: no name that somebody else made point here has that form.
        """
        if name.removesuffix(".") in self.names or "*" in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.is_open


def _quieten(temporary: str) -> None:
    """No telemetry, no look-ups, uploads in a folder that goes with the server."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = temporary
