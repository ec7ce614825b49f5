"""15-Scene by its usual protocol: 100 training images per class, all others to test on, ten random splits.

    .venv/bin/python bench/scene15_splits.py                      measures what is missing, writes the page
    .venv/bin/python bench/scene15_splits.py --networks embedded --splits 3 --out /tmp/page.md

Each is a whole `headstart fit` with its defaults. The features are stored, so that the first split of each
choice of networks takes minutes, and the others much less. What is measured is kept at once in
$HEADSTART_CACHE/bench-scene15; the page is docs/evidence/scene15-splits.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT, SHARED

import headstart
from headstart.data import index
from headstart.features import cache_folder
from headstart.files import write_atomically

OUT = ROOT / "docs" / "evidence" / "scene15-splits.md"
DATA = SHARED / "data" / "scene15"
N_TRAIN = 100
LITE0, LITE1, LITE2 = "embedded", "embedded:lite1", "embedded:lite2"
NETWORKS = (LITE0, LITE2, f"{LITE0},{LITE1},{LITE2}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    for networks in asked.networks:
        for number in range(asked.splits):
            if not kept_at(networks, number).exists():
                found = measured(networks, number)
                write_atomically(kept_at(networks, number), json.dumps(found).encode())
                print(f"{networks}, split {number}: {found['accuracy']:.2%}", flush=True)
    asked.out.write_text(page(asked.networks), encoding="utf-8")
    print(f"written: {asked.out}")
    return 0


def measured(networks: str, number: int) -> dict[str, Any]:
    """Fit on one split: the accuracy, what was chosen, and the time."""
    began, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as name:
        split = Path(name) / "split.csv"
        split.write_text("\n".join(split_lines(number)) + "\n", encoding="utf-8")
        run = headstart.fit(DATA, split=split, backbone=networks, out=Path(name) / "run")
        return {
            "accuracy": run.accuracy.value,
            "chosen": run.metrics.chosen.tap,
            "seconds": time.perf_counter() - began,
            "processor_seconds": time.process_time() - cpu,
        }


def split_lines(number: int) -> list[str]:
    """Lines of a split file: 100 images of each class drawn at random to train on."""
    random, lines = np.random.default_rng(number), []
    records = index(DATA, seed=0).records
    for label in sorted({r.label for r in records}):
        names = sorted(r.name for r in records if r.label == label)
        train = set(random.choice(names, N_TRAIN, replace=False))
        lines += [f"{'train' if name in train else 'test'},{name}" for name in names]
    return lines


def kept_at(networks: str, number: int) -> Path:
    """The file of one fit."""
    name = networks.replace(":", "-").replace(",", "+")
    return cache_folder() / "bench-scene15" / f"{name}-{number}.json"


def page(choices: Sequence[str]) -> str:
    """The page, in Markdown."""
    rows, lists = [], []
    for networks in choices:
        paths = [kept_at(networks, number) for number in range(100)]
        found = [json.loads(path.read_bytes()) for path in paths if path.exists()]
        if not found:
            continue
        values = 100 * np.array([each["accuracy"] for each in found])
        shown = f"{values.mean():.2f}"
        if len(values) > 1:
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            shown += f" [{values.mean() - half:.2f}, {values.mean() + half:.2f}]"
        minutes = [each["processor_seconds"] / 60 for each in found]
        rows.append(
            f"| `--backbone {networks}` | {len(values)} | {shown} | {np.median(minutes):.1f} |"
        )
        each = ", ".join(f"{value:.1f}" for value in values)
        lists.append(f"- `{networks}`: {each}.")
    return "\n".join(
        [
            "# 15-Scene, ten random splits",
            "",
            "By `.venv/bin/python bench/scene15_splits.py`. Each split trains on 100 images per class drawn at random and tests",
            "on the other 2,985; each is a whole `headstart fit` with its defaults, in which no network is trained. Mean test",
            "accuracy in percent over the splits, with the 95 % interval of the mean by Student's t; minutes are of processor time",
            "and the median of the splits, for which the features are stored.",
            "",
            "| fit | splits | mean accuracy | minutes |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "Each split:",
            "",
            *lists,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
