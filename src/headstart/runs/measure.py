"""Every tap at every resolution, judged by cross-validation on the training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.probe.folds import judgeable
from headstart.probe.judging import Scores, judge, recall, scores_path
from headstart.probe.memo import digest_of
from headstart.probe.screening import finalists, is_small, screen
from headstart.progress import Progress, silent
from headstart.runs.choose import Candidate
from headstart.sources.blocks import Blocks, plan_blocks, usual_blocks
from headstart.sources.reading import Reading

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.features import FeatureStore

Watch = Callable[[Sequence[Blocks], Sequence[Candidate]], None]
"""Told what is planned, and which of it is measured so far, in the same order."""


def unwatched(planned: Sequence[Blocks], measured: Sequence[Candidate]) -> None:
    """The default watch: nobody looks."""


def measure(
    stores: Mapping[int, FeatureStore],
    backbone: Backbone,
    records: Sequence[Record],
    folds: NDArray[np.int64],
    *,
    Cs: Sequence[float],
    cache: Path,
    exact: bool = False,
    reading: Reading | None = None,
    progress: Progress = silent,
    watch: Watch = unwatched,
) -> list[Candidate]:
    """Cross-validate the linear SVM on every tap x resolution x C, some joined.

    Of many examples and classes, all candidates are first judged by ridge classifiers, and SVMs are
    fitted for those alone that may be the best (:mod:`headstart.probe.screening`).

    Parameters
    ----------
    stores : mapping of resolution to FeatureStore
    backbone : Backbone
    records : sequence of Record, length n
        Training images.
    folds : int array (n,)
        The fold that holds each image out.
    Cs : sequence of float
        Ascending.
    cache : Path
        Where results are kept: a candidate that was judged before is not judged again.
    exact : bool, default False
        Judge every candidate by SVMs, however long it takes.
    reading : Reading, optional
        Reads the features, and remembers what was too large for the memory.
    progress : Progress
    watch : callable
        Given all planned blocks and the candidates so far, the newest last: first with none, then
        after each one.

    Returns
    -------
    list of Candidate
        In the order of :func:`headstart.sources.blocks.plan_blocks`.
    """
    from headstart.backbones import at_size, measure_complexity

    reading = reading or Reading()
    y = np.array([r.label for r in records])
    digests = [r.digest for r in records]
    macs = {s: measure_complexity(at_size(backbone, s)).tap_macs for s in stores}
    planned = plan_blocks([tap.name for tap in backbone.taps], sorted(stores))
    task = digest_of([digests, [r.label for r in records], folds.tolist(), list(Cs)])
    judged = judgeable(y, folds)
    # One pass serves all taps of a resolution: its last tap is what it costs.
    cost = {b: sum(max(macs[s][t] for t in b.taps) for s in b.resolutions) for b in planned}

    def kept_at(blocks: Blocks, *more: str) -> Path:
        keys = [stores[size].key.digest for size in blocks.resolutions]
        return scores_path(cache, [task, keys, blocks.pairs, *more])

    def candidate(blocks: Blocks, scores: Scores) -> Candidate:
        return Candidate(blocks=blocks, macs=cost[blocks], scores=scores, judged=judged)

    found: dict[Blocks, Candidate] = {}
    watch(planned, [])
    chosen = list(planned)
    if not exact and not is_small(len(records), len(np.unique(y))):
        progress("screen", 0, len(planned))
        for blocks in planned:
            path = kept_at(blocks, "ridge")
            scores = recall(path) or screen(
                reading(stores, digests, blocks), y, folds, kept_at=path
            )
            found[blocks] = candidate(blocks, scores)
            progress("screen", len(found), len(planned))
            watch(planned, list(found.values()))
        usual = planned.index(usual_blocks(backbone, sorted(stores)))
        left = finalists([found[b].scores.correct for b in planned], always=[usual])
        chosen = [planned[i] for i in left]
    progress("cross-validate", 0, len(chosen))
    for n_done, blocks in enumerate(chosen, start=1):
        path = kept_at(blocks)
        scores = recall(path) or judge(
            reading(stores, digests, blocks), y, folds, Cs=Cs, kept_at=path
        )
        found.pop(blocks, None)
        found[blocks] = candidate(blocks, scores)  # the newest is the last
        progress("cross-validate", n_done, len(chosen))
        watch(planned, list(found.values()))
    return [found[blocks] for blocks in planned]
