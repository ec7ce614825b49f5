"""Labels and images that the others contradict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data import duplicate_groups
from headstart.data.appearance import appearance
from headstart.data.sources import printable
from headstart.experiments.clean.result import CleanResult, Finding
from headstart.experiments.clean.settings import Settings
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.onrun import training_images
from headstart.features import cache_folder
from headstart.probe import training_folds
from headstart.reliability.labels import LabelCheck, check_labels, left_out_scores
from headstart.reliability.novelty import FEWEST_ROWS, Novelty

if TYPE_CHECKING:
    from headstart.data import Index, Record

# Quartile ranges above the third quartile from which a novelty is far out (Tukey 1977).
FAR_OUT = 3.0


def measure(s: Settings, inputs: Inputs) -> CleanResult:
    """Judge every image of the run, training and test alike, by the others.

    Raises
    ------
    RunError, DataError
        As :func:`headstart.experiments.onrun.training_images`.
    """
    images = training_images(s, inputs)
    index, records = images.index, [*images.records, *images.held_out]
    classes, member = np.unique([r.label for r in records], return_inverse=True)
    inputs.progress("judge labels", 0, 1)
    together = duplicate_groups(index, records)
    found = check_labels(left_out_scores(images.X, member, together), member)
    inputs.progress("judge labels", 1, 1)
    seen = appearance(records, inputs.cache or cache_folder())
    findings = [
        *_copies(index, records),
        *_labels(found, records, classes),
        *_blank(records, seen.is_blank),
        *_novel(images.X, member, index, records),
        *(Finding(kind="damaged", name=q.name, reason=q.reason) for q in index.quarantine),
    ]
    once = {f.name: f for f in reversed(findings)}  # the gravest reason of each
    return CleanResult(
        settings=s,
        datasets=(DataFacts.of(index),),
        n_images=len(records),
        noise=found.noise,
        classes=tuple(classes.tolist()),
        findings=tuple(f for f in findings if once[f.name] is f),
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


def _labels(found: LabelCheck, records: Sequence[Record], classes: Any) -> Iterator[Finding]:
    """Labels that the other images contradict, the most contradicted first."""
    for i in np.argsort(found.margin, kind="stable"):
        if found.margin[i] >= 0:
            return
        suggested = str(classes[found.suggested[i]])
        probability = float(found.P[i, found.suggested[i]])
        yield Finding(
            kind="label",
            reason=f"the other images say {suggested} ({100 * probability:.0f} %)",
            suggested=suggested,
            probability=probability,
            margin=float(found.margin[i]),
            is_counted=bool(found.is_counted[i]),
            **_of(records[i]),
        )


def _blank(records: Sequence[Record], is_blank: Any) -> Iterator[Finding]:
    for record, blank in zip(records, is_blank, strict=True):
        if blank:
            yield Finding(kind="blank", reason="one colour only", **_of(record))


def _novel(X: Any, member: Any, index: Index, records: Sequence[Record]) -> Iterator[Finding]:
    """Pictures that are far out among all, the farthest first."""
    folds = training_folds(index, records, n_folds=min(10, len(records)))
    if len(records) < FEWEST_ROWS or len(np.unique(folds)) < 2:
        return
    scores = Novelty.held_out_scores(X, member, folds)
    low, high = np.percentile(scores, [25, 75])
    limit = high + FAR_OUT * (high - low)
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] <= limit:
            return
        yield Finding(kind="novel", reason="unlike all other pictures", **_of(records[i]))
