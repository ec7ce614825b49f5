"""Thousands of damaged files, each read as a person would have it read: the long form.

    make evidence                                      with everything else; resumable
    .venv/bin/python bench/fuzz.py                     this alone
    .venv/bin/python bench/fuzz.py --only png --cases 20000

The files and their readers are those of tests/trust/fuzz_kinds.py. What is done is kept in the cache
($HEADSTART_CACHE) batch by batch, and counts for the source as it is: another source begins anew. What
is found is written to bench/results/trust-fuzz.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TRIALS = ROOT / "tests" / "trust"
OUT = ROOT / "bench" / "results" / "trust-fuzz.json"
TITLE = "Damaged files and requests"
COMMAND = ".venv/bin/python bench/fuzz.py"
BATCH = 250
MIB = 2**20

sys.path.insert(0, str(TRIALS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is not done yet, and write the page's part; 1 where anything is wrong."""
    import fuzz_kinds

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(fuzz_kinds.KINDS), metavar="KIND")
    parser.add_argument("--cases", type=int, help="of each kind")
    asked = parser.parse_args(arguments)
    found: dict[str, list[dict[str, Any]]] = {}
    kept = _kept_in()
    for name, kind in fuzz_kinds.KINDS.items():
        if asked.only and name not in asked.only:
            continue
        found[name] = cases(name, asked.cases or kind.n_long, kept)
    if not asked.only:
        answer = {"title": TITLE, "lines": lines(found, fuzz_kinds.KINDS), "command": COMMAND}
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(lines(found, fuzz_kinds.KINDS)))
    return int(any(o["verdict"] == "defect" for mine in found.values() for o in mine))


def _kept_in() -> Path:
    """A folder for what the source as it is now has borne."""
    from headstart.features import cache_folder

    digest = hashlib.sha256()
    for path in sorted(
        [*(ROOT / "src").rglob("*.py"), *TRIALS.glob("fuzz*.py"), TRIALS / "mutation.py"]
    ):
        digest.update(path.read_bytes())
    return cache_folder() / "trust" / f"fuzz-{digest.hexdigest()[:16]}"


def cases(name: str, n: int, kept: Path) -> list[dict[str, Any]]:
    """The outcomes of the first `n` cases of a kind; batches that are kept are not run again."""
    found: list[dict[str, Any]] = []
    for start in range(0, n, BATCH):
        path = kept / f"{name.replace(' ', '-')}-{start}-{min(BATCH, n - start)}.json"
        if not path.exists():
            print(f"{name}: {start:,} of {n:,}", file=sys.stderr, flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="headstart-fuzz-") as folder:
                out = Path(folder) / "out.json"
                words = ["--kind", name, "--start", start, "--cases", min(BATCH, n - start)]
                words += ["--world", kept / "world", "--out", out]
                subprocess.run(
                    [sys.executable, str(TRIALS / "fuzzing.py"), *map(str, words)],
                    stdout=subprocess.DEVNULL,
                    check=False,
                )
                payload = out.read_text(encoding="utf-8")
            partial = path.with_suffix(".tmp")
            partial.write_text(payload, encoding="utf-8")
            partial.replace(path)
        found += json.loads(path.read_text(encoding="utf-8"))
    return found


def lines(found: Mapping[str, Sequence[Mapping[str, Any]]], kinds: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    everything = [o for mine in found.values() for o in mine]
    wrong = [o for o in everything if o["verdict"] == "defect"]
    out = [
        (
            f"{len(everything):,} files and requests were damaged and read: bits flipped, ends cut off, "
            "headers spliced, sizes blown up, numbers and JSON values replaced, checksums made right "
            "again. A file may be taken or refused by one clear line (a request: by a status of 4xx)."
        ),
        "",
        (
            f"- Tracebacks, dead processes, hangs, unclear messages, characters that steer a terminal, "
            f"limits exceeded: {len(wrong):,}."
        ),
        (
            "- Limits of one case are processor time, and memory beyond what was there before. The large images "
            "are whole ones of nearly 100,000,000 pixels, the most that are taken, each read three times, and "
            "one of 220 kB that is drawn in 20,000 passes."
        ),
        "",
        "| kind | cases | taken | refused | wrong | longest | most memory | limits |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, mine in found.items():
        counts = [sum(o["verdict"] == v for o in mine) for v in ("taken", "refused", "defect")]
        longest, most = max(o["seconds"] for o in mine), max(o["grown"] for o in mine)
        out.append(
            f"| {name} | {len(mine):,} | {' | '.join(f'{n:,}' for n in counts)} | {longest:.2f} s | "
            f"{most / MIB:,.0f} MiB | "
            f"{kinds[name].limit_s:.0f} s, {kinds[name].limit_bytes / MIB:,.0f} MiB |"
        )
    out += [f"- {o['kind']}, case {o['number']}: {o['detail'][:300]}" for o in wrong[:20]]
    return out


if __name__ == "__main__":
    sys.exit(main())
