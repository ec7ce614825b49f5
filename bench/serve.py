"""The prediction service under load, against ``predict`` in a loop and a plain FastAPI script."""

from __future__ import annotations

import http.client
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.harness import (
    ROOT,
    Row,
    Side,
    SideError,
    Skipped,
    clean_environment,
    compared,
    interleaved,
    measure_once,
    scratch,
    seconds_of,
)
from bench.images import make_images

TITLE = "The service under load"
PEER = (
    "`run.predict([path])` for one image after the other in one process, and one `run.predict(paths)` for "
    "all of them. The service answers clients that send one 500 x 375 JPEG a request and wait for the "
    "answer; they run on the same machine and share its cores. The small run is of the embedded "
    "network at 96 px. The plain service (`bench/peers/serve_plain.py`) is FastAPI and torch with the same "
    "classifier in TorchScript, one picture a call, asked by the same clients."
)
OVER_LOOP = 2.0
N_CLIENTS = 16
HEADSTART = str(Path(sys.executable).with_name("headstart"))
MEMORY = 1.1


def run(quick: bool) -> list[Row]:
    """Images a second, the 99th percentile, failures and memory."""
    try:
        from headstart.serve.server import need_packages

        need_packages()
    except Exception as error:
        raise Skipped(str(error)) from error
    with scratch() as folder:
        return measure(folder, quick=quick)


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """The service and the loop in turn, on the same images."""
    run_folder, cache = folder / "run", folder / "cache"
    paths = make_images(folder / "images", 128, n_classes=2, class_share=0.5)
    measure_once("small_run", images=str(folder / "images"), out=str(run_folder), cache=str(cache))
    n = 16 if quick else 64
    chosen = paths[:n]
    bodies = [path.read_bytes() for path in chosen]
    own = {"run": str(run_folder), "paths": [str(p) for p in chosen], "cache": str(cache)}
    model = folder / "model.pt"
    with (
        server(ours(run_folder), cache) as address,
        server(plain(run_folder, model, folder / "images", cache), cache) as peer,
        Side("predict_loop", **own) as loop,
    ):
        for each in (address, peer):
            load(each, bodies, 2 * len(bodies))  # first requests fill caches
        before = resident(address)
        sides: dict[str, Callable[[], dict[str, Any]]] = {
            "service": lambda: load(address, bodies, len(bodies) * (1 if quick else 4)),
            "plain": lambda: load(peer, bodies, len(bodies)),
            "loop": loop.measure,
            "whole": lambda: loop.measure("whole"),
        }
        found = interleaved(sides, 2 if quick else 5)
        after = resident(address)
    return rows(found, len(bodies), after / before, before, quick=quick)


def rows(
    found: dict[str, list[dict[str, Any]]],
    n_images: int,
    growth: float,
    before: float,
    *,
    quick: bool,
) -> list[Row]:
    """Seconds for the same number of images, and the slowest percent of answers."""
    seconds = [m["seconds"] * n_images / m["n"] for m in found["service"]]
    theirs = [m["seconds"] * n_images / m["n"] for m in found["plain"]]
    failed = sum(m["n_failed"] for m in found["service"])
    labels = {tuple(m["labels"]) for side in found.values() for m in side}
    check = f"{failed} failed requests; the same classes: {'yes' if len(labels) == 1 else 'no'}"
    shared: dict[str, Any] = {"check": check, "ok": failed == 0 and len(labels) == 1}
    clients = f"{N_CLIENTS} clients"
    p99 = [m["p99_s"] for m in found["service"]]
    call = [m["p99_s"] for m in found["loop"]]
    return [
        compared(
            f"{n_images} images, {clients}, against predict in a loop",
            seconds,
            seconds_of(found["loop"]),
            target=None if quick else OVER_LOOP,
            note=f"{n_images / statistics.median(seconds):.0f} images/s",
            **shared,
        ),
        compared(
            f"{n_images} images, {clients}, against FastAPI and torch as people write it",
            seconds,
            theirs,
            note=f"{n_images / statistics.median(theirs):.0f} images/s there",
            **shared,
        ),
        compared(
            f"{n_images} images, {clients}, against one predict of all",
            seconds,
            seconds_of(found["whole"]),
            note="one call sets the network up once, as the service does, and needs no HTTP",
            **shared,
        ),
        compared(
            f"99th percentile of an answer, {clients}, against one call of predict",
            p99,
            call,
            note=f"{1e3 * statistics.median(p99):.0f} ms under full load",
            **shared,
        ),
        Row(
            name="memory of the service after all of that over before",
            ratio=growth,
            better="lower",
            target=None if quick else MEMORY,
            check=check,
            ok=failed == 0,
            note=f"{before / 2**20:.0f} MiB before",
        ),
    ]


def ours(run_folder: Path) -> list[str]:
    """The command of our service."""
    return [HEADSTART, "serve", str(run_folder), "--port", "0", "--json"]


def plain(run_folder: Path, model: Path, images: Path, cache: Path) -> list[str]:
    """The command of the peer, for which the run's classifier is exported."""
    words = ["--to", "torchscript", "--images", str(images), "--n-check", "4", "--out", str(model)]
    made = subprocess.run(
        [HEADSTART, "export", str(run_folder), *words],
        env=clean_environment(HEADSTART_CACHE=str(cache)),
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise SideError("headstart export failed", made.stderr)
    return [sys.executable, str(ROOT / "bench" / "peers" / "serve_plain.py"), str(model)]


@contextmanager
def server(command: Sequence[str], cache: Path) -> Iterator[tuple[str, int]]:
    """A service that prints its address, stopped at the end."""
    process = subprocess.Popen(
        command,
        env=clean_environment(HEADSTART_CACHE=str(cache)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SideError("the service did not start", process.communicate()[1])
        split = urlsplit(json.loads(line)["url"])
        assert split.hostname
        assert split.port
        yield split.hostname, split.port
    finally:
        process.terminate()
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def load(address: tuple[str, int], bodies: Sequence[bytes], n: int) -> dict[str, Any]:
    """`n` requests by `N_CLIENTS` clients, each with a connection that it keeps."""
    seconds: list[float] = [0.0] * n
    labels: list[str | None] = [None] * n

    def client(first: int) -> int:
        connection = http.client.HTTPConnection(*address, timeout=120)
        n_failed = 0
        for i in range(first, n, N_CLIENTS):
            started = time.perf_counter()
            body = bodies[i % len(bodies)]
            connection.request("POST", "/predict", body, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            seconds[i] = time.perf_counter() - started
            if response.status == 200:
                labels[i] = answer["predictions"][0]["label"]
            else:
                n_failed += 1
        connection.close()
        return n_failed

    started = time.perf_counter()
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        n_failed = sum(pool.map(client, range(min(N_CLIENTS, n))))
    return {
        "seconds": time.perf_counter() - started,
        "n": n,
        "n_failed": n_failed,
        "p99_s": percentile(seconds),
        "labels": labels[: len(bodies)],
    }


def percentile(seconds: Sequence[float], share: float = 0.99) -> float:
    """The smallest value that at least `share` of them do not exceed."""
    ordered = sorted(seconds)
    return ordered[math.ceil(share * len(ordered)) - 1]


def resident(address: tuple[str, int]) -> float:
    """Bytes that the service holds, as it says itself."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    name = "process_resident_memory_bytes "
    return next(float(s.split()[1]) for s in text.splitlines() if s.startswith(name))
