"""How the time of a fit grows with images and classes.

    .venv/bin/python bench/growth.py                     a grid, about twenty minutes on two free cores
    .venv/bin/python bench/growth.py --full              up to 64,000 images and 1,000 classes
    .venv/bin/python bench/growth.py 8000x15 characters  these alone
    .venv/bin/python bench/growth.py --write             only the table, of what is measured

Real images made more by crops: every image of the 15 scenes gives crops at random places and of random
sizes, mirrored or not. With 1,000 classes a class is the crops of one image, with 100 those of ten images
of one scene, with 10 those of a scene. Each size is a `headstart fit` in a process of its own with one
resolution; then scikit-learn's linear classifiers are fitted once to the features of the last layer alone,
in the same run. `characters` are those 4,840 images of 242 handwritten characters as they are.

Every fit and every classifier has a time limit, after which it is stopped and the table says so. What was
measured is kept in a file, from which the table of docs/growth.md is written after each size; a size that
is measured again replaces what was known of it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT, SHARED

from headstart.features import cache_folder

OUT = ROOT / "docs" / "growth.md"
COMMAND = ".venv/bin/python bench/growth.py"
BEGIN, END = "<!-- growth:begin -->", "<!-- growth:end -->"
SIZE_PX = 96
CHARACTERS = "characters"
GRID = ("1000x10", "4000x10", "8000x15", CHARACTERS, "1000x100", "4000x100", "8000x500")
FULL = tuple(
    f"{n}x{k}" for k in (10, 100, 1_000) for n in (1_000, 4_000, 16_000, 64_000) if n >= 4 * k
)
# Seconds after which a fit, and one of a classifier of scikit-learn, is stopped.
FIT_LIMIT_S, PEER_LIMIT_S = 600.0, 60.0
PEERS = ("LinearSVC", "RidgeClassifierCV", "LogisticRegression")
STAGES = ("index", "features", "cross_validation", "refit")
# Choice and refit as they were measured on the same machine before candidates met the best so far.
BEFORE_S = {"1000x10": 4.6, "4000x10": 26.0, "4000x100": 34.4, CHARACTERS: 57.4}


@dataclass(frozen=True, kw_only=True)
class Size:
    """What one size took.

    Attributes
    ----------
    name : str
        ``"8000x15"``, or ``"characters"``.
    n_train, n_classes : int
        Training images without copies, and classes; 0 where the fit did not end.
    seconds : dict of str to float
        Of the stages of a fit, of the rest of it, and of its report; empty where it did not end.
    peak_gb, accuracy : float
        Peak memory of the fit, and the share of the test images that it classifies correctly.
    peers_s : dict of str to float or None
        Seconds of one fit of each peer; None where it was stopped.
    limit_s, peer_limit_s : float
        The time limits.
    load : float
        Of the machine when the fit began.
    """

    name: str
    n_train: int = 0
    n_classes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_gb: float = 0.0
    accuracy: float = 0.0
    peers_s: dict[str, float | None] = field(default_factory=dict)
    limit_s: float = FIT_LIMIT_S
    peer_limit_s: float = PEER_LIMIT_S
    load: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether the fit ended within its time limit."""
        return bool(self.seconds)

    @property
    def choice_s(self) -> float:
        """Of choice and refit together."""
        return self.seconds["cross_validation"] + self.seconds["refit"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sizes, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help="such as 8000x15, or characters")
    parser.add_argument("--full", action="store_true", help="up to 64,000 images")
    parser.add_argument("--limit", type=float, default=FIT_LIMIT_S, help="seconds of a fit")
    parser.add_argument("--peer-limit", type=float, default=PEER_LIMIT_S, help="of a classifier")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--write", action="store_true", help="only write what is measured")
    parser.add_argument("--peer", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--kept", type=Path, default=cache_folder() / "bench-growth.json")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    if asked.peer:
        return fit_peer(*asked.peer)
    known = read_sizes(asked.kept)
    sizes = [] if asked.write else asked.sizes or (FULL if asked.full else GRID)
    for name in sizes:
        require_size(parser, name)
    if not asked.out.exists():
        parser.error(f"--out must be a page that has the markers of the table: no file {asked.out}")
    for name in sizes:
        known[name] = measure(name, asked.limit, asked.peer_limit, asked.peers)
        asked.kept.parent.mkdir(parents=True, exist_ok=True)
        asked.kept.write_text(json.dumps([asdict(s) for s in known.values()], indent=1))
        write(asked.out, table(list(known.values())))
        print(json.dumps(asdict(known[name])), flush=True)
    write(asked.out, table(list(known.values())))
    print("\n".join(table(list(known.values()))))
    return 0


def require_size(parser: argparse.ArgumentParser, name: str) -> None:
    """End with a line where a size is none."""
    n, _, k = name.partition("x")
    if name != CHARACTERS and not (n.isdigit() and k.isdigit() and int(n) >= 4 * int(k) >= 8):
        parser.error(
            f"SIZE must be IMAGESxCLASSES, at least 2 classes of 4 images, or {CHARACTERS}; got {name!r}"
        )


def read_sizes(path: Path) -> dict[str, Size]:
    """What is measured already."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {item["name"]: Size(**item) for item in found}


def measure(name: str, limit_s: float, peer_limit_s: float, peers: Sequence[str]) -> Size:
    """One size, in folders that are removed afterwards."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data, run, cache = folder / "data", folder / "run", folder / "cache"
        if name == CHARACTERS:
            data = SHARED / "data" / "characters"
        else:
            n, n_classes = map(int, name.split("x"))
            write_crops(data, n, n_classes)
        load = os.getloadavg()[0]
        facts = Size(name=name, limit_s=limit_s, peer_limit_s=peer_limit_s, load=load)
        try:
            peak_gb = fit(data, run, cache, limit_s)
        except TimeoutError:
            return facts
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        seconds = {stage: metrics["timings_s"][stage] for stage in STAGES}
        seconds["rest"] = metrics["timings_s"]["total"] - sum(seconds.values())
        started = time.perf_counter()
        headstart("report", run, cache=cache, limit_s=limit_s)
        seconds["report"] = time.perf_counter() - started
        features = write_features(data, folder, cache) if peers else folder
        return dataclasses.replace(
            facts,
            n_train=metrics["selection"]["n_train"],
            n_classes=len(metrics["classes"]),
            seconds=seconds,
            peak_gb=peak_gb,
            accuracy=metrics["test"]["accuracy"]["value"],
            peers_s={peer: time_peer(peer, features, peer_limit_s) for peer in peers},
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


def headstart(*words: object, cache: Path, limit_s: float) -> float:
    """Run a command; returns the peak of its memory in GB.

    Raises
    ------
    TimeoutError
        It was stopped.
    RuntimeError
        It failed.
    """
    command = [sys.executable, "-m", "headstart", *map(str, words)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "HEADSTART_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends_at = time.perf_counter() + limit_s
    while True:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        if time.perf_counter() > ends_at:
            process.kill()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            raise TimeoutError
        time.sleep(0.05)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_maxrss / 1e6


def fit(data: Path, run: Path, cache: Path, limit_s: float) -> float:
    """`headstart fit` with one resolution; returns the peak of its memory in GB."""
    sizes = ("--resolutions", SIZE_PX, "--precision", "float32")
    return headstart("fit", data, "--out", run, *sizes, cache=cache, limit_s=limit_s)


def write_features(data: Path, folder: Path, cache: Path) -> Path:
    """The features of the last layer of the training images, as `fit` left them in its store."""
    from headstart.backbones import load
    from headstart.data import index, training_records
    from headstart.features import extract

    images = index(data, cache=cache)
    store = extract(
        images.records, load("embedded"), resolutions=(SIZE_PX,), precision="float32", cache=cache
    ).stores[SIZE_PX]
    train = training_records(images)
    X = store.read([r.digest for r in train], "conv_head").astype(np.float32)
    place = folder / "features.npz"
    np.savez(place, X=X / np.linalg.norm(X, axis=1, keepdims=True), y=[r.label for r in train])
    return place


def time_peer(name: str, features: Path, limit_s: float) -> float | None:
    """Seconds of one fit in a process of its own; None where it was stopped."""
    command = [sys.executable, __file__, "--peer", name, str(features)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=True)
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
    if not sizes:
        return ["Not yet measured."]
    cores = os.cpu_count() or 1
    quiet = [s.name for s in sizes if s.load <= cores / 2]
    loud = [s for s in sizes if s.name not in quiet]
    lines = [f"Written by `{COMMAND}` on {cores} cores."]
    if loud:
        lines.append(
            f"**{', '.join(s.name for s in loud)}: measured while other programs ran**, so these times "
            f"are too long (load up to {max(s.load for s in loud):.0f})."
        )
    head = [
        "images x classes",
        "training images",
        *(f"{x}, s" for x in ("index", "features", "choice")),
    ]
    head += [
        "refit, s",
        "choice and refit, s",
        "before, s",
        "rest, s",
        "report, s",
        "peak, GB",
        "test, %",
    ]
    head += [f"{name}, s" for name in PEERS]
    lines += ["", f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    for s in sorted(sizes, key=lambda s: (s.name == CHARACTERS, *_numbers(s))):
        before = BEFORE_S.get(s.name)
        cells = [s.name, f"not ended within {s.limit_s:.0f} s"] + [""] * (len(head) - 2)
        if s.has_ended:
            took = [s.seconds[stage] for stage in STAGES]
            cells = [s.name, f"{s.n_train:,}", *(f"{x:.1f}" for x in [*took, s.choice_s])]
            cells += ["–" if before is None else f"{before:.1f}"]
            cells += [f"{s.seconds['rest']:.1f}", f"{s.seconds['report']:.1f}", f"{s.peak_gb:.1f}"]
            cells += [f"{100 * s.accuracy:.1f}", *(_peer(s, name) for name in PEERS)]
        lines.append(f"| {' | '.join(cells)} |")
    fitted = exponents([s for s in sizes if s.has_ended and s.name != CHARACTERS])
    if fitted:
        lines += [
            "",
            "Exponents of choice and refit together (least squares on logarithms): " + fitted + ".",
        ]
    return lines


def _numbers(s: Size) -> tuple[int, int]:
    """Classes and images, by which rows are in order."""
    n, _, k = s.name.partition("x")
    return (int(k), int(n)) if k else (0, 0)


def _peer(s: Size, name: str) -> str:
    if name not in s.peers_s:
        return "–"
    value = s.peers_s[name]
    return f"> {s.peer_limit_s:.0f}" if value is None else f"{value:.1f}"


def exponents(sizes: Sequence[Size]) -> str:
    """How the time of choice and refit grows with images, and with classes."""
    found = []
    for k in sorted({_numbers(s)[0] for s in sizes}):
        mine = [(_numbers(s)[1], s) for s in sizes if _numbers(s)[0] == k]
        found += _exponent(mine, f"images, {k:,} classes")
    for n in sorted({_numbers(s)[1] for s in sizes}):
        mine = [(_numbers(s)[0], s) for s in sizes if _numbers(s)[1] == n]
        found += _exponent(mine, f"classes, {n:,} images")
    return ", ".join(found)


def _exponent(points: Sequence[tuple[int, Size]], what: str) -> list[str]:
    if len(points) < 2:
        return []
    x = np.log([size for size, _ in points])
    slope = np.polyfit(x, np.log([s.choice_s for _, s in points]), 1)[0]
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
