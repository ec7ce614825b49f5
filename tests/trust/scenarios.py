"""What else happens to a disk: each scenario is told as it is, and gives what went wrong.

    python tests/trust/scenarios.py

They share the harness: a world, the jobs and their uninterrupted ends, and a fork for each process.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# The harness first: it sets the threads before NumPy is imported.
sys.path.insert(0, str(Path(__file__).parent))

import harness as harness_module
import jobs
from harness import Harness, wrong_words

NOBODY = 65534
Scenario = Callable[[Harness], list[str]]


def vanished_image(harness: Harness) -> list[str]:
    """An image is deleted between the index and the decoding: it is reported, the rest is right."""
    return _with_a_bad_image(harness, lambda path: path.unlink(), "no such file")


def changed_image(harness: Harness) -> list[str]:
    """An image is replaced by another one meanwhile: no row is kept under the digest of the old."""

    def replace(path: Path) -> None:
        shutil.copyfile(path.with_name("07.png"), path)

    return _with_a_bad_image(harness, replace, "changed after it was indexed")


def _with_a_bad_image(harness: Harness, spoil: Callable[[Path], Any], reason: str) -> list[str]:
    world, box = harness.folder / "spoilt", _box(harness)
    shutil.rmtree(world, ignore_errors=True)
    shutil.copytree(harness.world, world)

    def work() -> int:
        victim = world / "photos" / "bars" / "03.png"
        digest = jobs.sha256(victim.read_bytes())

        def progress(stage: str, done: int, total: int) -> None:
            if (stage, done) == ("extract features", 0):
                spoil(victim)

        done = jobs.extract_features(box, world, progress)
        [store] = done.stores.values()
        assert list(done.unreadable) == [digest], done.unreadable
        assert reason in done.unreadable[digest], done.unreadable
        assert digest not in store
        assert len(store) == 2 * jobs.N_A_CLASS - 1
        return 0

    problems = _problems(harness.child(work))
    job = jobs.JOBS["extract"]
    # The rows that are there are right, and with the image back the job ends as it must.
    return problems + harness._finish(job, box)


def unreadable_shard(harness: Harness) -> list[str]:
    """Shards that may not be read are told and left as they are; readable again, they are used."""
    job, box = jobs.JOBS["extract"], _box(harness, "extract")
    before = _tree(box)

    def work() -> int:
        real = io.open

        def refuse(file: Any, *args: Any, **options: Any) -> Any:
            if str(file).endswith(".arrow"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
            return real(file, *args, **options)

        io.open = refuse
        return harness._work(job, box)

    problems = _refused(harness.child(work))
    if _tree(box) != before:
        problems.append("the store was changed")
    return problems + harness._finish(job, box)


def no_rights(harness: Harness) -> list[str]:
    """Another user's store, really without the right to write: one line; nothing is changed."""
    job, box = jobs.JOBS["extract"], _box(harness, "extract")
    for shard in sorted(box.rglob("shard-*.arrow"))[1:]:
        shard.unlink()  # so that there is something to write
    before = _tree(box)
    if os.getuid():
        for folder in [box, *(p for p in box.rglob("*") if p.is_dir())]:
            folder.chmod(0o555)
    else:
        harness.folder.chmod(0o755)

    def work() -> int:
        if not os.getuid():
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return harness._work(job, box)

    problems = _refused(harness.child(work))
    if os.getuid():
        for folder in [box, *(p for p in box.rglob("*") if p.is_dir())]:
            folder.chmod(0o755)
    if _tree(box) != before:
        problems.append("the store was changed")
    return problems + harness._finish(job, box)


def set_back_clock(harness: Harness) -> list[str]:
    """The clock goes back an hour at each look, and all files are of tomorrow: nothing depends on it."""
    job = jobs.JOBS["fit"]
    box = _box(harness, "fit")
    shutil.rmtree(box / "runs")
    for shard in sorted(box.rglob("shard-*.arrow"))[:1]:
        shard.unlink()
    tomorrow = time.time() + 86_400
    for path in box.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))

    def work() -> int:
        now = [time.time()]

        def back() -> float:
            now[0] -= 3600.0
            return now[0]

        time.time = back
        return harness._work(job, box)

    return _problems(harness.child(work)) + harness._finish(job, box)


def two_on_one_store(harness: Harness) -> list[str]:
    """Four extractions into one store at once, one of them killed: all others end equal."""
    return _at_once(harness, jobs.JOBS["extract"], n=4, n_killed=1)


def two_trainings(harness: Harness) -> list[str]:
    """Two trainings with one checkpoint folder at once: both end, and with the same weights."""
    return _at_once(harness, jobs.JOBS["training"], n=2)


def two_fits_to_one_folder(harness: Harness) -> list[str]:
    """Two fits to one run folder at once: one makes it, and the other says that it is there."""
    return _at_once(harness, jobs.JOBS["fit"], n=2, may_refuse=True)


def two_forced_fits(harness: Harness) -> list[str]:
    """Two fits that replace the same older run at once: a whole new run is there at the end."""
    return _at_once(harness, jobs.JOBS["fit --force"], n=2, may_refuse=True)


def _at_once(
    harness: Harness, job: jobs.Job, *, n: int, n_killed: int = 0, may_refuse: bool = False
) -> list[str]:
    box = _box(harness)
    jobs.fresh(box, harness._template(job) if job.prepare else None)
    started = [harness.start(lambda: harness._work(job, box), f"words {i}") for i in range(n)]
    after_s = harness.seconds[job.name] / 2
    ended = [harness.wait(c, kill_after_s=after_s) for c in started[:n_killed]]
    ended += [harness.wait(child) for child in started[n_killed:]]
    problems = []
    for code, words in ended[n_killed:]:
        if code and may_refuse:
            problems += wrong_words(code, words)
        elif code:
            problems.append(f"exit code {code}: {words[-400:]}")
    if may_refuse and all(code for code, _ in ended):
        problems.append("none of them ended well")
    return problems + harness._finish(job, box)


def full_disk(harness: Harness) -> list[str]:
    """A real disk of 128 KiB that fills up: one line; with room, the job ends as it must."""
    return _on_a_mount(harness, "size=128k", None)


def read_only_disk(harness: Harness) -> list[str]:
    """A real disk that is mounted read-only over a store that lacks rows: one line."""
    return _on_a_mount(harness, "size=64m", "remount,ro")


class Impossible(Exception):  # noqa: N818 - no failure: this machine does not allow it
    """Why a scenario cannot be played here."""


def _on_a_mount(harness: Harness, options: str, then: str | None) -> list[str]:
    job, box = jobs.JOBS["extract"], _box(harness)
    with _mounted(box, options):
        if then is not None:
            shutil.copytree(harness._reference(job), box, dirs_exist_ok=True)
            for shard in sorted(box.rglob("shard-*.arrow"))[1:]:
                shard.unlink()
            subprocess.run(["mount", "-o", then, str(box)], check=True)
        problems = _refused(harness.child(lambda: harness._work(job, box)))
        room = "remount,rw,size=64m"
        subprocess.run(["mount", "-o", room, str(box)], check=True)
        return problems + harness._finish(job, box)


@contextlib.contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        made = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Impossible(str(error)) from error
    if made.returncode:
        raise Impossible(made.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _box(harness: Harness, filled_by: str = "") -> Path:
    """An empty box, or a copy of what a job ends with."""
    box = harness.folder / "scene"
    jobs.fresh(box, harness._reference(jobs.JOBS[filled_by]) if filled_by else None)
    return box


def _tree(folder: Path) -> dict[str, str]:
    """All files with their digests."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): jobs.sha256(p.read_bytes()) for p in files}


def _problems(ended: tuple[int, str]) -> list[str]:
    code, words = ended
    return [f"exit code {code}: {words[-600:]}"] if code else []


def _refused(ended: tuple[int, str]) -> list[str]:
    code, words = ended
    return wrong_words(code, words) if code else ["it was not refused"]


QUICK: tuple[Scenario, ...] = (
    vanished_image, changed_image, unreadable_shard, no_rights, two_on_one_store, full_disk,
    read_only_disk,
)  # fmt: skip
ALL: tuple[Scenario, ...] = (
    *QUICK, set_back_clock, two_trainings, two_fits_to_one_folder, two_forced_fits,
)  # fmt: skip
JOBS_OF = {
    set_back_clock: ("fit",), two_trainings: ("training",), two_fits_to_one_folder: ("fit",),
    two_forced_fits: ("fit --force",),
}  # fmt: skip


def play(harness: Harness, scenario: Scenario) -> dict[str, Any]:
    """One scenario: its name, its line, and its problems; or why it cannot be played here."""
    facts: dict[str, Any] = {
        "name": scenario.__name__.replace("_", " "),
        "line": (scenario.__doc__ or "").strip(),
    }
    try:
        return facts | {"problems": scenario(harness)}
    except Impossible as error:
        return facts | {"problems": [], "impossible": str(error)}


def main() -> int:
    with harness_module.scratch() as folder:
        harness = Harness(folder)
        harness.prepare(["extract", "fit", "training", "fit --force"])
        found = [play(harness, scenario) for scenario in ALL]
    for facts in found:
        print(json.dumps(facts), flush=True)
    return int(any(facts["problems"] for facts in found))


if __name__ == "__main__":
    sys.exit(main())
