"""When requests are refused and when the service may end."""

from __future__ import annotations

import signal

import pytest

from headstart.serve.draining import Draining, StopSignals


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


def test_draining__a_second_call_never_delays(clock: list[float]) -> None:
    draining = Draining(grace_s=5, timeout_s=30)
    draining.begin()
    clock[0] += 4
    draining.begin()
    clock[0] += 1
    assert draining.is_closed
    hurried = Draining(grace_s=5, timeout_s=30)
    hurried.begin()
    hurried.begin(at_once=True)
    assert hurried.is_closed


def test_stop_signals__close_ones_are_one(clock: list[float]) -> None:
    signals = StopSignals()
    assert not signals.is_set()
    signals.receive(signal.SIGTERM)
    clock[0] += 0.1
    signals.receive(signal.SIGINT)
    assert signals.is_set()
    assert (signals.number, signals.is_second) == (signal.SIGTERM, False)
    clock[0] += 1
    signals.receive(signal.SIGINT)
    assert (signals.number, signals.is_second) == (signal.SIGTERM, True)
