"""A short benchmark of every engine on this machine, for ``headstart doctor``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.features.cores import n_cores, one_core_workers
from headstart.features.engines import Engine, choose_engine, has_bfloat16
from headstart.features.torchengine import TorchEngine
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone

N_IMAGES = 96


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Images per second of one engine, forward passes only; ``error`` if it cannot run."""

    engine: str
    images_per_s: float | None
    error: str | None = None


def try_engines(
    backbone: Backbone, *, device: str, cache: Path, progress: Progress = silent
) -> list[Trial]:
    """Time each engine on random images at the backbone's own resolution, fastest first."""
    precisions = ["float32", *(["bfloat16"] if has_bfloat16(device) else [])]
    trials: list[Trial] = []
    for precision in precisions:
        makers: dict[str, Callable[[str], Engine]] = {
            f"torch {device} {precision}": lambda p: TorchEngine(backbone, p, device),
            f"chosen for {precision}": lambda p: choose_engine(
                backbone, n_images=10**6, precision=p, device=device, cache=cache
            ),
        }
        for name, make in makers.items():
            progress("time engines", len(trials), len(precisions) * len(makers))
            try:
                engine = make(precision)
                rate = images_per_s(engine, backbone.preprocessing.size_px)
                trials.append(Trial(engine=engine.name, images_per_s=rate))
            except Exception as error:  # a runtime that fails is a finding, not a failure
                trials.append(Trial(engine=name, images_per_s=None, error=str(error)))
    progress("time engines", len(trials), len(trials))
    unique = {t.engine: t for t in trials}
    return sorted(unique.values(), key=lambda t: -(t.images_per_s or 0))


def rates_by_cores(
    backbone: Backbone, *, cache: Path, progress: Progress = silent
) -> dict[int, float]:
    """Images per second of the CPU engine of an extraction on 1, 2, 4, ... cores and on all."""
    counts = sorted({2**k for k in range(n_cores().bit_length())} | {n_cores()})
    size = backbone.preprocessing.size_px
    rates = {}
    for done, n in enumerate(counts):
        progress("time cores", done, len(counts))
        engine = choose_engine(backbone, n_images=10**6, device="cpu", cache=cache, n_threads=n)
        rates[n] = images_per_s(engine, size, n_images=N_IMAGES // 2)
    progress("time cores", len(counts), len(counts))
    return rates


def images_per_s(engine: Engine, size_px: int, *, n_images: int = N_IMAGES) -> float:
    """Forward passes per second with the threads of extraction, the better of two rounds."""
    rng = np.random.default_rng(0)
    batch: NDArray[np.uint8] = rng.integers(
        0, 256, size=(engine.batch_size, size_px, size_px, 3), dtype=np.uint8
    )
    n_batches = max(engine.n_workers, n_images // len(batch))
    with one_core_workers(engine.n_workers, "trial") as pool:
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            list(pool.map(engine, [batch] * n_batches))
            seconds.append(time.perf_counter() - start)
    return n_batches * len(batch) / min(seconds[1:])
