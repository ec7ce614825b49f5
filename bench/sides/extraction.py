"""From files to features: ours, the plain script, several resolutions, and the memory it takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from bench.harness import stopwatch
from bench.images import read_records
from bench.sides.networks import Actions, fresh_store, load_net, plain_recipe, timed_extract


def extract_ours(
    images: str, net: str, precision: str, cache: str, size_px: int, out: str | None = None
) -> Actions:
    """`headstart.features.extract` into a fresh store; features go to `out` afterwards."""
    records, backbone = read_records(Path(images)), load_net(net)

    def measure() -> dict[str, Any]:
        with fresh_store(cache) as store:
            measured, done = timed_extract(records, backbone, store, precision, [size_px])
            if out:
                digests = [r.digest for r in records]
                kept = {t.module: done.stores[size_px].read(digests, t.name) for t in backbone.taps}
                np.savez(out, **kept)
        return measured

    return {"measure": measure}


def extract_plain(
    images: str, recipe: dict[str, Any], num_workers: int, out: str, n_images: int | None = None
) -> Actions:
    """The plain script on the same files."""
    import torch
    from bench.peers.extract_plain import BATCH_SIZE, extract, load_model, save

    plain = plain_recipe(recipe)
    model = load_model(plain)
    paths = sorted(Path(images).rglob("*.jpg"))[:n_images]
    with torch.no_grad():
        model(torch.zeros(BATCH_SIZE, 3, plain.size_px, plain.size_px))

    def measure() -> dict[str, Any]:
        with stopwatch() as elapsed:
            save(extract(model, paths, plain, num_workers=num_workers), Path(out))
        return {"seconds": elapsed()}

    return {"measure": measure}


def extract_resolutions(
    images: str, net: str, precision: str, cache: str, sizes: list[int], together: bool
) -> Actions:
    """Several resolutions in one call, or in a call each."""
    records, backbone = read_records(Path(images)), load_net(net)
    calls = [sizes] if together else [[size] for size in sizes]

    def measure() -> dict[str, float]:
        total = 0.0
        for call in calls:
            with fresh_store(cache) as store:
                measured, _ = timed_extract(records, backbone, store, precision, call)
            total += measured["seconds"]
        return {"seconds": total}

    return {"measure": measure}


def peak_memory(images: str, net: str, size_px: int, cache: str) -> Actions:
    """Extraction once, and the largest amount of memory that the process has held."""
    records, backbone = read_records(Path(images)), load_net(net)

    def measure() -> dict[str, Any]:
        before = peak_mib()
        with fresh_store(cache) as store:
            measured, _ = timed_extract(records, backbone, store, "float32", [size_px])
        return {**measured, "peak_mib": peak_mib(), "before_mib": before}

    return {"measure": measure}


def peak_mib() -> float:
    """Peak resident memory of this process.

    Linux counts the parent's memory at the fork into ``ru_maxrss``; ``VmHWM`` begins anew.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
