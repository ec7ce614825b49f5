"""From measured costs to jobs of a million to a billion images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bench.simulation import Fleet, Outcome, Work, quantiles, simulate

SHARD_ROWS = 512
# Of each image and class while probabilities are fitted: five arrays of float64.
SCORE_BYTES = 40
Points = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one network costs on one core.

    Attributes
    ----------
    image_s : dict of number of processes to seconds
        For an image, with so many processes on the machine at once.
    commit_s : dict of number of processes to seconds
        To write one shard durably.
    startup_s : dict of number of processes to seconds
        From the start of a process until its first image.
    spread : float
        Of a shard's seconds; what the measured points leave unexplained.
    bytes_per_image : float
        In the store, all layers at one resolution.
    """

    image_s: dict[int, float]
    commit_s: dict[int, float]
    startup_s: dict[int, float]
    spread: float
    bytes_per_image: float


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What cannot be measured on one machine, and the prices.

    Attributes
    ----------
    life_h : float
        Mean hours that a worker lives.
    replace_s : float
        Seconds until another one starts in its place.
    slow_share, slow_times : float
        Share of slow workers, and how many times as long they take.
    price : float
        Of one worker (one core) for an hour.
    disk_price : float
        Of a gigabyte kept for a month.
    """

    life_h: float = 24.0
    replace_s: float = 120.0
    slow_share: float = 0.02
    slow_times: float = 3.0
    price: float = 0.04
    disk_price: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Projected:
    """One job.

    Attributes
    ----------
    n_images, n_workers : int
    index_s, open_s : float
        Before and after it, in one process.
    seconds, slowest_s : float
        Of the extraction: the run in the middle, and the slowest in twenty.
    outcome : Outcome
        Of the run in the middle.
    disk_bytes, memory_bytes : float
    money : float
        Workers, and the features kept for a month.
    """

    n_images: int
    n_workers: int
    index_s: float
    open_s: float
    seconds: float
    slowest_s: float
    outcome: Outcome
    disk_bytes: float
    memory_bytes: float
    money: float


def costs(points: Points, net: str, sizes: Sequence[int]) -> Costs:
    """The costs of a network from its measured points of ``sizes`` images, with 1 and 2 processes."""
    image_s, commit_s, startup_s, left = {}, {}, {}, []
    for k in (1, 2):
        runs = [r for n in sizes for r in points[f"extract:{net}:{n}:{k}"]["processes"]]
        image_s[k] = sum(r["seconds"] - r["commit_s"] for r in runs) / sum(
            r["n_forward"] for r in runs
        )
        commit_s[k] = sum(r["commit_s"] for r in runs) / sum(r["n_shards"] for r in runs)
        startup_s[k] = float(np.median([r["startup_s"] + r["load_s"] for r in runs]))
        left += [(r["seconds"] - r["commit_s"]) / r["n_forward"] / image_s[k] - 1 for r in runs]
    largest = points[f"extract:{net}:{max(sizes)}:1"]
    return Costs(
        image_s=image_s,
        commit_s=commit_s,
        startup_s=startup_s,
        spread=float(np.std(left)),
        bytes_per_image=largest["bytes"] / largest["n_images"],
    )


def measured_s(point: Mapping[str, Any]) -> float:
    """Seconds from the start of the processes to the end of the last, reading the names left out."""
    return max(float(r["startup_s"] + r["load_s"] + r["seconds"]) for r in point["processes"])


def simulated_s(found: Costs, n_images: int, n_processes: int) -> float:
    """The same of the simulation, each process with its part from the beginning and none dying."""
    k = n_processes
    each = math.ceil(n_images / k)  # images of a process, in shards as even as they can be
    rows = math.ceil(each / math.ceil(each / SHARD_ROWS))
    work = Work(
        n_images=n_images, image_s=found.image_s[k], commit_s=found.commit_s[k], shard_rows=rows
    )
    return simulate(
        work, Fleet(n_workers=k, startup_s=found.startup_s[k], dispatch="static")
    ).seconds


def project(
    found: Costs, points: Points, n_images: int, n_workers: int, assumed: Assumed, n_runs: int = 20
) -> Projected:
    """One job on many machines as loaded as this one with both cores busy."""
    work = Work(
        n_images=n_images,
        image_s=found.image_s[2],
        commit_s=found.commit_s[2],
        spread=found.spread,
    )
    fleet = Fleet(
        n_workers=n_workers,
        startup_s=found.startup_s[2],
        life_s=assumed.life_h * 3600,
        replace_s=assumed.replace_s,
        slow_share=assumed.slow_share,
        slow_times=assumed.slow_times,
    )
    (middle, slowest), outcome = quantiles(
        lambda seed: simulate(work, fleet, seed=seed), n_runs, 0.5, 0.95
    )
    disk = n_images * found.bytes_per_image
    return Projected(
        n_images=n_images,
        n_workers=n_workers,
        index_s=n_images * index_s(points),
        open_s=disk * open_s_per_byte(points),
        seconds=middle,
        slowest_s=slowest,
        outcome=outcome,
        disk_bytes=disk,
        memory_bytes=n_images * memory_per_image(points),
        money=outcome.paid_s / 3600 * assumed.price + disk / 1e9 * assumed.disk_price,
    )


def index_s(points: Points) -> float:
    """Seconds of one process to index one photograph, the search for near duplicates left out."""
    point = points["index:photos"]
    return float((point["seconds"] - point["duplicates_s"]) / point["n_images"])


def open_s_per_byte(points: Points) -> float:
    """Seconds to open a store, for each byte of it: every shard is hashed."""
    return float(points["store"]["open_s"] / points["store"]["bytes"])


def memory_per_image(points: Points) -> float:
    """Bytes that one process keeps of each image: its record in the index, and its row's place."""
    few, many = _index_points(points)[0], _index_points(points)[-1]
    of_index = (many["kept_mib"] - few["kept_mib"]) / (many["n_images"] - few["n_images"])
    of_rows = points["store"]["kept_mib"] / points["store"]["n_images"]
    return float((max(of_index, 0.0) + of_rows) * 2**20)


def duplicates_law(points: Points) -> tuple[float, float]:
    """``(a, b)`` of ``seconds = a n^b`` for the search for near duplicates, from all its points.

    Never less than linear, through the largest point: where few images seem to cost more each, it is
    the start that costs.
    """
    found = _index_points(points)
    logs = np.log([p["n_images"] for p in found]), np.log([p["duplicates_s"] for p in found])
    b, log_a = np.polyfit(*logs, 1)
    if b < 1:
        return found[-1]["duplicates_s"] / found[-1]["n_images"], 1.0
    return float(np.exp(log_a)), float(b)


def _index_points(points: Points) -> list[Mapping[str, Any]]:
    found = [p for name, p in points.items() if name.startswith("index:thumbs")]
    return sorted(found, key=lambda p: p["n_images"])


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Where something ends on this machine.

    Attributes
    ----------
    what : str
    n_images : float
    why : str
        How that follows from what was measured.
    """

    what: str
    n_images: float
    why: str


def limits(
    found: Costs, points: Points, *, memory_bytes: float, free_bytes: float, n_classes: int
) -> list[Limit]:
    """What ends at how many images, the first one first.

    Parameters
    ----------
    found : Costs
    points : mapping
    memory_bytes, free_bytes : float
        Of this machine: memory, and free space on the disk.
    n_classes : int
        Of the task, for what `fit` keeps of each image and class.
    """
    a, b = duplicates_law(points)
    each = memory_per_image(points)
    shards, hour, day = points["most_shards"], 3600.0, 86400.0
    out = [
        Limit(
            what=f"the scores that a head of {n_classes} classes is calibrated on, in memory",
            n_images=memory_bytes / (SCORE_BYTES * n_classes),
            why=f"{SCORE_BYTES} bytes per image and class (arithmetic), into {memory_bytes / 2**30:.0f} "
            "GiB; features that would take more than half of the free memory are read in blocks",
        ),
        Limit(
            what="index and rows of the store, in the memory of one process",
            n_images=memory_bytes / each,
            why=f"{each:,.0f} bytes per image stay in memory (measured)",
        ),
        Limit(
            what="the index, made by one process, takes a day",
            n_images=day / index_s(points),
            why=f"{1000 * index_s(points):.2f} ms a photograph (measured)",
        ),
        Limit(
            what="the search for near duplicates takes a day",
            n_images=(day / a) ** (1 / b),
            why=f"seconds grow as the number of images to the power {b:.2f} (fitted, far beyond what "
            "was measured)",
        ),
        Limit(
            what="opening the store takes an hour",
            n_images=hour / open_s_per_byte(points) / found.bytes_per_image,
            why=f"every shard is hashed, {1e-9 / open_s_per_byte(points):.2f} GB/s from memory "
            "(measured; a disk may be slower)",
        ),
        Limit(
            what="the features of one resolution fill the disk",
            n_images=free_bytes / found.bytes_per_image,
            why=f"{found.bytes_per_image:,.0f} bytes per image (measured), {free_bytes / 1e9:.0f} GB free",
        ),
    ]
    if shards["failed"]:
        out.append(
            Limit(
                what="a store cannot be opened: too many shards are mapped at once",
                n_images=shards["n_opened"] * SHARD_ROWS,
                why=f"opening failed after {shards['n_opened']:,} shards (measured on tiny ones), of "
                f"{SHARD_ROWS} images each",
            )
        )
    return sorted(out, key=lambda limit: limit.n_images)


def busy_writers(found: Costs) -> float:
    """Workers whose shards one disk can just take: beyond, they wait for each other."""
    return SHARD_ROWS * found.image_s[2] / found.commit_s[2]


def powers(low: int, high: int) -> list[int]:
    """10^low, ..., 10^high."""
    return [10**k for k in range(low, high + 1)]


def readable(seconds: float) -> str:
    """``40 s``, ``8.0 min``, ``2.5 h``, ``12 d`` or ``3.1 years``."""
    for limit, unit, name in ((100, 1, "s"), (6000, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    days = seconds / 86400
    return f"{days:.3g} d" if days < 730 else f"{days / 365.25:.3g} years"


def count(n: float) -> str:
    """``3.4e7`` as ``34 million``."""
    for unit, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if n >= unit:
            return f"{float(f'{n / unit:.2g}'):g} {name}"
    return f"{n:.0f}"
