"""What a large job costs for each image, shard and file: one process, or one of several."""

from __future__ import annotations

import importlib
import os
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bench.harness import stopwatch
from bench.images import read_records
from bench.sides.extraction import peak_mib
from bench.sides.networks import Actions, load_net, timed_extract

if TYPE_CHECKING:
    from headstart.features import FeatureStore

SHARD_ROWS = 512


def extract_share(
    images: str, net: str, size_px: int, store: str, n_images: int, part: int, n_parts: int
) -> Actions:
    """One of ``n_parts`` processes, each on a core of its own, all writing to one store."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[part % len(cores)]})
    import pyarrow  # noqa: F401 - imported with the first shard, which is start-up and no shard

    from headstart.features import FeatureStore

    with stopwatch() as reading:
        paths = sorted(Path(images).rglob("*.jpg"))[:n_images][part::n_parts]
        records = read_records(Path(images), paths)
    backbone = load_net(net)
    commits: list[float] = []
    plain_add = FeatureStore.add

    def timed_add(self: FeatureStore, *args: Any) -> Path:
        with stopwatch() as elapsed:
            path = plain_add(self, *args)
        commits.append(elapsed())
        return path

    def measure() -> dict[str, Any]:
        FeatureStore.add = timed_add  # type: ignore[method-assign]
        try:
            measured, done = timed_extract(records, backbone, Path(store), "float32", [size_px])
        finally:
            FeatureStore.add = plain_add  # type: ignore[method-assign]
        return {
            **measured,
            "commit_s": sum(commits),
            "n_shards": len(commits),
            "peak_mib": peak_mib(),
            "bytes": sum(p.stat().st_size for p in done.stores[size_px].folder.glob("shard-*")),
        }

    return {"measure": measure, "facts": lambda: {"records_s": reading()}}


def index_cost(images: str) -> Actions:
    """The index of a folder in one process: seconds, of which on near duplicates, and memory."""
    module = importlib.import_module("headstart.data.index")  # the package has a function so named
    plain = module.find_duplicates
    spent: list[float] = []

    def timed(*args: Any) -> Any:
        with stopwatch() as elapsed:
            found = plain(*args)
        spent.append(elapsed())
        return found

    def measure() -> dict[str, Any]:
        module.find_duplicates = timed
        before = own_mib()
        try:
            with stopwatch() as elapsed:
                found = module.index(images)
        finally:
            module.find_duplicates = plain
        return {
            "seconds": elapsed(),
            "duplicates_s": sum(spent),
            "kept_mib": own_mib() - before,
            "peak_mib": peak_mib() - before,
            "n_images": len(found.records),
        }

    return {"measure": measure}


def store_cost(n_shards: int, widths: dict[str, int]) -> Actions:
    """Shards of random features written, opened again, and one layer read back."""
    from headstart.features import FeatureStore

    rng = np.random.default_rng(0)
    features = {t: rng.random((SHARD_ROWS, d), dtype=np.float32) for t, d in widths.items()}
    widest = max(widths, key=widths.__getitem__)

    def measure() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="headstart-bench-store-") as folder:
            store = FeatureStore(any_key(), Path(folder))
            names = [[f"{k:08x}{i:056x}" for i in range(SHARD_ROWS)] for k in range(n_shards)]
            commits = []
            for digests in names:
                with stopwatch() as elapsed:
                    store.add(digests, features)
                commits.append(elapsed())
            size = sum(p.stat().st_size for p in store.folder.glob("shard-*"))
            del store
            with stopwatch() as opening:
                FeatureStore(any_key(), Path(folder))
            tracemalloc.start()
            again = FeatureStore(any_key(), Path(folder))
            kept = tracemalloc.get_traced_memory()[0] / 2**20
            tracemalloc.stop()
            asked = [d for digests in names for d in digests]
            with stopwatch() as reading:
                again.read(asked, widest)
            return {
                "commit_s": float(np.median(commits)),
                "commit_worst_s": max(commits),
                "open_s": opening(),
                "kept_mib": kept,
                "read_s": reading(),
                "bytes": size,
                "seconds": sum(commits) + opening() + reading(),
            }

    return {"measure": measure}


def most_shards(n_shards: int) -> Actions:
    """Open a store of ``n_shards`` tiny shards, and tell how many it took until it failed."""
    from headstart.features import FeatureStore, shards

    def measure() -> dict[str, Any]:
        import hashlib

        opened = 0

        class Counted(FeatureStore):
            def _open(self, path: Path) -> bool:
                nonlocal opened
                is_there = super()._open(path)
                opened += 1
                return is_there

        with tempfile.TemporaryDirectory(prefix="headstart-bench-store-") as folder:
            where = FeatureStore(any_key(), Path(folder)).folder
            row = {"a": np.zeros((1, 4), np.float32)}
            for k in range(n_shards):
                payload = shards.encode([f"{k:064x}"], row)
                name = shards.shard_name(hashlib.sha256(payload).hexdigest())
                (where / name).write_bytes(payload)
            with stopwatch() as listing:
                sorted(where.glob("shard-*.arrow"))
            failed = ""
            started = time.perf_counter()
            try:
                found = len(Counted(any_key(), Path(folder)))
            except Exception as error:  # whatever it is, it is the finding
                failed, found = f"{type(error).__name__}: {error}".replace(folder, "..."), opened
            return {
                "seconds": time.perf_counter() - started,
                "listing_s": listing(),
                "n_made": n_shards,
                "n_opened": opened,
                "n_found": found,
                "failed": failed[:300],
                "n_set_aside": len(list(where.glob("*.damaged"))),
            }

    return {"measure": measure}


def any_key() -> Any:
    """A key that stands for no network."""
    from headstart.features.store import FeatureKey

    return FeatureKey(
        weights="0" * 64, arch="none", taps=(("a", "a"),), preprocessing={}, precision="float32"
    )


def own_mib() -> float:
    """Memory of this process that belongs to it alone, files that it looks into not counted."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_mib()
    line = next(x for x in status.read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024
