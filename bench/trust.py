"""Kills and refusals at every point of writing, and what else happens to a disk: the long form.

    make evidence                                  with everything else
    .venv/bin/python bench/trust.py                this alone
    .venv/bin/python bench/trust.py --minutes 60   longer; the points are drawn at random

The trials themselves are those of tests/trust/harness.py and tests/trust/scenarios.py. What is found
is written to bench/results/trust-kill.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TRIALS = ROOT / "tests" / "trust"
OUT = ROOT / "bench" / "results" / "trust-kill.json"
TITLE = "Killed, refused, disturbed"
COMMAND = ".venv/bin/python bench/trust.py"
# Share of the time for SIGKILL; the rest for calls that fail as on a full or broken disk.
KILLS = 0.6
REFUSALS = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials and the scenarios, and write what came of them; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=16.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    seconds = 60 * asked.minutes
    outcomes = trials(("kill",), KILLS * seconds, asked.seed)
    outcomes += trials(REFUSALS, (1 - KILLS) * seconds, asked.seed)
    scenarios = played()
    answer = {"title": TITLE, "lines": lines(outcomes, scenarios), "command": COMMAND}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(answer["lines"]))
    return int(any(o["problems"] for o in (*outcomes, *scenarios)))


def trials(hows: Sequence[str], seconds: float, seed: int) -> list[dict[str, Any]]:
    """As many trials, at points drawn at random over all jobs, as the time allows."""
    with tempfile.TemporaryDirectory(prefix="headstart-trust-") as folder:
        out = Path(folder) / "trials.json"
        words = ["--seconds", str(seconds), "--seed", str(seed), "--out", str(out)]
        for how in hows:
            words += ["--how", how]
        subprocess.run(
            [sys.executable, str(TRIALS / "harness.py"), *words], check=False, cwd=folder
        )
        found: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))
    return found


def played() -> list[dict[str, Any]]:
    """What came of each scenario."""
    done = subprocess.run(
        [sys.executable, str(TRIALS / "scenarios.py")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def lines(
    outcomes: Sequence[Mapping[str, Any]], scenarios: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What was found, as Markdown."""
    reached = [o for o in outcomes if o["was_reached"]]
    kills = [o for o in reached if o["trial"]["how"] == "kill"]
    wrong = [o for o in outcomes if o["problems"]]
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for outcome in reached:
        rows[outcome["trial"]["job"]].append(outcome)
    out = [
        (
            f"A job was stopped {len(reached):,} times at points drawn at random among its writes, renames "
            f"and fsyncs: {len(kills):,} times by SIGKILL, {len(reached) - len(kills):,} times by a call "
            "that failed as on a full, read-only, forbidden or broken disk. Then it was started again."
        ),
        "",
        (
            f"- Finished files lost or changed, wrong rows, ends that differ from the uninterrupted one, "
            f"files left behind, errors that are not one clear line: {len(wrong):,}."
        ),
        (
            f"- Files that were finished before a stop, all of them there afterwards byte by byte: "
            f"{sum(o['n_finished'] for o in reached):,}."
        ),
        "",
        "| job | killed | refused | at different points | with a problem |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for job, found in sorted(rows.items()):
        killed = sum(o["trial"]["how"] == "kill" for o in found)
        points = len({o["trial"]["at"] for o in found})
        bad = sum(bool(o["problems"]) for o in found)
        out.append(f"| {job} | {killed:,} | {len(found) - killed:,} | {points:,} | {bad:,} |")
    for outcome in wrong[:20]:
        trial = outcome["trial"]
        out.append(
            f"- {trial['job']}, {trial['how']} at {trial['at']}: {'; '.join(outcome['problems'])[:300]}"
        )
    out += ["", "| what else happens | as it must be |", "| --- | --- |"]
    for facts in scenarios:
        verdict = "yes"
        if facts.get("impossible"):
            verdict = f"could not be played here: {facts['impossible']}"
        elif facts["problems"]:
            verdict = "no: " + "; ".join(facts["problems"])[:300]
        out.append(f"| {facts['line']} | {verdict} |")
    return out


if __name__ == "__main__":
    sys.exit(main())
