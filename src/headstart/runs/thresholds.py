"""Thresholds of a run at the precision or the recall that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.sources import counted, some
from headstart.heads import Thresholds, apply_thresholds, choose_thresholds
from headstart.runs.sentence import percent

if TYPE_CHECKING:
    from headstart.runs.metrics import Results

# So many classes are shown in the terminal.
MOST_LINES = 20


def thresholds_of(results: Results) -> Thresholds | None:
    """Chosen on predictions of examples that the model did not see, and tested once; None if not asked.

    These are the out-of-fold predictions; of a fine-tuned network those of its validation images.
    """
    s, tuned = results.settings, results.finetuning
    value = s.at_recall if s.at_precision is None else s.at_precision
    if value is None:
        return None
    final = results.final
    if tuned is not None and tuned.won and tuned.comparison is not None:
        examples, P = list(tuned.comparison.records), tuned.comparison.probabilities
    else:
        examples = [r for r, known in zip(results.train, results.judged, strict=True) if known]
        P = final.out_of_fold[results.judged]
    if not examples:
        return None
    weights = results.objective.weights
    chosen = choose_thresholds(
        np.array([r.label for r in examples]),
        P,
        final.model.classes,
        target="recall" if s.at_precision is None else "precision",
        value=value,
        sample_weight=weights(examples),
    )
    if not results.test:
        return chosen
    labels = np.array([r.label for r in results.test])
    return apply_thresholds(
        chosen, labels, final.probabilities, sample_weight=weights(results.test)
    )


def threshold_notes(found: Thresholds | None, *, is_asked: bool) -> list[str]:
    """Which classes have no threshold that reaches the target."""
    if found is None:
        none = "no thresholds were chosen: cross-validation could judge no training example"
        return [none] if is_asked else []
    if not found.unreached:
        return []
    names = [c.name for c in found.unreached]
    best = max(c.best for c in found.unreached)
    of = f"{counted(len(names), 'class')}: {some(names, is_counted=True)} (at best {percent(best)})"
    target = f"a {found.target} of {percent(found.value)}"
    return [f"no threshold reaches {target} on held-out predictions for {of}"]


def threshold_lines(found: Thresholds | None) -> Iterator[str]:
    """One line per class for the terminal."""
    if found is None:
        return
    yield f"thresholds at a {found.target} of {percent(found.value)}:"
    for c in found.classes[:MOST_LINES]:
        reached = c.chosen_on if c.test is None else c.test
        if c.threshold is None or reached is None:
            yield f"  {c.name}: none (at best {percent(c.best)})"
            continue
        where = "held-out" if c.test is None else "test"
        said = ", ".join(
            f"{name} {'unknown' if share is None else share}"
            for name, share in (("precision", reached.precision), ("recall", reached.recall))
        )
        yield f"  {c.name}: {c.threshold:.3f} ({where} {said})"
    if (n := len(found.classes) - MOST_LINES) > 0:
        yield f"  and {counted(n, 'class')} more, in the report"
