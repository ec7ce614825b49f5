"""A job of extraction on many workers, as a discrete-event simulation (SimPy).

A worker takes shards, computes each, writes it, and takes the next. It may be slow, and it may die:
then the shard in hand is lost, and another worker takes its place after a while. That is what the
store promises: a kill costs at most the shard in hand.

Shards are taken several at a time while many are left (an eighth of an even share of the rest, as in
guided self-scheduling, Polychronopoulos and Kuck 1987) and one at a time at the end, so that a
billion images are as quick to simulate as a million. A death in the midst of several loses one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import simpy

_SHARE = 8


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done.

    Attributes
    ----------
    n_images : int
    image_s : float
        Seconds of one worker for an image.
    commit_s : float
        Seconds to write one shard durably.
    shard_rows : int
        Images of a shard.
    spread : float
        Standard deviation of a shard's seconds over their mean (they are gamma distributed; 0: all
        alike, 1: exponential).
    """

    n_images: int
    image_s: float
    commit_s: float = 0.0
    shard_rows: int = 512
    spread: float = 0.0

    @property
    def n_shards(self) -> int:
        """Whole and begun shards."""
        return math.ceil(self.n_images / self.shard_rows)

    @property
    def shard_s(self) -> float:
        """Mean seconds to compute the images of a shard."""
        return self.image_s * self.n_images / self.n_shards


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Who does it.

    Attributes
    ----------
    n_workers : int
    startup_s : float
        From the start of a process until its first image.
    life_s : float
        Mean seconds that a worker lives, exponential; infinite: none dies.
    replace_s : float
        From a death until the start of the worker that takes its place.
    slow_share, slow_times : float
        Share of the workers that are slow, and how many times as long they take.
    writers : int, optional
        Shards that the store takes at once; None: any number.
    dispatch : {"queue", "static"}
        Whether workers take shards as they go, or each has its part from the beginning.
    """

    n_workers: int
    startup_s: float = 0.0
    life_s: float = math.inf
    replace_s: float = 0.0
    slow_share: float = 0.0
    slow_times: float = 1.0
    writers: int | None = None
    dispatch: Literal["queue", "static"] = "queue"


@dataclass(kw_only=True)
class Outcome:
    """How it went.

    Attributes
    ----------
    seconds : float
        From the start to the last shard written.
    paid_s : float
        Seconds of all workers, start-up included, without the time in which one was missing.
    lost_s : float
        Seconds of work on shards that were lost.
    n_deaths : int
    n_shards : int
        Shards written.
    """

    seconds: float = 0.0
    paid_s: float = 0.0
    lost_s: float = 0.0
    n_deaths: int = 0
    n_shards: int = 0


class _Heap:
    """Shards that are left to be taken."""

    def __init__(self, n_shards: int, n_workers: int) -> None:
        self.left = n_shards
        self._n_workers = n_workers

    def take(self) -> int:
        """Some of those that are left, at least one while there is one."""
        n = min(self.left, max(1, self.left // (_SHARE * self._n_workers)))
        self.left -= n
        return n


def simulate(work: Work, fleet: Fleet, *, seed: int = 0) -> Outcome:
    """One job from start to end.

    Parameters
    ----------
    work : Work
    fleet : Fleet
    seed : int
        Of all that is random.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        There are no images or no workers.
    """
    if work.n_images < 1 or fleet.n_workers < 1:
        raise ValueError(
            f"a job needs images and workers; got {work.n_images} and {fleet.n_workers}"
        )
    env = simpy.Environment()
    outcome = Outcome()
    disk = simpy.Resource(env, fleet.writers) if fleet.writers else None
    for i, heap in enumerate(_heaps(work.n_shards, fleet)):
        env.process(_place(env, work, fleet, heap, disk, outcome, np.random.default_rng([seed, i])))
    env.run()
    return outcome


def quantiles(
    job: Callable[[int], Outcome], n_runs: int, *shares: float
) -> tuple[list[float], Outcome]:
    """Quantiles of the seconds of several runs (seeds 0, 1, ...), and the run in the middle."""
    runs = sorted((job(seed) for seed in range(n_runs)), key=lambda o: o.seconds)
    seconds = [o.seconds for o in runs]
    return [float(np.quantile(seconds, s)) for s in shares], runs[len(runs) // 2]


def _heaps(n_shards: int, fleet: Fleet) -> list[_Heap]:
    """For each worker the heap that it takes from."""
    if fleet.dispatch == "queue":
        return [_Heap(n_shards, fleet.n_workers)] * fleet.n_workers
    base, more = divmod(n_shards, fleet.n_workers)
    return [_Heap(base + (i < more), 1) for i in range(fleet.n_workers)]


def _place(
    env: simpy.Environment,
    work: Work,
    fleet: Fleet,
    heap: _Heap,
    disk: simpy.Resource | None,
    outcome: Outcome,
    rng: np.random.Generator,
) -> Generator[simpy.Event, Any, None]:
    """One worker's place: the workers that hold it one after the other."""
    while True:
        started = env.now
        times = fleet.slow_times if rng.random() < fleet.slow_share else 1.0
        yield env.timeout(fleet.startup_s)
        dies_at = env.now + (rng.exponential(fleet.life_s) if fleet.life_s < math.inf else math.inf)
        died = False
        while not died and (n := heap.take()):
            seconds = times * _seconds(work, n, rng)
            kept, died = yield from _shards(env, n, seconds, work.commit_s, disk, dies_at, outcome)
            outcome.n_shards += kept
            heap.left += n - kept
            if kept:
                outcome.seconds = max(outcome.seconds, env.now)
        outcome.paid_s += env.now - started
        if not died:
            return
        outcome.n_deaths += 1
        yield env.timeout(fleet.replace_s)


def _seconds(work: Work, n: int, rng: np.random.Generator) -> float:
    """Seconds to compute ``n`` shards: a sum of gamma distributed ones is gamma distributed."""
    if not work.spread:
        return n * work.shard_s
    square = work.spread**2
    return float(rng.gamma(n / square, work.shard_s * square))


def _shards(
    env: simpy.Environment,
    n: int,
    seconds: float,
    commit_s: float,
    disk: simpy.Resource | None,
    dies_at: float,
    outcome: Outcome,
) -> Generator[simpy.Event, Any, tuple[int, bool]]:
    """Compute and write ``n`` shards: how many were kept, and whether the worker died over them."""
    began, each = env.now, seconds / n + commit_s
    if disk is None:
        whole = n * each
        if began + whole <= dies_at:
            yield env.timeout(whole)
            return n, False
        yield env.timeout(dies_at - began)
        kept = min(n - 1, int((dies_at - began) / each))
        outcome.lost_s += dies_at - began - kept * each
        return kept, True
    if began + seconds > dies_at:
        yield env.timeout(dies_at - began)
        kept = min(n - 1, int((dies_at - began) / each))
        outcome.lost_s += dies_at - began - kept * each
        return kept, True
    yield env.timeout(seconds)
    with disk.request() as turn:
        # Who waits for the disk or writes when it dies has computed all of these: one is lost.
        yield turn if dies_at == math.inf else turn | env.timeout(max(0.0, dies_at - env.now))
        if turn.triggered and env.now + n * commit_s <= dies_at:
            yield env.timeout(n * commit_s)
            return n, False
        if turn.triggered:
            yield env.timeout(max(0.0, dies_at - env.now))
    outcome.lost_s += seconds / n
    return n - 1, True
