"""What a process knows of the others, without any."""

from __future__ import annotations

import signal
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import DataError, InputError
from headstart.training import processes as room
from headstart.training.processes import (
    ALONE,
    LostError,
    Processes,
    from_environment,
    guarded,
    own_device,
)

SECOND = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1",
}  # fmt: skip


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 9))
def test_part__parts_follow_each_other_and_are_even(start: int, n: int, size: int) -> None:
    parts = [Processes(rank=rank, size=size).part(start, start + n) for rank in range(size)]
    assert parts[0][0] == start
    assert parts[-1][1] == start + n
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    sizes = [end - first for first, end in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("environment", [{}, {"RANK": "0", "WORLD_SIZE": "1"}, {"WORLD_SIZE": "4"}])
def test_from_environment__is_alone_where_nobody_started_several(environment: Any) -> None:
    assert from_environment(environment) is ALONE


def test_from_environment__reads_what_torchrun_sets() -> None:
    assert from_environment(SECOND) == Processes(rank=3, size=4, local_rank=1, local_size=2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"MASTER_ADDR": ""}, "WORLD_SIZE is 4 and MASTER_ADDR is not set: start"),
        ({"RANK": "two"}, "RANK must be a whole number, got 'two'"),
        ({"RANK": "4"}, "RANK 4 of WORLD_SIZE 4, LOCAL_RANK 1 of LOCAL_WORLD_SIZE 2 do not fit"),
        ({"LOCAL_WORLD_SIZE": "3"}, "as many on each machine"),
    ],
)
def test_from_environment__says_what_is_wrong(changed: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        from_environment({**SECOND, **changed})
    assert "\n" not in str(caught.value)


def test_alone__does_everything_itself() -> None:
    values = torch.arange(3)
    assert ALONE.sum(values) is values
    ALONE.gather_rows(values)
    ALONE.take_from_first([values])
    assert values.tolist() == [0, 1, 2]
    assert (ALONE.any(True), ALONE.any(False)) == (True, False)
    assert ALONE.texts("ä") == ["ä"]
    assert ALONE.in_turn(lambda: 3) == ALONE.together(lambda: 3) == ALONE.on_first(lambda: 3) == 3
    with pytest.raises(DataError) as caught:
        ALONE.together(fail)
    assert not caught.value.is_shared
    assert not DataError("another").is_shared


def fail() -> None:
    raise DataError("a fault")


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_own_device__one_device_is_not_for_several(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_device(device) == device
    for name, value in SECOND.items():
        monkeypatch.setenv(name, value)
    assert own_device("cpu") == "cpu"
    with pytest.raises(InputError, match=f"`device` {device} is one device, and there are 2") as e:
        own_device(device)
    assert e.value.is_shared  # the first of its machine tells it


def test_own_device__asks_for_as_many_gpus_as_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SECOND, "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="2 processes on this machine need as many GPUs, and it"):
        own_device("cuda")


@pytest.mark.parametrize(
    "text", ["[..] Connection closed by peer [127.0.0.1]:4", "NCCL error: x", "Timed out waiting"]
)
def test_guarded__what_torch_says_of_a_lost_process_is_one_line(text: str) -> None:
    with pytest.raises(LostError, match="process 0 of 2 has lost the others"), guarded(two()):
        raise RuntimeError(text)
    with pytest.raises(RuntimeError, match=r"\["), guarded(ALONE):
        raise RuntimeError(f"[{text}")


def test_guarded__leaves_other_errors_alone() -> None:
    with pytest.raises(RuntimeError, match="shape"), guarded(two()):
        raise RuntimeError("a wrong shape")


def test_guarded__takes_sigterm_as_the_end_of_another() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(LostError, match="was told to stop"), guarded(two()):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def two() -> Processes:
    return Processes(rank=0, size=2)


def test_join__alone_meets_nobody() -> None:
    assert room.join("cpu") is ALONE
    assert room.current() is ALONE
