"""Every candidate of a source, judged by cross-validation on the training examples."""

from __future__ import annotations

import logging
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

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What cross-validation found, in the order of ``task.source.candidates()``.

    Attributes
    ----------
    candidates : list of Candidate
        All, unless Ctrl-C ended it early.
    untried : tuple of Blocks
        Those that Ctrl-C left untried.
    """

    candidates: list[Candidate]
    untried: tuple[Blocks, ...] = ()


def measure(
    task: Task,
    *,
    exact: bool = False,
    progress: Progress = silent,
    watch: Watch = unwatched,
) -> Measured:
    """Cross-validate the linear SVM on every candidate of the source, at every C.

    ``source.first`` comes first, as an early answer: Ctrl-C from then on leaves what is known. Of many examples and classes, all candidates are first judged by ridge classifiers, and SVMs are
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
    Measured

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C before the first candidate was judged.
    """
    planned, first = task.source.candidates(), task.source.first
    found: dict[Blocks, Candidate] = {}
    left = sorted(planned, key=lambda blocks: blocks != first)

    def add(candidate: Candidate) -> None:
        if candidate.scores.is_screened and candidate.blocks in found:
            return
        found.pop(candidate.blocks, None)
        found[candidate.blocks] = candidate  # the newest is the last
        watch(planned, list(found.values()))

    def judge_left(stage: str, n_done: int, n_until: int) -> None:
        for done in range(n_done, n_until):
            progress(stage, done, n_until)
            add(task.judge(left[0]))
            del left[0]
        progress(stage, n_until, n_until)

    watch(planned, [])
    try:
        if exact or is_small(len(task.records), task.n_classes):
            judge_left("cross-validate", 0, len(planned))
        else:
            judge_left("first answer", 0, 1)
            left[:] = _screen(task, planned, progress, add)
            judge_left("cross-validate", 0, len(left))
    except KeyboardInterrupt:
        if first not in found or first in left:
            raise
        logger.warning("stopped: what is known so far is kept")
    judged = [found[blocks] for blocks in planned if blocks in found and blocks not in left]
    return Measured(candidates=judged, untried=tuple(left))


def _screen(
    task: Task, planned: Sequence[Blocks], progress: Progress, add: Callable[[Candidate], None]
) -> list[Blocks]:
    """The candidates that are left to judge once all were screened."""
    correct = []
    progress("screen", 0, len(planned))
    for blocks in planned:
        candidate = task.screen(blocks)
        correct.append(candidate.scores.correct)
        add(candidate)
        progress("screen", len(correct), len(planned))
    always = [planned.index(task.source.usual)]
    may_be_best = [planned[i] for i in finalists(correct, always=always)]
    return [blocks for blocks in may_be_best if blocks != task.source.first]
