"""What a fit optimises, and how much examples and confusions count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.records import UNEVEN
from headstart.data.training import training_records
from headstart.data.weights import (
    balanced_weights,
    example_weights,
    parse_order,
    read_class_weights,
    read_costs,
)
from headstart.errors import DataError, argument
from headstart.heads import Criterion
from headstart.heads.criterion import LOWER_IS_BETTER, ranks_of
from headstart.probe import Goal
from headstart.results import Estimate
from headstart.runs.result import ObjectiveResult

if TYPE_CHECKING:
    from headstart.data.records import Example, Examples
    from headstart.heads import ClassificationMetrics
    from headstart.runs.settings import Settings

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "kappa": "kappa",
    "quadratic_kappa": "quadratic kappa",
    "cost": "mean cost",
}
"""Metrics in words."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a fit optimises."""

    # the metric; also the costs of confusions, by which classes are predicted
    criterion: Criterion = field(default_factory=Criterion)
    order: tuple[str, ...] | None = None  # the classes from the lowest to the highest
    class_weights: dict[str, float] | None = None  # how often each example of a class counts
    reason: str = "default"  # why this metric: ``"asked for"``, or what the classes are like

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return self.criterion.metric

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the metric is the better one."""
        return self.metric not in LOWER_IS_BETTER

    @property
    def costs(self) -> tuple[tuple[float, ...], ...] | None:
        """Costs of confusions, (K, K): true classes by predicted ones."""
        return self.criterion.costs

    def weights(self, examples: Sequence[Example]) -> NDArray[np.float64] | None:
        """How often each example counts, (n,); None where all count alike."""
        own = np.array([r.weight for r in examples], dtype=np.float64)
        if self.class_weights is not None:
            own = own * np.array([self.class_weights.get(r.label, 1.0) for r in examples])
        return None if (own == 1).all() else own

    def goal(self, train: Sequence[Example]) -> Goal:
        """The same for the cross-validation of training examples."""
        return Goal(criterion=self.criterion, weight=self.weights(train))

    def identity(self, train: Sequence[Example]) -> Any:
        """JSON-able value that decides scores besides examples and features; None of accuracy alone."""
        weights = self.weights(train)
        if self.criterion.is_plain and weights is None:
            return None
        c = self.criterion
        return [c.metric, c.ranks, c.costs, None if weights is None else weights.tolist()]


def objective_of(settings: Settings, index: Examples[Any]) -> Objective:
    """What the settings of a fit ask for, given the data.

    By default accuracy is optimised; balanced accuracy where the largest class has more than
    :data:`headstart.data.records.UNEVEN` times the training examples of the smallest, unless weights
    of classes say how much they count; the mean cost where there are costs of confusions.

    Raises DataError where a file of weights or costs, the order of the classes or the weights of
    examples cannot be used.
    """
    train = training_records(index)
    classes = sorted({r.label for r in train})
    order = None if settings.ordered is None else parse_order(settings.ordered, classes)
    own = example_weights(train)
    if index.test and not any(r.weight > 0 for r in index.test):
        raise DataError(
            f"{argument('weight_column')}: the weights of all test {settings.examples} are 0: give one "
            "above 0, or 1 to count all alike"
        )
    class_weights = None
    if settings.class_weight == "balanced":
        class_weights = dict(balanced_weights([r.label for r in train], own))
    elif settings.class_weight is not None:
        class_weights = read_class_weights(settings.class_weight, classes)
    costs = None if settings.costs is None else read_costs(settings.costs, classes)
    metric, reason = settings.metric, "asked for"
    if metric is None and costs is not None:
        metric, reason = "cost", "there are costs of confusions"
    elif metric is None and class_weights is None and index.imbalance > UNEVEN:
        metric = "balanced_accuracy"
        reason = (
            f"the largest class has more than {UNEVEN:g} times the training {settings.examples} of "
            "the smallest"
        )
    elif metric is None:
        metric, reason = "accuracy", "default"
    ranks = None if order is None else ranks_of(order, classes)
    return Objective(
        criterion=Criterion(metric=metric, ranks=ranks, costs=costs),
        order=order,
        class_weights=class_weights,
        reason=reason,
    )


def figures(
    objective: Objective, found: ClassificationMetrics | None, *, is_weighted: bool
) -> ObjectiveResult:
    """What is kept of an objective, given all metrics of the examples that are judged on."""
    value = None if found is None else getattr(found, objective.metric)
    return ObjectiveResult(
        metric=objective.metric,
        name=metric_name(objective.metric, is_weighted=is_weighted),
        reason=objective.reason,
        higher_is_better=objective.higher_is_better,
        is_share=value is not None and not isinstance(value, Estimate),
        is_weighted=is_weighted,
        value=value,
        order=objective.order,
        class_weights=objective.class_weights,
        costs=objective.costs,
    )


def metric_name(metric: str, *, is_weighted: bool) -> str:
    """``"macro F1"``, ``"weighted accuracy"``."""
    return f"weighted {NAMES[metric]}" if is_weighted else NAMES[metric]
