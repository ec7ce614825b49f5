"""Stopping without losing requests."""

from __future__ import annotations

import math
import time
from types import FrameType

# Signals within this time are one: `timeout`, for example, sends to the process and then to its group.
SAME_SIGNAL_S = 0.5


class StopSignals:
    """The signal that stops the service, and whether there was a second one.

    It has plain attributes, because a handler of signals must not wait for a lock.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_second = False
        self._received_at = -math.inf

    def is_set(self) -> bool:
        """Whether there was a signal."""
        return self.number is not None

    def receive(self, number: int, _: FrameType | None = None) -> None:
        """Handle a signal."""
        now = time.monotonic()
        if self.number is None:
            self.number, self._received_at = number, now
        elif now - self._received_at >= SAME_SIGNAL_S:
            self.is_second = True


class Draining:
    """Whether the service is stopping, and how many requests are unanswered.

    After the signal, ``/readyz`` answers 503, so that a load balancer sends requests elsewhere. For
    `grace_s` seconds new requests are still accepted; then they are refused, and the service ends once
    none is open.

    Parameters
    ----------
    timeout_s : float
        Longest time of a request.
    """

    def __init__(self, grace_s: float = 0.0, timeout_s: float = 30.0) -> None:
        self._grace_s, self._timeout_s = grace_s, timeout_s
        self._closes_at = math.inf
        self.n_open = 0

    def begin(self, *, at_once: bool = False) -> None:
        """Start to stop; `at_once` skips the time for load balancers. A second call never delays."""
        closes_at = time.monotonic() + (0.0 if at_once else self._grace_s)
        self._closes_at = min(self._closes_at, closes_at)

    @property
    def is_draining(self) -> bool:
        """Whether the service was told to stop."""
        return self._closes_at < math.inf

    @property
    def is_closed(self) -> bool:
        """Whether new requests are refused."""
        return time.monotonic() >= self._closes_at

    @property
    def is_over(self) -> bool:
        """Whether all requests are answered, or had their time."""
        late = time.monotonic() >= self._closes_at + self._timeout_s
        return self.is_closed and (self.n_open == 0 or late)
