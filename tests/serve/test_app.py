"""The service without a process: answers that are careful equal those of the run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headstart.runs.caution import Caution
from headstart.runs.predictor import Predictor
from headstart.runs.run import Run
from headstart.serve.app import Service, make_app
from headstart.serve.settings import ServeSettings
from headstart.serve.uploads import Upload


def test_predict__is_as_careful_as_the_run(run: Run, photos: Path, store: Path) -> None:
    caution = Caution(refuse_below=0.9999, label_sets=0.6, novelty=0.9)
    careful = run.careful(caution)
    predictor = Predictor(run.model, cache=store, reference=careful.reference)
    service = Service("light", predictor, ServeSettings(), careful)
    images = [photos / "dark" / "0.png", photos / "bright" / "1.png"]
    try:
        uploads = [Upload(name=p.name, data=p.read_bytes()) for p in images]
        answers = asyncio.run(service.predict(uploads, 2))
    finally:
        service.close()
    expected = run.predict(images, top=2, refuse_below=0.9999, label_sets=0.6, novelty=0.9)
    for answer, prediction in zip(answers, expected, strict=True):
        said = prediction.to_dict()
        assert answer["label"] == said["label"]
        assert bool(answer["refused"]) == bool(said["refused"])
        assert answer["labels"] == said["labels"]
        assert answer["novelty"] == pytest.approx(said["novelty"], abs=0.1)
        assert set(answer) == set(said)


def test_app__a_fault_of_ours_has_the_form_of_other_errors(
    run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    predictor = Predictor(run.model, cache=store)
    monkeypatch.setattr(predictor, "compared", lambda cuts: 1 / 0)
    service = Service("light", predictor, ServeSettings())
    sent: list[Any] = []
    body = (photos / "dark" / "0.png").read_bytes()

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        await make_app(service)(scope, receive, send)

    headers = [(b"host", b"localhost"), (b"content-type", b"image/png")]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": headers,
    }
    scope |= {"query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1"}
    try:
        asyncio.run(ask())
    finally:
        service.close()
    answer = json.loads(b"".join(m.get("body", b"") for m in sent))
    assert (sent[0]["status"], answer) == (
        500,
        {"error": "the service failed at this request", "status": 500},
    )
    assert "ZeroDivisionError" in caplog.text
