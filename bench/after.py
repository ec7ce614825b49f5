"""How long what comes after a fit takes with thousands of images: processor seconds, and how they grow.

    .venv/bin/python bench/after.py              1,250, 2,500 and 5,000 images
    .venv/bin/python bench/after.py 1000 2000    other numbers
    .venv/bin/python bench/after.py --profile 5000    with the functions that take most of it

Pictures are the digits of scikit-learn, moved and with noise, at one resolution of 64 pixels. A label of the
runs on several labels is a digit, or a place and a digit. Times are of `time.process_time`, so other programs
make them a little longer only. What is printed stands in docs/growth.md.
"""

from __future__ import annotations

import argparse
import cProfile
import csv
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import headstart

SIZE_PX, N_TOP = 32, 12
# Images times labels of the runs on several labels.
SEVERAL = ((1_250, 20), (2_500, 20), (5_000, 20), (2_000, 125), (2_000, 250), (2_000, 500))


def pictures(root: Path, n: int, *, seed: int = 0) -> list[tuple[str, int, int]]:
    """So many pictures in `root`: name, digit and place (0 to 24) of each."""
    from sklearn.datasets import load_digits

    rng, digits, found = np.random.default_rng(seed), load_digits(), []
    root.mkdir(parents=True)
    for i in range(n):
        at = int(rng.integers(len(digits.images)))
        dx, dy = (int(v) for v in rng.integers(0, 5, 2))
        paper = np.zeros((SIZE_PX, SIZE_PX))
        paper[3 * dy : 3 * dy + 16, 3 * dx : 3 * dx + 16] = np.kron(
            digits.images[at], np.ones((2, 2))
        )
        noisy = 255 - 15 * paper + rng.normal(0, 8, paper.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(root / f"{i:05d}.png")
        found.append((f"{i:05d}.png", int(digits.target[at]), 5 * dy + dx))
    return found


def write_table(root: Path, rows: Sequence[tuple[str, int, int]], n_labels: int = 0) -> Path:
    """A table of one label an image, or of several."""
    path = root / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label"])
        for name, digit, place in rows:
            writer.writerow([name, _labels(digit, place, n_labels) if n_labels else digit])
    return path


def _labels(digit: int, place: int, n_labels: int) -> str:
    """The digit, and three of the other labels that both together decide."""
    others = [(10 * place + digit) * prime % (n_labels - 10) for prime in (1, 7_919, 104_729)]
    return ";".join([f"digit {digit}", *(f"label {k}" for k in others)])


def timed(what: str, work: Callable[..., Any], *, profiled: bool = False) -> Any:
    """Print the processor seconds of a call, and of its stages; with `profiled` of its functions, too."""
    profile = cProfile.Profile() if profiled else None
    spent: dict[str, float] = {}
    stage, since = "begin", time.process_time()
    start = since

    def progress(name: str, _done: int, _total: int) -> None:
        nonlocal stage, since
        now = time.process_time()
        spent[stage] = spent.get(stage, 0.0) + now - since
        stage, since = name, now

    found = profile.runcall(work, progress) if profile else work(progress)
    progress("end", 1, 1)
    seconds = time.process_time() - start
    stages = ", ".join(f"{name} {s:.1f}" for name, s in spent.items() if s >= 0.1)
    print(f"{what:36} {seconds:7.1f} s: {stages}", flush=True)
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(N_TOP)
    return found


def measure_after(root: Path, n: int, *, profiled: bool) -> None:
    """A fit of `n` pictures, then the questions after it."""
    data, new = root / f"{n}", root / f"{n}-new"
    table = write_table(data, pictures(data, n))
    pictures(new, n, seed=1)
    run = root / f"run-{n}"
    how: dict[str, Any] = {"resolutions": (64,), "precision": "float32", "prefer": "single"}

    def ask(name: str, *more: str) -> Callable[..., Any]:
        return lambda progress: getattr(headstart.transfer, name)(
            str(run), *more, progress=progress
        )

    timed(f"fit of {n:,}", lambda progress: headstart.fit(table, out=run, progress=progress, **how))
    for name in ("clean", "slices", "map"):
        timed(f"{name} of {n:,}", ask(name), profiled=profiled)
    timed(f"label_next of {n:,} and {n:,}", ask("label_next", str(new)), profiled=profiled)


def measure_several(root: Path, n: int, n_labels: int, *, profiled: bool) -> None:
    """A fit on several labels."""
    data = root / f"labels-{n}-{n_labels}"
    table, out = write_table(data, pictures(data, n), n_labels), root / f"run-{n}-{n_labels}"
    how: dict[str, Any] = {"resolutions": (64,), "precision": "float32", "multi_label": ";"}
    run = timed(
        f"fit of {n:,} x {n_labels}",
        lambda progress: headstart.fit(table, out=out, progress=progress, **how),
        profiled=profiled,
    )
    print(f"    {len(run.metrics.names)} labels, {run.metrics.sentence}")


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("n", type=int, nargs="*", default=[1_250, 2_500, 5_000])
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--several", action="store_true", help="the runs on several labels alone")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for n in () if asked.several else asked.n:
            measure_after(root, n, profiled=asked.profile)
        for n, n_labels in SEVERAL if asked.several else ():
            measure_several(root, n, n_labels, profiled=asked.profile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
