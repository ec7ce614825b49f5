"""The chosen candidate fitted on all training examples, and its one look at the test examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads import Temperature, fit_rows, fit_temperature
from headstart.heads.output_layer import fit_searched
from headstart.runs.averaging import Head, mean_head
from headstart.runs.model import Model
from headstart.runs.objective import Objective

if TYPE_CHECKING:
    from headstart.data.records import Example
    from headstart.heads.search import CostSearch
    from headstart.runs.choose import Candidate
    from headstart.sources import Source
    from headstart.sources.blocks import Blocks
    from headstart.sources.text import TextReader

TrainNetwork = Callable[["Blocks", Sequence[Any]], "tuple[TextReader, NDArray[np.float64]]"]

# Where no example is left to calibrate on: with one image a class, the best scales of six real sets
# at C = 1 lie from 3 to 12.
UNJUDGED_SCALE = 5.0
ACCURACY = Objective()


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A candidate refitted on all training examples and scored on the test examples."""

    model: Model
    # (n_train, K); calibrated probabilities of the training examples, from scores of models that
    # did not see them
    out_of_fold: NDArray[np.float64]
    probabilities: NDArray[np.float64]  # (n_test, K)
    correct: NDArray[np.bool_]  # (n_test,)


def refit(
    candidate: Candidate,
    *,
    source: Source,
    train: Sequence[Example],
    test: Sequence[Example],
    train_network: TrainNetwork | None = None,
    objective: Objective = ACCURACY,
    heads: dict[Blocks, Head] | None = None,
    searches: Mapping[Blocks, CostSearch] | None = None,
) -> Tested:
    """Fit ``candidate`` on all of ``train`` with its C, calibrate, and score ``test`` once.

    The calibration is learnt from out-of-fold scores, so the test labels touch nothing here but
    the count of what was right.

    `train_network`: trains the network of a candidate that is one; gives it, and its scores of the
    test examples. `objective`: how much examples count, and the costs of confusions by which
    classes are predicted. `heads`: those that are fitted, by their features, of these examples; new
    ones are added, so that a member of a mean that is shown itself is fitted once. `searches`: what is
    set up for features of these examples, and need not be again.
    """
    blocks = candidate.blocks
    heads, searches = {} if heads is None else heads, searches or {}
    y = np.array([r.label for r in train])
    classes, member = np.unique(y, return_inverse=True)
    weight = objective.weights(train)
    temperature = calibrate(candidate, member, weight)
    model = Model(
        classes=tuple(str(c) for c in classes),
        blocks=blocks,
        coef=np.eye(len(classes)),
        intercept=np.zeros(len(classes)),
        temperature=temperature,
        normalize="none" if blocks.is_network else "l2",
        costs=objective.costs,
        **source.encoding(blocks),
    )
    if blocks.is_network:
        assert train_network is not None
        rows: Any
        reader, rows = train_network(blocks, test)
        model = dataclasses.replace(model, texts=reader)
    else:

        def fit_one(c: Candidate) -> Head:
            if c.blocks.head is not None:
                return c.blocks.head, np.zeros(len(classes))
            C, scores = c.scores.C, c.scores.decisions
            if c.blocks not in heads and c.blocks in searches:
                heads[c.blocks] = fit_searched(searches[c.blocks], C, scores)
            elif c.blocks not in heads:
                X = source.rows(c.blocks, train)
                heads[c.blocks] = fit_rows(X, y, C, scores=scores, sample_weight=weight)
            return heads[c.blocks]

        coef, intercept = (
            mean_head(candidate, y, fit_one, weight) if candidate.members else fit_one(candidate)
        )
        model = dataclasses.replace(model, coef=coef, intercept=intercept)
        rows = source.rows(blocks, test) if test else None
    P = model.probabilities(rows) if test else np.empty((0, len(classes)))
    out_of_fold = temperature.probabilities(candidate.scores.decisions)
    predicted = classes[model.decide(P)] if test else np.empty(0, dtype=str)
    correct = np.asarray(predicted == np.array([r.label for r in test], dtype=str))
    return Tested(model=model, out_of_fold=out_of_fold, probabilities=P, correct=correct)


def calibrate(
    candidate: Candidate,
    member: NDArray[np.integer],
    weight: NDArray[np.float64] | None = None,
) -> Temperature:
    """The temperature from the out-of-fold scores of the examples that could be judged.

    Parameters
    ----------
    member : int array (n,)
        Column of each example's class.
    weight : float64 array (n,), optional
        How often each example counts.
    """
    rows = candidate.judged
    if not rows.any():
        return Temperature(UNJUDGED_SCALE)
    counted = None if weight is None else weight[rows]
    if counted is not None and not counted.sum() > 0:
        return Temperature(UNJUDGED_SCALE)
    return fit_temperature(candidate.scores.decisions[rows], member[rows], counted)
