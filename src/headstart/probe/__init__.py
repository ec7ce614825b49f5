"""The probe: the one way to judge rows of features by cross-validation, and the selection rules.

``fit``, ``finetune --compare``, the experiments and the text path call it. Rows of features and
labels go in; a typed judgement comes out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.probe.folds import judgeable, training_folds
    from headstart.probe.judging import Scores, fit_best, judge
    from headstart.probe.rules import (
        Choice,
        cheapest_tie,
        first_tie,
        most_accurate,
        quickest_tie,
        usual_unless_beaten,
    )

_HOMES = {
    "Choice": "rules",
    "Scores": "judging",
    "cheapest_tie": "rules",
    "first_tie": "rules",
    "fit_best": "judging",
    "judge": "judging",
    "judgeable": "folds",
    "most_accurate": "rules",
    "quickest_tie": "rules",
    "training_folds": "folds",
    "usual_unless_beaten": "rules",
}

__all__ = [
    "Choice",
    "Scores",
    "cheapest_tie",
    "first_tie",
    "fit_best",
    "judge",
    "judgeable",
    "most_accurate",
    "quickest_tie",
    "training_folds",
    "usual_unless_beaten",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
