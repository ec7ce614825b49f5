"""``/live``: the requests of the tab Live, and the bins that they are of."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from headstart.errors import HeadstartError, InputError, OutputError, one_line
from headstart.home import cache_folder
from headstart.runs.folder import UPLOADS, free_name
from headstart.web import html
from headstart.web.answers import describe
from headstart.web.live import view
from headstart.web.live.bins import MAX_MB, Bins, Gone

if TYPE_CHECKING:
    from headstart.web.jobs import Jobs
    from headstart.web.workspace import Workspace

MAX_VISITORS, MAX_ALL_MB = 60, 4096  # beyond, the pictures of others are forgotten
MAX_WAITING = 10  # trainings, before another is saved


class Visitors:
    """The bins of each visitor, by a name that cannot be guessed.

    There are at most `MAX_VISITORS` of them with `MAX_ALL_MB` together. Beyond, bins without pictures are
    removed first, then those that were not used for the longest time.

    Parameters
    ----------
    folder : Path
        Of their pictures.
    """

    def __init__(self, work: Workspace, folder: Path) -> None:
        self._work, self._folder = work, folder
        self._bins: OrderedDict[str, Bins] = OrderedDict()  # the longest unused first
        self._lock = threading.Lock()

    def start(self) -> str:
        """New bins; given back is their name."""
        name = secrets.token_hex(12)
        network = self._work.network("embedded")
        made = Bins(self._folder / name, network, self._work.network_lock, cache_folder())
        with self._lock:
            self._bins[name] = made
        self.make_room(name)
        return name

    def get(self, name: str) -> Bins:
        """Bins by their name.

        Raises Gone where there are none, such as after a restart of the server.
        """
        with self._lock:
            if name not in self._bins:
                raise Gone
            self._bins.move_to_end(name)
            return self._bins[name]

    def make_room(self, name: str) -> None:
        """Forget bins, except those of this name, until the limits are kept."""
        forgotten = []
        with self._lock:
            while (old := self._next_to_go(name)) is not None:
                forgotten.append(self._bins.pop(old))
        for bins in forgotten:  # which may wait for a request that uses them
            bins.close()

    def _next_to_go(self, keep: str) -> str | None:
        """The bins to forget next; None within the limits."""
        others = [n for n in self._bins if n != keep]
        full = [n for n in others if self._bins[n].n_bytes]
        empty = [n for n in others if n not in full]
        if full and sum(bins.n_bytes for bins in self._bins.values()) > MAX_ALL_MB << 20:
            return full[0]
        return (empty + full)[0] if len(self._bins) > MAX_VISITORS else None


def serve_live(app: FastAPI, work: Workspace, jobs: Jobs, folder: Path) -> None:
    """Add the routes of the tab."""
    visitors = Visitors(work, folder)
    saving = threading.Lock()

    @app.exception_handler(Gone)
    def gone(_: Request, reason: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(reason)}, status_code=404)

    @app.post("/live")
    def start() -> dict[str, str]:
        return {"id": visitors.start()}

    @app.get("/live/{visitor}")
    def state(visitor: str) -> JSONResponse:
        return _shown(visitors.get(visitor))

    @app.get("/live/{visitor}/pictures/{digest}")
    def picture(visitor: str, digest: str) -> Response:
        try:
            content = visitors.get(visitor).thumbnail(digest)
        except HeadstartError as error:
            raise HTTPException(404, str(error)) from None
        return Response(
            content, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"}
        )

    @app.post("/live/{visitor}/add-class")
    def add_class(visitor: str, name: str) -> JSONResponse:
        return _changed(visitors.get(visitor), lambda bins: bins.add_class(name))

    @app.post("/live/{visitor}/rename-class")
    def rename_class(visitor: str, name: str, to: str) -> JSONResponse:
        return _changed(visitors.get(visitor), lambda bins: bins.rename_class(name, to))

    @app.post("/live/{visitor}/remove-class")
    def remove_class(visitor: str, name: str) -> JSONResponse:
        return _changed(visitors.get(visitor), lambda bins: bins.remove_class(name))

    @app.post("/live/{visitor}/remove-picture")
    def remove_picture(visitor: str, digest: str) -> JSONResponse:
        return _changed(visitors.get(visitor), lambda bins: bins.remove(digest))

    @app.post("/live/{visitor}/add-picture")
    async def add_picture(
        visitor: str, request: Request, name: str, file: str = "", burst: str = ""
    ) -> JSONResponse:
        bins, content = visitors.get(visitor), await _body(request)

        def add(bins: Bins) -> None:
            bins.add(name, content, file=file, burst=burst)
            visitors.make_room(visitor)

        return await run_in_threadpool(_changed, bins, add)

    @app.post("/live/{visitor}/fit")
    def fit(visitor: str) -> dict[str, Any]:
        try:
            found = visitors.get(visitor).fit()
        except InputError as error:  # pictures are missing, which is no fault
            return {"said": view.missing(describe(error)), "map": "", "mistakes": {}}
        except HeadstartError as error:
            return {"said": html.alert(describe(error)), "map": "", "mistakes": {}}
        return {"said": view.said(found), "map": view.layer_map(found), "mistakes": found.mistakes}

    @app.post("/live/{visitor}/try")
    async def classify(visitor: str, request: Request, file: str = "") -> dict[str, str]:
        bins, content = visitors.get(visitor), await _body(request)
        try:
            top = await run_in_threadpool(bins.classify, content, file)
        except InputError as error:
            return {"missing": view.missing(describe(error))}
        except HeadstartError as error:
            return {"error": describe(error)}
        return {"said": html.bars(top)}

    @app.post("/live/{visitor}/save")
    def save(visitor: str, name: str) -> dict[str, str]:
        try:
            with saving:
                return {"job": _save(visitors.get(visitor), name, work, jobs)}
        except HeadstartError as error:
            return {"error": describe(error)}


def _save(bins: Bins, name: str, work: Workspace, jobs: Jobs) -> str:
    """Copy the pictures beside the runs and start a training on them; its job is given back."""
    n_waiting = sum(job.state == "waiting" for job in jobs.listed())
    if n_waiting >= MAX_WAITING:
        raise InputError(
            f"{n_waiting} trainings wait already, and no more fit: save again when one has ended"
        )
    stem = (
        "".join(c if c.isalnum() or c in "-_" else "-" for c in name.strip()).strip("-") or "live"
    )
    folder = _new_folder(stem, work.runs / UPLOADS)
    try:
        settings = {"group_by": bins.save(folder), "classes_from": "outer"}
        return jobs.start(str(folder), name=stem, settings=settings).id
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _new_folder(stem: str, parent: Path) -> Path:
    """A new folder that nobody else has, whoever saves at the same time.

    Raises OutputError where it cannot be created.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for _ in range(100):
            folder = free_name(stem, parent=parent)
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
        reason = "others take every name first"
    except OSError as error:
        reason = one_line(error.strerror or str(error))
    raise OutputError(f"no folder can be made in {one_line(str(parent))} ({reason}): try again")


def _changed(bins: Bins, change: Callable[[Bins], None]) -> JSONResponse:
    """The state after a change, or what was wrong with it."""
    try:
        change(bins)
    except HeadstartError as error:
        return _shown(bins, error=describe(error))
    return _shown(bins)


def _shown(bins: Bins, error: str = "") -> JSONResponse:
    classes: list[dict[str, Any]] = [
        {"name": name, "pictures": [{"digest": d, "file": f} for d, f in found]}
        for name, found in bins.pictures().items()
    ]
    return JSONResponse({"classes": classes, "error": error})


async def _body(request: Request) -> bytes:
    """The bytes that were sent, and one more than may be: what exceeds the limit is not read."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MAX_MB << 20:
            break
    return bytes(found)
