"""The addresses of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

import headstart
from headstart.errors import DataError
from headstart.features.cores import n_cores
from headstart.runs.caution import Careful, Caution
from headstart.runs.predictor import Predictor
from headstart.runs.target_run import TargetAnswers
from headstart.runs.text_predictor import TextPredictor
from headstart.serve.answers import (
    About,
    Health,
    LabelsPredictions,
    Limits,
    NumberPredictions,
    Predictions,
    Ready,
    failure,
    failures,
)
from headstart.serve.batching import Batcher
from headstart.serve.cross_origin import CrossOrigin
from headstart.serve.draining import Draining
from headstart.serve.guard import SERVICE_FAILED, App, Guard
from headstart.serve.metrics import CONTENT_TYPE, Metrics
from headstart.serve.settings import ServeSettings
from headstart.serve.swagger import add_docs
from headstart.serve.uploads import Upload, read_uploads, request_body

_TOP = 5
_ANSWERS = {"classes": Predictions, "labels": LabelsPredictions, "numbers": NumberPredictions}
# For the document alone: the guard checks the token before the application sees the request.
_BEARER = HTTPBearer(auto_error=False)
_DESCRIPTION = (
    "{Noun}s in, class probabilities out. If one cannot be read, its `error` is set and the others are "
    "predicted; status 422 says that none could be read. Every error has the same form."
)


class Service:
    """The model, the threads that decode and the threads that run the network.

    Parameters
    ----------
    name : str
        Name of the run.
    predictor : Predictor or TextPredictor
    careful : Careful or TargetAnswers, optional
        What answers hold besides the classes, and when they are refused.
    metrics_folder : Path, optional
        As of `Metrics`.
    """

    def __init__(
        self,
        name: str,
        predictor: Predictor | TextPredictor,
        settings: ServeSettings,
        careful: Careful | TargetAnswers | None = None,
        metrics_folder: Path | None = None,
    ) -> None:
        self.name, self.predictor, self.settings = name, predictor, settings
        self.careful = careful or Careful(
            model=predictor.model, caution=Caution(), held_out=None, where=name
        )
        self.metrics = Metrics(metrics_folder)
        self.draining = Draining(settings.grace_s, settings.timeout_s)
        self.n_waiting = 0
        self._decoders = ThreadPoolExecutor(n_cores(), thread_name_prefix="decode")
        self._batcher: Batcher[Any] = Batcher(
            predictor.compared,
            batch_size=predictor.batch_size,
            n_workers=predictor.n_streams,
            on_batch=self.metrics.add_batch,
        )

    async def read(self, request: Request) -> list[Upload]:
        """The images or texts of a request; see `read_uploads`."""
        return await read_uploads(
            request,
            self.predictor.noun,
            max_images=self.settings.max_images,
            max_bytes=self.settings.max_bytes,
            executor=self._decoders,
        )

    async def predict(self, uploads: Sequence[Upload], top: int) -> list[dict[str, Any]]:
        """One answer per image, in order; images of all requests share forward passes.

        Raises HTTPException where 503: too many images are waiting.
        """
        if self.n_waiting + len(uploads) > self.settings.max_waiting:
            raise HTTPException(
                503,
                f"too many {self.predictor.noun}s are waiting: try again",
                headers={"Retry-After": "1"},
            )
        self._wait(len(uploads))
        try:
            return list(await asyncio.gather(*(self._one(upload, top) for upload in uploads)))
        finally:
            self._wait(-len(uploads))

    def _wait(self, n: int) -> None:
        self.n_waiting += n
        self.metrics.add_waiting(n)

    async def _one(self, upload: Upload, top: int) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        try:
            if upload.error is not None:
                raise DataError(upload.error)
            cut = await loop.run_in_executor(self._decoders, self.predictor.cut, upload.data)
        except DataError as error:
            self.metrics.add_image("unreadable")
            reason = str(error).removeprefix("cannot use the bytes given: ")
            return self.careful.unreadable(upload.name, reason).to_dict()
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
    """The service as an ASGI application, behind a `Guard`."""
    noun, limits = service.predictor.noun, service.settings
    app = FastAPI(
        title="Headstart prediction service",
        version=headstart.__version__,
        description=_DESCRIPTION.format(Noun=noun.capitalize()),
        docs_url=None,  # FastAPI's own page loads code from the web
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    always = failures(403, 405, 421, 500, 503)
    access: dict[str, Any] = {"dependencies": [Security(_BEARER)]} if limits.token else {}
    guarded = failures(401) | always if limits.token else always

    @app.post(
        "/predict",
        response_model=_ANSWERS[service.predictor.model.target],
        response_model_exclude_unset=True,
        responses=guarded | failures(400, 408, 413, 415, 422),
        openapi_extra={"requestBody": request_body(noun, limits.max_images)},
        **access,
    )
    async def predict(
        request: Request, top: Annotated[int, Query(ge=1, le=10_000)] = _TOP
    ) -> dict[str, Any] | JSONResponse:
        """Classify one example or several."""
        found = await service.predict(await service.read(request), top)
        if all(answer["error"] is not None for answer in found):
            text = f"none of the {noun}s could be read: {found[0]['error']}"
            return JSONResponse(failure(422, text, predictions=found), 422)
        return {"predictions": found}

    @app.get("/health", responses=always)
    async def health() -> Health:
        """Whether the process answers; the same as `/livez`."""
        return Health(status="ok", version=headstart.__version__)

    @app.get("/livez", responses=always)
    async def livez() -> Health:
        """Whether the process answers."""
        return await health()

    @app.get("/readyz", responses=always)
    async def readyz() -> Ready:
        """Whether requests should be sent here: not while the service stops."""
        if service.draining.is_draining:
            raise HTTPException(503, "the service is stopping", headers={"Retry-After": "1"})
        return Ready(status="ready")

    @app.get("/", responses=guarded, **access)
    async def about() -> About:
        """The served run."""
        return About(
            run=service.name,
            takes="images" if noun == "image" else "texts",
            classes=list(service.predictor.classes),
            engine=service.predictor.engine,
            caution=service.careful.caution.asked,
            limits=Limits(
                max_bytes=limits.max_bytes,
                max_images=limits.max_images,
                max_pixels=limits.max_pixels,
                timeout_s=limits.timeout_s,
            ),
        )

    @app.get("/metrics", response_class=PlainTextResponse, responses=guarded, **access)
    async def metrics() -> PlainTextResponse:
        """Counters for Prometheus."""
        return PlainTextResponse(service.metrics.text(), media_type=CONTENT_TYPE)

    add_docs(app, limits.root_path)
    app.add_exception_handler(HTTPException, _say_error)
    app.add_exception_handler(RequestValidationError, _say_invalid)
    app.add_exception_handler(Exception, _say_failed)
    guard = Guard(app, limits, service.metrics, service.draining)
    return CrossOrigin(guard, limits.allowed_origins) if limits.allowed_origins else guard


async def _say_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status, headers = error.status_code, dict(error.headers or {})
    text = str(error.detail)
    if text == "Not Found":
        text = "there is no such address here: see /docs or /openapi.json"
    if status == 405:
        methods = headers.get("Allow") or headers.get("allow") or ""
        headers = {
            "Allow": methods.replace("GET", "GET, HEAD") if "HEAD" not in methods else methods
        }
        text = f"this address takes {headers['Allow']} only"
    return JSONResponse(failure(status, text), status, headers)


async def _say_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse(failure(400, f"{first['loc'][-1]}: {first['msg']}"), 400)


async def _say_failed(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(failure(500, SERVICE_FAILED), 500)
