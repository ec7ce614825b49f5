"""Every tap at every resolution, judged by cross-validation on the training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.probe.folds import judgeable
from headstart.probe.judging import judge, recall, scores_path
from headstart.probe.memo import digest_of
from headstart.progress import Progress, silent
from headstart.runs.blocks import Blocks, plan_blocks
from headstart.runs.choose import Candidate
from headstart.runs.reading import Reading

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
    reading: Reading | None = None,
    progress: Progress = silent,
    watch: Watch = unwatched,
) -> list[Candidate]:
    """Cross-validate the linear SVM on every tap x resolution x C, some joined.

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
    reading : Reading, optional
        Reads the features, and remembers what was too large for the memory.
    progress : Progress
    watch : callable
        Given all planned blocks and the candidates so far, first with none, then after each one.

    Returns
    -------
    list of Candidate
        In the order of :func:`headstart.runs.blocks.plan_blocks`.
    """
    from headstart.backbones import at_size, measure_complexity

    reading = reading or Reading()
    y = np.array([r.label for r in records])
    digests = [r.digest for r in records]
    macs = {s: measure_complexity(at_size(backbone, s)).tap_macs for s in stores}
    planned = plan_blocks([tap.name for tap in backbone.taps], sorted(stores))
    task = digest_of([digests, [r.label for r in records], folds.tolist(), list(Cs)])
    judged = judgeable(y, folds)
    candidates: list[Candidate] = []
    progress("cross-validate", 0, len(planned))
    watch(planned, candidates)
    for blocks in planned:
        keys = [stores[size].key.digest for size in blocks.resolutions]
        kept_at = scores_path(cache, [task, keys, blocks.pairs])
        scores = recall(kept_at) or judge(
            reading(stores, digests, blocks), y, folds, Cs=Cs, kept_at=kept_at
        )
        # One pass serves all taps of a resolution: its last tap is what it costs.
        cost = sum(max(macs[s][t] for t in blocks.taps) for s in blocks.resolutions)
        candidates.append(Candidate(blocks=blocks, macs=cost, scores=scores, judged=judged))
        progress("cross-validate", len(candidates), len(planned))
        watch(planned, candidates)
    return candidates
