"""The server's jobs: they have an id, run one after the other, and do not care who looks.

A page that is reloaded, or a second one, finds them by their id. Each runs in a process of its own
(`headstart.web.worker`), so that it can be stopped at once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from headstart.errors import InputError, one_line
from headstart.runs.folder import free_name

logger = logging.getLogger(__name__)

State = Literal["waiting", "running", "stopping", "stopped", "done", "failed"]
ENDED: frozenset[State] = frozenset(["stopped", "done", "failed"])
N_KEPT = 50
PATIENCE_S = 10.0  # after a polite request to stop
MEASURABLE_S = 1.0  # of a stage; before, its pace says little


@dataclass(kw_only=True)
class Job:
    """One fit, waiting, under way or ended."""

    id: str
    data: str  # what it was asked to read
    name: str  # what to call the run
    settings: dict[str, Any]  # fields of `FitSettings`
    state: State = "waiting"
    # in the order in which they began
    stages: dict[str, tuple[int, int]] = field(default_factory=dict)
    # when each stage began, as a monotonic time in seconds
    since: dict[str, float] = field(default_factory=dict)
    # (tap, resolution); what will be judged, once that is known
    places: list[tuple[str, str]] = field(default_factory=list)
    # (tap, resolution) to float; cross-validated accuracies so far
    cells: dict[tuple[str, str], float] = field(default_factory=dict)
    run: str | None = None  # the run folder, when done
    message: str = ""  # the answer, or what went wrong
    version: int = 0  # grows with every change
    began: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    def seconds(self) -> float:
        """Since it began to run, up to its end; 0 while it waits."""
        return 0.0 if self.started is None else (self.ended or time.time()) - self.started

    def seconds_left(self, stage: str) -> float | None:
        """Until a stage ends, at the pace so far; None where that is not known yet."""
        done, total = self.stages.get(stage, (0, 0))
        spent = time.monotonic() - self.since.get(stage, math.inf)
        if not 0 < done < total or spent < MEASURABLE_S:
            return None
        return spent * (total - done) / done

    def note(self, event: Mapping[str, Any]) -> None:
        """Take in one event of the worker."""
        kind = event.get("event")
        if kind == "progress":
            stage = str(event["stage"])
            if stage not in self.stages or event["done"] < self.stages[stage][0]:  # it begins
                self.since[stage] = time.monotonic()
            self.stages[stage] = (int(event["done"]), int(event["total"]))
        elif kind == "plan":
            self.places = [(tap, size) for tap, size in event["places"]]
        elif kind == "cell":
            tap, size = event["place"]
            self.cells[tap, size] = float(event["accuracy"])
        elif kind == "done":
            self.run, self.message = str(event["run"]), str(event["sentence"])
        elif kind == "failed":
            self.message = str(event["message"])
        self.version += 1


class Jobs:
    """All jobs of one server.

    Parameters
    ----------
    runs : Path
        Folder in which run folders are made.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._jobs: dict[str, Job] = {}
        self._stopping: set[str] = set()
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._runner = threading.Thread(target=self._run_all, name="jobs", daemon=True)
        self._runner.start()

    def start(self, data: str, *, name: str = "", settings: Mapping[str, Any]) -> Job:
        """Put a fit at the end of the queue.

        Raises InputError where a setting is outside its legal set.
        """
        from headstart.runs.settings import FitSettings

        FitSettings(data=data, **settings)
        job = Job(
            id=secrets.token_hex(4),
            data=data,
            name=name or _default_name(data),
            settings=dict(settings),
        )
        with self._lock:
            self._jobs[job.id] = job
            for old in [j.id for j in self._jobs.values() if j.has_ended][:-N_KEPT]:
                del self._jobs[old]
        self._waiting.put(job)
        return job

    def find(self, data: str, *, name: str, settings: Mapping[str, Any]) -> Job | None:
        """The same fit as it waits or runs, if any: a second press of a button asks for no second fit."""
        same = (data, name or _default_name(data), dict(settings))
        live = [job for job in self.listed() if job.state in ("waiting", "running")]
        return next((job for job in live if (job.data, job.name, job.settings) == same), None)

    def get(self, job_id: str) -> Job | None:
        """The job of that id, if the server knows it."""
        with self._lock:
            return self._jobs.get(job_id)

    def listed(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._lock:
            return list(self._jobs.values())[::-1]

    def n_before(self, job: Job) -> int:
        """How many jobs come before a waiting one."""
        older = self.listed()[::-1]
        return sum(not j.has_ended for j in older[: older.index(job)])

    def stop(self, job_id: str) -> Job:
        """Stop a job, whatever it is doing; one that has ended stays as it is.

        Raises InputError where the server knows no such job.
        """
        job = self.get(job_id)
        if job is None:
            raise InputError("that job is not known to this server any more: start it again")
        with self._lock:
            if job.state == "waiting":
                self._end(job, "stopped")
            elif job.state == "running":
                job.state = "stopping"
                self._stopping.add(job.id)
                job.version += 1
                if job.process is not None:
                    threading.Thread(target=_stop, args=(job.process,), daemon=True).start()
        return job

    def close(self) -> None:
        """Stop everything; for the end of the server."""
        self._waiting.put(None)
        for job in self.listed():
            if not job.has_ended:
                self.stop(job.id)
        self._runner.join(timeout=PATIENCE_S + 2)

    def _run_all(self) -> None:
        while (job := self._waiting.get()) is not None:
            try:
                self._run(job)
            except Exception as error:  # the queue must go on
                logger.error("unexpected error of the job %s", job.id, exc_info=error)
                with self._lock:
                    job.message = job.message or one_line(f"{type(error).__name__}: {error}")
                    self._end(job, "failed")

    def _run(self, job: Job) -> None:
        with self._lock:
            if job.state != "waiting":
                return
            job.state, job.started = "running", time.time()
            job.version += 1
            out = free_name(job.name, parent=self.runs)
            job.process = process = _spawn()
        task = {"data": job.data, "out": str(out), "settings": job.settings}
        code = self._follow(job, process, task)
        with self._lock:
            if job.id in self._stopping and job.run is None:
                self._end(job, "stopped")
            elif code == 0 and job.run is not None:
                self._end(job, "done")
            else:
                job.message = (
                    job.message or f"the job ended with code {code}: is there memory left?"
                )
                self._end(job, "failed")

    def _follow(self, job: Job, process: subprocess.Popen[str], task: Mapping[str, Any]) -> int:
        """Hand the task over and take in the events until the process ends."""
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError), process.stdin as sink:  # where it ended before it began
            sink.write(json.dumps(task) + "\n")
        with process.stdout as events:
            for line in events:
                with self._lock:
                    job.note(json.loads(line))
        return process.wait()

    def _end(self, job: Job, state: State) -> None:
        job.state, job.ended, job.process = state, time.time(), None
        job.version += 1


def _default_name(data: str) -> str:
    return Path(data).name or "run"


def _spawn() -> subprocess.Popen[str]:
    # -P: a file of the working folder must not stand for a module.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "headstart.web.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=os.name == "posix",  # the terminal's Ctrl-C is for the server alone
    )


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask to stop, so that half-written files are cleared away; insist when that takes long."""
    if os.name == "posix":
        process.send_signal(signal.SIGINT)
    else:
        process.terminate()
    try:
        process.wait(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
