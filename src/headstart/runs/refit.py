"""The chosen candidate fitted on all training images, and its one look at the test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.heads import LinearSVM, Temperature, fit_temperature, one_row_a_class
from headstart.runs.model import Model
from headstart.sources.reading import Reading

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.data.records import Example
    from headstart.features import FeatureStore
    from headstart.runs.choose import Candidate
    from headstart.runs.settings import FitSettings

# Where no example is left to calibrate on: with one image a class, the best scales of six real sets
# at C = 1 lie from 3 to 12.
UNJUDGED_SCALE = 5.0


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A candidate refitted on all training images and scored on the test images.

    Attributes
    ----------
    model : Model
    out_of_fold : float64 array (n_train, K)
        Calibrated probabilities of the training images, from scores of models that did not see
        them.
    probabilities : float64 array (n_test, K)
    correct : bool array (n_test,)
    """

    model: Model
    out_of_fold: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    correct: NDArray[np.bool_]


def refit(
    candidate: Candidate,
    *,
    backbone: Backbone,
    settings: FitSettings,
    stores: Mapping[int, FeatureStore],
    train: Sequence[Record],
    test: Sequence[Record],
    reading: Reading | None = None,
) -> Tested:
    """Fit ``candidate`` on all of ``train`` with its C, calibrate, and score ``test`` once.

    The calibration is learnt from out-of-fold scores, so the test labels touch nothing here but
    the count of what was right.
    """
    reading = reading or Reading()
    y = np.array([r.label for r in train])
    X = reading(stores, [r.digest for r in train], candidate.blocks)
    svm = LinearSVM(C=candidate.scores.C).fit(X, y)
    classes = tuple(str(c) for c in svm.classes_)
    temperature = calibrate(candidate, np.searchsorted(svm.classes_, y))
    coef, intercept = one_row_a_class(svm)
    weights = str(Path(settings.weights).absolute()) if settings.weights else None
    model = Model(
        classes=classes,
        blocks=candidate.blocks,
        precision=settings.precision,
        backbone={
            "name": backbone.name,
            "arch": backbone.arch,
            "weights": weights,
            "digest": backbone.digest,
            "preprocessing": backbone.preprocessing.to_dict(),
            "taps": [[tap.name, tap.module] for tap in backbone.taps],
        },
        coef=coef,
        intercept=intercept,
        temperature=temperature,
    )
    P = np.empty((0, len(classes)))
    if test:
        P = model.probabilities(reading(stores, [r.digest for r in test], candidate.blocks))
    out_of_fold = temperature.probabilities(candidate.scores.decisions)
    return tested(model, out_of_fold, P, test)


def calibrate(candidate: Candidate, member: NDArray[np.integer]) -> Temperature:
    """The temperature from the out-of-fold scores of the examples that could be judged.

    Parameters
    ----------
    candidate : Candidate
    member : int array (n,)
        Column of each example's class.
    """
    rows = candidate.judged
    if not rows.any():
        return Temperature(UNJUDGED_SCALE)
    return fit_temperature(candidate.scores.decisions[rows], member[rows])


def tested(
    model: Model,
    out_of_fold: NDArray[np.float64],
    P: NDArray[np.float64],
    test: Sequence[Example],
) -> Tested:
    """What a fitted model says, with which of the test examples it got right."""
    predicted = np.array(model.classes)[P.argmax(axis=1)] if len(P) else np.empty(0, dtype=str)
    correct = predicted == np.array([r.label for r in test], dtype=str)
    return Tested(model=model, out_of_fold=out_of_fold, probabilities=P, correct=correct)
