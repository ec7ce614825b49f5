"""Laws of the learning curve on real sets: errors of their forecasts, and how often their intervals hold.

    .venv/bin/python bench/datasize.py                    measures what is missing, writes docs/evidence/datasize.md
    .venv/bin/python bench/datasize.py --minutes 3        stops after about three minutes; the same again goes on
    .venv/bin/python bench/datasize.py --sets textures --seeds 2 --out /tmp/datasize.md

Of each set and seed, the split and the curve are those of `headstart transfer size`. The curves are kept
($HEADSTART_CACHE/bench-datasize), so that another law costs no fit. Every count is predicted from those
at most half as large, as by `--check`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT
from bench.regret import SETS, Set, backbone, folder_of

from headstart.data import index
from headstart.experiments.features import Block, BlockReader, View
from headstart.experiments.size.measure import Curve, division, measure_curve
from headstart.experiments.size.settings import Settings
from headstart.features import cache_folder
from headstart.probe import powerlaw
from headstart.training.network import features_tap

OUT = ROOT / "docs" / "evidence" / "datasize.md"
COMMAND = ".venv/bin/python bench/datasize.py"


def sets() -> dict[str, Set]:
    """Those of the choice, each once and with half of its images to test on; not the 242 characters."""
    found = {s.folder.split("/")[-1]: s for s in SETS if s.folder != "characters"}
    return {name: Set(name=name, folder=s.folder) for name, s in found.items()}


def kept_at(each: Set, seed: int) -> Path:
    """The file of one curve."""
    return cache_folder() / "bench-datasize" / f"1-{each.name}-{seed}.npz"


@cache
def reader() -> tuple[BlockReader, Block]:
    """Reads the last layer of the embedded network."""
    net = backbone()
    view = View(size_px=net.preprocessing.size_px)
    made = BlockReader(backbone=net, views=(view,), cache=cache_folder())
    return made, Block(tap=features_tap(net).name, view=view)


def measured(each: Set, seed: int) -> Curve:
    """The curve of one set with one seed."""
    folder = folder_of(each)
    images = index(folder, test_size=each.test_size, seed=seed, cache=cache_folder())
    read, block = reader()
    read.extract([r for side in division(images) for r in side])
    return measure_curve(Settings(data=str(folder), seed=seed), images, read, block)[0]


def recall(path: Path) -> Curve:
    """A curve that was kept."""
    kept = np.load(path, allow_pickle=False)
    counts, means = kept["counts"].tolist(), kept["means"].tolist()
    return Curve(counts=tuple(counts), means=tuple(means), correct=kept["correct"])


LAWS: dict[str, Callable[..., bool]] = {
    "power law": lambda *_: False,
    "piecewise law": lambda counts, *_: len(counts) >= powerlaw.MIN_BENT,
    "chosen": powerlaw.bends,
}
"""Whether a law is to bend, by its name; the last is what `transfer size` does."""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """One size of one curve, predicted by one law from sizes at most half as large; in points."""

    error: float
    width: float
    is_inside: bool
    is_bent: bool


def predictions(curve: Curve, bends: Callable[..., bool]) -> Iterator[Predicted]:
    """Every size that can be predicted."""
    kept, powerlaw.bends = powerlaw.bends, bends
    try:
        for f in curve.forecasts():
            below = slice(curve.counts.index(f.fitted_to) + 1)
            seen = np.array(curve.means[below]), curve.errors[:, below], curve.correct.shape[2]
            yield Predicted(
                error=100 * abs(f.predicted.value - f.measured),
                width=100 * (f.predicted.high - f.predicted.low),
                is_inside=f.is_inside,
                is_bent=bends(*seen),
            )
    finally:
        powerlaw.bends = kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--sets", nargs="*", default=list(sets()))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no curve later")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    ends_at = time.monotonic() + 60 * asked.minutes
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    chosen = {name: s for name, s in sets().items() if name in asked.sets}
    for seed in seeds:
        for each in chosen.values():
            path = kept_at(each, seed)
            if path.exists() or time.monotonic() > ends_at:
                continue
            curve = measured(each, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, counts=curve.counts, means=curve.means, correct=curve.correct)
    curves = {
        name: [recall(kept_at(s, n)) for n in seeds if kept_at(s, n).exists()]
        for name, s in chosen.items()
    }
    found = {
        name: {law: [p for c in some for p in predictions(c, rule)] for law, rule in LAWS.items()}
        for name, some in curves.items()
        if some
    }
    asked.out.write_text("\n".join(page(found, curves)) + "\n", encoding="utf-8")
    print(f"written: {asked.out}")
    return 0


Found = dict[str, dict[str, list[Predicted]]]


def page(found: Found, curves: dict[str, list[Curve]]) -> list[str]:
    """The page of evidence."""
    every = {law: [p for of_law in found.values() for p in of_law[law]] for law in LAWS}
    lines = [
        "# Laws of the learning curve",
        "",
        f"Written by `{COMMAND}`: {sum(map(len, curves.values()))} curves of {len(found)} sets, half of the images to test on, last layer",
        "of the embedded network at 224 px. Every size of ten images per class or more is predicted from the sizes at most half as",
        "large, where there are four of them ([how many images are enough](../datasize.md)).",
        "",
        "| law | mean error, points | inside the 95 % interval | width, points | taken |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for law, some in every.items():
        error = np.mean([np.mean([p.error for p in of[law]]) for of in found.values()])
        inside = sum(p.is_inside for p in some)
        share = 100 * np.mean([p.is_bent for p in some])
        lines.append(
            f"| {law} | {error:.2f} | {inside} of {len(some)} ({100 * inside / len(some):.0f} %) "
            f"| {np.mean([p.width for p in some]):.1f} | {share:.0f} % piecewise |"
        )
    lines += [
        "",
        "The error is the mean of the sets. *chosen*: piecewise where it predicted what was held back of the sizes fitted to as",
        "well or better; `transfer size` does this. The intervals allow for other test images, while these forecasts are checked",
        "on the same ones, so that they hold more often than stated.",
        "",
        f"| set | sizes | {' | '.join(f'{law}: error, inside' for law in LAWS)} |",
        f"| --- | ---: |{' ---: |' * len(LAWS)}",
    ]
    for name, of_law in found.items():
        cells = [
            f"{np.mean([p.error for p in some]):.2f}, {sum(p.is_inside for p in some)} of {len(some)}"
            for some in of_law.values()
        ]
        lines.append(f"| {name} | {curves[name][0].counts[-1]} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
