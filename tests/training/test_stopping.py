"""Ctrl-C held until the step in hand is done."""

from __future__ import annotations

import signal
import time

import pytest

from headstart.training import stopping
from headstart.training.stopping import held_interrupt


def test_held_interrupt__notes_the_first_and_heeds_the_second() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), held_interrupt() as is_interrupted:  # noqa: PT012
        assert not is_interrupted()
        signal.raise_signal(signal.SIGINT)
        assert is_interrupted()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_held_interrupt__an_echo_is_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with held_interrupt(may_echo=True) as is_interrupted:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert is_interrupted()
    monkeypatch.setattr(stopping, "ECHO_S", 0.0)
    with pytest.raises(KeyboardInterrupt), held_interrupt(may_echo=True):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)
