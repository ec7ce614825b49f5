"""Several processes that train one network, and their communication.

torchrun or another launcher gives each process its rank in environment variables. Weights and gradients
use torch's default group (NCCL between GPUs, gloo between CPUs); figures, decisions and errors use a
separate gloo group.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from headstart import errors
from headstart.errors import HeadstartError, InputError, argument, one_line

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

# A process that does not answer for this time during a training step counts as lost.
STEP_S = 1800.0
# Maximum wait while one process decodes images or fits the linear SVM.
PATIENCE_S = 24 * 3600.0
_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# Texts in torch's messages when another process has gone; most are RuntimeErrors.
_LOST = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe", "timed out")


class LostError(HeadstartError):
    """Another process of the training has ended, or this one was terminated."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes that train one network, from the view of one of them."""

    # rank, size: rank of this process, from 0, and number of processes
    rank: int = 0
    size: int = 1
    # local_rank, local_size: the same among the processes on this machine
    local_rank: int = 0
    local_size: int = 1
    # group, patient: for figures and decisions; `patient` has a timeout of a day
    group: Any = None
    patient: Any = None

    @property
    def is_several(self) -> bool:
        """Whether there is more than one."""
        return self.size > 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, prints and decides."""
        return self.rank == 0

    def part(self, start: int, end: int) -> tuple[int, int]:
        """This process's part of ``start .. end``; sizes of parts differ by at most one."""
        n, rest = divmod(end - start, self.size)
        first = start + self.rank * n + min(self.rank, rest)
        return first, first + n + (self.rank < rest)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, equal bit for bit in each; on the CPU."""
        if not self.is_several:
            return values
        import torch.distributed as dist

        total = values.clone()
        dist.all_reduce(total, group=self.group)
        return total

    def gather_rows(self, values: Tensor) -> None:
        """Fill in the rows of other processes in place; each has zeros in rows that it did not compute."""
        if not self.is_several:
            return
        import torch
        import torch.distributed as dist

        # As bytes: adding zeros is exact, and gloo does not support all dtypes.
        flat = values.view(-1).view(torch.uint8)
        for start in range(0, len(flat), 64 * 2**20):
            dist.all_reduce(flat[start : start + 64 * 2**20], group=self.group)

    def any(self, flag: bool) -> bool:
        """Whether the value is true in any process."""
        import torch

        return bool(self.sum(torch.tensor([int(flag)]))[0])

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite CPU tensors with those of the first process."""
        if not self.is_several:
            return
        import torch.distributed as dist

        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0, group=self.patient)

    def texts(self, text: str) -> list[str]:
        """The text of each process, without the pickles of `all_gather_object`."""
        if not self.is_several:
            return [text]
        import torch
        import torch.distributed as dist

        said = torch.frombuffer(bytearray(text.encode() + b"\0"), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(said)]), group=self.patient)
        longest = max(int(n) for n in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(said)] = said
        heard = [torch.zeros_like(padded) for _ in range(self.size)]
        dist.all_gather(heard, padded, group=self.patient)
        return [
            bytes(h[: int(n) - 1].numpy()).decode() for h, n in zip(heard, lengths, strict=True)
        ]

    def on_first(self, work: Callable[[], T]) -> T | None:
        """Run an action in the first process while the others wait; its error is raised in all."""
        return self._attempt(work, self.is_first)

    def in_turn(self, work: Callable[[], T]) -> T:
        """Run an action in one process per machine, then in the others, which find its files."""
        is_leader = self.local_rank == 0
        done = self._attempt(work, is_leader)
        return work() if done is None and not is_leader else done  # type: ignore[return-value]

    def together(self, work: Callable[[], T]) -> T:
        """Run an action in all processes; an error of one is raised in all."""
        return self._attempt(work, True)  # type: ignore[return-value]

    def _attempt(self, work: Callable[[], T], is_mine: bool) -> T | None:
        if not self.is_several:
            return work()
        result, error = None, None
        if is_mine:
            try:
                result = work()
            except HeadstartError as raised:
                error = raised
        said = self.texts(json.dumps([type(error).__name__, str(error)]) if error else "")
        for rank, text in enumerate(said):
            if text:
                raise shared(error if rank == self.rank else None, *json.loads(text))
        return result


ALONE = Processes()
_joined: Processes | None = None


def shared(error: HeadstartError | None, kind: str, message: str) -> HeadstartError:
    """Mark an error as raised by all processes, so that only the first reports it."""
    made = error or getattr(errors, kind, HeadstartError)(message)
    made.is_shared = True
    return made


def from_environment(environment: Mapping[str, str] | None = None) -> Processes:
    """The identity of this process from environment variables; `ALONE` without a launcher.

    Raises InputError where some of the variables are missing or illegal.
    """
    env = os.environ if environment is None else environment
    if env.get("WORLD_SIZE", "1") in ("", "1") or "RANK" not in env:
        return ALONE
    missing = [name for name in _NEEDED if not env.get(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {one_line(env['WORLD_SIZE'])} and {missing[0]} is not set: start several "
            "processes with torchrun, which sets all of them, or unset WORLD_SIZE"
        )
    rank, size = _number(env, "RANK"), _number(env, "WORLD_SIZE")
    local_rank = _number(env, "LOCAL_RANK")
    local_size = _number(env, "LOCAL_WORLD_SIZE") if "LOCAL_WORLD_SIZE" in env else size
    if not (rank < size and local_rank < local_size <= size) or size % local_size:
        raise InputError(
            f"RANK {rank} of WORLD_SIZE {size}, LOCAL_RANK {local_rank} of LOCAL_WORLD_SIZE "
            f"{local_size} do not fit each other: start several processes with torchrun, as many on "
            "each machine"
        )
    return Processes(rank=rank, size=size, local_rank=local_rank, local_size=local_size)


def _number(env: Mapping[str, str], name: str) -> int:
    if not env[name].isdecimal():
        raise InputError(
            f"{name} must be a whole number, got {one_line(env[name])!r}: start several processes "
            "with torchrun, which sets it"
        )
    return int(env[name])


def current() -> Processes:
    """The processes joined by this one; `ALONE` before `join` and without others."""
    return _joined or ALONE


def join(device: str) -> Processes:
    """Connect to the other processes once; returns immediately if there are none.

    Raises LostError where the others do not connect.

    `device`: device of this process from `own_device`; it decides the backend for gradients.
    """
    global _joined
    here = from_environment()
    if _joined is not None or not here.is_several:
        return current()
    import torch.distributed as dist

    with guarded(here):
        if not dist.is_initialized():
            backend = "nccl" if device.startswith("cuda") else "gloo"
            dist.init_process_group(backend, timeout=timedelta(seconds=STEP_S))
        groups = [
            dist.new_group(backend="gloo", timeout=timedelta(seconds=seconds))
            for seconds in (STEP_S, PATIENCE_S)
        ]
    _joined = Processes(
        rank=here.rank,
        size=here.size,
        local_rank=here.local_rank,
        local_size=here.local_size,
        group=groups[0],
        patient=groups[1],
    )
    return _joined


def leave() -> None:
    """Disconnect from the other processes, if connected.

    Threads of a group that still run when the interpreter exits may abort the process. Do not call it
    after a `LostError`, since it may wait for the lost process.
    """
    global _joined
    if _joined is None:
        return
    import torch.distributed as dist

    _joined = None
    dist.destroy_process_group()


def own_device(device: str) -> str:
    """The device of this process; for ``cuda`` with several processes, by its local rank.

    Raises InputError where there are fewer GPUs than local processes, or the device cannot be
    divided.
    """
    here = from_environment()
    if not here.is_several or device == "cpu":
        return device
    import torch

    n = torch.cuda.device_count()
    if device == "cuda" and here.local_size <= n:
        torch.cuda.set_device(here.local_rank)
        return f"cuda:{here.local_rank}"
    if device == "cuda":
        text = (
            f"{here.local_size} processes on this machine need as many GPUs, and it has {n}: start "
            f"as many as there are GPUs, or add {argument('device', 'cpu')}"
        )
    else:
        text = (
            f"{argument('device')} {one_line(device)} is one device, and there are {here.local_size} processes "
            "on this machine: leave it out, or give cuda or cpu"
        )
    error = InputError(text)
    error.is_shared = here.local_rank > 0  # reported by one process per machine
    raise error


@contextlib.contextmanager
def guarded(processes: Processes) -> Iterator[None]:
    """Convert torch's errors about lost processes to `LostError` within the context.

    Likewise SIGTERM, with which torchrun terminates remaining processes.
    """
    if not processes.is_several:
        yield
        return
    before = handle_sigterm(processes)
    try:
        yield
    except (RuntimeError, OSError) as error:
        if not _is_lost(error):
            raise
        raise LostError(
            f"process {processes.rank} of {processes.size} has lost the others: one was stopped or "
            "failed (with a message of its own, if it could leave one). What was written is kept; "
            "the same command goes on from there"
        ) from error
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def handle_sigterm(processes: Processes) -> Any:
    """Raise `LostError` on SIGTERM from now on; returns the previous handler, if any."""

    def on_sigterm(number: int, frame: Any) -> None:
        raise LostError(
            f"process {processes.rank} of {processes.size} was told to stop (SIGTERM), as those that "
            "are left are when another one has ended. What was written is kept; the same command "
            "goes on from there"
        )

    # Only the main thread can set a handler.
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, on_sigterm)


def _is_lost(error: Exception) -> bool:
    import torch.distributed as dist

    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return any(mark in text for mark in _LOST)
