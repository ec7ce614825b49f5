"""What the page says of the metric that was optimised."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from example_metrics import scenes

from headstart.runs.report import figures, objective, story
from headstart.runs.result import FitResult, metrics_from


def optimised(*, is_share: bool) -> FitResult:
    """Metrics of a run that was chosen by another metric than accuracy."""
    found: dict[str, Any] = copy.deepcopy(scenes())
    for c in found["candidates"]:
        merit = c["difference"]["value"] + (0.9 if is_share else -0.1)
        value = merit if is_share else -merit
        c["cv_metric"] = {"value": value, "low": value - 0.01, "high": value + 0.01}
    found["objective"] = {
        "metric": "macro_f1" if is_share else "log_loss",
        "name": "macro F1" if is_share else "weighted log loss",
        "reason": "asked for",
        "higher_is_better": is_share,
        "is_share": is_share,
        "is_weighted": not is_share,
        "value": {"value": 0.9, "low": 0.8, "high": 0.95},
        "order": None,
        "class_weights": None if is_share else dict.fromkeys(found["classes"], 2.0),
        "costs": None,
    }
    return metrics_from(found)


@pytest.mark.parametrize("is_share", [True, False])
def test_choice__names_the_metric_and_the_best_by_it(is_share: bool) -> None:
    metrics = optimised(is_share=is_share)
    said = story.choice(metrics).replace("\u00a0", " ")
    name, value = ("macro F1", "90.0 %") if is_share else ("weighted log loss", "0.100")
    assert f"best cross-validated {name}: {value}" in said
    best = next(c for c in metrics.candidates if c.best)
    assert story.ranked(metrics.candidates)[0] == best
    values = [c.cv_metric.value for c in story.ranked(metrics.candidates)]
    assert values == sorted(values, reverse=is_share)


def test_figures__differences_that_are_not_points_are_not_drawn() -> None:
    assert "differences" in figures.figures(optimised(is_share=True))
    assert "differences" not in figures.figures(optimised(is_share=False))


def test_objective_lines__say_metric_weights_and_costs() -> None:
    metrics = optimised(is_share=False)
    first, second = objective.objective_lines(metrics)
    assert first == "The weighted log loss was optimised: asked for."
    assert second.startswith(f"Classes count by weights: {metrics.classes[0]}: 2")
    changes: dict[str, Any] = {"costs": ((0.0,),), "order": ("low", "high"), "class_weights": None}
    assert metrics.objective is not None
    other = msgspec.structs.replace(metrics.objective, **changes)
    said = " ".join(objective.objective_lines(msgspec.structs.replace(metrics, objective=other)))
    for words in (
        "least expected cost",
        "from the lowest to the highest: 'low', 'high'",
        "weights in the table",
    ):
        assert words in said


def test_objective_lines__of_older_runs_and_of_accuracy_say_nothing() -> None:
    metrics = metrics_from(scenes())
    assert not objective.is_other(metrics)
    assert objective.objective_lines(metrics) == []
    assert objective.is_share(metrics)
    assert "highest cross-validated accuracy" in story.choice(metrics).replace("\u00a0", " ")
