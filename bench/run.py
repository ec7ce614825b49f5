"""Measure Headstart against its peers, print the table of ratios, and write docs/performance.md.

    make bench                                            everything, over an hour on two cores
    .venv/bin/python bench/run.py --quick                 everything on tiny inputs, some minutes
    .venv/bin/python bench/run.py --only forward          one bench; the others' results are kept
    .venv/bin/python bench/run.py --only forward:vgg16    a part of it
    .venv/bin/python bench/run.py --resume                only what has not been measured yet

Exit code 1 if a bench failed or two sides disagreed; a missed target is reported, not an error.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Run as a script, Python would look for modules in bench/ alone.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import machine, page, results
from bench.harness import ROOT, Row, Skipped
from bench.results import RESULTS, Outcome
from rich.console import Console

# The SVM last: it measures in this process, and leaves its threads behind.
BENCHES = (
    "startup",
    "extraction",
    "forward",
    "resolutions",
    "frozen_head",
    "finetune",
    "textcnn",
    "whole_question",
    "warm_profile",
    "memory",
    "outofcore",
    "serve",
    "ensemble",
    "svm",
)
# Benches of many minutes are measured, kept and resumed part by part; a quick run has the first.
PARTS = {
    "extraction": ("embedded", "resnet18", "vgg16"),
    "forward": ("embedded", "resnet18", "vgg16"),
    "resolutions": ("float32", "bfloat16"),
}
UNITS = tuple(
    f"{name}:{part}" if part else name for name in BENCHES for part in PARTS.get(name, ("",))
)
SVM_TITLE = "Linear SVM: one path over C, folds and classes"
SVM_PEER = (
    "`bench/peers/svm_sklearn.py`: scikit-learn's LinearSVC, dual or primal, whichever was faster in a "
    "trial, in GridSearchCV with two processes. Synthetic features shaped like those of networks."
)
SVM_TARGETS = {
    "n=1500, d=1280, 15 classes": 10.0,
    "n=1500, d=4096, 15 classes": 25.0,
    "n=20000, d=1280, 100 classes": 10.0,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny inputs; docs/ is left alone")
    parser.add_argument(
        "--only",
        action="append",
        choices=[*BENCHES, *(unit for unit in UNITS if ":" in unit)],
        metavar="NAME",
        help="one bench or part of it; may be given again",
    )
    parser.add_argument("--resume", action="store_true", help="leave out what has been measured")
    parser.add_argument("--full", action="store_true", help="slow peers and more repeats as well")
    asked = parser.parse_args(arguments)
    if asked.full:
        os.environ["HEADSTART_BENCH_FULL"] = "1"
    # Wide enough for the table where nobody watches, as in a log.
    console = Console(width=None if sys.stdout.isatty() else 180)
    folder = RESULTS / "quick" if asked.quick else RESULTS
    here = machine.describe()
    kept = results.load(folder, here)
    wanted = units(asked.only, asked.quick)
    if asked.resume:
        wanted = [unit for unit in wanted if unit not in kept or not kept[unit].is_sound]
    new = []
    for unit in wanted:
        console.print(f"{unit} ...", style="bold")
        new.append(measure(unit, asked.quick, here))
        results.save(new[-1], folder)
        console.print(f"{unit}: {new[-1].seconds:.0f} s")
        if new[-1].failed:
            console.print(new[-1].failed, style="red", markup=False)
    outcomes = results.merged(kept, new, UNITS)
    console.print(page.table(outcomes))
    written = folder / "performance.md" if asked.quick else page.PAGE
    page.write_page(written, outcomes, here, command_line(asked))
    console.print(f"Targets: {page.targets_text(outcomes)}", markup=False)
    console.print(f"written: {os.path.relpath(written, ROOT)}", markup=False)
    return int(not all(outcome.is_sound for outcome in new))


def units(only: Sequence[str] | None, quick: bool) -> list[str]:
    """What to measure, in order: of the benches and parts asked for, or of all."""
    firsts = {f"{name}:{parts[0]}" for name, parts in PARTS.items()}
    usual = [unit for unit in UNITS if not quick or ":" not in unit or unit in firsts]
    if not only:
        return usual
    asked = {unit for unit in usual if unit.split(":")[0] in only} | set(only)
    return [unit for unit in UNITS if unit in asked]


def command_line(asked: argparse.Namespace) -> str:
    """The command that measures the whole page."""
    options = [f"--{name}" for name in ("quick", "full") if getattr(asked, name)]
    return " ".join(["python bench/run.py", *options]) if options else "make bench"


def measure(unit: str, quick: bool, here: dict[str, Any]) -> Outcome:
    """Run one bench or part of it; whatever happens to it, the others go on."""
    name, _, part = unit.partition(":")
    fields: dict[str, Any] = {"rows": ()}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    started = time.perf_counter()
    bench = importlib.import_module(f"bench.{name}")
    try:
        options = {"part": part} if part else {}
        rows = svm_rows(quick) if name == "svm" else bench.run(quick, **options)
        fields["rows"] = tuple(rows)
    except Skipped as reason:
        fields["skipped"] = str(reason)
    except Exception as error:  # one bench that breaks must not lose hours of the others
        traceback.print_exc()
        fields["failed"] = f"{type(error).__name__}: {error}"
    return Outcome(
        bench=name,
        part=part,
        title=getattr(bench, "TITLE", SVM_TITLE),
        peer=getattr(bench, "PEER", SVM_PEER),
        machine=here,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        seconds=time.perf_counter() - started,
        load=load,
        **fields,
    )


def svm_rows(quick: bool) -> list[Row]:
    """The rows of bench/svm.py, which stands alone and gives dictionaries."""
    from bench import svm

    return [svm_row(found, quick) for found in svm.run(quick)]


def svm_row(found: dict[str, Any], quick: bool) -> Row:
    """One dictionary as a row; its spread is that of the ratio, over its median."""
    targets = [t for size, t in SVM_TARGETS.items() if size in found["name"]]
    note = f"spread of the ratio {found['spread']:.0%}"
    return Row(
        name=found["name"],
        ours_s=found["ours_s"],
        peer_s=found["peer_s"],
        ratio=found["ratio"],
        low=found.get("low"),
        high=found.get("high"),
        target=targets[0] if targets and not quick else None,
        check=found["check"],
        ok=found["check"].startswith("ok"),
        note="; ".join(filter(None, [note, found.get("peer")])),
    )


if __name__ == "__main__":
    sys.exit(main())
