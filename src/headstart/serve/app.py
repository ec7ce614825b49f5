"""The four addresses of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

import headstart
from headstart.errors import DataError
from headstart.features.engines import n_cores
from headstart.runs.caution import Careful, Caution
from headstart.runs.predictor import Predictor
from headstart.runs.text_predictor import TextPredictor
from headstart.serve.batching import Batcher
from headstart.serve.guard import App, Guard
from headstart.serve.metrics import CONTENT_TYPE, Metrics
from headstart.serve.settings import ServeSettings
from headstart.serve.uploads import REQUEST_BODIES, Upload, read_uploads

_TOP = 5
_DESCRIPTION = (
    "{Noun}s in, class probabilities out. If one cannot be read, its `error` is set and the others are "
    "predicted; status 422 says that none could be read."
)


class Service:
    """The model, the threads that decode and the threads that run the network.

    Parameters
    ----------
    name : str
        Name of the run.
    predictor : Predictor or TextPredictor
    settings : ServeSettings
    careful : Careful, optional
        What answers hold besides the classes, and when they are refused.
    """

    def __init__(
        self,
        name: str,
        predictor: Predictor | TextPredictor,
        settings: ServeSettings,
        careful: Careful | None = None,
    ) -> None:
        self.name, self.predictor, self.settings = name, predictor, settings
        self.careful = careful or Careful(
            model=predictor.model, caution=Caution(), held_out=None, where=name
        )
        self.metrics = Metrics()
        self.n_waiting = 0
        self._decoders = ThreadPoolExecutor(n_cores(), thread_name_prefix="decode")
        self._batcher: Batcher[Any] = Batcher(
            predictor.compared,
            batch_size=predictor.batch_size,
            n_workers=predictor.n_streams,
            on_batch=self.metrics.add_batch,
        )

    async def predict(self, uploads: Sequence[Upload], top: int) -> list[dict[str, Any]]:
        """One answer per image, in order; images of all requests share forward passes.

        Raises
        ------
        HTTPException
            503: too many images are waiting.
        """
        if self.n_waiting + len(uploads) > self.settings.max_waiting:
            raise HTTPException(
                503,
                f"too many {self.predictor.noun}s are waiting: try again",
                headers={"Retry-After": "1"},
            )
        self.n_waiting += len(uploads)
        try:
            return list(await asyncio.gather(*(self._one(upload, top) for upload in uploads)))
        finally:
            self.n_waiting -= len(uploads)

    async def _one(self, upload: Upload, top: int) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        try:
            cut = await loop.run_in_executor(self._decoders, self.predictor.cut, upload.data)
        except DataError as error:
            self.metrics.add_image("unreadable")
            reason = str(error).removeprefix("cannot use the bytes given: ")
            return {"name": upload.name, "label": None, "top": [], "error": reason}
        row = await asyncio.wrap_future(self._batcher.submit(cut))
        self.metrics.add_image("predicted")
        n = len(self.predictor.classes)
        compared = row[n:] if len(row) > n else None
        return self.careful.answer(upload.name, row[:n], compared, top).to_dict()

    def close(self) -> None:
        """Finish running work, and stop the threads."""
        self._decoders.shutdown(wait=True, cancel_futures=True)
        self._batcher.close()


def make_app(service: Service) -> App:
    """The service as an ASGI application, behind a `Guard`.

    Parameters
    ----------
    service : Service
    """
    noun = service.predictor.noun
    # FastAPI's documentation pages load code from the web, so they are disabled.
    app = FastAPI(
        title=f"Headstart: {service.name}",
        version=headstart.__version__,
        description=_DESCRIPTION.format(Noun=noun.capitalize()),
        docs_url=None,
        redoc_url=None,
    )

    @app.post("/predict", openapi_extra={"requestBody": REQUEST_BODIES[noun]})
    async def predict(
        request: Request, top: Annotated[int, Query(ge=1, le=10_000)] = _TOP
    ) -> JSONResponse:
        """Classify one example or several."""
        limits = service.settings
        uploads = await read_uploads(
            request, noun, max_images=limits.max_images, max_bytes=limits.max_bytes
        )
        found = await service.predict(uploads, top)
        is_none_read = all(answer["error"] is not None for answer in found)
        return JSONResponse({"predictions": found}, status_code=422 if is_none_read else 200)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service is alive."""
        return {"status": "ok", "version": headstart.__version__}

    @app.get("/")
    async def about() -> dict[str, Any]:
        """The served run."""
        return {
            "run": service.name,
            "takes": f"{noun}s",
            "classes": list(service.predictor.classes),
            "engine": service.predictor.engine,
            "caution": service.careful.caution.asked,
            "limits": {
                "max_bytes": service.settings.max_bytes,
                "max_images": service.settings.max_images,
                "max_pixels": service.settings.max_pixels,
                "timeout_s": service.settings.timeout_s,
            },
        }

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Counters for Prometheus."""
        text = service.metrics.text(waiting=service.n_waiting)
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    app.add_exception_handler(HTTPException, _say_error)
    app.add_exception_handler(RequestValidationError, _say_invalid)
    return Guard(app, service.settings, service.metrics)


async def _say_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    text = {404: "there is no such address here: see /openapi.json"}.get(
        error.status_code, str(error.detail)
    )
    return JSONResponse({"error": text}, status_code=error.status_code, headers=error.headers)


async def _say_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    text = f"{first['loc'][-1]}: {first['msg']}"
    return JSONResponse({"error": text}, status_code=400)
