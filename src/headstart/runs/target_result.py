"""``metrics.json`` of a run whose targets are labels or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from headstart.data.summary import DataSummary
from headstart.heads.multilabel import LabelsFigures
from headstart.heads.regression import NumberFigures
from headstart.runs.folder import SCHEMA, damaged, read_json
from headstart.runs.result import (
    METRICS,
    CandidateResult,
    ChosenResult,
    ExtractionResult,
    SelectionResult,
    open_ends,
)

METRIC_NAMES = {"mean_average_precision": "mean average precision", "r2": "R²"}
"""What is optimised, in words."""

PER_FOLD = (
    "Each image was given labels by thresholds that were chosen on the images of the other folds."
)


class WorstPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """A test image that was predicted badly: its target and the prediction, in words."""

    name: str
    truth: str
    predicted: str


class TargetResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a fit of several labels per image, or of a number, found."""

    schema: int = SCHEMA
    target: Literal["labels", "numbers"]
    sentence: str  # the answer, in at most 25 words
    detail: str = ""  # a paragraph below the answer
    notes: tuple[str, ...] = ()  # what a person should know
    names: tuple[str, ...]  # the labels; of a number the name of its column
    chosen: ChosenResult  # as in FitResult; `C` is the penalty of the ridge regression
    selection: SelectionResult  # as in FitResult
    # as in FitResult; `cv` is the value of ``selection.metric``
    candidates: tuple[CandidateResult, ...]
    taps: tuple[str, ...]  # as in FitResult
    resolutions: tuple[str, ...]  # as in FitResult
    labels: LabelsFigures | None = None  # of several labels: figures on the test images
    # of several labels without test images: figures on the training images, each held out, with
    # thresholds of the other folds
    cv_labels: LabelsFigures | None = None
    number: NumberFigures | None = None  # of a number: figures on the test images
    # of a number: figures on the training images, each held out
    cv_number: NumberFigures | None = None
    worst: tuple[WorstPrediction, ...] = ()  # test images, the worst first
    data: DataSummary  # as in FitResult
    timings_s: dict[str, float] = {}  # as in FitResult
    extraction: ExtractionResult | None = None  # as in FitResult

    @property
    def metric_name(self) -> str:
        """What was optimised, in words."""
        return METRIC_NAMES.get(self.selection.metric, self.selection.metric)


def is_target_run(folder: Path) -> bool:
    """Whether the metrics of a run folder are a `TargetResult`; errors as of `read_json`."""
    return "target" in read_json(folder, METRICS, dict[str, Any])


def read_target_metrics(folder: Path) -> TargetResult:
    """Read ``metrics.json`` of a run on labels or numbers.

    Raises RunError where the folder is not such a run, the file is damaged, or it was written by a
    newer version.
    """
    found = read_json(folder, METRICS, dict[str, Any])
    try:
        return msgspec.convert(open_ends(found), TargetResult, str_keys=True)
    except ValueError as error:
        raise damaged(folder / METRICS, str(error)) from error
