"""How far a run's answers can be relied on, as figures of ``metrics.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.data.groups import groups_of
from headstart.errors import InputError
from headstart.heads import accuracy_interval
from headstart.reliability.conformal import label_sets, set_threshold
from headstart.reliability.novelty import choose_rows
from headstart.reliability.refusal import answered, refusal_threshold, risk_coverage
from headstart.runs.heldout import judged_probabilities
from headstart.runs.reliance import LabelSets, Refusal, Reliability, TrainingMap

if TYPE_CHECKING:
    from headstart.runs.heldout import HeldOut, TrainingReference
    from headstart.runs.metrics import Results

# Accuracies that answers are to have, and shares of label sets that are to hold the true class.
TARGETS, LEVELS = (0.9, 0.95, 0.99), (0.8, 0.9, 0.95)
# Points of the risk-coverage curve that are kept.
N_POINTS = 101
# Images on the map.
MOST_MAPPED = 600


def reliability_of(results: Results, held_out: HeldOut | None) -> Reliability | None:
    """The entry; None where no example could be judged."""
    if held_out is None:
        return None
    coverage, accuracy = risk_coverage(held_out.top, held_out.correct)
    at = np.unique(np.linspace(0, len(coverage) - 1, N_POINTS).astype(int))
    return Reliability(
        n=len(held_out.top),
        coverage=tuple(coverage[at].tolist()),
        accuracy=tuple(accuracy[at].tolist()),
        refusals=tuple(r for t in TARGETS if (r := _refusal(results, held_out, t)) is not None),
        sets=tuple(s for level in LEVELS if (s := _sets(results, held_out, level)) is not None),
        map=None if held_out.reference is None else _map(results, held_out.reference),
    )


def _map(results: Results, reference: TrainingReference) -> TrainingMap | None:
    """The first two of the components that novelty keeps, which cost nothing more."""
    Z = reference.novelty.rows.astype(np.float64)
    if Z.shape[1] < 2:
        return None
    total = float(Z.var(axis=0).sum() + reference.novelty.rests.mean())
    rows = choose_rows(reference.labels, MOST_MAPPED)
    places = Z[rows, :2]
    low, high = places.min(axis=0), places.max(axis=0)
    places = np.round((places - (low + high) / 2) / (max(high - low) or 1.0) + 0.5, 4)
    classes = results.final.model.classes
    examples, P = judged_probabilities(results)
    said = results.final.model.decide(P).tolist() if len(examples) else []
    wrong = {r.name for r, k in zip(examples, said, strict=True) if classes[k] != r.label}
    return TrainingMap(
        n=len(results.train),
        variance=float(Z[:, :2].var(axis=0).sum() / total) if total > 0 else 0.0,
        labels=tuple(classes.index(reference.labels[i]) for i in rows),
        x=tuple(places[:, 0].tolist()),
        y=tuple(places[:, 1].tolist()),
        is_wrong=tuple(reference.names[i] in wrong for i in rows),
    )


def _refusal(results: Results, held_out: HeldOut, target: float) -> Refusal | None:
    try:
        threshold = refusal_threshold(held_out.top, held_out.correct, target)
    except InputError:
        return None
    own = answered(held_out.top, held_out.correct, threshold)
    if own.accuracy is None:
        return None
    test = None
    if results.test:
        P = results.final.probabilities
        top = P[np.arange(len(P)), results.final.model.decide(P)]
        test = answered(top, results.final.correct, threshold, groups_of(results.test))
    return Refusal(
        target=target,
        threshold=threshold,
        coverage=own.coverage,
        accuracy=own.accuracy,
        test_coverage=test.coverage if test else None,
        test_accuracy=test.accuracy if test else None,
    )


def _sets(results: Results, held_out: HeldOut, level: float) -> LabelSets | None:
    try:
        threshold = set_threshold(held_out.own, level)
    except InputError:
        return None
    if not results.test:
        return LabelSets(level=level, threshold=threshold)
    held = label_sets(results.final.probabilities, threshold)
    classes = np.array(results.final.model.classes)
    member = np.searchsorted(classes, [r.label for r in results.test])
    known = classes[np.minimum(member, len(classes) - 1)] == [r.label for r in results.test]
    hits = known & held[np.arange(len(held)), np.minimum(member, len(classes) - 1)]
    sizes = held.sum(axis=1)
    return LabelSets(
        level=level,
        threshold=threshold,
        test_coverage=accuracy_interval(hits, groups=groups_of(results.test)),
        mean_size=float(sizes.mean()),
        single=float((sizes == 1).mean()),
    )
