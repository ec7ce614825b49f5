"""``metrics.json`` of a run whose targets are labels or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

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

OPTIMISTIC = (
    "The thresholds were chosen on these same images: F1, precision, recall and the share of images with "
    "all labels right are optimistic."
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
    # sentence, detail: the answer, and what stands below it
    sentence: str
    detail: str = ""
    notes: tuple[str, ...] = ()  # what a person should know
    names: tuple[str, ...]  # the labels; of a number the name of its column
    # chosen, selection, candidates, taps, resolutions, data, timings_s, extraction: as of
    # :class:`headstart.runs.result.FitResult`; the `cv` of a candidate is of ``selection.metric``,
    # and its `C` is the weight of the squared norm of the ridge regression
    chosen: ChosenResult
    selection: SelectionResult
    candidates: tuple[CandidateResult, ...]
    taps: tuple[str, ...]
    resolutions: tuple[str, ...]
    # labels, cv_labels: Of several labels: of the test images; where there are none, of the
    # training images, each held out. On the latter thresholds and probabilities were chosen, which
    # is optimistic.
    labels: LabelsFigures | None = None
    cv_labels: LabelsFigures | None = None
    # number, cv_number: of a number: of the test images, and of the training images, each held out
    number: NumberFigures | None = None
    cv_number: NumberFigures | None = None
    worst: tuple[WorstPrediction, ...] = ()  # test images, the worst first
    data: DataSummary
    timings_s: dict[str, float] = {}
    extraction: ExtractionResult | None = None

    @property
    def metric_name(self) -> str:
        """What was optimised, in words."""
        return METRIC_NAMES.get(self.selection.metric, self.selection.metric)


def is_target_run(folder: Path) -> bool:
    """Whether the metrics of a run folder are a `TargetResult`; errors as of `read_json`."""
    return "target" in read_json(folder, METRICS)


def read_target_metrics(folder: Path) -> TargetResult:
    """Read ``metrics.json`` of a run on labels or numbers.

    Raises RunError where the folder is not such a run, the file is damaged, or it was written by a
    newer version.
    """
    found = read_json(folder, METRICS)
    try:
        return msgspec.convert(open_ends(found), TargetResult, str_keys=True)
    except ValueError as error:
        raise damaged(folder / METRICS, str(error)) from error
