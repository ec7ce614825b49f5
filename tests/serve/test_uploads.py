"""JSON bodies: what is refused costs little, and nothing is parsed where health checks are answered."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from headstart.serve.uploads import Upload, read_uploads

MIB = 2**20


def read(body: bytes, noun: str = "image", max_images: int = 4) -> list[Upload]:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"application/json")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with ThreadPoolExecutor(1) as pool:
        return asyncio.run(
            read_uploads(request, noun, max_images=max_images, max_bytes=32 * MIB, executor=pool)
        )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"images":[' + b"[]," * (MIB // 3) + b"[]]}", 400),
        (b'{"images":[' + b"[" * MIB, 400),
        (b'{"images":["a",' + b"1," * (MIB // 2) + b"1]}", 400),
        (b'{"images":[' + b'"ab",' * (MIB // 5) + b'"ab"]}', 413),
        (b'{"images":[' + b'"\\\\",' * (MIB // 5) + b'"ab"]}', 413),
        (b'{"images":["a"],"more":[' + b"[]," * (MIB // 3) + b"[]]}", None),
    ],
)
def test_read_uploads__hostile_json_takes_no_more_memory_than_its_body(
    body: bytes, status: int | None
) -> None:
    read(b'{"images": ["aGk="]}')  # imports
    tracemalloc.start()
    try:
        if status is None:
            assert len(read(body)) == 1
        else:
            with pytest.raises(HTTPException) as caught:
                read(body)
            assert caught.value.status_code == status
        assert tracemalloc.get_traced_memory()[1] < 3 * len(body)
    finally:
        tracemalloc.stop()


def test_read_uploads__parses_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    decode = base64.b64decode

    def note(*args: Any, **named: Any) -> bytes:
        threads.append(threading.current_thread())
        return decode(*args, **named)

    monkeypatch.setattr("headstart.serve.uploads.base64.b64decode", note)
    read(b'{"images": ["aGk="]}')
    assert threads[0] is not threading.main_thread()


def test_read_uploads__white_space_in_base64_and_other_fields_are_ignored() -> None:
    sent = json.dumps({"id": [7], "images": ["aG\t k=\r\n", "data:image/png;base64, a G k =", "é"]})
    for body in (sent.encode(), b"\xef\xbb\xbf" + sent.encode()):
        first, second, wrong = read(body)
        assert first.data == second.data == b"hi"
        assert wrong.error == "not base64: é"


def test_read_uploads__quotation_marks_in_texts_are_not_counted() -> None:
    texts = ['""""""', "\\", '\\"\\', "naïve"]
    found = read(json.dumps({"texts": texts}).encode(), "text")
    assert [upload.data.decode() for upload in found] == texts
