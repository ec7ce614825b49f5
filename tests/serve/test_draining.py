"""When requests are refused and when the service may end."""

from __future__ import annotations

import pytest

from headstart.serve.draining import Draining


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("headstart.serve.draining.time.monotonic", lambda: now[0])
    return now


def test_draining__accepts_for_a_while_then_waits_for_open_requests(clock: list[float]) -> None:
    draining = Draining(grace_s=5, timeout_s=30)
    assert not draining.is_draining
    assert not draining.is_over
    draining.n_open = 1
    draining.begin()
    assert draining.is_draining
    assert not draining.is_closed
    clock[0] += 5
    assert draining.is_closed
    assert not draining.is_over
    draining.n_open = 0
    assert draining.is_over


def test_draining__does_not_wait_longer_than_a_request_may_take(clock: list[float]) -> None:
    draining = Draining(grace_s=5, timeout_s=30)
    draining.n_open = 1
    draining.begin(at_once=True)
    assert draining.is_closed
    clock[0] += 29
    assert not draining.is_over
    clock[0] += 1
    assert draining.is_over
