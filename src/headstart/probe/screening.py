"""Screening: which candidates are worth an SVM, judged by ridge classifiers at a small part of its cost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from headstart.heads.accuracy import paired_gain
from headstart.heads.examples import Normalize, Rows
from headstart.heads.parallel import each_piece
from headstart.heads.ridge import ridge_bytes, sweep_ridge
from headstart.heads.search import FIRST_COST, CostSearch
from headstart.probe.folds import judgeable
from headstart.probe.judging import (
    ACCURATE,
    Goal,
    Scores,
    cost_search,
    find_start,
    is_small,
    judge,
    keep,
    keep_start,
    nearest_cost,
    recall,
    recall_start,
    width,
)
from headstart.progress import Progress, silent

# A candidate is left out where it is behind the best by so many standard errors of the difference,
STANDARD_ERRORS = 2.0
# and by so many points: the ridge classifier and the SVM rank candidates a little differently.
MARGIN = 0.01
# Of the ridge classifiers themselves only those are left out that err more often than the best by this
# factor. They rank features of many classes badly: with 242 classes and 112 features a ridge classifier
# is ten points behind the SVM, with 1,900 features not one.
MOST_ERRORS = 1.5
# On the first fold one that is this many times further behind is tried at one cost only.
HOPELESS = 2.0
# From this correlation of their errors on, what is active in one candidate is in another one: below
# it a ridge classifier says it better (242 handwritten characters: 0.61 saves a third of the first
# fold, 0.53 costs a tenth).
ALIKE = 0.6
# Candidates are screened side by side, one on each core, as long as they take no more memory than this.
SCREENED_BYTES = 2**30


def screen(
    X: ArrayLike | Rows,
    y: ArrayLike,
    folds: NDArray[np.integer],
    *,
    normalize: Normalize = "l2",
    goal: Goal = ACCURATE,
    kept_at: Path | None = None,
) -> Scores:
    """Cross-validate a ridge classifier, as :func:`headstart.probe.judge` does an SVM.

    Returns
    -------
    Scores
        With ``is_screened``, without decisions, and NaN for C.
    """
    if kept_at is not None and (known := recall(kept_at)) is not None:
        return known
    labels = np.asarray(y)
    path = sweep_ridge(
        X, y, folds, normalize=normalize,
        merits=None if goal.is_plain else lambda scores: goal.merits(scores, labels, folds),
    )  # fmt: skip
    found = Scores(
        n_features=width(X),
        C=float("nan"),
        accuracy_by_C=(),
        decisions=np.zeros((0, 0), dtype=np.float32),
        correct=path.correct,
        is_screened=True,
        optimised=None if goal.is_plain else path.merits,
    )
    if kept_at is not None:
        keep(kept_at, found)
    return found


def contenders(
    correct: Sequence[NDArray[np.bool_]], merits: Sequence[NDArray[Any]] | None = None
) -> list[int]:
    """Candidates that their ridge classifiers cannot rule out: by errors, or as for `finalists`.

    Parameters
    ----------
    correct : sequence of bool array (n,)
        Whether each candidate's ridge classifier classified each held-out example correctly.
    merits : sequence of array (n,), optional
        Where something else than accuracy is optimised.

    Returns
    -------
    list of int
        Ascending.
    """
    errors = [1 - float(c.mean()) for c in correct]
    near = {i for i, e in enumerate(errors) if e <= MOST_ERRORS * min(errors)}
    return sorted(near.union(finalists(merits or correct)))


def finalists(merits: Sequence[NDArray[Any]], always: Collection[int] = ()) -> list[int]:
    """Candidates that a paired test cannot rule out as the best.

    Parameters
    ----------
    merits : sequence of array (n,)
        Of each held-out example: of accuracy, whether the candidate classified it correctly.
    always : collection of int
        Positions that are among them whatever they reached: the usual layer.

    Returns
    -------
    list of int
        Ascending.
    """
    best = max(range(len(merits)), key=lambda i: float(merits[i].mean()))
    return [i for i, m in enumerate(merits) if i in always or not is_behind(m, merits[best])]


def is_behind(merits: NDArray[Any], best: NDArray[Any], times: float = 1.0) -> bool:
    """Whether a paired test rules out that a candidate is as good as another one.

    Parameters
    ----------
    merits, best : array (n,)
        Of each held-out example, of both.
    times : float > 0, default 1
        Factor of the margin.
    """
    d = paired_gain(merits, best)
    return bool(-d.value > times * max(MARGIN, STANDARD_ERRORS * d.standard_error))


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """Features that may be judged."""

    read: Callable[[], ArrayLike | Rows]  # returns the features, (n, d)
    kept_at: Callable[[str], Path]  # given a stage, the file that keeps what is found there
    keep: Callable[[CostSearch], None] = lambda search: None  # given the search that judged it


def judge_all(
    entrants: Sequence[Entrant],
    y: ArrayLike,
    folds: NDArray[np.integer],
    *,
    Cs: Sequence[float],
    first: int = 0,
    always: Collection[int] = (),
    exact: bool = False,
    goal: Goal = ACCURATE,
    more_folds: Sequence[NDArray[np.integer]] = (),
    progress: Progress = silent,
    on_scores: Callable[[int, Scores], None] = lambda i, scores: None,
    on_finalists: Callable[[Sequence[int]], None] = lambda chosen: None,
) -> list[Scores]:
    """Judge candidates; of many examples and classes by SVMs only those that could be the best.

    One is judged before all others, as an early answer. The others race on the same folds: ridge
    classifiers for all; then, the best of these first, SVMs for those that are not far behind
    (`contenders`), on the first fold, and on the others unless a paired test rules out there that one is
    as good as the best so far (`is_behind`).

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels.
    folds : int array (n,)
    first : int, default 0
        Position of the one that is judged before all others.
    always : collection of int
        Positions that are judged by SVMs in any case: the usual layer.
    exact : bool, default False
        Judge every candidate by SVMs at every cost, however long it takes.
    goal : Goal, default accuracy
        What is optimised.
    more_folds : sequence of int array (n,)
        Further divisions into folds, for those that are judged by SVMs on all folds.
    on_scores : callable
        Given a position and its scores whenever there are some; those of a ridge classifier first.
    on_finalists : callable
        Given the positions that SVMs are still to judge, whenever they are fewer.

    Returns
    -------
    list of Scores
        Parallel to `entrants`.
    """
    labels = np.asarray(y)
    is_whole = exact or is_small(len(labels), len(np.unique(labels)))
    # Where cross-validation can judge nothing there is nobody to race.
    is_whole = is_whole or not judgeable(labels, folds).any()
    found: dict[int, Scores] = {}

    def settle(i: int, scores: Scores | None) -> None:
        if scores is not None:
            found[i] = scores
            on_scores(i, scores)

    if is_whole:
        order = sorted(range(len(entrants)), key=lambda i: i != first)
        on_finalists(order)
        for n_done, i in enumerate(order):
            progress("cross-validate", n_done, len(order))
            read, place = entrants[i].read, entrants[i].kept_at("exact")
            scores = recall(place) or judge(
                read(), labels, folds,
                Cs=Cs, exact=exact, goal=goal, more_folds=more_folds, kept_at=place,
            )  # fmt: skip
            settle(i, scores)
        progress("cross-validate", len(order), len(order))
        return [found[i] for i in range(len(entrants))]

    progress("first answer", 0, 1)
    settle(first, _enter(entrants[first], labels, [folds, *more_folds], Cs, goal))
    progress("first answer", 1, 1)
    by_ridge: dict[int, Scores] = {}
    progress("screen", 0, len(entrants))
    for i, scores in _screen_all(entrants, labels, folds, goal):
        by_ridge[i] = scores
        progress("screen", len(by_ridge), len(entrants))
        if i != first:
            settle(i, scores)
    screened = [by_ridge[i] for i in range(len(entrants))]
    near = set(contenders([s.correct for s in screened], [s.merits for s in screened]))
    near = near.union(always).difference([first])
    left = sorted(near, key=lambda i: (i not in always, -screened[i].merits.mean(), i))
    on_finalists(left)
    for n_done, i in enumerate(list(left)):
        progress("cross-validate", n_done, len(near))
        judged = [j for j, scores in found.items() if not scores.is_screened]
        best = max((found[j] for j in judged), key=lambda s: s.merits.mean())
        model, likeness = _most_alike(i, screened, judged)
        like = found[model].active if likeness >= ALIKE else None
        entered = _enter(
            entrants[i], labels, [folds, *more_folds], Cs, goal,
            rival=None if i in always else best, first_cost=found[model].C, like=like,
        )  # fmt: skip
        settle(i, entered)
        left.remove(i)
        on_finalists(left)
    progress("cross-validate", len(near), len(near))
    return [found[i] for i in range(len(entrants))]


def _screen_all(
    entrants: Sequence[Entrant], labels: NDArray[Any], folds: NDArray[np.integer], goal: Goal
) -> Iterator[tuple[int, Scores]]:
    """Position and ridge classifier of each entrant, as many at once as memory and cores allow."""

    def work(item: tuple[int, Any]) -> tuple[int, Scores]:
        i, X = item
        return i, screen(X, labels, folds, goal=goal, kept_at=entrants[i].kept_at("ridge"))

    def together(some: list[tuple[int, Any]]) -> Iterator[tuple[int, Scores]]:
        # The widest first, so that no core waits for it at the end.
        return each_piece(work, sorted(some, key=lambda item: -width(item[1])), torch.device("cpu"))

    waiting: list[tuple[int, Any]] = []
    n_bytes, n_folds, n_classes = 0, len(np.unique(folds)), len(np.unique(labels))
    for i, entrant in enumerate(entrants):
        if (known := recall(entrant.kept_at("ridge"))) is not None:
            yield i, known
            continue
        X = entrant.read()
        own = getattr(X, "nbytes", 0) + ridge_bytes(
            (len(labels), width(X)), n_folds, n_classes, has_merits=not goal.is_plain
        )
        if waiting and n_bytes + own > SCREENED_BYTES:
            yield from together(waiting)
            waiting, n_bytes = [], 0
        waiting.append((i, X))
        n_bytes += own
    yield from together(waiting)


def _most_alike(i: int, screened: Sequence[Scores], judged: Sequence[int]) -> tuple[int, float]:
    """Which of the judged has the errors of ridge classifiers most in common with entrant ``i``.

    With the correlation of being right.
    """
    own = screened[i].correct
    likeness = {
        j: np.corrcoef(own, screened[j].correct)[0, 1]
        if own.any() and not own.all() and 0 < screened[j].correct.mean() < 1
        else 0.0
        for j in judged
    }
    model = max(likeness, key=lambda j: (likeness[j], -j))
    return model, float(likeness[model])


def _enter(
    entrant: Entrant,
    labels: NDArray[Any],
    divisions: Sequence[NDArray[np.integer]],
    Cs: Sequence[float],
    goal: Goal,
    *,
    rival: Scores | None = None,
    first_cost: float = FIRST_COST,
    like: NDArray[np.uint8] | None = None,
) -> Scores | None:
    """An entrant judged by SVMs; None where the first fold says that it is behind its rival."""
    folds = divisions[0]
    place, start_place = entrant.kept_at("search"), entrant.kept_at("first fold")
    known, start = recall(place), recall_start(start_place)
    if known is not None:
        return known
    best = None if rival is None else rival.merits[folds == np.unique(folds)[0]]

    def is_hopeless(merits: NDArray[Any]) -> bool:
        return best is not None and is_behind(merits, best, HOPELESS)

    if start is not None and not start.is_searched:
        # One cost, of a run with perhaps another rival: it says what it would say in this one, or nothing.
        is_same = nearest_cost(Cs, first_cost) == start.C
        start = start if is_same and is_hopeless(start.merits) else None
    if start is not None and best is not None and is_behind(start.merits, best):
        return None
    X = entrant.read()
    search = cost_search(X, labels, folds, goal=goal, like=like)
    if start is None:
        start = find_start(search, Cs, first=first_cost, is_hopeless=is_hopeless)
        keep_start(start_place, start)
        if best is not None and is_behind(start.merits, best):
            return None
    entrant.keep(search)
    return judge(
        X, labels, folds,
        Cs=Cs, start=start.C, goal=goal, search=search, more_folds=divisions[1:], kept_at=place,
    )  # fmt: skip
