"""Labels and images that the others contradict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs

from headstart.data import duplicate_groups
from headstart.data.appearance import appearance
from headstart.data.fixes import apply_fixes, read_fixes
from headstart.data.groups import groups_of
from headstart.data.sources import printable
from headstart.errors import one_line
from headstart.experiments.clean.result import (
    CleanResult,
    Decision,
    Finding,
    ImageWorth,
    LabelCost,
)
from headstart.experiments.clean.settings import Settings
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.onrun import training_images
from headstart.features import cache_folder
from headstart.heads import accuracy_interval
from headstart.home import expand
from headstart.probe import judgeable, training_folds
from headstart.reliability.asking import reduce
from headstart.reliability.labels import LabelCheck, check_labels, left_out_scores
from headstart.reliability.novelty import FEWEST_ROWS, Novelty, choose_rows
from headstart.reliability.worth import label_cost

if TYPE_CHECKING:
    from headstart.data import Index, Record
    from headstart.data.fixes import Fix
    from headstart.results import Interval
    from headstart.runs.retrieval import TrainingImages

# Quartile ranges above the third quartile from which a novelty is far out (Tukey 1977).
FAR_OUT = 3.0
# Repeats of the folds on which labels that cost accuracy are tested, and images that are weighed.
N_REPEATS, FEWEST_WEIGHED, MOST_WEIGHED = 4, 20, 5_000


def measure(s: Settings, inputs: Inputs) -> CleanResult:
    """Judge every image of the run, training and test alike, by the others.

    Raises RunError or DataError as :func:`headstart.experiments.onrun.training_images`, and
    :func:`headstart.data.fixes.apply_fixes`.
    """
    given = read_fixes(expand(s.fixes)) if s.fixes is not None else ()
    images = training_images(s, inputs)
    index, records, X = _corrected(images, given, s.fixes or "")
    decided = {f.name: f for f in (*images.fixes, *given)}
    y = np.array([r.label for r in records])
    classes, member = np.unique(y, return_inverse=True)
    inputs.progress("judge labels", 0, 1)
    together = duplicate_groups(index, records)
    can = judgeable(y, together)
    found = (
        check_labels(left_out_scores(X, member, together)[can], member[can]) if can.any() else None
    )
    inputs.progress("judge labels", 1, 1)
    judged = [r for r, is_judged in zip(records, can, strict=True) if is_judged]
    cost, worth = _worth(X[can], judged, index, decided.keys(), inputs)
    costly = frozenset(cost.names if cost is not None else ())
    seen = appearance(records, inputs.cache or cache_folder())
    findings = [
        *_copies(index, records),
        *(_labels(found, judged, classes, worth, costly) if found is not None else ()),
        *_blank(records, seen.is_blank),
        *_novel(X, y, index, records),
        *(Finding(kind="damaged", name=q.name, reason=q.reason) for q in index.quarantine),
    ]
    once = {f.name: f for f in reversed(findings)}  # the gravest reason of each
    listed = once.keys() - decided.keys()
    wrong = {f.name for f in findings if f.is_counted}
    return CleanResult(
        settings=s,
        datasets=(DataFacts.of(index),),
        n_images=len(records),
        n_judged=len(judged),
        not_judged=tuple(np.unique(y[~can]).tolist()),
        noise=_noise(found, judged, decided),
        classes=tuple(classes.tolist()),
        findings=tuple(
            structs.replace(f, is_counted=f.name in wrong)
            for f in findings
            if once[f.name] is f and f.name in listed
        ),
        decisions=_decisions(decided.values(), images),
        n_reported=images.run.metrics.n_suspicious,
        n_reported_of=images.run.metrics.n_judged,
        cost=cost,
        worth=worth,
    )


def _worth(
    X: Any, judged: Sequence[Record], index: Index, decided: Set[str], inputs: Inputs
) -> tuple[LabelCost | None, tuple[ImageWorth, ...]]:
    """Labels that cost accuracy, where fresh folds confirm it, and the worth of each image.

    Labels that were decided before are right, and never among them.
    """
    y = np.array([r.label for r in judged])
    if len(judged) < FEWEST_WEIGHED or len(np.unique(y)) < 2:
        return None, ()
    rows = choose_rows(np.unique(y, return_inverse=True)[1], MOST_WEIGHED)
    some = [judged[i] for i in rows]
    member = np.unique(y[rows], return_inverse=True)[1]
    inputs.progress("weigh labels", 0, 1)
    found = label_cost(
        reduce(np.asarray(X[rows], dtype=np.float32)),
        member,
        [training_folds(index, some, seed=seed) for seed in range(N_REPEATS)],
        together=duplicate_groups(index, some),
        groups=groups_of(some),
        is_sure=[r.name in decided for r in some],
    )
    inputs.progress("weigh labels", 1, 1)
    cost = None
    if found.holds:
        names = tuple(some[i].name for i in found.rows)
        cost = LabelCost(names=names, gain=found.gain)
    order = np.argsort(found.worth, kind="stable")
    return cost, tuple(
        ImageWorth(
            name=some[i].name, label=some[i].label, split=some[i].split, worth=float(found.worth[i])
        )
        for i in order
    )


def _corrected(
    images: TrainingImages, given: Sequence[Fix], where: str
) -> tuple[Index, list[Record], Any]:
    """The run's images and their features, with the fixes that the run does not have yet."""
    records, X = [*images.records, *images.held_out], images.X
    dropped = {r.name for r in images.dropped}
    new = tuple(f for f in given if f.name not in dropped)
    if not new:
        return images.index, records, X
    index = apply_fixes(images.index, new, one_line(where))
    of = {r.name: r for r in index.records}
    kept = [i for i, r in enumerate(records) if r.name in of]
    return index, [of[records[i].name] for i in kept], X[kept]


def _noise(
    found: LabelCheck | None, judged: Sequence[Record], decided: Mapping[str, Fix]
) -> Interval | None:
    if found is None:
        return None
    is_wrong = found.is_counted & [r.name not in decided for r in judged]
    return accuracy_interval(is_wrong, groups=groups_of(judged))


def _decisions(decided: Iterable[Fix], images: TrainingImages) -> tuple[Decision, ...]:
    """With the paths of the images."""
    paths = {r.name: r.path for r in (*images.index.records, *images.dropped)}
    return tuple(
        Decision(
            name=f.name,
            action=f.action,
            label=f.label,
            path=printable(str(paths.get(f.name, ""))),
        )
        for f in decided
    )


def _of(record: Record) -> dict[str, Any]:
    return {
        "name": record.name,
        "path": printable(str(record.path)),
        "digest": record.digest,
        "label": record.label,
        "split": record.split,
    }


def _copies(index: Index, records: Sequence[Record]) -> Iterator[Finding]:
    """Pictures that are there more than once, under different labels."""
    known = {r.name: r for r in records}
    for group in index.conflicting:
        for name in group.names:
            if name in known:
                others = [
                    f"{other} ({label})"
                    for other, label in zip(group.names, group.labels, strict=True)
                    if other != name
                ]
                same = "the same picture as" if group.kind == "exact" else "nearly the same as"
                yield Finding(
                    kind="copies", reason=f"{same} {', '.join(others)}", **_of(known[name])
                )


def _labels(
    found: LabelCheck,
    records: Sequence[Record],
    classes: Any,
    worth: Sequence[ImageWorth],
    costly: Set[str],
) -> Iterator[Finding]:
    """Labels that the others contradict, that count as wrong or cost accuracy; the most contradicted first."""
    of = {w.name: w.worth for w in worth}
    for i in np.argsort(found.margin, kind="stable"):
        agrees = found.margin[i] >= 0
        if agrees and not found.is_counted[i] and records[i].name not in costly:
            continue
        suggested = str(classes[found.suggested[i]])
        probability = float(found.P[i, found.suggested[i]])
        too = (" too, but not surely" if found.is_counted[i] else " too") if agrees else ""
        yield Finding(
            kind="label",
            reason=f"the other images say {suggested}{too} ({100 * probability:.0f} %)",
            suggested=suggested,
            probability=probability,
            margin=float(found.margin[i]),
            is_counted=bool(found.is_counted[i]),
            worth=of.get(records[i].name),
            **_of(records[i]),
        )


def _blank(records: Sequence[Record], is_blank: Any) -> Iterator[Finding]:
    for record, blank in zip(records, is_blank, strict=True):
        if blank:
            yield Finding(kind="blank", reason="one colour only", **_of(record))


def _novel(X: Any, y: Any, index: Index, records: Sequence[Record]) -> Iterator[Finding]:
    """Pictures that are far out among all, the farthest first.

    Pictures whose class is held out as a whole are novel for that reason, and are passed over.
    """
    if len(records) < FEWEST_ROWS or len(np.unique(duplicate_groups(index, records))) < 2:
        return
    folds = training_folds(index, records, n_folds=min(10, len(records)))
    can = np.flatnonzero(judgeable(y, folds))
    if not len(can):
        return
    scores = Novelty.held_out_scores(X, np.unique(y, return_inverse=True)[1], folds)[can]
    low, high = np.percentile(scores, [25, 75])
    limit = high + FAR_OUT * (high - low)
    for j in np.argsort(-scores, kind="stable"):
        if scores[j] <= limit:
            return
        i = can[j]
        yield Finding(kind="novel", reason="unlike all other pictures", **_of(records[i]))
