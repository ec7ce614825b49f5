"""What the page says about the metric that was optimised, where that is not accuracy alone."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.data.sources import some
from headstart.results import Interval
from headstart.runs.report import words
from headstart.runs.result import CandidateResult, FitResult


def is_other(metrics: FitResult) -> bool:
    """Whether candidates were compared by something else than accuracy alone."""
    return any(c.cv_metric is not None for c in metrics.candidates)


def objective_name(metrics: FitResult) -> str:
    """The metric in words: ``"macro F1"``."""
    return "accuracy" if metrics.objective is None else metrics.objective.name


def is_share(metrics: FitResult) -> bool:
    """Whether differences of the metric are percentage points."""
    return metrics.objective is None or metrics.objective.is_share


def value_of(metrics: FitResult, interval: Interval | None) -> str:
    """A value of the metric with its interval, as its kind is written."""
    if interval is None:
        return "–"
    if is_share(metrics):
        return f"{words.percent(interval.value)} {words.bounds(interval)}"
    return f"{words.decimal(interval.value)} {words.number_bounds(interval)}"


def merit(candidate: CandidateResult) -> float:
    """What candidates are ranked by, the higher the better."""
    if candidate.cv_metric is not None and candidate.difference is not None:
        return round(candidate.difference.value, 12)
    return candidate.cv.value


def objective_lines(metrics: FitResult) -> list[str]:
    """Sentences on what was optimised, and on weights and costs; none of accuracy alone."""
    found, lines = metrics.objective, []
    if found is None:
        return []
    if is_other(metrics):
        why = "" if found.reason == "default" else f": {found.reason}"
        lines.append(f"The {found.name} was optimised{why}.")
    if found.class_weights:
        weights = [f"{name}: {weight:.3g}" for name, weight in found.class_weights.items()]
        lines.append(f"Classes count by weights: {_some(weights)}.")
    elif found.is_weighted:
        lines.append("Examples count by the weights in the table.")
    if found.order:
        lines.append(f"Classes from the lowest to the highest: {some(found.order, n=20)}.")
    if found.costs:
        lines.append(
            "Confusions have costs: the class of least expected cost is predicted, which need not be "
            "the most probable one."
        )
    return lines


def _some(items: Sequence[str], n: int = 20) -> str:
    rest = len(items) - n
    return ", ".join(items[:n]) + (f" and {rest:,} more" if rest > 0 else "")
