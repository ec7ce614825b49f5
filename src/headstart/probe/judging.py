"""Cross-validation of the linear SVM on one matrix of features, and the SVM at its best cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads import sparse
from headstart.heads.accuracy import accuracy_interval
from headstart.heads.costs import COSTS
from headstart.heads.criterion import Criterion
from headstart.heads.examples import Normalize, Rows
from headstart.heads.output_layer import OutputLayer, fit_output_layer
from headstart.heads.path import PathResult, best_of, join_paths
from headstart.heads.search import FIRST_COST, CostSearch, best_cost, climb
from headstart.probe import memo
from headstart.probe.folds import judgeable
from headstart.results import Interval

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Relative duality gap of the SVMs of cross-validation. A model that is kept is solved to 1e-5.
TOLERANCE = 1e-3
# Examples times classes up to which every cost is solved, of every candidate.
SMALL = 10_000
# The first fold alone decides the cost where it holds out so many examples: one among them is worth less
# than the difference between neighbouring costs. Or where there are so many examples times classes.
MANY_HELD_OUT, LARGE = 500, 500_000
# So few costs are all solved.
FEW_COSTS = 2


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a cross-validation optimises."""

    criterion: Criterion = field(default_factory=Criterion)
    # (n,); how often each example counts, in training as well
    weight: NDArray[np.float64] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is accuracy, and all examples count alike."""
        return self.criterion.is_plain and self.weight is None

    def merits(
        self,
        scores: NDArray[np.floating],
        y: NDArray[Any],
        folds: NDArray[np.integer],
        rows: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float64]:
        """The merit of each example by its held-out scores, (n,): 0 where it cannot be judged.

        ``rows`` are the positions whose scores are given; by default all are.
        """
        known, member = judgeable(y, folds), np.unique(y, return_inverse=True)[1].reshape(-1)
        weight = self.weight
        if rows is not None:
            known, member = known[rows], member[rows]
            weight = None if weight is None else weight[rows]
        merits = np.zeros(len(member))
        if known.any():
            own = None if weight is None else weight[known]
            merits[known] = self.criterion.merits(scores[known], member[known], own)
        return merits


ACCURATE = Goal()


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What cross-validation found for one matrix of features."""

    n_features: int
    C: float  # the best cost; NaN for a network, which has none
    accuracy_by_C: tuple[float, ...]  # accuracy at each of `Cs`
    decisions: NDArray[np.float32]  # (n, K); out-of-fold scores at `C`
    correct: NDArray[np.bool_]  # (n,); whether each example was classified correctly at `C`
    # whether these are the scores of a ridge classifier, which ruled the features out
    is_screened: bool = False
    # The costs tried, ascending. Where no example can be judged (:func:`judgeable`), that is only
    # the one nearest to 1.
    Cs: tuple[float, ...] = ()
    # (n,); the merit of each example at `C`, where something else than accuracy is optimised
    optimised: NDArray[np.float64] | None = None
    # (n,); of several divisions into folds: in which share of them each example was classified
    # correctly. `optimised` and `decisions` are then means, and `correct` is what the latter say.
    shares: NDArray[np.float64] | None = None
    # (n_repeats, n, K); the out-of-fold scores of each of these divisions
    of_divisions: NDArray[np.float32] | None = None
    # (n_folds, K, ceil(n / 8)); bits: the active examples of each model at `C`, where they are known
    active: NDArray[np.uint8] | None = None

    @property
    def merits(self) -> NDArray[Any]:
        """What each example contributes to what is optimised, (n,)."""
        return self.correct if self.optimised is None else self.optimised

    @property
    def accuracy(self) -> Interval:
        """Cross-validated accuracy at `C`, with a 95 % interval."""
        return accuracy_interval(self.correct)


def is_small(n_samples: int, n_classes: int) -> bool:
    """Whether SVMs at every cost take a few seconds, for all candidates of a fit."""
    return n_samples * n_classes <= SMALL


def judge(
    X: ArrayLike | Rows | csr_array,
    y: ArrayLike,
    folds: NDArray[np.integer],
    *,
    Cs: Sequence[float] = COSTS,
    normalize: Normalize = "l2",
    exact: bool = False,
    start: float | None = None,
    goal: Goal = ACCURATE,
    search: CostSearch | None = None,
    more_folds: Sequence[NDArray[np.integer]] = (),
    kept_at: Path | None = None,
) -> Scores:
    """Cross-validate the linear SVM, and keep the scores of the best cost.

    Of few examples and classes (:func:`is_small`) every cost is solved. Else the search begins at the
    cost that is best on one fold, and goes on until the best lies between two that are not
    better; of many examples that cost is taken. Beyond the ends of the default grid it goes on while
    that pays (:func:`heads.search.climb`).

    Raises ValueError as :func:`headstart.heads.cross_validate`.

    Parameters
    ----------
    X : array-like, Rows or sparse array of shape (n, d), float
        Features.
    y : array-like of shape (n,)
        Labels of K >= 2 classes.
    folds : int array (n,)
        The fold that holds each example out (:func:`headstart.probe.training_folds`).
    Cs : sequence of float > 0, default COSTS
    normalize : {"l2", "power", "none"}, default "l2"
        How rows are normalised first.
    exact : bool, default False
        Solve every cost, however many examples there are.
    start : float > 0, optional
        The cost to begin the search with, if it is known (:func:`find_start`).
    goal : Goal, default accuracy
        What decides the best cost, and the weights of the examples.
    search : CostSearch, optional
        Of the same features, examples, folds and goal, with what it has solved.
    more_folds : sequence of int array (n,)
        Further divisions into folds. The costs that were tried on `folds` are solved on each, and
        merits and scores are the means.
    kept_at : Path, optional
        File of the memo: read if it is there, else written.
    """
    if kept_at is not None and (known := recall(kept_at)) is not None:
        return known
    found = _judge(
        X, np.asarray(y), [folds, *more_folds], sorted(Cs), normalize, exact, start, goal, search
    )
    if kept_at is None:
        return found
    keep(kept_at, found)
    # Read back, so that arrays of length n stay on the disk, memory-mapped.
    return recall(kept_at) or found


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the first fold says of features."""

    C: float  # the best cost there
    # (n_first_fold,); the merit of each example of that fold at `C`: of accuracy, whether it is
    # classified correctly
    merits: NDArray[Any]
    # whether others were tried; not where the first was hopeless against a rival
    is_searched: bool = True


def cost_search(
    X: Any,
    y: ArrayLike,
    folds: NDArray[np.integer],
    normalize: Normalize = "l2",
    *,
    goal: Goal = ACCURATE,
    like: NDArray[np.uint8] | None = None,
) -> CostSearch:
    """The search for the best cost, at the tolerance of cross-validation."""
    return CostSearch(
        X, y, folds, normalize,
        tol=TOLERANCE, sample_weight=goal.weight, criterion=goal.criterion, like=like,
    )  # fmt: skip


def find_start(
    search: CostSearch,
    Cs: Sequence[float] = COSTS,
    *,
    first: float = FIRST_COST,
    is_hopeless: Callable[[NDArray[Any]], bool] = lambda merits: False,
) -> Start:
    """The best cost on the first fold, for a fifth of what `judge` takes.

    Parameters
    ----------
    search : CostSearch
        Keeps what is solved, for `judge`.
    Cs : sequence of float > 0, default COSTS
    first : float > 0, default FIRST_COST
        The cost to begin with.
    is_hopeless : callable
        Given the merits at the first cost, whether to try no other.
    """
    grid = sorted(Cs)
    nearest = nearest_cost(grid, first)
    known = search.solve([nearest], [0])
    is_searched = not is_hopeless(known[nearest])
    if is_searched:
        is_open = tuple(grid) == COSTS
        known = climb(
            lambda some: search.solve(some, [0]), grid, nearest, is_open=is_open, known=known
        )
    C = best_cost(known)
    return Start(C=C, merits=known[C], is_searched=is_searched)


def nearest_cost(Cs: Sequence[float], C: float) -> float:
    """The one of the costs with which a search that is to begin with `C` begins."""
    return min(Cs, key=lambda own: (abs(math.log(own / C)), own))


def fit_best(
    X: ArrayLike,
    y: ArrayLike,
    folds: NDArray[np.integer],
    *,
    Cs: Sequence[float] = COSTS,
    normalize: Normalize = "l2",
    goal: Goal = ACCURATE,
) -> OutputLayer:
    """The linear SVM on all examples at the cost that is best in cross-validation.

    Parameters, errors: as `judge`, for dense features.

    Returns
    -------
    OutputLayer
        The SVM, its weights scaled so that their softmax fits, and the cross-validation.
    """
    search = cost_search(X, y, folds, normalize, goal=goal)
    path = _search(search, folds, sorted(Cs))
    return fit_output_layer(X, y, path, normalize=normalize, sample_weight=goal.weight)


def scores_path(cache: Path, facts: Any, *, code: Sequence[str] = ("heads", "probe")) -> Path:
    """The file that keeps the scores of the features, examples, folds and costs in `facts`."""
    return memo.memo_path(cache, "heads", facts, code=code, suffix="safetensors")


def recall(path: Path) -> Scores | None:
    """Scores kept at `path`; None where there are none, or the file is damaged."""
    kept = memo.recall_arrays(path, on_disk=("decisions", "of_divisions"))
    if kept is None:
        return None
    try:
        return Scores(
            n_features=int(kept["n_features"][0]),
            C=float(kept["C"][0]),
            accuracy_by_C=tuple(kept["accuracy_by_C"].tolist()),
            decisions=kept["decisions"],
            correct=kept["correct"],
            is_screened=bool(kept["is_screened"][0]),
            Cs=tuple(kept["Cs"].tolist()),
            optimised=kept.get("optimised"),
            shares=kept.get("shares"),
            of_divisions=kept.get("of_divisions"),
            active=kept.get("active"),
        )
    except KeyError as error:
        memo.report_damage(path, error)
        return None


def recall_start(path: Path) -> Start | None:
    """What `keep_start` kept at `path`; None where there is nothing, or the file is damaged."""
    kept = memo.recall_arrays(path)
    if kept is None:
        return None
    try:
        return Start(
            C=float(kept["C"][0]), merits=kept["merits"], is_searched=bool(kept["is_searched"][0])
        )
    except KeyError as error:
        memo.report_damage(path, error)
        return None


def keep_start(path: Path, start: Start) -> None:
    """Write what the first fold says to the memo file `path`, atomically."""
    memo.keep_arrays(
        path,
        {
            "C": np.array([start.C]),
            "merits": start.merits,
            "is_searched": np.array([start.is_searched]),
        },
    )


def keep(path: Path, scores: Scores) -> None:
    """Write scores to the memo file `path`, atomically."""
    memo.keep_arrays(
        path,
        {
            "n_features": np.array([scores.n_features]),
            "C": np.array([scores.C]),
            "accuracy_by_C": np.array(scores.accuracy_by_C),
            "decisions": scores.decisions,
            "correct": scores.correct,
            "is_screened": np.array([scores.is_screened]),
            "Cs": np.array(scores.Cs),
            **{
                name: value
                for name in ("optimised", "shares", "of_divisions", "active")
                if (value := getattr(scores, name)) is not None
            },
        },
    )


def width(X: Any) -> int:
    """The number of features of an array, of sparse rows, or of rows that stay in a store."""
    return int(X.shape[1] if hasattr(X, "shape") else np.shape(X)[1])


def _judge(
    X: Any,
    y: NDArray[Any],
    divisions: list[NDArray[np.integer]],
    Cs: list[float],
    normalize: Normalize,
    exact: bool,
    start: float | None,
    goal: Goal,
    search: CostSearch | None,
) -> Scores:
    folds = divisions[0]
    if not judgeable(y, folds).any():
        return _unjudged(X, y, min(Cs, key=lambda C: abs(math.log(C))))
    if hasattr(X, "nnz") and X.shape[0] > sparse.MOST_SPARSE_ROWS:
        return _judge_large(X, y, divisions, Cs, goal)
    search = search or cost_search(X, y, folds, normalize, goal=goal)
    path = _search(search, folds, Cs, exact=exact, start=start)
    if len(divisions) > 1:
        return _repeated(search, y, divisions, path, width(X))
    return Scores(
        n_features=width(X),
        C=path.C,
        accuracy_by_C=tuple(float(a) for a in path.accuracy),
        decisions=path.decisions,
        correct=path.correct[path.best],
        Cs=tuple(path.Cs.tolist()),
        optimised=None if goal.is_plain else path.merits[path.best],
        active=search.active(path.C),
    )


def _repeated(
    search: CostSearch,
    y: NDArray[Any],
    divisions: Sequence[NDArray[np.integer]],
    first: PathResult,
    n_features: int,
) -> Scores:
    """Means over several divisions into folds, at the cost that is best by the mean merit."""
    paths = [first, *(search.sweep(first.Cs.tolist(), folds) for folds in divisions[1:])]
    merits = np.mean([path.merits for path in paths], axis=0)
    best = best_of(merits, first.Cs)
    C = float(first.Cs[best])
    decisions = [
        path.decisions if path.C == C else search.sweep([C], folds).decisions
        for path, folds in zip(paths, divisions, strict=True)
    ]
    found = scores_of_divisions(
        y, C, decisions, merits[best], n_features=n_features, Cs=first.Cs.tolist(),
        accuracy=np.mean([path.accuracy for path in paths], axis=0).tolist(),
    )  # fmt: skip
    return replace(found, active=search.active(C))


def scores_of_divisions(
    y: NDArray[Any],
    C: float,
    decisions: Sequence[NDArray[np.float32]],
    merits: NDArray[Any],
    *,
    n_features: int,
    Cs: Sequence[float],
    accuracy: Sequence[float],
) -> Scores:
    """Scores of several divisions into folds: the means, and each."""
    member = np.unique(y, return_inverse=True)[1].reshape(-1)
    every: NDArray[np.float32] = np.stack(decisions).astype(np.float32, copy=False)
    mean: NDArray[np.float32] = every.mean(axis=0, dtype=np.float32)
    return Scores(
        n_features=n_features,
        C=C,
        accuracy_by_C=tuple(accuracy),
        decisions=mean,
        correct=mean.argmax(axis=1) == member,
        Cs=tuple(Cs),
        optimised=np.asarray(merits, dtype=np.float64),
        shares=np.mean([d.argmax(axis=1) == member for d in decisions], axis=0),
        of_divisions=every,
    )


def _judge_large(
    X: Any,
    y: NDArray[Any],
    divisions: Sequence[NDArray[np.integer]],
    Cs: list[float],
    goal: Goal,
) -> Scores:
    """Of more sparse rows than a Gram matrix can hold; further divisions at the best cost alone."""

    def solve(
        costs: Sequence[float], folds: NDArray[np.integer]
    ) -> tuple[float, float, NDArray[np.float32], NDArray[np.bool_]]:
        return sparse.cross_validate_large(
            X, y, costs, folds, weight=goal.weight,
            merits=None if goal.is_plain else lambda s, rows: goal.merits(s, y, folds, rows),
        )  # fmt: skip

    C, reached, decisions, correct = solve(Cs, divisions[0])
    tried = (C,)
    if len(divisions) == 1:
        return Scores(
            n_features=width(X),
            C=C,
            accuracy_by_C=(reached,),
            decisions=decisions,
            correct=correct,
            Cs=tried,
            optimised=None if goal.is_plain else goal.merits(decisions, y, divisions[0]),
        )
    every = [decisions, *(solve([C], folds)[2] for folds in divisions[1:])]
    merits = np.mean([goal.merits(d, y, f) for d, f in zip(every, divisions, strict=True)], axis=0)
    found = scores_of_divisions(
        y, C, every, merits, n_features=width(X), Cs=tried, accuracy=[reached]
    )
    assert found.shares is not None
    return replace(found, accuracy_by_C=(float(found.shares.mean()),))


def _unjudged(X: Any, y: NDArray[Any], C: float) -> Scores:
    """What is known where every class is in one fold only: all is wrong, and nothing need be solved."""
    tried = (C,)
    return Scores(
        n_features=width(X),
        C=C,
        accuracy_by_C=(0.0,),
        decisions=np.zeros((len(y), len(np.unique(y))), dtype=np.float32),
        correct=np.zeros(len(y), dtype=bool),
        Cs=tried,
    )


def _search(
    search: CostSearch,
    folds: NDArray[np.integer],
    Cs: list[float],
    *,
    exact: bool = False,
    start: float | None = None,
) -> PathResult:
    """The cross-validation at every cost, or at those that lead to the best."""
    is_open = tuple(Cs) == COSTS
    every = range(search.n_splits)
    whole = None
    known: dict[float, NDArray[Any]] = {}
    if exact or len(Cs) <= FEW_COSTS or is_small(len(folds), len(search.classes)):
        whole = search.sweep(Cs, folds)
        known = dict(zip(whole.Cs.tolist(), whole.merits, strict=True))
    else:
        start = start or find_start(search, Cs).C
        if first_decides(search):
            search.solve([start], every)
            return search.result([start])
    tried = climb(lambda some: search.solve(some, every), Cs, start, is_open=is_open, known=known)
    if whole is None:
        return search.result(tried)
    beyond = sorted(C for C in tried if C not in known)
    return join_paths(whole, search.result(beyond)) if beyond else whole


def first_decides(search: CostSearch) -> bool:
    """Whether the cost of the first fold is taken for all."""
    n, K = len(search.held.member), len(search.classes)
    return n * K > LARGE or len(search.held.splits[0][1]) >= MANY_HELD_OUT
