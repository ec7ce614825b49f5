"""The forward pass alone, in our engine and in other runtimes."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from bench.harness import stopwatch
from bench.images import make_crops
from bench.sides.networks import Actions, load_net, make_engine


def forward_ours(
    net: str, precision: str, cache: str, window_s: float, last_only: bool, out: str
) -> Actions:
    """Our engine on uint8 crops; the logits of the sample go to `out`."""
    backbone = load_net(net, last_only=last_only)
    engine = make_engine(backbone, precision, cache)
    sample = make_crops(16, backbone.preprocessing.size_px)
    batch = np.ascontiguousarray(np.resize(sample, (engine.batch_size, *sample.shape[1:])))
    parts = [engine(sample[i : i + engine.batch_size])[-1] for i in range(0, 16, engine.batch_size)]
    np.save(out, np.concatenate(parts))
    measure = steady(lambda: engine(batch), engine.batch_size, engine.n_workers, window_s)
    return {"measure": measure, "facts": lambda: {"engine": engine.name}}


def forward_peer(net: str, runtime: str, window_s: float, out: str) -> Actions:
    """Another runtime on ready float batches of 16, giving the logits only."""
    from bench.peers.forward_runtimes import RUNTIMES

    from headstart.backbones import normalise

    backbone = load_net(net)
    import torch

    sample = torch.from_numpy(make_crops(16, backbone.preprocessing.size_px))
    images = normalise(sample, backbone.preprocessing)
    forward = RUNTIMES[runtime](backbone.module, images)
    np.save(out, forward())
    return {"measure": steady(forward, len(images), 1, window_s)}


def steady(
    run_batch: Callable[[], object], batch_size: int, n_workers: int, window_s: float
) -> Callable[[], dict[str, float]]:
    """A measurement of seconds per 16 images over about `window_s` seconds, warmed up.

    The workers take batches from one queue. There is one worker more than the network has streams,
    so the batches are a multiple of both: no stream is idle while another ends.
    """
    pool = ThreadPoolExecutor(n_workers)
    step = n_workers * max(1, n_workers - 1)

    def run(n_batches: int) -> float:
        with stopwatch() as elapsed:
            list(pool.map(lambda _: run_batch(), range(n_batches)))
        return elapsed()

    run(n_workers)
    n_batches = step * max(1, math.ceil(window_s / run(step)))

    def measure() -> dict[str, float]:
        return {"seconds": run(n_batches) * 16 / (n_batches * batch_size)}

    return measure


def forward_resolutions(
    n_images: int, net: str, precision: str, cache: str, sizes: list[int]
) -> Actions:
    """The forward passes alone of several resolutions: no decoding, nothing stored."""
    from headstart.backbones import at_size

    backbone = load_net(net)
    engines = {size: make_engine(at_size(backbone, size), precision, cache) for size in sizes}
    runs = []
    for size, engine in engines.items():
        batch = make_crops(engine.batch_size, size)
        runs.append((engine, batch, ThreadPoolExecutor(engine.n_workers)))

    def measure() -> dict[str, float]:
        total = 0.0
        for engine, batch, pool in runs:
            with stopwatch() as elapsed:
                n_batches = math.ceil(n_images / engine.batch_size)
                list(pool.map(engine, [batch] * n_batches))
            total += elapsed() * n_images / (n_batches * engine.batch_size)
        return {"seconds": total}

    measure()
    return {"measure": measure}
