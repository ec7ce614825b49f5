"""Heads: linear SVMs on stored features, their probabilities and the uncertainty of both.

Arrays go in and come out; nothing here knows of images or backbones. Names are loaded on first use,
because torch and scikit-learn are slow to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.heads.accuracy import (
        PairedDifference,
        accuracy_interval,
        balanced_accuracy_interval,
        balanced_recall,
        is_significant,
        mcnemar,
        paired_difference,
        repeated_accuracy,
        repeated_difference,
        significance,
    )
    from headstart.heads.calibration import Pool, Temperature, fit_pool, fit_temperature
    from headstart.heads.classification import ClassificationMetrics, classification_metrics
    from headstart.heads.folds import stratified_folds
    from headstart.heads.loo import LeaveOneOut, leave_one_out
    from headstart.heads.output_layer import (
        OutputLayer,
        fit_output_layer,
        fit_rows,
        one_row_a_class,
    )
    from headstart.heads.path import PathResult, cross_validate
    from headstart.heads.svm import LinearSVM, LinearSVMPath
    from headstart.results import Interval

_ROOM = {
    "ClassificationMetrics": "classification",
    "Interval": "accuracy",
    "LeaveOneOut": "loo",
    "LinearSVM": "svm",
    "LinearSVMPath": "svm",
    "OutputLayer": "output_layer",
    "PairedDifference": "accuracy",
    "PathResult": "path",
    "Pool": "calibration",
    "Temperature": "calibration",
    "accuracy_interval": "accuracy",
    "balanced_accuracy_interval": "accuracy",
    "balanced_recall": "accuracy",
    "classification_metrics": "classification",
    "cross_validate": "path",
    "fit_output_layer": "output_layer",
    "fit_rows": "output_layer",
    "fit_pool": "calibration",
    "fit_temperature": "calibration",
    "is_significant": "accuracy",
    "leave_one_out": "loo",
    "mcnemar": "accuracy",
    "one_row_a_class": "output_layer",
    "paired_difference": "accuracy",
    "repeated_accuracy": "accuracy",
    "repeated_difference": "accuracy",
    "significance": "accuracy",
    "stratified_folds": "folds",
}

__all__ = [
    "ClassificationMetrics",
    "Interval",
    "LeaveOneOut",
    "LinearSVM",
    "LinearSVMPath",
    "OutputLayer",
    "PairedDifference",
    "PathResult",
    "Pool",
    "Temperature",
    "accuracy_interval",
    "balanced_accuracy_interval",
    "balanced_recall",
    "classification_metrics",
    "cross_validate",
    "fit_output_layer",
    "fit_pool",
    "fit_rows",
    "fit_temperature",
    "is_significant",
    "leave_one_out",
    "mcnemar",
    "one_row_a_class",
    "paired_difference",
    "repeated_accuracy",
    "repeated_difference",
    "significance",
    "stratified_folds",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM[name]}"), name)
