"""How the time of a fit grows with images and classes.

    .venv/bin/python bench/growth.py             a small grid, about ten minutes on two free cores
    .venv/bin/python bench/growth.py --full      up to 64,000 images and 1,000 classes

Real images made more by crops: every image of the 15 scenes gives crops at random places and of random
sizes, mirrored or not. With 1,000 classes a class is the crops of one image, with 100 those of ten images
of one scene, with 10 those of a scene. Each size is a `headstart fit` in a process of its own with one
resolution; then scikit-learn's linear classifiers are fitted once to the features of the last layer alone,
in the same run. Writes the table of docs/growth.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT, SHARED

OUT = ROOT / "docs" / "growth.md"
COMMAND = ".venv/bin/python bench/growth.py"
BEGIN, END = "<!-- growth:begin -->", "<!-- growth:end -->"
SIZE_PX = 96
GRID = ((1_000, 10), (4_000, 10), (1_000, 100), (4_000, 100))
FULL = tuple((n, k) for k in (10, 100, 1_000) for n in (1_000, 4_000, 16_000, 64_000) if n >= 4 * k)
# Seconds after which a classifier of scikit-learn is stopped.
LIMIT_S = 120.0
PEERS = ("LinearSVC", "LogisticRegression", "RidgeClassifierCV")


@dataclass(frozen=True, kw_only=True)
class Size:
    """What one size took: seconds of each stage, peak memory, and seconds of each peer.

    A peer is None where it was stopped after `LIMIT_S`.
    """

    n: int
    n_classes: int
    index_s: float
    features_s: float
    choice_s: float
    refit_s: float
    other_s: float
    report_s: float
    peak_gb: float
    accuracy: float
    peers_s: dict[str, float | None]
    load: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the grid, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--size", nargs="*", help="such as 8000x15, instead of the grid")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--peer", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    if asked.peer:
        return fit_peer(*asked.peer)
    grid = FULL if asked.full else GRID
    if asked.size:
        grid = tuple((int(n), int(k)) for n, k in (size.split("x") for size in asked.size))
    sizes = []
    for n, n_classes in grid:
        sizes.append(measure(n, n_classes, with_peers=not asked.no_peers))
        print(json.dumps(asdict(sizes[-1])), flush=True)
    write(asked.out, table(sizes))
    print("\n".join(table(sizes)))
    return 0


def measure(n: int, n_classes: int, *, with_peers: bool) -> Size:
    """One size, in folders that are removed afterwards."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_crops(folder / "data", n, n_classes)
        load = os.getloadavg()[0]
        run, cache = folder / "run", folder / "cache"
        peak = fit(folder / "data", run, cache)
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        took = metrics["timings_s"]
        stages = ("index", "features", "cross_validation", "refit")
        started = time.perf_counter()
        headstart("report", run, cache=cache)
        report_s = time.perf_counter() - started
        peers: dict[str, float | None] = {}
        if with_peers:
            features = write_features(folder, cache)
            peers = {name: time_peer(name, features) for name in PEERS}
    return Size(
        n=n,
        n_classes=n_classes,
        **{
            f"{name}_s": took[stage]
            for name, stage in zip(("index", "features", "choice", "refit"), stages, strict=True)
        },
        other_s=took["total"] - sum(took[s] for s in stages),
        report_s=report_s,
        peak_gb=peak,
        accuracy=metrics["test"]["accuracy"]["value"],
        peers_s=peers,
        load=load,
    )


def write_crops(folder: Path, n: int, n_classes: int, seed: int = 0) -> None:
    """``n`` crops of 96 px in ``n_classes`` folders, the same number in each, give or take one."""
    rng = np.random.default_rng(seed)
    scenes = sorted(p for p in (SHARED / "data" / "scene15").iterdir() if p.is_dir())
    by_scene = [sorted(scene.glob("*.jpg")) for scene in scenes]
    shares = max(n_classes // len(by_scene) + 1, 1)
    classes = [
        (
            f"{scenes[i % len(scenes)].name}_{i // len(scenes):03d}",
            files[i // len(scenes) :: shares],
        )
        for i in range(n_classes)
        for files in [by_scene[i % len(scenes)]]
    ]
    for k, (name, files) in enumerate(classes):
        (folder / name).mkdir(parents=True)
        n_own = n // n_classes + (k < n % n_classes)
        few = files[: max(1, 1_000 // n_classes)]
        for j in range(n_own):
            with Image.open(few[j % len(few)]) as image:
                crop(image.convert("RGB"), rng).save(folder / name / f"{j:05d}.jpg", quality=90)


def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A square of 50 to 90 % of the shorter side, anywhere, perhaps mirrored."""
    side = int(min(image.size) * rng.uniform(0.5, 0.9))
    left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
    part = image.resize((SIZE_PX, SIZE_PX), box=(left, top, left + side, top + side))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def headstart(*words: object, cache: Path) -> float:
    """Run a command; returns the peak of its memory in GB."""
    command = [sys.executable, "-m", "headstart", *map(str, words)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "HEADSTART_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_maxrss / 1e6


def fit(data: Path, run: Path, cache: Path) -> float:
    """`headstart fit` with one resolution; returns the peak of its memory in GB."""
    sizes = ("--resolutions", SIZE_PX, "--precision", "float32")
    return headstart("fit", data, "--out", run, *sizes, cache=cache)


def write_features(folder: Path, cache: Path) -> Path:
    """The features of the last layer of the training images, as `fit` left them in its store."""
    from headstart.backbones import load
    from headstart.data import index, training_records
    from headstart.features import extract

    images = index(folder / "data", cache=cache)
    store = extract(
        images.records, load("embedded"), resolutions=(SIZE_PX,), precision="float32", cache=cache
    ).stores[SIZE_PX]
    train = training_records(images)
    X = store.read([r.digest for r in train], "conv_head").astype(np.float32)
    place = folder / "features.npz"
    np.savez(place, X=X / np.linalg.norm(X, axis=1, keepdims=True), y=[r.label for r in train])
    return place


def time_peer(name: str, features: Path) -> float | None:
    """Seconds of one fit in a process of its own; None where it was stopped."""
    command = [sys.executable, __file__, "--peer", name, str(features)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    except subprocess.TimeoutExpired:
        return None
    return float(done.stdout.splitlines()[-1])


def fit_peer(name: str, features: str) -> int:
    """Fit one classifier once and print its seconds."""
    from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
    from sklearn.svm import LinearSVC

    made: dict[str, Callable[[], object]] = {
        "LinearSVC": lambda: LinearSVC(C=1.0),
        "LogisticRegression": lambda: LogisticRegression(C=100.0, max_iter=1_000),
        "RidgeClassifierCV": lambda: RidgeClassifierCV(alphas=(0.03, 0.3, 1.0)),
    }
    with np.load(features, allow_pickle=False) as kept:
        X, y = kept["X"], kept["y"]
    started = time.perf_counter()
    made[name]().fit(X, y)  # type: ignore[attr-defined]
    print(time.perf_counter() - started)
    return 0


def table(sizes: Sequence[Size]) -> list[str]:
    """The lines between the markers of the page."""
    busy = max(s.load for s in sizes)
    lines = [
        f"Written by `{COMMAND}` on {os.cpu_count()} cores. "
        + (
            f"**Measured while other programs ran** (load up to {busy:.0f}): the figures are too large."
            if busy > os.cpu_count() + 0.5  # type: ignore[operator]
            else "Nothing else ran."
        ),
        "",
        "| images x classes | index, s | features, s | choice, s | refit, s | report, s | peak, GB | "
        + " | ".join(f"{name}, s" for name in PEERS)
        + " |",
        "| --- |" + " ---: |" * (6 + len(PEERS)),
    ]
    for s in sizes:
        peers = [_seconds(s.peers_s[p]) if p in s.peers_s else "–" for p in PEERS]
        lines.append(
            f"| {s.n:,} x {s.n_classes:,} | {s.index_s:.1f} | {s.features_s:.1f} | {s.choice_s:.1f} | "
            f"{s.refit_s:.1f} | {s.report_s:.1f} | {s.peak_gb:.1f} | {' | '.join(peers)} |"
        )
    fitted = exponents(sizes)
    if fitted:
        lines += [
            "",
            "Exponents of the choice with the refit (least squares on logarithms): " + fitted + ".",
        ]
    return lines


def _seconds(value: float | None) -> str:
    return f"> {LIMIT_S:.0f}" if value is None else f"{value:.1f}"


def exponents(sizes: Sequence[Size]) -> str:
    """How the time of choice and refit grows with images, and with classes."""
    found = []
    for n_classes in sorted({s.n_classes for s in sizes}):
        found += _exponent(
            [(s.n, s) for s in sizes if s.n_classes == n_classes], f"images, {n_classes:,} classes"
        )
    for n in sorted({s.n for s in sizes}):
        found += _exponent([(s.n_classes, s) for s in sizes if s.n == n], f"classes, {n:,} images")
    return ", ".join(found)


def _exponent(points: Sequence[tuple[int, Size]], what: str) -> list[str]:
    if len(points) < 2:
        return []
    x = np.log([size for size, _ in points])
    slope = np.polyfit(x, np.log([s.choice_s + s.refit_s for _, s in points]), 1)[0]
    return [f"{slope:.2f} in {what}"]


def write(page: Path, lines: Sequence[str]) -> None:
    """Put the table between the markers of the page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(
        f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    raise SystemExit(main())
