"""A small run, and real servers in processes of their own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import headstart
from headstart.backbones import load
from headstart.cli.app import run as run_command
from headstart.runs.run import Run

ARCH = "timm:test_efficientnet"
COMMAND = "from headstart.cli import main; main()"


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks a server at a URL, one connection a request."""

    def __init__(self, url: str) -> None:
        self.url = url
        split = urlsplit(url)
        assert split.hostname
        assert split.port
        self.address = (split.hostname, split.port)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {k.lower(): v for k, v in response.getheaders()}
            return Answer(response.status, response.read(), found)
        finally:
            connection.close()

    def predict(
        self, *files: Path | tuple[str, bytes], path: str = "/predict", **headers: str
    ) -> Answer:
        """Send files as a form."""
        body, kind = form(*files)
        return self.ask("POST", path, body, Content_Type=kind, **headers)


def form(*files: Path | tuple[str, bytes]) -> tuple[bytes, str]:
    """A multipart form and its content type."""
    boundary = uuid.uuid4().hex
    parts = []
    for file in files:
        name, data = file if isinstance(file, tuple) else (file.name, file.read_bytes())
        head = f'Content-Disposition: form-data; name="images"; filename="{name}"'
        parts.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


@contextmanager
def process(run: Path, *words: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """``headstart serve``, killed at the end if it still runs."""
    started = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", str(run), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


def ready(started: subprocess.Popen[str]) -> Client:
    """Wait for the line that says where it listens."""
    assert started.stdout is not None
    line = started.stdout.readline()
    if not line:
        assert started.stderr is not None
        raise AssertionError(started.stderr.read())
    return Client(json.loads(line)["url"])


def stop(started: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Exit code and standard error after a signal."""
    started.send_signal(number)
    _, err = started.communicate(timeout=60)
    return started.returncode, err


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, bright and dark."""
    root = tmp_path_factory.mktemp("data") / "light"
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("bright", 190)):
        (root / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.normal(level, 25, (48, 64, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def run(photos: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    weights = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(load(ARCH, pretrained=False, seed=1).module.state_dict(), weights)
    return headstart.fit(
        photos,
        out=tmp_path_factory.mktemp("runs") / "light",
        cache=store,
        weights=str(weights),
        arch=ARCH,
        resolutions=(64,),
        Cs=(1.0, 100.0),
        n_folds=3,
        precision="float32",
    )


@pytest.fixture(scope="session")
def server(run: Run, store: Path) -> Iterator[Client]:
    """One server with small limits, for all tests that leave it alive.

    The folder of another program's metrics, which does not exist, is left out.
    """
    words = ("--port", 0, "--json", "--max-mb", 0.5, "--max-images", 25, "--timeout", 5)
    limits = ("--max-megapixels", 1, "--max-waiting", 500)
    other = {"PROMETHEUS_MULTIPROC_DIR": "/none/of-another-program"}
    with process(run.folder, *words, *limits, HEADSTART_CACHE=str(store), **other) as started:
        client = ready(started)
        yield client
        assert client.ask("GET", "/health").status == 200, "a test took the server down"
        assert stop(started) == (0, "")


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail as bad input does: exit code 2 and one line."""

    def call(*words: object) -> str:
        assert run_command([str(w) for w in words]) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        return str(line)

    return call


@pytest.fixture(scope="session")
def start() -> Callable[..., Any]:
    """``start(run, options...)``: a server process."""
    return process


@pytest.fixture(scope="session")
def ends() -> Any:
    """``ends(process, signal)``: exit code and standard error."""
    return stop


@pytest.fixture(scope="session")
def is_ready() -> Any:
    """``is_ready(process)``: a client, once it answers."""
    return ready


@pytest.fixture(scope="session")
def as_form() -> Any:
    """``as_form(files)``: body and content type."""
    return form
