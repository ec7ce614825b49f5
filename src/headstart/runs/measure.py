"""Every candidate of a source, judged by cross-validation on the training examples."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of
from headstart.data.records import Example
from headstart.heads.examples import decide
from headstart.heads.search import CostSearch
from headstart.probe.folds import judgeable
from headstart.probe.judging import Goal, Scores, judge, recall, scores_path
from headstart.probe.memo import digest_of
from headstart.probe.screening import Entrant, judge_all
from headstart.progress import Progress, silent
from headstart.runs.choose import Candidate
from headstart.runs.objective import Objective
from headstart.runs.refit import calibrate
from headstart.sources import Source
from headstart.sources.blocks import Blocks

logger = logging.getLogger(__name__)

Watch = Callable[[Sequence[Blocks], Sequence[Candidate]], None]
"""Told what is planned, and which of it is measured so far, in the same order."""


def unwatched(planned: Sequence[Blocks], measured: Sequence[Candidate]) -> None:
    """The default watch: nobody looks."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all candidates share: training examples, folds, costs, and where results are kept."""

    source: Source
    records: Sequence[Example]  # length n; training examples
    folds: NDArray[np.int64]  # (n,); the fold that holds each example out
    Cs: Sequence[float]  # ascending
    cache: Path  # a candidate that was judged before is not judged again
    objective: Objective = field(default_factory=Objective)  # what is optimised
    # tuple of int array (n,); further divisions into folds, of repeated cross-validation
    more_folds: tuple[NDArray[np.int64], ...] = ()
    # What is set up for features that are refitted in most runs, until they are
    searches: dict[Blocks, CostSearch] = field(default_factory=dict)

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
        every = [judgeable(self.y, folds) for folds in (self.folds, *self.more_folds)]
        return np.asarray(np.logical_and.reduce(every))

    @cached_property
    def judged_groups(self) -> list[str] | None:
        """The group of each example that cross-validation can judge; None where there are no groups."""
        if (groups := groups_of(self.records)) is None:
            return None
        rows = self.judged if self.judged.any() else np.ones(len(groups), dtype=bool)
        return [group for group, is_judged in zip(groups, rows, strict=True) if is_judged]

    @cached_property
    def goal(self) -> Goal:
        """What cross-validation optimises."""
        return self.objective.goal(self.records)

    def merits(self, decisions: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """Merits of held-out scores (n, K); None where accuracy is optimised."""
        return None if self.goal.is_plain else self.goal.merits(decisions, self.y, self.folds)

    def judge(self, blocks: Blocks) -> Candidate:
        """The linear SVM on one kind of features."""
        path = self.kept_at(blocks)
        scores = recall(path) or judge(
            self._rows(blocks),
            self.y,
            self.folds,
            Cs=self.Cs,
            goal=self.goal,
            more_folds=self.more_folds,
            kept_at=path,
        )
        return self.candidate(blocks, self.macs(blocks), scores)

    def given(self, blocks: Blocks) -> Scores:
        """Scores by a head that is given, with which no example has to be held out."""
        assert blocks.head is not None
        rows = self._rows(blocks)
        scores = decide(rows, blocks.head, np.zeros(self.n_classes), "l2").astype(np.float32)
        correct = scores.argmax(axis=1) == np.unique(self.y, return_inverse=True)[1]
        is_repeated = bool(self.more_folds)
        every = np.stack([scores] * (1 + len(self.more_folds))) if is_repeated else None
        return Scores(
            n_features=rows.shape[1],
            C=math.nan,
            accuracy_by_C=(),
            decisions=scores,
            correct=correct,
            optimised=self.merits(scores),
            shares=correct.astype(np.float64) if is_repeated else None,
            of_divisions=every,
        )

    def entrant(self, blocks: Blocks) -> Entrant:
        """One kind of features in the race of all."""

        def keep(search: CostSearch) -> None:
            # Of many examples a Gram matrix is most of a refit, and no other solver's set-up is.
            if blocks in (self.source.usual, self.source.prior) and search.has_gram:
                self.searches[blocks] = search

        return Entrant(
            read=lambda: self._rows(blocks),
            kept_at=lambda stage: self.kept_at(blocks, stage),
            keep=keep,
        )

    def candidate(self, blocks: Blocks, macs: int, scores: Scores) -> Candidate:
        """A candidate with its scores."""
        return self.decided(
            Candidate(
                blocks=blocks,
                macs=macs,
                scores=scores,
                judged=self.judged,
                groups=self.judged_groups,
            )
        )

    def decided(self, candidate: Candidate) -> Candidate:
        """The same, correct where the class of least expected cost is the true one, if there are costs.

        A ridge classifier keeps no decisions, so that one stays as it is.
        """
        criterion, scores = self.goal.criterion, candidate.scores
        if criterion.costs is None or scores.is_screened:
            return candidate
        member = np.unique(self.y, return_inverse=True)[1]
        P = calibrate(candidate, member, self.goal.weight).probabilities(scores.decisions)
        decided = replace(scores, correct=criterion.decide(P) == member, shares=None)
        return replace(candidate, scores=decided)

    def kept_at(self, blocks: Blocks, *more: Any, code: Sequence[str] = ("heads", "probe")) -> Path:
        """The file that keeps a candidate's scores; `code` are the rooms that decide them by its rows."""
        facts = [self._digest, self.source.identity(blocks), *more]
        return scores_path(self.cache, facts, code=(*code, *self.source.code))

    def _rows(self, blocks: Blocks) -> Any:
        return self.source.rows(blocks, self.records)

    def macs(self, blocks: Blocks) -> int:
        """Multiply-accumulates of one example."""
        return self.source.macs(blocks, self.n_classes)

    @cached_property
    def _digest(self) -> str:
        digests, labels = [r.digest for r in self.records], [r.label for r in self.records]
        facts = [digests, labels, self.folds.tolist(), list(self.Cs)]
        own = [self.objective.identity(self.records), [f.tolist() for f in self.more_folds]]
        return digest_of(facts if own == [None, []] else [*facts, own])


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What cross-validation found, in the order of ``task.source.candidates()``."""

    candidates: list[Candidate]  # all, unless Ctrl-C ended it early
    untried: tuple[Blocks, ...] = ()  # those that Ctrl-C left untried


def measure(
    task: Task,
    *,
    exact: bool = False,
    progress: Progress = silent,
    watch: Watch = unwatched,
) -> Measured:
    """Cross-validate the linear SVM on every candidate of the source.

    ``source.first`` comes first, as an early answer: Ctrl-C from then on leaves what is known. Of many
    examples and classes, all others race, and SVMs are fitted on all folds for those alone that may be
    the best (:func:`headstart.probe.screening.judge_all`). Sparse features are judged first and do not
    race, as ridge classifiers do not take them.

    Raises KeyboardInterrupt on Ctrl-C before the first candidate was judged.

    `exact`: judge every candidate by SVMs, however long it takes. `watch`: given all planned blocks
    and the candidates so far, the newest last: first with none, then after each one.
    """
    planned, first = task.source.candidates(), task.source.first
    found: dict[Blocks, Candidate] = {}
    left = list(planned)

    def take(blocks: Blocks, scores: Scores) -> None:
        if not scores.is_screened:
            left.remove(blocks)
        found.pop(blocks, None)
        found[blocks] = task.candidate(blocks, task.macs(blocks), scores)  # the newest is the last
        watch(planned, list(found.values()))

    def race(some: list[Blocks], *, exact: bool) -> None:
        def choose(chosen: Sequence[int]) -> None:
            out = set(some).difference(some[i] for i in chosen)
            left[:] = [blocks for blocks in left if blocks not in out]

        shown = (task.source.usual, task.source.prior)
        judge_all(
            [task.entrant(blocks) for blocks in some],
            task.y,
            task.folds,
            Cs=task.Cs,
            first=some.index(first) if first in some else len(some) - 1,
            always=[i for i, blocks in enumerate(some) if blocks in shown],
            exact=exact,
            goal=task.goal,
            more_folds=task.more_folds,
            progress=progress,
            on_scores=lambda i, scores: take(some[i], scores),
            on_finalists=choose,
        )

    watch(planned, [])
    given = [blocks for blocks in planned if blocks.head is not None]
    try:
        for is_sparse in (True, False):
            some = [b for b in planned if b not in given and b.is_sparse == is_sparse]
            if some:
                race(some, exact=exact or is_sparse)
        for blocks in given:
            take(blocks, task.given(blocks))
    except KeyboardInterrupt:
        if first in left:
            raise
        logger.warning("stopped: what is known so far is kept")
    judged = [found[blocks] for blocks in planned if blocks in found and blocks not in left]
    return Measured(candidates=judged, untried=tuple(left))
