"""Every candidate of a source, judged by cross-validation on the training examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.records import Example
from headstart.probe.folds import judgeable
from headstart.probe.judging import Scores, judge, recall, scores_path
from headstart.probe.memo import digest_of
from headstart.probe.screening import finalists, is_small, screen
from headstart.progress import Progress, silent
from headstart.runs.choose import Candidate
from headstart.sources import Source
from headstart.sources.blocks import Blocks

Watch = Callable[[Sequence[Blocks], Sequence[Candidate]], None]
"""Told what is planned, and which of it is measured so far, in the same order."""


def unwatched(planned: Sequence[Blocks], measured: Sequence[Candidate]) -> None:
    """The default watch: nobody looks."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all candidates share: training examples, folds, costs, and where results are kept.

    Parameters
    ----------
    source : Source
    records : sequence of Example, length n
        Training examples.
    folds : int array (n,)
        The fold that holds each example out.
    Cs : sequence of float
        Ascending.
    cache : Path
        A candidate that was judged before is not judged again.
    """

    source: Source
    records: Sequence[Example]
    folds: NDArray[np.int64]
    Cs: Sequence[float]
    cache: Path

    @cached_property
    def y(self) -> NDArray[np.str_]:
        """Labels, (n,)."""
        return np.array([r.label for r in self.records])

    @cached_property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(np.unique(self.y))

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Which examples cross-validation can judge, (n,)."""
        return judgeable(self.y, self.folds)

    def judge(self, blocks: Blocks) -> Candidate:
        """The linear SVM on one kind of features, at every cost."""
        path = self.kept_at(blocks)
        scores = recall(path) or judge(
            self._rows(blocks), self.y, self.folds, Cs=self.Cs, kept_at=path
        )
        return self.candidate(blocks, self._macs(blocks), scores)

    def screen(self, blocks: Blocks) -> Candidate:
        """A ridge classifier on one kind of features."""
        path = self.kept_at(blocks, "ridge")
        scores = recall(path) or screen(self._rows(blocks), self.y, self.folds, kept_at=path)
        return self.candidate(blocks, self._macs(blocks), scores)

    def candidate(self, blocks: Blocks, macs: int, scores: Scores) -> Candidate:
        """A candidate with its scores."""
        return Candidate(blocks=blocks, macs=macs, scores=scores, judged=self.judged)

    def kept_at(self, blocks: Blocks, *more: Any, code: Sequence[str] = ("heads", "probe")) -> Path:
        """The file that keeps a candidate's scores; `code` are the rooms that decide them."""
        facts = [self._digest, self.source.identity(blocks), *more]
        return scores_path(self.cache, facts, code=code)

    def _rows(self, blocks: Blocks) -> Any:
        return self.source.rows(blocks, self.records)

    def _macs(self, blocks: Blocks) -> int:
        return self.source.macs(blocks, self.n_classes)

    @cached_property
    def _digest(self) -> str:
        digests, labels = [r.digest for r in self.records], [r.label for r in self.records]
        return digest_of([digests, labels, self.folds.tolist(), list(self.Cs)])


def measure(
    task: Task,
    *,
    exact: bool = False,
    progress: Progress = silent,
    watch: Watch = unwatched,
) -> list[Candidate]:
    """Cross-validate the linear SVM on every candidate of the source, at every C.

    Of many examples and classes, all candidates are first judged by ridge classifiers, and SVMs are
    fitted for those alone that may be the best (:mod:`headstart.probe.screening`).

    Parameters
    ----------
    task : Task
    exact : bool, default False
        Judge every candidate by SVMs, however long it takes.
    progress : Progress
    watch : callable
        Given all planned blocks and the candidates so far, the newest last: first with none, then
        after each one.

    Returns
    -------
    list of Candidate
        In the order of ``task.source.candidates()``.
    """
    planned = task.source.candidates()
    found: dict[Blocks, Candidate] = {}
    watch(planned, [])
    chosen = list(planned)
    if not exact and not is_small(len(task.records), task.n_classes):
        progress("screen", 0, len(planned))
        for blocks in planned:
            found[blocks] = task.screen(blocks)
            progress("screen", len(found), len(planned))
            watch(planned, list(found.values()))
        usual = planned.index(task.source.usual)
        left = finalists([found[b].scores.correct for b in planned], always=[usual])
        chosen = [planned[i] for i in left]
    progress("cross-validate", 0, len(chosen))
    for n_done, blocks in enumerate(chosen, start=1):
        judged = task.judge(blocks)
        found.pop(blocks, None)
        found[blocks] = judged  # the newest is the last
        progress("cross-validate", n_done, len(chosen))
        watch(planned, list(found.values()))
    return [found[blocks] for blocks in planned]
