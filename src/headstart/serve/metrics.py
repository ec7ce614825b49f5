"""The metrics of the service, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """Metrics of one service in its own registry; thread-safe."""

    def __init__(self) -> None:
        self.n_requests = 0
        self._registry = CollectorRegistry()
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
        self._in_flight = Gauge(
            "headstart_requests_in_flight", "Requests in progress.", registry=self._registry
        )
        self._waiting = Gauge(
            "headstart_images_waiting", "Images without an answer.", registry=self._registry
        )

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

    def add_image(self, result: str) -> None:
        """Count an image: ``"predicted"`` or ``"unreadable"``."""
        self._images.labels(result).inc()

    def add_batch(self, n: int) -> None:
        """Count a forward pass of `n` images."""
        self._batches.observe(n)

    def text(self, *, waiting: int) -> bytes:
        """All metrics in the text format; `waiting` is the number of waiting images."""
        self._waiting.set(waiting)
        return generate_latest(self._registry)
