"""Quick forms of the kill tests: nothing finished is lost, and the end is that of an uninterrupted job.

The long form is ``bench/trust.py`` (``make evidence``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(os.name != "posix", reason="no fork, no locks")


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip


def test_kill__at_some_points_of_each_job(tmp_path: Path) -> None:
    out = tmp_path / "kills.json"
    done = run("harness.py", "--quick", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    trials = json.loads(out.read_text())
    assert {t["trial"]["job"] for t in trials} == {"extract", "fit", "training"}
    struck = [t for t in trials if t["struck"]]
    assert len(struck) > 11, "most trials must reach their point"
    assert any(t["code"] == -9 for t in struck)
    assert {"ENOSPC", "EROFS", "EACCES"} <= {t["trial"]["how"] for t in trials}
    assert [t["problems"] for t in trials if t["problems"]] == []


THIEF = """
import json, sys
sys.path.insert(0, sys.argv[1])
import faulty, harness

class Thief(harness.Harness):
    def _stop(self, job, box, journal, trial):
        stopped = super()._stop(job, box, journal, trial)
        shards = sorted(p for p in faulty.finished(journal) if p.endswith(".arrow"))
        (box / shards[0]).unlink()
        return stopped

with harness.scratch() as folder:
    thief = Thief(folder)
    thief.prepare(["extract"])
    trial = harness.Trial(job="extract", how="kill", at=thief.n_points["extract"] - 1)
    print(json.dumps(thief.try_(trial).problems))
"""


@pytest.mark.slow
def test_kill__a_finished_shard_that_is_gone_is_told() -> None:
    """The check can fail."""
    done = subprocess.run(
        [sys.executable, "-c", THIEF, str(HERE)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [problem] = json.loads(done.stdout)
    assert problem.startswith("lost: ")


@pytest.mark.slow
def test_scenarios__end_well() -> None:
    done = run("scenarios.py")
    assert done.returncode == 0, done.stdout + done.stderr
    facts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(facts) >= 5
