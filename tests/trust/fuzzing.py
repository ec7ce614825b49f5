"""Runs damaged files through their readers in a process that may die, hang or grow, and says what was.

    python tests/trust/fuzzing.py --kind png --cases 500           from case 0
    python tests/trust/fuzzing.py --kind png --case 123 --keep x   one, with its traceback; its file

Each case is judged by processor time and by the growth of the resident memory while it was read. A
process that dies or hangs is told from outside, and the next one goes on after it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import fuzz_kinds
from fuzz_kinds import KINDS, MIB, Kind

HERE = Path(__file__).parent

# No case may need so long by the clock, however busy the machine is.
HANGS_S = 120.0
# Address space beyond what a process has at the beginning: a backstop behind what is measured.
ADDRESS_SPACE = 8 * 1024 * MIB


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one damaged file."""

    kind: str
    number: int
    seed: str
    verdict: str  # taken, refused or defect
    detail: str
    seconds: float
    grown: int


def judge(kind: Kind, world: Path, scratch: Path, number: int, *, debug: bool = False) -> Outcome:
    """Read one case and judge it, in this process."""
    name, data = fuzz_kinds.damaged(kind, world, number)
    scratch.mkdir(parents=True)
    before, busy = _reset_peak(), _busy_s()
    verdict, detail = "taken", ""
    try:
        verdict = kind.read(world, scratch, name, data) or "taken"
    except Exception as error:
        if debug:
            traceback.print_exc()
        verdict, detail = _told(error)
    seconds, grown = _busy_s() - busy, _peak() - before
    if seconds > kind.limit_s:
        verdict, detail = "defect", f"{seconds:.1f} s of processor time; {detail}"
    if grown > kind.limit_bytes:
        verdict, detail = "defect", f"{grown / MIB:,.0f} MiB; {detail}"
    shutil.rmtree(scratch, ignore_errors=True)
    return Outcome(
        kind=kind.name, number=number, seed=name, verdict=verdict, detail=detail[:500],
        seconds=seconds, grown=grown,
    )  # fmt: skip


def _told(error: Exception) -> tuple[str, str]:
    """A verdict on what was raised."""
    from headstart.errors import HeadstartError

    text = str(error)
    if isinstance(error, HeadstartError):
        if not text or fuzz_kinds.unprintable(text) or "\n" in text or len(text) > 2000:
            return "defect", f"not one clear line: {text[:300]!r}"
        return "refused", text
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "headstart" in f.filename]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return "defect", f"{type(error).__name__} at {where}: {text[:200]}"


def _busy_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _reset_peak() -> int:
    """Bytes that are resident now; from here the peak is counted anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


class Fuzzer:
    """Cases of one world of seeds, each batch in a process of its own.

    Parameters
    ----------
    world : Path
        As `fuzz_world.py` makes it.
    """

    def __init__(self, world: Path) -> None:
        self.world = world

    def cases(self, kind: Kind, numbers: Sequence[int]) -> Iterator[Outcome]:
        """The outcomes of some cases, in order."""
        left = list(numbers)
        while left:
            pid, pipe = self._start(kind, left)
            for outcome in self._listen(kind, pid, pipe, left):
                left.remove(outcome.number)
                yield outcome

    def _start(self, kind: Kind, numbers: Sequence[int]) -> tuple[int, int]:
        out, into = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            os.close(into)
            return pid, out
        code = 1
        with contextlib.suppress(BaseException):
            os.close(out)
            quiet = os.open(self.world / f"said-{os.getpid()}", os.O_CREAT | os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            try:
                self._work(kind, numbers, into)
                code = 0
            except BaseException:
                traceback.print_exc()
        os._exit(code)

    def _work(self, kind: Kind, numbers: Sequence[int], into: int) -> None:
        most = _status("VmSize") + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        os.environ["HEADSTART_CACHE"] = str(self.world / "cache")
        scratch = self.world / f"scratch-{os.getpid()}"
        self._warm_up(kind, scratch)
        os.write(into, json.dumps({"is_warm": True}).encode() + b"\n")
        for number in numbers:
            os.write(into, json.dumps({"begins": number}).encode() + b"\n")
            outcome = judge(kind, self.world, scratch, number)
            os.write(into, json.dumps(asdict(outcome)).encode() + b"\n")

    def _warm_up(self, kind: Kind, scratch: Path) -> None:
        """Read what is whole, so that imports count for no case; and it must be taken."""
        for name, data in fuzz_kinds.seeds_of(kind, self.world)[: kind.n_warm]:
            scratch.mkdir(parents=True)
            if kind.read(self.world, scratch, name, data) == "refused":
                raise RuntimeError(f"{kind.name}: {name} is whole and refused")
            shutil.rmtree(scratch)

    def _listen(self, kind: Kind, pid: int, pipe: int, numbers: Sequence[int]) -> Iterator[Outcome]:
        """What a process says of its cases; where it dies or hangs, that is the last one's outcome."""
        at, how, left, is_warm = numbers[0], "", b"", False
        while True:
            ready, _, _ = select.select([pipe], [], [], HANGS_S)
            if not ready:
                how = f"hangs: {HANGS_S:.0f} s by the clock"
                os.kill(pid, signal.SIGKILL)
                break
            piece = os.read(pipe, 65536)
            if not piece:
                break
            *lines, left = (left + piece).split(b"\n")
            for said in map(json.loads, lines):
                if "is_warm" in said:
                    is_warm = True
                elif "begins" in said:
                    at = said["begins"]
                else:
                    yield Outcome(**said)
                    at = -1
        os.close(pipe)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        words = self.world / f"said-{pid}"
        said_last = words.read_text(errors="replace").strip().splitlines()[-1:] if code else []
        words.unlink(missing_ok=True)
        for name in (f"scratch-{pid}", f"copy-{pid}"):
            shutil.rmtree(self.world / name, ignore_errors=True)
        if not is_warm:
            raise RuntimeError(f"{kind.name}, whole: {how or ' '.join(said_last) or code}")
        if at >= 0 and (code or how):
            detail = how or f"the process ended with {code}: {' '.join(said_last)[:300]}"
            yield Outcome(
                kind=kind.name,
                number=at,
                seed="",
                verdict="defect",
                detail=detail,
                seconds=0.0,
                grown=0,
            )


@contextlib.contextmanager
def scratch_world(*, quick: bool = False, kept: Path | None = None) -> Iterator[Path]:
    """A world of seeds, made by a process of its own; kept where a folder is given."""
    folder = kept or Path(tempfile.mkdtemp(prefix="headstart-fuzz-"))
    try:
        if not (folder / "done").exists():
            folder.mkdir(parents=True, exist_ok=True)
            words = [sys.executable, str(HERE / "fuzz_world.py"), str(folder)]
            environment = os.environ | {"HEADSTART_CACHE": str(folder / "cache")}
            subprocess.run([*words, *(["--quick"] if quick else [])], check=True, env=environment)
        yield folder
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def _import_here(is_quick: bool) -> None:
    """What the processes of several kinds would import one after another."""
    if is_quick:
        import sklearn.preprocessing  # noqa: F401

        import headstart.export.bundle
        import headstart.runs.predictor
        import headstart.serve.app  # noqa: F401


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--case", type=int)
    parser.add_argument("--keep", type=Path, help="write the damaged file of --case there")
    parser.add_argument("--world", type=Path, help="a folder to keep the seeds in")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    names = asked.kind or [n for n, kind in KINDS.items() if kind.n_quick or not asked.quick]
    kinds = [KINDS[name] for name in names]
    found: list[Outcome] = []
    with scratch_world(quick=asked.quick, kept=asked.world) as world:
        if asked.case is not None:
            [kind] = kinds
            if asked.keep:
                asked.keep.write_bytes(fuzz_kinds.damaged(kind, world, asked.case)[1])
            Fuzzer(world)._warm_up(kind, world / "scratch")
            print(judge(kind, world, world / "scratch", asked.case, debug=True))
            return 0
        fuzzer = Fuzzer(world)
        _import_here(asked.quick)
        for kind in kinds:
            started = time.monotonic()
            n = asked.cases or (kind.n_quick if asked.quick else kind.n_long)
            mine = list(fuzzer.cases(kind, range(asked.start, asked.start + n)))
            found += mine
            counts = {v: sum(o.verdict == v for o in mine) for v in ("taken", "refused", "defect")}
            slowest, largest = max(o.seconds for o in mine), max(o.grown for o in mine)
            print(
                f"{kind.name}: {counts}, at most {slowest:.2f} s and {largest / MIB:.0f} MiB, "
                f"{time.monotonic() - started:.0f} s in all",
                flush=True,
            )
            for o in [o for o in mine if o.verdict == "defect"][:40]:
                print(f"  {o.number} {o.seed}: {o.detail}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps([asdict(o) for o in found]))
    return int(any(o.verdict == "defect" for o in found))


if __name__ == "__main__":
    sys.exit(main())
