"""Counters, gauges and histograms in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import bisect
import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Histogram:
    """How often a value was at most each bound."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> list[str]:
        """Its lines, bounds cumulated."""
        found, so_far = [], 0
        for bound, n in zip((*self.bounds, math.inf), self.counts, strict=True):
            so_far += n
            shown = "+Inf" if bound == math.inf else f"{bound:g}"
            found.append(f'{name}_bucket{{le="{shown}"}} {so_far}')
        return [*found, f"{name}_sum {self.total:.6f}", f"{name}_count {so_far}"]


class Metrics:
    """What the service counts; any thread may tell it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._images: Counter[str] = Counter({"predicted": 0, "unreadable": 0})
        self._seconds = Histogram(SECONDS)
        self._batches = Histogram(SIZES)
        self._in_flight = 0

    def begin(self) -> None:
        """A request came."""
        with self._lock:
            self._in_flight += 1

    def end(self, path: str, status: int, seconds: float) -> None:
        """A request was answered; `path` is one of the service's own or ``"other"``."""
        with self._lock:
            self._in_flight -= 1
            self._requests[path, status] += 1
            if path == "/predict" and status in (200, 422):
                self._seconds.add(seconds)

    def add_image(self, result: str) -> None:
        """An image was ``"predicted"`` or ``"unreadable"``."""
        with self._lock:
            self._images[result] += 1

    def add_batch(self, n: int) -> None:
        """A forward pass of `n` images."""
        with self._lock:
            self._batches.add(n)

    @property
    def n_requests(self) -> int:
        """Requests answered so far."""
        with self._lock:
            return sum(self._requests.values())

    def text(self, *, waiting: int) -> str:
        """All of it; `waiting` is the number of images that wait."""
        with self._lock:
            requests = [
                f'headstart_requests_total{{path="{path}",status="{status}"}} {n}'
                for (path, status), n in sorted(self._requests.items())
            ]
            images = [
                f'headstart_images_total{{result="{result}"}} {n}'
                for result, n in sorted(self._images.items())
            ]
            seconds = self._seconds.lines("headstart_predict_seconds")
            batches = self._batches.lines("headstart_batch_images")
            in_flight = self._in_flight
        parts = [
            _section("headstart_requests_total", "counter", "Requests answered.", requests),
            _section("headstart_images_total", "counter", "Images by what became of them.", images),
            _section(
                "headstart_predict_seconds",
                "histogram",
                "Seconds of answered predictions.",
                seconds,
            ),
            _section("headstart_batch_images", "histogram", "Images a forward pass.", batches),
            _gauge("headstart_requests_in_flight", "Requests being answered.", in_flight),
            _gauge("headstart_images_waiting", "Images taken and not answered yet.", waiting),
            _gauge("process_resident_memory_bytes", "Resident memory.", resident_bytes()),
        ]
        return "\n".join(part for part in parts if part) + "\n"


def _section(name: str, kind: str, meaning: str, lines: Sequence[str]) -> str:
    return "\n".join([f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *lines])


def _gauge(name: str, meaning: str, value: int | None) -> str:
    return "" if value is None else _section(name, "gauge", meaning, [f"{name} {value}"])


def resident_bytes() -> int | None:
    """Memory that the process holds; None where the system does not say it this way."""
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return 1024 * int(found[0]) if found else None
