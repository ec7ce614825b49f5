"""Kills and refuses jobs at points of their writing, and looks at what is left and how they end.

    python tests/trust/harness.py --quick --out /tmp/kills.json

One process imports everything and forks a child for each trial, so that a kill costs a run of the
job and not the imports. It computes nothing itself, because a pool of threads does not survive a fork.
`bench/trust.py` runs the long form.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Before NumPy and torch are imported: no pools of threads in the process that forks.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import faulty  # noqa: E402
import jobs  # noqa: E402

LIMIT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One stop of one job.

    Attributes
    ----------
    job : str
    how : str
        ``"kill"`` or an error of `faulty.REFUSED` at point `at`; ``"timed kill"`` after the share
        `at` of the job's usual time; ``"quota"``: no file may grow beyond `at` bytes.
    at : float
    """

    job: str
    how: str
    at: float


@dataclass(kw_only=True)
class Outcome:
    """What came of a trial; it is as it must be where `problems` is empty."""

    trial: Trial
    struck: str = ""
    where: str = ""
    code: int = 0
    said: str = ""
    n_finished: int = 0
    was_reached: bool = True
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


class Harness:
    """A folder with a world, the uninterrupted ends of the jobs, and boxes for trials."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = folder / "world"
        self.n_points: dict[str, int] = {}
        self.seconds: dict[str, float] = {}

    def prepare(self, names: Sequence[str]) -> None:
        """Make the world, run each job to its end, and import here what these runs imported."""
        if not self.world.exists():
            self._must(lambda: bool(jobs.make_world(self.world)), "world")
        for name in names:
            self._run_reference(jobs.JOBS[name])

    def _run_reference(self, job: jobs.Job) -> None:
        template = None
        if job.prepare is not None:
            template = self._template(job)
            jobs.fresh(template, None)
            prepare = job.prepare
            self._must(lambda: bool(prepare(template, self.world)), job.name)
        modules = self.folder / "modules.json"

        def first() -> int:
            jobs.fresh(self._reference(job), template)
            code = self._work(job, self._reference(job))
            modules.write_text(json.dumps(list(sys.modules)))
            return code

        self._must(first, job.name)
        _import_all(json.loads(modules.read_text()))
        # Once more: how many points there are, and whether two runs are equal at all.
        box = self.folder / "again"
        jobs.fresh(box, template)
        journal = self._journal()
        started = time.monotonic()
        self._must(lambda: self._work(job, box, faulty.Faults(box, journal)), job.name)
        self.seconds[job.name] = time.monotonic() - started
        self.n_points[job.name] = int((self.folder / "points").read_text())
        self._must(lambda: self._keep_result(job), job.name)
        problems = self._finish(job, box)
        if problems:
            raise SystemExit(f"two uninterrupted runs of {job.name} differ: {problems}")

    def try_(self, trial: Trial) -> Outcome:
        """Stop a job, look at what it left, and let it go on to its end."""
        job, outcome = jobs.JOBS[trial.job], Outcome(trial=trial)
        box, journal = self.folder / "box", self._journal()
        jobs.fresh(box, self._template(job) if job.prepare else None)
        outcome.code, outcome.said = self._stop(job, box, journal, trial)
        struck = [json.loads(x) for x in journal.read_text().splitlines() if '"struck"' in x]
        if struck:
            outcome.struck, outcome.where = struck[0]["struck"], struck[0]["path"]
        if "kill" in trial.how:
            outcome.was_reached = outcome.code == -signal.SIGKILL
            if not outcome.was_reached and outcome.code:
                outcome.problems.append(f"exit code {outcome.code} before the kill")
        else:
            outcome.was_reached = trial.how == "quota" or bool(struck)
            outcome.problems += wrong_words(outcome.code, outcome.said)
        expected = faulty.finished(journal)
        outcome.n_finished = len(expected)
        for path, digest in expected.items():
            file = box / path
            if not file.exists():
                outcome.problems.append(f"lost: {path}")
            elif jobs.sha256(file.read_bytes()) != digest:
                outcome.problems.append(f"changed: {path}")
        outcome.problems += self._finish(job, box)
        return outcome

    def child(self, work: Callable[[], int], *, kill_after_s: float = 0.0) -> tuple[int, str]:
        """Run in a fork; its exit code (negative: the signal) and what it said on stderr."""
        return self.wait(self.start(work), kill_after_s=kill_after_s)

    def start(self, work: Callable[[], int], name: str = "words") -> tuple[int, Path]:
        """Begin in a fork."""
        words = self.folder / name
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid, words
        code = 70
        with contextlib.suppress(BaseException):
            try:
                handle = os.open(words, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
                os.dup2(handle, 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                code = work()
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)

    def wait(self, child: tuple[int, Path], *, kill_after_s: float = 0.0) -> tuple[int, str]:
        """Its end; killed after a while, or where it hangs."""
        pid, words = child
        limit = time.monotonic() + (kill_after_s or LIMIT_S)
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                return code, words.read_text(errors="replace") if words.exists() else ""
            if time.monotonic() > limit:
                os.kill(pid, signal.SIGKILL)
                limit += LIMIT_S
                if not kill_after_s:
                    os.waitpid(pid, 0)
                    return 99, f"hung for {LIMIT_S:.0f} s"
            time.sleep(0.002)

    def _stop(self, job: jobs.Job, box: Path, journal: Path, trial: Trial) -> tuple[int, str]:
        if trial.how == "timed kill":
            after = max(0.001, trial.at * self.seconds[job.name])
            faults = faulty.Faults(box, journal)
            return self.child(lambda: self._work(job, box, faults), kill_after_s=after)
        if trial.how == "quota":
            faults = faulty.Faults(box, journal)

            def limited() -> int:
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(trial.at), int(trial.at)))
                return self._work(job, box, faults)

            return self.child(limited)
        faults = faulty.Faults(box, journal, at=int(trial.at), how=trial.how)
        return self.child(lambda: self._work(job, box, faults))

    def _work(self, job: jobs.Job, box: Path, faults: faulty.Faults | None = None) -> int:
        """The job itself, in a child."""
        os.environ["HEADSTART_CACHE"] = str(box / "cache")
        if faults is not None:
            faulty.install(faults)
        code = job.run(box, self.world)
        if faults is not None and not faults.at:
            (self.folder / "points").write_text(str(faults.n))
        return code

    def _finish(self, job: jobs.Job, box: Path) -> list[str]:
        """Look at a box, let the job go on to its end, and compare that with the reference."""
        found = self.folder / "found.json"
        found.unlink(missing_ok=True)

        def work() -> int:
            problems = jobs.inspect(job, box, self._reference(job))
            code = self._work(job, box)
            is_there = bool(job.out) and (box / job.out).exists()
            if code and not (code == 2 and is_there and not job.prepare):
                problems.append(f"going on ended with exit code {code}")
            else:
                problems += self._differences(job, box)
            problems += [f"left behind: {name}" for name in jobs.leftovers(box)]
            found.write_text(json.dumps(problems))
            return 0

        code, words = self.child(work)
        if code or not found.exists():
            return [f"going on failed ({code}): {words.strip()[-600:]}"]
        problems: list[str] = json.loads(found.read_text())
        return [f"{p} ({words.strip()[-300:]})" if "exit code" in p else p for p in problems]

    def _differences(self, job: jobs.Job, box: Path) -> list[str]:
        result = json.loads(json.dumps(job.result(box, self.world)))
        right = json.loads(self._result(job).read_text())
        return [f"{name} differs at the end" for name in right if result.get(name) != right[name]]

    def _keep_result(self, job: jobs.Job) -> int:
        os.environ["HEADSTART_CACHE"] = str(self._reference(job) / "cache")
        result = job.result(self._reference(job), self.world)
        self._result(job).write_text(json.dumps(result))
        return 0

    def _must(self, work: Callable[[], int], name: str) -> None:
        code, words = self.child(work)
        if code:
            raise SystemExit(f"{name} failed uninterrupted ({code}):\n{words}")

    def _reference(self, job: jobs.Job) -> Path:
        return self.folder / f"reference {job.name}"

    def _template(self, job: jobs.Job) -> Path:
        return self.folder / f"template {job.name}"

    def _result(self, job: jobs.Job) -> Path:
        return self.folder / f"result {job.name}.json"

    def _journal(self) -> Path:
        path = self.folder / "journal"
        path.write_bytes(b"")
        return path


def _import_all(names: Sequence[str]) -> None:
    """Import here what a child imported, so that the next ones need not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            if name not in sys.modules and not name.startswith(("__", "faulty", "jobs")):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


def wrong_words(code: int, said: str) -> list[str]:
    """What is wrong with how a refusal was told: one clear line, and exit code 1 or 2."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if not line.startswith("headstart: warning: ")]
    if code == 0:
        return [f"said {errors[0]!r} and ended well"] if errors else []
    if code not in (1, 2):
        return [f"exit code {code}: {said[-400:]}"]
    if len(errors) != 1 or not errors[0].startswith("headstart: ") or "a bug" in errors[0]:
        return [f"not one clear line: {said[-400:]!r}"]
    return []


def spread(n: int, among: int, rng: random.Random) -> list[int]:
    """`n` different points of 1..among, one drawn from each of `n` equal parts."""
    n = min(n, among)
    edges = [round(i * among / n) for i in range(n + 1)]
    return [rng.randint(a + 1, b) for a, b in itertools.pairwise(edges)]


def quick_trials(harness: Harness, seed: int = 0) -> list[Trial]:
    """What `make test` does."""
    rng = random.Random(seed)
    plan = {"extract": (4, 4), "fit": (2, 1), "training": (3, 2)}
    hows = itertools.cycle(sorted(set(faulty.REFUSED) - {"kill"}))  # all of them, over the jobs
    trials = []
    for job, (n_kills, n_refused) in plan.items():
        points = spread(n_kills, harness.n_points[job], rng)
        trials += [Trial(job=job, how="kill", at=at) for at in points]
        places = spread(n_refused, harness.n_points[job], rng)
        trials += [Trial(job=job, how=h, at=at) for at, h in zip(places, hows, strict=False)]
    trials += [Trial(job="extract", how="timed kill", at=rng.random()) for _ in range(1)]
    return trials


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="headstart-trust-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--job", action="append", choices=list(jobs.JOBS))
    parser.add_argument("--how", action="append", choices=list(faulty.REFUSED))
    parser.add_argument("--every", type=int, default=1, help="each so many points")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=0.0, help="stop then; in random order")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    started = time.monotonic()
    with scratch() as folder:
        harness = Harness(folder)
        names = ["extract", "fit", "training"] if asked.quick else asked.job or list(jobs.JOBS)
        harness.prepare(names)
        if asked.quick:
            trials = quick_trials(harness)
        else:
            trials = [
                Trial(job=name, how=how, at=at)
                for name in names
                for how in asked.how or ["kill"]
                for at in range(1, harness.n_points[name] + 1, asked.every)
            ]
        if asked.seconds:
            random.Random(asked.seed).shuffle(trials)
        outcomes = []
        for trial in trials:
            if asked.seconds and time.monotonic() - started > asked.seconds:
                break
            outcomes.append(harness.try_(trial))
            if outcomes[-1].problems:
                print(json.dumps(outcomes[-1].to_dict()), flush=True)
        print(f"{harness.n_points} points, {harness.seconds} s", file=sys.stderr)
    wrong = [o for o in outcomes if o.problems]
    print(collections.Counter((o.trial.job, o.trial.how) for o in outcomes), file=sys.stderr)
    print(f"{len(outcomes)} trials, {len(wrong)} with problems", file=sys.stderr)
    if asked.out:
        asked.out.write_text(json.dumps([o.to_dict() for o in outcomes]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
