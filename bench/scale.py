"""What an image, a shard and a file cost here, and what a million to a billion of them would.

    make evidence                                     with everything else
    .venv/bin/python bench/scale.py                   this alone; what was measured is kept
    .venv/bin/python bench/scale.py --again           measured anew
    .venv/bin/python bench/scale.py --price 0.02 --workers 2,256

Measured points are kept in bench/results/scale.json; a run that was stopped goes on after the last.
Written are docs/evidence/scale.md and its figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import machine, scale_page
from bench.harness import ROOT, Side, measure_once, scratch
from bench.images import PHOTO_SIZE, THUMB_SIZE, make_images
from bench.projection import Assumed

RESULTS = ROOT / "bench" / "results" / "scale.json"
PAGES = ROOT / "docs" / "evidence"
# Of each network: architecture, pixels, size of the files, how many images a point has. The costs are
# taken from all but the last, which the simulation has then to tell.
NETS: dict[str, tuple[str, int, tuple[int, int], tuple[int, ...]]] = {
    "tiny": ("squeezenet1_1", 64, THUMB_SIZE, (1000, 4000, 16000)),
    "embedded": ("embedded", 224, PHOTO_SIZE, (256, 512, 1536)),
}
PROCESSES = (1, 2)
# Taps of the embedded network and how many numbers each has.
WIDTHS = {
    "conv_stem": 32, "blocks.0": 16, "blocks.1": 24, "blocks.2": 40, "blocks.3": 80, "blocks.4": 112,
    "blocks.5": 192, "blocks.6": 320, "conv_head": 1280, "logits": 1000,
}  # fmt: skip
# Of the task that the limits are told for.
N_CLASSES = 100
N_SHARDS = 24
# Above what Linux lets a process map by default (65,530).
MOST_SHARDS = 68_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not measured yet, project, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true", help="measure anew")
    parser.add_argument("--workers", default="2,64,1024", metavar="N,N", help="fleets to project")
    for field in dataclasses.fields(Assumed):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=float, default=field.default, metavar="X")
    asked = parser.parse_args(arguments)
    kept = measured(again=asked.again)
    assumed = Assumed(**{f.name: getattr(asked, f.name) for f in dataclasses.fields(Assumed)})
    text, figures = scale_page.page(
        kept["points"],
        kept["machine"],
        {name: sizes for name, (*_, sizes) in NETS.items()},
        assumed,
        workers=tuple(int(n) for n in asked.workers.split(",")),
        free_bytes=float(kept["free_bytes"]),
        n_classes=N_CLASSES,
    )
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        (PAGES / name).write_text(figure, encoding="utf-8")
    (PAGES / "scale.md").write_text(text, encoding="utf-8")
    print(f"written: {PAGES / 'scale.md'}")
    return 0


def measured(*, again: bool = False) -> dict[str, Any]:
    """All points, from the file where they were measured on a machine like this one."""
    here = machine.describe()
    kept: dict[str, Any] = {}
    if RESULTS.exists() and not again:
        kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    if not kept or not machine.is_same(kept["machine"], here):
        free = float(shutil.disk_usage(ROOT).free)
        kept = {"machine": here, "free_bytes": free, "points": {}}
    for name, point in wanted().items():
        if name in kept["points"]:
            continue
        print(name, flush=True)
        kept["points"][name] = point()
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        partial = RESULTS.with_suffix(".tmp")
        partial.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        partial.replace(RESULTS)
    return kept


def wanted() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every point by its name, and how it is measured."""
    points: dict[str, Callable[[], dict[str, Any]]] = {}
    for net, (*_, sizes) in NETS.items():
        for n in sizes:
            for k in PROCESSES:
                points[f"extract:{net}:{n}:{k}"] = lambda net=net, n=n, k=k: extraction(net, n, k)
    for n in NETS["tiny"][3]:
        points[f"index:thumbs:{n}"] = lambda n=n: indexing(n, THUMB_SIZE)
    points["index:photos"] = lambda: indexing(1000, PHOTO_SIZE)
    points["store"] = store
    points["most_shards"] = lambda: measure_once("most_shards", n_shards=MOST_SHARDS)
    return points


def extraction(net: str, n_images: int, n_processes: int) -> dict[str, Any]:
    """Some processes at once, each on a core, sharing the images and the store."""
    arch, size_px, file_size, _ = NETS[net]
    with scratch() as folder, ExitStack() as stack:
        make_images(folder / "images", n_images, size=file_size)
        cache = folder / "cache"
        cache.mkdir()
        measure_once("convert", net=arch, cache=str(cache), precision="float32", sizes=[size_px])
        sides = [
            stack.enter_context(
                Side(
                    "extract_share",
                    images=str(folder / "images"),
                    net=arch,
                    size_px=size_px,
                    store=str(cache),
                    n_images=n_images,
                    part=part,
                    n_parts=n_processes,
                )
            )
            for part in range(n_processes)
        ]
        with ThreadPoolExecutor(n_processes) as pool:
            answers = list(pool.map(lambda side: side.measure(), sides))
        processes = [
            {**answer, "startup_s": side.startup_s - side.facts["records_s"]}
            for side, answer in zip(sides, answers, strict=True)
        ]
    return {
        "n_images": n_images,
        "seconds": max(p["seconds"] for p in processes),
        "bytes": max(p["bytes"] for p in processes),
        "processes": processes,
    }


def indexing(n_images: int, file_size: tuple[int, int]) -> dict[str, Any]:
    """The index of a folder."""
    with scratch() as folder:
        make_images(folder / "images", n_images, size=file_size)
        return measure_once("index_cost", images=str(folder / "images"))


def store() -> dict[str, Any]:
    """Shards as wide as those of the embedded network."""
    found = measure_once("store_cost", n_shards=N_SHARDS, widths=WIDTHS)
    return {**found, "n_shards": N_SHARDS, "n_images": N_SHARDS * 512}


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
