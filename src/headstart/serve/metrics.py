"""The metrics of the service, for Prometheus.

Each worker of a service with several writes its values to a file in a common folder, and any of them
answers with the sums.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """Metrics of one service in its own registry; thread-safe.

    Parameters
    ----------
    folder : Path, optional
        The folder of several processes; `headstart.serve.server.set_metrics_folder` gave it to
        ``prometheus_client`` before.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.n_requests = 0
        self._registry = CollectorRegistry()
        self._shown = self._registry
        if folder is not None:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown, path=str(folder))  # type: ignore[no-untyped-call]
        else:
            ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "headstart_requests",
            "Answered requests.",
            ("path", "status"),
            registry=self._registry,
        )
        self._images = Counter(
            "headstart_images", "Images by result.", ("result",), registry=self._registry
        )
        for result in ("predicted", "unreadable"):
            self._images.labels(result)
        self._seconds = Histogram(
            "headstart_predict_seconds",
            "Seconds of answered predictions.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "headstart_batch_images",
            "Images per forward pass.",
            buckets=SIZES,
            registry=self._registry,
        )
        self._in_flight = self._gauge("headstart_requests_in_flight", "Requests in progress.")
        self._waiting = self._gauge("headstart_images_waiting", "Images without an answer.")

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, registry=self._registry, multiprocess_mode="livesum")

    def begin(self) -> None:
        """Count the start of a request."""
        self._in_flight.inc()

    def end(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request; `path` is one of the service's own or ``"other"``."""
        self._in_flight.dec()
        self.n_requests += 1
        self._requests.labels(path, str(status)).inc()
        if path == "/predict" and status in (200, 422):
            self._seconds.observe(seconds)

    def add_waiting(self, n: int) -> None:
        """Count images that wait for an answer; negative when they have it."""
        self._waiting.inc(n)

    def add_image(self, result: str) -> None:
        """Count an image: ``"predicted"`` or ``"unreadable"``."""
        self._images.labels(result).inc()

    def add_batch(self, n: int) -> None:
        """Count a forward pass of `n` images."""
        self._batches.observe(n)

    def text(self) -> bytes:
        """All metrics in the text format."""
        return generate_latest(self._shown)


def answered_requests(folder: Path) -> int:
    """The number of answered requests of all processes that wrote to a folder."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return int(
        sum(
            sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == "headstart_requests_total"
        )
    )
