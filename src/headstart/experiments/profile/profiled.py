"""What a layer profile found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.experiments.features import Block, View
from headstart.experiments.profile.greedy import Step
from headstart.heads import Interval, PairedDifference, accuracy_interval, paired_difference
from headstart.probe.folds import N_FOLDS


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One block, judged by cross-validation on the training images.

    Attributes
    ----------
    block : Block
    n_features : int
    C : float
        The most accurate of the grid.
    correct : bool array (n_train,)
        Whether each image was recognised by the fold's model that had not seen it.
    """

    block: Block
    n_features: int
    C: float
    correct: NDArray[np.bool_]

    @property
    def accuracy(self) -> Interval:
        """Cross-validated, with a 95 % interval."""
        return accuracy_interval(self.correct)


@dataclass(frozen=True, kw_only=True)
class Model:
    """What was fitted on all training images and scored on the test images.

    Attributes
    ----------
    name : str
        ``"usual layer"``, ``"best single block"`` or ``"concatenation"``.
    blocks : tuple of Block
    n_features : int
    C : float
    cv_correct : bool array (n_train,)
    test_correct : bool array (n_test,)
        Empty where there are no test images.
    """

    name: str
    blocks: tuple[Block, ...]
    n_features: int
    C: float
    cv_correct: NDArray[np.bool_]
    test_correct: NDArray[np.bool_]

    @property
    def cv(self) -> Interval:
        """Cross-validated accuracy on the training images."""
        return accuracy_interval(self.cv_correct)

    @property
    def test(self) -> Interval | None:
        """Test accuracy; None without test images."""
        return accuracy_interval(self.test_correct) if self.test_correct.size else None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What every layer and the concatenation reach.

    Attributes
    ----------
    taps : tuple of str
        In network order.
    views : tuple of View
    cells : tuple of Cell
        Tap by tap, each in every view.
    steps : tuple of (Block, Step)
        How the concatenation grew.
    models : tuple of Model
        Last layer, best single block, concatenation.
    own_px : int
        The network's own resolution.
    n_train, n_test, n_selected_on : int
        Images; the concatenation was chosen on `n_selected_on` of the training images.
    """

    taps: tuple[str, ...]
    views: tuple[View, ...]
    cells: tuple[Cell, ...]
    steps: tuple[tuple[Block, Step], ...]
    models: tuple[Model, ...]
    own_px: int
    n_train: int
    n_test: int
    n_selected_on: int

    @property
    def best(self) -> Cell:
        """The most accurate cell; of equals, the first."""
        return max(self.cells, key=lambda c: c.accuracy.value)

    def behind(self, cell: Cell) -> PairedDifference:
        """Accuracy of a cell less that of the best, on the same images."""
        return paired_difference(cell.correct, self.best.correct)

    def model(self, name: str) -> Model:
        """One of the three."""
        return next(m for m in self.models if m.name == name)

    def test_difference(self, name: str, other: str) -> PairedDifference | None:
        """Test accuracy of one model less that of another; None without test images."""
        if not self.n_test:
            return None
        return paired_difference(self.model(name).test_correct, self.model(other).test_correct)

    def cv_difference(self, name: str, other: str) -> PairedDifference:
        """Cross-validated accuracy of one model less that of another."""
        return paired_difference(self.model(name).cv_correct, self.model(other).cv_correct)


def to_dict(profile: Profile) -> dict[str, Any]:
    """JSON-ready figures."""
    p, best = profile, profile.best

    def interval(value: Interval | None) -> list[float] | None:
        return None if value is None else [value.value, value.low, value.high]

    return {
        "taps": list(p.taps),
        "views": [str(view) for view in p.views],
        "n_train": p.n_train,
        "n_test": p.n_test,
        "n_selected_on": p.n_selected_on,
        "n_folds": N_FOLDS,
        "cells": [
            {
                "tap": c.block.tap,
                "view": str(c.block.view),
                "n_features": c.n_features,
                "C": c.C,
                "cv": interval(c.accuracy),
                "is_best": c is best,
                "is_tie": c is not best and p.behind(c).is_tie,
                "behind": interval(p.behind(c)),
            }
            for c in p.cells
        ],
        "steps": [
            {
                "block": str(block),
                "cv": step.accuracy,
                "gain": interval(step.gain),
                "is_taken": step.is_taken,
            }
            for block, step in p.steps
        ],
        "models": [
            {
                "name": m.name,
                "blocks": [str(b) for b in m.blocks],
                "n_features": m.n_features,
                "C": m.C,
                "cv": interval(m.cv),
                "test": interval(m.test),
                "test_gain": interval(p.test_difference(m.name, "usual layer")),
                "cv_gain": interval(p.cv_difference(m.name, "usual layer")),
            }
            for m in p.models
        ],
    }
