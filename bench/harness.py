"""How the benches measure: two sides in turn, each in a process of its own, and the ratio of both.

A side is a function of ``bench/sides``. It is started as a process, imports and loads what it
needs, says so, and then makes one measurement each time it is asked. The clock runs inside that
process, around the work alone; the time up to "ready" is kept as its start-up.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# What a caller may have set for its own sake; both sides are measured with the defaults.
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY")
# Marks a side's answers among whatever libraries print.
MARK = "bench-side "
# Threads of OpenMP go on spinning for up to this long after the work of their process is done.
SETTLE_S = 0.25
# A side that says nothing for so long hangs; the slowest honest one takes a tenth of it.
LIMIT_S = 900.0

K = TypeVar("K")
T = TypeVar("T")


class SideError(RuntimeError):
    """A measured process failed: the last line that it wrote, and more of it as a note."""

    def __init__(self, what: str, written: str) -> None:
        lines = written.strip().splitlines()
        super().__init__(f"{what}: {lines[-1].strip() if lines else 'it wrote nothing'}")
        self.add_note(written.strip()[-4000:])


class Skipped(Exception):  # noqa: N818 - an outcome, not an error
    """A bench that cannot run here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    name : str
    ratio : float
        The median of what is compared with `target`: times faster than the peer where `better` is
        ``"higher"``; else a ratio or a number of seconds that should stay small.
    ours_s, peer_s : float, optional
        Median seconds of both sides; None where the row compares something else.
    low, high : float, optional
        Smallest and largest value among the repeats.
    target : float, optional
        What was aimed at; None where the row only informs.
    check : str
        Whether both sides gave the same answer, in words.
    ok : bool
        False where they did not.
    better : {"higher", "lower"}
        On which side of `target` the ratio should lie.
    unit : {"x", "s"}
        Of `ratio`, `low`, `high` and `target`.
    note : str
        What a reader must know about this row.
    """

    name: str
    ratio: float
    ours_s: float | None = None
    peer_s: float | None = None
    low: float | None = None
    high: float | None = None
    target: float | None = None
    check: str = ""
    ok: bool = True
    better: Literal["higher", "lower"] = "higher"
    unit: Literal["x", "s"] = "x"
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.better == "higher" else self.ratio <= self.target

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row:
        """Read what `to_dict` wrote."""
        return cls(**data)


def compared(
    name: str, ours: Sequence[float], peer: Sequence[float], *, inverse: bool = False, **fields: Any
) -> Row:
    """A row of two lists of seconds, the i-th of both measured beside each other.

    Parameters
    ----------
    name : str
    ours, peer : sequence of float
        Seconds, of the same length.
    inverse : bool
        Take ours / peer, where the target is an upper bound, rather than peer / ours.
    **fields
        Further fields of `Row`.
    """
    pairs = zip(ours, peer, strict=True)
    ratios = [a / b if inverse else b / a for a, b in pairs]
    return Row(
        name=name,
        ours_s=statistics.median(ours),
        peer_s=statistics.median(peer),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        better="lower" if inverse else "higher",
        **fields,
    )


def seconds_row(name: str, seconds: Sequence[float], **fields: Any) -> Row:
    """A row whose figure is a number of seconds."""
    middle = statistics.median(seconds)
    return Row(
        name=name,
        ratio=middle,
        ours_s=middle,
        low=min(seconds),
        high=max(seconds),
        unit="s",
        better="lower",
        **fields,
    )


def interleaved(sides: Mapping[K, Callable[[], T]], repeats: int) -> dict[K, list[T]]:
    """Measure the sides in turn, A B C A B C..., so that a slow minute of the machine hits all.

    Parameters
    ----------
    sides : mapping of name to function
        Each makes one measurement.
    repeats : int

    Returns
    -------
    dict of name to list
        `repeats` measurements a side, in the order in which they were made.
    """
    measured: dict[K, list[T]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, measure in sides.items():
            measured[name].append(measure())
    return measured


def seconds_of(measured: Sequence[Mapping[str, Any]]) -> list[float]:
    """The seconds of several measurements of a side."""
    return [float(m["seconds"]) for m in measured]


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment of a measured process: no thread settings of the caller's, no telemetry."""
    kept = {k: v for k, v in os.environ.items() if k not in THREAD_SETTINGS}
    return kept | {"PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"} | settings


class Side:
    """A function of ``bench/sides``, started as a process.

    Parameters
    ----------
    name : str
        Of the function.
    limit_s : float
        Seconds that it may take to be ready, or to measure once.
    **arguments
        JSON-able; handed to it.

    Attributes
    ----------
    startup_s : float
        Seconds from the start of the process until it was ready to measure.
    facts : dict
        What it said of itself when it was ready.

    Raises
    ------
    SideError
        It failed, or took longer than the limit.
    """

    def __init__(self, name: str, *, limit_s: float = LIMIT_S, **arguments: Any) -> None:
        self.name = name
        self._limit_s = limit_s
        self._hangs = False
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `close`
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sides", name, json.dumps(arguments)],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.facts = self._answer()
        except SideError:
            self.close()
            raise
        self.startup_s = time.perf_counter() - started

    def measure(self, action: str = "measure") -> dict[str, Any]:
        """One measurement: what the side said of it, with its ``seconds``."""
        assert self._process.stdin is not None
        time.sleep(SETTLE_S)
        try:
            self._process.stdin.write(action + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._failure() from error
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watchdog = threading.Timer(self._limit_s, self._give_up)
        watchdog.start()
        try:
            for line in self._process.stdout:
                if line.startswith(MARK):
                    answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
                    return answer
        finally:
            watchdog.cancel()
        raise self._failure()

    def _give_up(self) -> None:
        """End a process that hangs, after it has written where its threads are."""
        self._hangs = True
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(1)
        self._process.kill()

    def _failure(self) -> SideError:
        code = self._process.wait()
        self._errors.seek(0)
        written = self._errors.read()
        if self._hangs:
            return SideError(f"{self.name} gave no answer within {self._limit_s:g} s", written)
        return SideError(f"{self.name} ended with code {code}", written)


def measure_once(name: str, **arguments: Any) -> dict[str, Any]:
    """One measurement in a process made for it alone, with its ``startup_s``."""
    with Side(name, **arguments) as side:
        return {**side.facts, **side.measure(), "startup_s": side.startup_s}


@contextmanager
def open_sides(wanted: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Iterator[dict[str, Side]]:
    """Several sides, kept running together: ``{label: (name, arguments)}``."""
    with ExitStack() as stack:
        yield {
            label: stack.enter_context(Side(name, **arguments))
            for label, (name, arguments) in wanted.items()
        }


def run_command(command: Sequence[str], **settings: str) -> tuple[float, str]:
    """Seconds and output of a whole command, the start of its process included.

    Raises
    ------
    SideError
        It failed.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(**settings), capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        what = f"{Path(command[0]).name} ended with code {done.returncode}"
        raise SideError(what, done.stderr)
    return seconds, done.stdout


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="headstart-bench-") as folder:
        yield Path(folder)


def serve(prepare: Callable[..., Mapping[str, Callable[[], Mapping[str, Any]]]]) -> None:
    """A side's main loop: prepare, say so, then do what each line of the standard input names.

    ``prepare`` takes the side's arguments and gives its actions; ``"facts"`` among them is called
    at once, and its values are told with the readiness.
    """
    faulthandler.register(signal.SIGUSR1)
    actions = dict(prepare(**json.loads(sys.argv[2])))
    facts = actions.pop("facts", dict)
    _say(facts())
    for line in sys.stdin:
        _say(actions[line.strip()]())


def _say(answer: Mapping[str, Any]) -> None:
    print(MARK + json.dumps(answer), flush=True)


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Gives a function that tells the seconds so far, or in all once the block has ended."""
    started = time.perf_counter()
    ended: list[float] = []
    yield lambda: (ended[0] if ended else time.perf_counter()) - started
    ended.append(time.perf_counter())


def is_full() -> bool:
    """Whether the optional, slow peers were asked for (``bench/run.py --full``)."""
    return os.environ.get("HEADSTART_BENCH_FULL") == "1"
