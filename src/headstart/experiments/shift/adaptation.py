"""Each way of going from a labelled source to a target: what it says of the target's images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.experiments.shift.alignment import Dann, DannSettings, coral
from headstart.heads import LinearSVM
from headstart.heads.examples import join_rows
from headstart.probe import fit_best
from headstart.progress import Progress

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record


class NotApplicable(Exception):  # noqa: N818 - a row that is left out, not a failure
    """Why a method does not apply."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Training and test images of both."""

    source: tuple[Record, ...]
    source_test: tuple[Record, ...]
    target: tuple[Record, ...]
    target_test: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True)
class Methods:
    """Each method as a function, and what they share.

    A method gives which of the target's test images it recognises, (n_seeds, n_target_test).
    """

    backbone: Backbone
    tap: str
    sides: Sides
    folds: NDArray[np.int64]
    target_folds: NDArray[np.int64]
    seeds: tuple[int, ...]
    cache: Path
    device: str | None
    progress: Progress
    dann_settings: DannSettings = field(default_factory=lambda: DannSettings())

    def plain(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The SVM of the source: on the source's held-out images, and on the target's."""
        sides = self.sides
        svm = self._svm(self._features(sides.source), labels_of(sides.source))
        return self._right(svm, sides.source_test), self._right(svm, sides.target_test)

    def adabn(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The SVM on features under each side's own statistics: source's test images, and target's.

        The first shows what recomputing statistics costs where nothing has shifted.
        """
        from headstart.training.batchnorm import without_batchnorm

        if said := without_batchnorm(self.backbone.module):
            raise NotApplicable(said)
        sides = self.sides
        source = self._with_statistics_of(sides.source, "the source")
        target = self._with_statistics_of(sides.target, "the target")
        svm = self._svm(self._features(sides.source, source), labels_of(sides.source))
        here = self._right(svm, sides.source_test, source)
        return here, self._right(svm, sides.target_test, target)

    def coral(self) -> NDArray[np.bool_]:
        """The SVM of source features that were given the target's covariance."""
        records = self.sides.source
        moved = coral(self._features(records), self._features(self.sides.target))
        svm = self._svm(moved, labels_of(records))
        return self.repeated(self._right(svm, self.sides.target_test))

    def dann(self, strength: float) -> NDArray[np.bool_]:
        """The adversarial transform, with lambda scaled by `strength`; the one method that draws."""
        sides = self.sides
        X, y, unlabelled = (
            self._features(sides.source),
            labels_of(sides.source),
            self._features(sides.target),
        )
        test, truth = self._features(sides.target_test), labels_of(sides.target_test)
        rows = []
        for seed in self.seeds:
            net = Dann(dataclasses.replace(self.dann_settings, seed=seed, strength=strength)).fit(
                X, y, unlabelled
            )
            rows.append(net.predict(test) == truth)
        return np.array(rows)

    def bound(self) -> NDArray[np.bool_]:
        """The SVM of the labelled target."""
        records = self.sides.target
        svm = self._svm(self._features(records), labels_of(records), self.target_folds)
        return self.repeated(self._right(svm, self.sides.target_test))

    def repeated(self, correct: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The same for every seed: nothing in it is drawn."""
        return np.tile(correct, (len(self.seeds), 1))

    def _with_statistics_of(self, records: Sequence[Record], what: str) -> Backbone:
        from headstart.experiments.statistics import with_statistics_of

        return with_statistics_of(
            self.backbone, records, what=what, seed=self.seeds[0], device=self.device
        )

    def _svm(
        self,
        X: NDArray[np.float32],
        y: NDArray[np.str_],
        folds: NDArray[np.int64] | None = None,
    ) -> LinearSVM:
        return fit_best(X, y, self.folds if folds is None else folds).svm

    def _right(
        self, svm: LinearSVM, records: Sequence[Record], backbone: Backbone | None = None
    ) -> NDArray[np.bool_]:
        return np.asarray(svm.predict(self._features(records, backbone)) == labels_of(records))

    def _features(
        self, records: Sequence[Record], backbone: Backbone | None = None
    ) -> NDArray[np.float32]:
        """Rows (n, d) of unit length."""
        from headstart.features import extract

        net = backbone or self.backbone
        done = extract(records, net, device=self.device, cache=self.cache, progress=self.progress)
        store = done.stores[net.preprocessing.size_px]
        return join_rows([store.read([r.digest for r in records], self.tap)])


def labels_of(records: Sequence[Record]) -> NDArray[np.str_]:
    """Labels, (n,)."""
    return np.array([r.label for r in records])
