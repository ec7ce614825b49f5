"""A real server asked by real sockets: right answers, bad input, overload, hanging clients, its end."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.cli.serve import curl_line
from headstart.runs.run import Run
from headstart.runs.sums import write_sums

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = ROOT / "schemathesis.toml"


def bomb(side: int = 30_000) -> bytes:
    """A PNG of some hundred bytes that says it has 900 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def counter(server: Any, name: str) -> float:
    """A value of /metrics."""
    text = server.ask("GET", "/metrics").body.decode()
    [line] = [line for line in text.splitlines() if line.startswith(name + " ")]
    return float(line.split()[1])


def test_predict__says_what_the_run_says(
    server: Any, run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(store))
    files = sorted(photos.glob("*/*.png"))
    answer = server.predict(*files)
    assert answer.status == 200
    found = answer.json["predictions"]
    assert [p["name"] for p in found] == [f.name for f in files]
    for mine, theirs in zip(found, run.predict(files), strict=True):
        assert mine["label"] == theirs.label
        assert mine["error"] is None
        for (label, p), shown in zip(theirs.top, mine["top"], strict=True):
            assert shown == {"label": label, "probability": pytest.approx(p, abs=1e-4)}


def test_predict__bytes_alone(server: Any, photos: Path) -> None:
    data = (photos / "dark" / "0.png").read_bytes()
    by_form = server.predict(photos / "dark" / "0.png").json["predictions"][0]
    for kind in ("image/png", "application/octet-stream", "image/jpeg; q=1"):
        [found] = server.ask("POST", "/predict?top=1", data, Content_Type=kind).json["predictions"]
        assert found["top"] == by_form["top"][:1]
        assert found["name"] == "image"


def test_predict__an_unreadable_file_is_told_and_the_rest_done(server: Any, photos: Path) -> None:
    good = photos / "dark" / "1.png"
    answer = server.predict(
        ("text.png", b"Dear diary"), good, ("bomb.png", bomb()), ("no.jpg", b"")
    )
    assert answer.status == 200
    text, right, large, empty = answer.json["predictions"]
    assert text["error"] == "not an image: it holds text"
    assert right["label"] in ("dark", "bright")
    assert (
        large["error"] == "too large: 900,000,000 pixels; the limit is 1,000,000: save it smaller"
    )
    assert empty["error"] == "empty file (0 bytes)"
    answer = server.predict(("text.png", b"Dear diary"))
    assert answer.status == 422
    assert answer.json["predictions"][0]["label"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status", "says"),
    [
        ("POST", "/predict", b"", "image/png", 400, "empty"),
        ("POST", "/predict", b"{}", "application/json", 400, 'must be {"images": ['),
        ("POST", "/predict", b"[]", "application/json", 400, 'must be {"images": ['),
        ("POST", "/predict", b'{"images": "x"}', "application/json", 400, 'must be {"images": ['),
        ("POST", "/predict", b'{"images": [1]}', "application/json", 400, 'must be {"images": ['),
        ("POST", "/predict", b'{"images": ["%"]}', "application/json", 422, "not base64: %"),
        ("POST", "/predict", b'{"images": ["aGk="]}', "application/json", 422, "not an image"),
        ("POST", "/predict", b"x", "application/xml", 415, "multipart/form-data"),
        ("POST", "/predict", b"nonsense", "multipart/form-data; boundary=x", 400, "form"),
        ("POST", "/predict", b"nonsense", "multipart/form-data", 400, "form"),
        ("POST", "/predict?top=0", b"x", "image/png", 400, "top: "),
        ("GET", "/predict", None, "", 405, "takes POST only"),
        ("HEAD", "/predict", None, "", 405, ""),
        ("POST", "/health", None, "", 405, "takes GET, HEAD only"),
        ("POST", "/readyz/", None, "", 404, "no such address"),
        ("GET", "/../../etc/passwd", None, "", 404, "no such address"),
        ("GET", "/docs/../../secret", None, "", 404, "no such address"),
    ],
)
def test_bad_requests__are_told(
    server: Any, method: str, path: str, body: bytes | None, kind: str, status: int, says: str
) -> None:
    answer = server.ask(method, path, body, Content_Type=kind)
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    if status == 405:
        assert says.startswith(f"takes {answer.headers['allow']}") or method == "HEAD"
    if method != "HEAD":
        assert says in answer.json["error"]
        assert answer.json["status"] == status


def test_head__is_get_without_a_body(server: Any) -> None:
    for path in ("/", "/health", "/livez", "/readyz", "/metrics", "/openapi.json"):
        got, head = server.ask("GET", path), server.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]


def test_predict__images_in_json(server: Any, photos: Path) -> None:
    data = (photos / "dark" / "0.png").read_bytes()
    [expected] = server.predict(photos / "dark" / "0.png").json["predictions"]
    encoded = base64.b64encode(data).decode()
    wrapped = "\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76))
    sent = [encoded, f"data:image/png;base64,{encoded}", wrapped, "no base64!"]
    body = json.dumps({"images": sent}).encode()
    answer = server.ask("POST", "/predict", body, Content_Type="application/json; charset=utf-8")
    assert answer.status == 200
    *read, wrong = answer.json["predictions"]
    assert [p["name"] for p in read] == ["image 1", "image 2", "image 3"]
    assert {p["label"] for p in read} == {expected["label"]}
    assert wrong["error"] == "not base64: no base64!"
    many = json.dumps({"images": [encoded[:8]] * 26}).encode()
    assert server.ask("POST", "/predict", many, Content_Type="application/json").status == 413


def test_curl_line__is_answered(server: Any, photos: Path, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    shutil.copy(next(photos.glob("*/*.png")), tmp_path / "picture.jpg")
    words = shlex.split(curl_line(server.url, is_texts=False, has_token=False))
    done = subprocess.run([*words, "-s"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    [said] = json.loads(done.stdout)["predictions"]
    assert (said["name"], said["error"]) == ("picture.jpg", None)
    anywhere = curl_line("http://0.0.0.0:8000", is_texts=False, has_token=False)
    assert anywhere.endswith(" http://127.0.0.1:8000/predict")  # an address to ask, on any system
    assert "Bearer $TOKEN" in curl_line("http://a", is_texts=True, has_token=True)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("sh")), reason="needs curl and sh")
def test_curl_lines_of_the_guide__take_a_photograph(server: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    for name in ("beach.jpg", "kitchen.jpg"):
        Image.fromarray(pixels).save(tmp_path / name, quality=95)
    assert (tmp_path / "beach.jpg").stat().st_size > 98_304  # in base64 too long for an argument
    page = (ROOT / "docs" / "serve.md").read_text("utf-8")
    [block] = [b for b in re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S) if "base64" in b]
    lines = block.replace("http://127.0.0.1:8123", server.url).replace("|\n", "|").splitlines()
    labels = []
    for line in lines:
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, timeout=60)
        labels.append([p["label"] for p in json.loads(done.stdout)["predictions"]])
    assert labels == [[labels[0][0]] * 2, labels[0][:1], labels[0][:1]]
    assert labels[0][0] in ("dark", "bright")


def test_openapi__schemathesis_finds_nothing(server: Any, tmp_path: Path) -> None:
    """Answers of every address against the document, and requests that it does not allow."""
    pytest.importorskip("schemathesis")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(SCHEMATHESIS)]
    options = ["--max-examples", "3", "--seed", "1", "--no-color", "--workers", "1"]
    done = subprocess.run(
        [*command, "run", f"{server.url}/openapi.json", *options],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout


def test_docs__work_without_a_network(server: Any) -> None:
    """Swagger UI in a browser that reaches nothing but the service."""
    pytest.importorskip("fastapi_offline")
    playwright = pytest.importorskip("playwright.sync_api")
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        pytest.skip("there is no Chromium here")
    asked: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        troubles: list[str] = []
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(f"{server.url}/docs")
        page.locator("#operations-default-predict").wait_for(timeout=20_000)
        page.locator("#operations-default-readyz").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        page.locator(".live-responses-table").get_by_text('"ready"').first.wait_for(timeout=20_000)
        browser.close()
    assert troubles == []
    assert all(url.startswith((server.url, "data:")) for url in asked)


def test_predict__too_many_images(server: Any) -> None:
    answer = server.predict(*[(f"{i}.png", b"x") for i in range(26)])
    assert (answer.status, answer.json["error"]) == (413, "a request may hold 25 images at most")


def test_predict__a_text_field_is_told(server: Any) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="url"\r\n\r\nhttp://a\r\n--x--\r\n'
    answer = server.ask("POST", "/predict", body, Content_Type="multipart/form-data; boundary=x")
    assert (answer.status, "send each image as a file" in answer.json["error"]) == (400, True)


def test_predict__a_thin_image_of_a_few_bytes_is_taken(server: Any) -> None:
    held = io.BytesIO()
    Image.new("L", (1, 1_000_000), 7).save(held, "PNG")
    start = time.monotonic()
    answer = server.predict(("tall.png", held.getvalue()))
    assert answer.status == 200
    assert answer.json["predictions"][0]["error"] is None
    assert time.monotonic() - start < 20


def test_predict__a_bomb_alone_is_unprocessable(server: Any) -> None:
    for data in (bomb(), b"P6 60000 60000 255\n"):
        answer = server.predict(("bomb", data))
        assert answer.status == 422
        assert "too large" in answer.json["predictions"][0]["error"]


def test_predict__two_gigabytes_are_refused_by_their_header(server: Any) -> None:
    with socket.create_connection(server.address, timeout=10) as sock:
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        sock.sendall(f"{head}Content-Length: {2 * 2**30}\r\n\r\n".encode())
        started = time.monotonic()
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 524,288 bytes" in answer
    assert time.monotonic() - started < 5


def test_predict__an_endless_body_is_cut_off(server: Any) -> None:
    with socket.create_connection(server.address, timeout=10) as sock:
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        assert send_until_closed(sock, limit=2**31) < 2**30


def send_until_closed(sock: socket.socket, limit: int) -> int:
    """Send chunks; how many bytes were taken."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < limit:
            sock.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
            sent += 2**16
    return sent


def read_all(sock: socket.socket) -> bytes:
    """Until the other side closes."""
    found = b""
    while piece := sock.recv(65536):
        found += piece
    return found


def test_predict__chunked_and_a_little_too_large_sees_the_answer(server: Any) -> None:
    with socket.create_connection(server.address, timeout=10) as sock:
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(10):
            sock.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 413 ")


def test_predict__twenty_requests_at_once_share_passes(server: Any, photos: Path) -> None:
    files = sorted(photos.glob("*/*.png"))
    expected = {f: server.predict(f).json["predictions"][0] for f in files}
    before = counter(server, "headstart_batch_images_count")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda i: server.predict(files[i % 16], files[-1]), range(20)))
    passes = counter(server, "headstart_batch_images_count") - before
    for i, answer in enumerate(answers):
        assert answer.status == 200
        first, second = answer.json["predictions"]
        for found, file in ((first, files[i % 16]), (second, files[-1])):
            assert found["label"] == expected[file]["label"]
            assert found["top"][0]["probability"] == pytest.approx(
                expected[file]["top"][0]["probability"], abs=1e-5
            )
    assert passes <= 40
    assert counter(server, "headstart_images_waiting") == 0


@pytest.mark.parametrize("whole", [True, False])
def test_hanging_clients__do_not_hold_others_up(server: Any, photos: Path, whole: bool) -> None:
    """Headers without a body, and half of the headers; sixty at once."""
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    text = head + "Content-Length: 1000\r\n\r\nabc" if whole else head
    socks = [socket.create_connection(server.address, timeout=30) for _ in range(60)]
    try:
        for sock in socks:
            sock.sendall(text.encode())
        started = time.monotonic()
        assert server.predict(photos / "dark" / "0.png").status == 200
        assert time.monotonic() - started < 4
        answers = [read_all(sock) for sock in socks]
        assert time.monotonic() - started < 20
    finally:
        for sock in socks:
            sock.close()
    if whole:
        assert all(a.startswith(b"HTTP/1.1 408 ") for a in answers)
        assert b"did not arrive within 5 s" in answers[0]
    else:
        assert answers == [b""] * 60


def test_client__that_leaves_costs_nothing(server: Any, photos: Path) -> None:
    data = (photos / "dark" / "0.png").read_bytes()
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {len(data)}\r\n\r\n"
    for part in (data, data[:50]):
        with socket.create_connection(server.address) as sock:
            sock.sendall(head.encode() + part)
    assert server.predict(photos / "dark" / "0.png").status == 200


def test_garbage__is_no_request(server: Any) -> None:
    with socket.create_connection(server.address, timeout=10) as sock:
        sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 400
    assert server.ask("GET", "/health").json["status"] == "ok"


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 421), ("", 421)],
)
def test_host__names_that_are_not_ours_are_refused(server: Any, host: str, status: int) -> None:
    with socket.create_connection(server.address, timeout=10) as sock:
        sock.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert read_all(sock).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("length", ["-1", "+5", "9" * 30, "9" * 5000, "0x10", "1_0", "\u0663"])
def test_length__that_is_none_or_too_large_is_refused_by_the_guard(length: str) -> None:
    """Whatever stands before the guard lets through."""
    import asyncio

    from headstart.serve.guard import Guard
    from headstart.serve.metrics import Metrics
    from headstart.serve.settings import ServeSettings

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", length.encode("utf-8"))]
    scope = {"type": "http", "path": "/predict", "headers": headers}
    asyncio.run(Guard(None, ServeSettings(), Metrics())(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413


def test_guard__health_checks_do_not_count_as_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many open health checks as there may be requests, and a request beside them."""
    import asyncio

    from headstart.serve.guard import Guard
    from headstart.serve.metrics import Metrics
    from headstart.serve.settings import ServeSettings

    monkeypatch.setattr("headstart.serve.guard.MAX_REQUESTS", 1)
    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def ask() -> None:
        is_over = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/":
                await is_over.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        guard = Guard(app, ServeSettings(), Metrics())
        scopes = [
            {"type": "http", "path": path, "headers": [(b"host", b"localhost")]}
            for path in ("/livez", "/readyz", "/health", "/")
        ]
        *health, request = [asyncio.create_task(guard(s, receive, send)) for s in scopes]
        await request
        assert statuses == [200]
        is_over.set()
        await asyncio.gather(*health)

    asyncio.run(ask())
    assert statuses == [200] * 4


def test_origin__pages_of_other_sites_are_refused(server: Any, photos: Path) -> None:
    image = photos / "dark" / "0.png"
    assert server.predict(image, Origin="https://evil.example").status == 403
    assert server.predict(image, Origin=server.url).status == 200


def test_metrics__are_what_prometheus_reads(server: Any, photos: Path) -> None:
    server.predict(photos / "dark" / "0.png")
    answer = server.ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.body.decode().splitlines()
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+]+')
    for line in lines:
        assert line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line), line
    assert 'headstart_requests_total{path="/predict",status="200"}' in answer.body.decode()
    buckets = [line for line in lines if line.startswith("headstart_predict_seconds_bucket")]
    values = [float(line.split()[-1]) for line in buckets]
    assert values == sorted(values)
    assert counter(server, "headstart_predict_seconds_count") == values[-1] > 0
    assert counter(server, "process_resident_memory_bytes") > 1e7


def test_openapi__names_both_kinds_of_body(server: Any) -> None:
    paths = server.ask("GET", "/openapi.json").json["paths"]
    assert {"/predict", "/health", "/livez", "/readyz", "/metrics"} <= set(paths)
    content = paths["/predict"]["post"]["requestBody"]["content"]
    assert set(content) == {
        "multipart/form-data",
        "application/json",
        "application/octet-stream",
        "image/*",
    }
    about = server.ask("GET", "/").json
    assert about["classes"] == ["bright", "dark"]
    assert about["limits"]["max_images"] == 25


def test_token__is_asked_for_and_a_signal_lets_requests_end(
    start: Callable[..., Any],
    is_ready: Any,
    ends: Any,
    run: Run,
    store: Path,
    photos: Path,
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_text("secret-token-1\n")
    words = ("--port", 0, "--json", "--token-file", token, "--drain", 1)
    proxied = ("--root-path", "/models/light", "--allow-origin", "https://app.example")
    with start(run.folder, *words, *proxied, HEADSTART_CACHE=str(store)) as process:
        client = is_ready(process)
        image = photos / "bright" / "0.png"
        _check_cross_origin(client)
        _check_root_path(client)
        for given in ("", "Bearer", "Bearer secret-token-2", "Basic secret-token-1", "Bearer é"):
            refused = client.predict(image, Authorization=given.encode().decode("latin-1"))
            assert refused.status == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        assert client.ask("GET", "/metrics").status == 401
        for path in ("/health", "/livez", "/readyz", "/openapi.json"):
            assert client.ask("GET", path).status == 200
        assert client.predict(image, Authorization="Bearer secret-token-1").status == 200
        # A request whose body is on its way when the signal comes is answered.
        data = image.read_bytes()
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        head += f"Authorization: Bearer secret-token-1\r\nContent-Length: {len(data)}\r\n\r\n"
        with socket.create_connection(client.address, timeout=10) as sock:
            sock.sendall(head.encode() + data[:100])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            # Balancers are told, and are given a second in which requests are still accepted.
            assert client.ask("GET", "/readyz").status == 503
            assert client.ask("GET", "/livez").headers["connection"] == "close"
            late = client.predict(image, Authorization="Bearer secret-token-1")
            assert late.status == 200
            time.sleep(1.0)
            late = client.predict(image, Authorization="Bearer secret-token-1")
            assert (late.status, late.json["error"]) == (503, "the service is stopping: try again")
            sock.sendall(data[100:])
            assert read_all(sock).startswith(b"HTTP/1.1 200 ")
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""


def _check_cross_origin(client: Any) -> None:
    """Pages of the allowed site may ask, and read refusals too; others may not."""
    ours, other = "https://app.example", "https://evil.example"
    wanted = {
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "authorization",
    }
    asked = client.ask("OPTIONS", "/predict", Origin=ours, **wanted)
    assert asked.status == 200
    assert asked.headers["access-control-allow-origin"] == ours
    refused = client.ask("OPTIONS", "/predict", Origin=other, **wanted)
    assert (refused.status, refused.json["status"]) == (400, 400)
    denied = client.ask("GET", "/metrics", Origin=ours)
    assert denied.status == 401
    assert denied.headers["access-control-allow-origin"] == ours
    assert client.ask("GET", "/health", Origin=other).status == 403


def _check_root_path(client: Any) -> None:
    """Whether or not the proxy leaves the prefix in the path."""
    for path in ("/models/light/readyz", "/readyz"):
        assert client.ask("GET", path).json == {"status": "ready"}
    assert client.ask("GET", "/models/lightning").status == 401
    document = client.ask("GET", "/models/light/openapi.json").json
    assert document["servers"] == [{"url": "/models/light"}]
    assert "security" in document["paths"]["/predict"]["post"]


@pytest.mark.slow
def test_workers__share_port_and_metrics_and_are_replaced(
    start: Callable[..., Any], is_ready: Any, run: Run, store: Path, photos: Path
) -> None:
    words = ("--port", 0, "--json", "--workers", 2)
    with start(run.folder, *words, HEADSTART_CACHE=str(store)) as process:
        client = is_ready(process)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: client.predict(photos / "dark" / "0.png"), range(40)))
        assert {answer.status for answer in found} == {200}
        name = 'headstart_requests_total{path="/predict",status="200"}'
        assert {counter(client, name) for _ in range(10)} == {40}
        assert counter(client, 'headstart_images_total{result="predicted"}') == 40
        assert counter(client, "headstart_images_waiting") == 0
        children = _children(process.pid)
        workers = [child for child in children if "spawn_main" in child[1]]
        assert len(workers) == 2, children
        os.kill(workers[0][0], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            now = {pid for pid, words in _children(process.pid) if "spawn_main" in words}
            if len(now) == 2 and workers[0][0] not in now:
                break
            time.sleep(0.2)
        assert client.predict(photos / "dark" / "0.png").status == 200
        assert counter(client, name) == 41
        # A signal to the process group reaches the workers, and the supervisor hands it on.
        data = (photos / "dark" / "0.png").read_bytes()
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        with socket.create_connection(client.address, timeout=10) as sock:
            sock.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[:100])
            time.sleep(0.3)
            for pid in (*now, process.pid):
                os.kill(pid, signal.SIGTERM)
            time.sleep(1.5)
            sock.sendall(data[100:])
            assert read_all(sock).startswith(b"HTTP/1.1 200 ")
        assert process.wait(timeout=60) == 0
        assert re.fullmatch(
            r"headstart: warning: worker [01] ended with exit code -9 and is started again\n",
            process.stderr.read(),
        )


@pytest.mark.slow
def test_workers__end_at_once_after_ctrl_c(
    start: Callable[..., Any], is_ready: Any, ends: Any, run: Run, store: Path
) -> None:
    words = ("--port", 0, "--json", "--workers", 2, "--drain", 50)
    with start(run.folder, *words, HEADSTART_CACHE=str(store)) as process:
        is_ready(process)
        began = time.monotonic()
        assert ends(process, signal.SIGINT) == (0, "")
        assert time.monotonic() - began < 40


def test_dockerfile__the_health_check_is_of_the_command(server: Any, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "Dockerfile").read_text()
    [words] = re.findall(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", text)
    _, option, code = json.loads(words)
    command = tmp_path / "cmdline"
    code = code.replace("/proc/1/cmdline", str(command))
    port = server.address[1]
    for given, is_healthy in (
        (f"serve /run/model --port {port}", True),
        (f"serve /run/model --port={port} --host 0.0.0.0", True),
        ("serve /run/model --port 1", False),
        ("fit photos", True),
    ):
        command.write_bytes(b"python\0headstart\0" + given.replace(" ", "\0").encode() + b"\0")
        done = subprocess.run([sys.executable, option, code], capture_output=True)
        assert (done.returncode == 0) == is_healthy, (given, done.stderr)


def _children(pid: int) -> list[tuple[int, str]]:
    """Process ids and command lines of the processes that one started."""
    listed = subprocess.run(
        ["ps", "--ppid", str(pid), "-ww", "-o", "pid=,args="], capture_output=True, text=True
    )
    lines = [line.split(None, 1) for line in listed.stdout.splitlines()]
    return [(int(number), words) for number, words in lines]


def test_port_in_use_and_other_bad_starts__are_one_line(
    server: Any, fails: Callable[..., str], run: Run, tmp_path: Path
) -> None:
    port = server.address[1]
    assert fails("serve", run.folder, "--port", port) == (
        f"headstart: port {port} of 127.0.0.1 is in use: choose another --port (0 takes a free one)"
    )
    assert "from 0 to 65535" in fails("serve", run.folder, "--port", 99999)
    assert "not an address of this machine" in fails("serve", run.folder, "--host", "192.0.2.1")
    assert "not an address of this machine" in fails("serve", run.folder, "--host", "no such.host")
    assert "--timeout must be above 0" in fails("serve", run.folder, "--timeout", "nan")
    assert "a full request would never be taken" in fails(
        "serve", run.folder, "--max-waiting", 3, "--max-images", 4
    )
    assert "--workers must be from 1 to 64, got 0" in fails("serve", run.folder, "--workers", 0)
    assert "--drain must be 0 or more" in fails("serve", run.folder, "--drain", -1)
    for path in ("models", "/a b", "/<b>", "/a?b"):
        assert "--root-path takes a path" in fails("serve", run.folder, "--root-path", path)
    for origin in ("app.example", "https://a.b/c", "javascript:1", "null", "https://:443"):
        assert f"got {origin}" in fails("serve", run.folder, "--allow-origin", origin)
    (tmp_path / "token").write_text("short")
    assert "8 or more" in fails("serve", run.folder, "--token-file", tmp_path / "token")
    assert "cannot read --token-file" in fails("serve", run.folder, "--token-file", tmp_path)
    newer = tmp_path / "newer"
    shutil.copytree(run.folder, newer)
    facts = json.loads((newer / "model" / "model.json").read_text())
    (newer / "model" / "model.json").write_text(json.dumps(facts | {"schema": 99}))
    write_sums(newer)  # else the change itself is reported
    assert "written by a newer Headstart (schema 99" in fails("serve", newer)
    assert "no such run folder" in fails("serve", tmp_path / "none")


@contextlib.contextmanager
def held_open(address: tuple[str, int], n: int, sent: bytes) -> Iterator[None]:
    """``n`` connections that have sent something and send nothing more."""
    with contextlib.ExitStack() as stack:
        for _ in range(n):
            one = stack.enter_context(socket.create_connection(address, timeout=30))
            with contextlib.suppress(OSError):  # the oldest are closed meanwhile
                one.sendall(sent)
        yield


SLOW = {
    "nothing": b"",
    "half a header": b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    "half a body": b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
    b"Content-Length: 1000\r\n\r\nabc",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
def test_health__answers_beside_hundreds_of_slow_connections(
    run: Run, store: Path, start: Any, ends: Any, is_ready: Any, photos: Path, sent: bytes
) -> None:
    words = ("--port", 0, "--json", "--timeout", 60)
    with start(run.folder, *words, HEADSTART_CACHE=str(store)) as process:
        client = is_ready(process)
        with held_open(client.address, 600, sent):
            began = time.monotonic()
            found = [client.ask("GET", "/health").status for _ in range(20)]
            assert found == [200] * 20
            # No time-out was waited for: headers have 10 s, and a request a minute.
            assert time.monotonic() - began < 9
            answer = client.predict(photos / "dark" / "0.png")
            assert answer.status == (503 if b"abc" in sent else 200)
        assert ends(process)[0] == 0


def test_health__answers_while_the_queue_is_full(
    run: Run, store: Path, start: Any, ends: Any, is_ready: Any, photos: Path
) -> None:
    words = ("--port", 0, "--json", "--max-waiting", 4, "--max-images", 4)
    picture = (photos / "dark" / "0.png").read_bytes()
    with start(run.folder, *words, HEADSTART_CACHE=str(store)) as process:
        client = is_ready(process)
        is_over = threading.Event()
        statuses: list[int] = []

        def press() -> None:
            while not is_over.is_set():
                answer = client.ask("POST", "/predict", picture, content_type="image/png")
                statuses.append(answer.status)

        threads = [threading.Thread(target=press) for _ in range(12)]
        for thread in threads:
            thread.start()
        try:
            healthy = [client.ask("GET", "/health").status for _ in range(40)]
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        assert set(healthy) == {200}
        assert set(statuses) <= {200, 503}
        assert ends(process)[0] == 0
