"""The service of a run on texts: the answers of `predict_texts`, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from headstart.runs.run import Run

TEXTS = ["a warm and funny film", "dull, slow, tired", "the plot is not cold"]


@pytest.fixture(scope="module")
def server(text_run: Run, start: Any, is_ready: Any) -> Iterator[Any]:
    with start(text_run.folder, "--port", 0, "--json", "--max-images", 4) as started:
        yield is_ready(started)


def ask(server: Any, value: Any) -> Any:
    return server.ask(
        "POST", "/predict", json.dumps(value).encode(), Content_Type="application/json"
    )


def test_predict__says_what_the_run_says_in_every_form(
    server: Any, text_run: Run, as_form: Any
) -> None:
    assert "encoder" in text_run.metrics.chosen.tap
    wanted = [p.top for p in text_run.predict_texts(TEXTS)]
    body, kind = as_form(*((f"{i}.txt", text.encode()) for i, text in enumerate(TEXTS)))
    answers = [
        ask(server, {"texts": TEXTS}).json["predictions"],
        server.ask("POST", "/predict", body, Content_Type=kind).json["predictions"],
        [
            server.ask("POST", "/predict", t.encode(), Content_Type="text/plain").json[
                "predictions"
            ][0]
            for t in TEXTS
        ],
    ]
    for found in answers:
        for mine, theirs in zip(found, wanted, strict=True):
            assert mine["error"] is None
            for shown, (label, p) in zip(mine["top"], theirs, strict=True):
                assert shown == {"label": label, "probability": pytest.approx(p, abs=1e-3)}
    assert server.ask("GET", "/").json["takes"] == "texts"


def test_predict__what_is_not_a_text_has_its_error(server: Any) -> None:
    found = ask(server, {"texts": ["", "a film", "x" * 100_001]})
    errors = [p["error"] for p in found.json["predictions"]]
    assert found.status == 200
    assert errors[1] is None
    assert "empty" in errors[0]
    assert "100,001 characters" in errors[2]
    answer = server.ask("POST", "/predict", b"\xff\xfe", Content_Type="text/plain")
    assert answer.status == 422
    assert "UTF-8" in answer.json["predictions"][0]["error"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b'{"texts": []}', "application/json", 400),
        (b'{"texts": [1]}', "application/json", 400),
        (b'{"texts": "a film"}', "application/json", 400),
        (b"[" * 5000, "application/json", 400),
        (b'{"texts": ["a", "b", "c", "d", "e"]}', "application/json", 413),
        (b"x", "image/png", 415),
        (b"", "text/plain", 400),
    ],
)
def test_predict__bad_requests_are_told(server: Any, body: bytes, kind: str, status: int) -> None:
    answer = server.ask("POST", "/predict", body, Content_Type=kind)
    assert answer.status == status
    assert "image" not in answer.json["error"]
