"""The reference points of `headstart transfer similarity`: sets measured once, shipped as numbers.

    .venv/bin/python bench/reference_points.py           minutes on two cores

Writes src/headstart/experiments/similarity/reference_points.json: distances to the source by layer and
what transfer gave, of the sets in ../shared/data and those that can be made anywhere. No images and no
features are in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT
from bench.sets import SEED, SETS

from headstart import __version__
from headstart.backbones import Backbone, load
from headstart.experiments.similarity import references
from headstart.experiments.similarity.measure import place
from headstart.experiments.similarity.result import Placed, ReferencePoints
from headstart.features import cache_folder

OUT = ROOT / "src/headstart/experiments/similarity" / references.POINTS_FILE


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every set and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    absent = [str(each.path) for each in SETS if not each.path.exists()]
    if absent:
        print(f"not written: there is no {', '.join(absent)}")
        return 1
    backbone = load("embedded")
    found, sketches = measured(backbone)
    sets = sorted(found, key=lambda p: p.kl)
    points = ReferencePoints(
        version=__version__,
        backbone=backbone.name,
        digest=backbone.digest,
        preprocessing=references.preprocessing_facts(backbone.preprocessing),
        size_px=backbone.preprocessing.size_px,
        layers=sets[0].distance.layers,
        n_images=references.N_IMAGES,
        sketches=sketches,
        sets=tuple(sets),
    )
    asked.out.write_text(as_json(points), encoding="utf-8")
    print(f"written: {asked.out}, {asked.out.stat().st_size:,} bytes")
    return 0


def measured(backbone: Backbone) -> tuple[list[Placed], dict[str, tuple[str, ...]]]:
    """All sets, one after another, and the sketches of those that are files."""
    cache = cache_folder()
    sets = references.made_sets(cache=cache, seed=SEED)
    for each in SETS:
        if each.name not in references.MADE:
            sets.append(references.indexed_set(each.name, each.index(), seed=SEED, note=each.note))
    found: list[Placed] = []
    sketches: dict[str, tuple[str, ...]] = {}
    for images in sets:
        found += place(backbone, images, (), seed=SEED, cache=cache)
        if images.indexed is not None:
            sketches[images.name] = references.sketch(images.indexed)
        print(f"{images.name}: {found[-1].kl:.3f}", flush=True)
    return found, sketches


def as_json(points: ReferencePoints) -> str:
    """A set a line; numbers with four significant digits, the names of the layers once."""
    facts = msgspec.to_builtins(points)
    for placed in facts["sets"]:
        placed["distance"]["layers"] = []
        del placed["chance"]  # of texts only
    sets = [msgspec.json.encode(rounded(s)).decode() for s in facts.pop("sets")]
    head = msgspec.json.encode(facts).decode().removesuffix("}")
    return f'{head},"sets":[\n' + ",\n".join(sets) + "\n]}\n"


def rounded(value: object) -> object:
    """Numbers with four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    sys.exit(main())
