"""One arm with one seed: a linear SVM on frozen features, or a training."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.features.engines import pick_device
from headstart.heads import OutputLayer
from headstart.heads.examples import join_rows
from headstart.probe import fit_best
from headstart.progress import Progress

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.comparison.arms import Arm
    from headstart.comparison.comparing import Outcome, Split
    from headstart.data import Record
    from headstart.training import Epoch, Trained, TrainSettings
    from headstart.training.rates import RangeTest

# Sample size for timing the pass for frozen features, whether or not they are stored.
N_TIMED = 64


@dataclass(kw_only=True)
class Fitter:
    """What all arms share: backbone, test images, size and where things are kept."""

    backbone: Backbone
    classes: Sequence[str]
    test: Sequence[Record]
    size_px: int
    cache: Path
    device: str | None
    progress: Progress
    on_epoch: Callable[[tuple[Epoch, ...]], None] | None = None
    _svms: dict[tuple[int, int], tuple[OutputLayer, float]] = field(default_factory=dict)
    _pass_s: float | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an outcome beside the arm and the split."""
        return {
            "weights": self.backbone.digest,
            "arch": self.backbone.arch,
            "size_px": self.size_px,
            "preprocessing": self.backbone.preprocessing.to_dict(),
            "device": pick_device(self.device),
            "classes": list(self.classes),
            "test": [(r.digest, r.label) for r in self.test],
        }

    def fit(self, arm: Arm, split: Split, folder: Path) -> Outcome:
        """Fit one arm, and score the validation and the test images.

        `folder` holds the checkpoint of a training; the caller removes it.
        """
        if arm.settings is None:
            return self._fit_svm(arm, split)
        return self._fit_network(arm, split, folder)

    def _fit_svm(self, arm: Arm, split: Split) -> Outcome:
        from headstart.comparison.comparing import Outcome

        taps = self._taps(arm.n_layers)
        fitted, seconds = self._svm(split, arm.n_layers)
        seen = [*split.val, *self.test]
        correct = fitted.svm.predict(self._features(seen, taps)) == _labels(seen)
        n_features = fitted.svm.coef_.shape[1] + 1
        return Outcome(
            val_correct=correct[: len(split.val)],
            test_correct=correct[len(split.val) :],
            seconds=seconds,
            n_trained_parameters=len(self.classes) * n_features,
            note=f"C = {fitted.path.C:g}; {', '.join(taps)}",
        )

    def train(
        self,
        arm: Arm,
        split: Split,
        folder: Path | None,
        on_epoch: Callable[[tuple[Epoch, ...]], None] | None = None,
    ) -> tuple[Trained, float]:
        """Train one arm; also the seconds that the SVM took that it began with."""
        from headstart.training import train

        head, head_s = self._head(arm, split)
        trained = train(
            self.backbone,
            split.fit,
            split.val,
            self.classes,
            self._settings(arm, split),
            head=head,
            folder=folder,
            cache=self.cache,
            device=self.device or "auto",
            progress=self.progress,
            on_epoch=on_epoch or self.on_epoch,
        )
        return trained, head_s

    def find_rate(self, arm: Arm, split: Split) -> RangeTest:
        """The range test of one arm, from where its training would begin."""
        from headstart.training import find_rate

        return find_rate(
            self.backbone,
            split.fit,
            self.classes,
            self._settings(arm, split),
            head=self._head(arm, split)[0],
            cache=self.cache,
            device=self.device or "auto",
            progress=self.progress,
        )

    def _settings(self, arm: Arm, split: Split) -> TrainSettings:
        assert arm.settings is not None
        return dataclasses.replace(arm.settings, size_px=self.size_px, seed=split.seed)

    def _head(
        self, arm: Arm, split: Split
    ) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]] | None, float]:
        """The output layer to begin with, and the seconds that it took; None: a random one."""
        if not arm.starts_from_svm:
            return None, 0.0
        fitted, seconds = self._svm(split, 1)
        return (fitted.coef, fitted.intercept), seconds

    def _fit_network(self, arm: Arm, split: Split, folder: Path) -> Outcome:
        from headstart.comparison.comparing import Outcome

        trained, head_s = self.train(arm, split, folder)
        # In one call, for which the network is converted once.
        seen = [*split.val, *self.test]
        correct = np.array(trained.predict(seen, progress=self.progress)) == _labels(seen)
        return Outcome(
            val_correct=correct[: len(split.val)],
            test_correct=correct[len(split.val) :],
            seconds=trained.seconds + head_s,
            n_trained_parameters=trained.n_trained_parameters,
            history=trained.history,
            best_epoch=trained.best_epoch,
            note="frozen activations were kept" if trained.is_cached else "",
        )

    def _svm(self, split: Split, n_layers: int) -> tuple[OutputLayer, float]:
        """The SVM of a split, fitted once, and its seconds with those of the features' pass."""
        key = (split.seed, n_layers)
        if key not in self._svms:
            X, y = self._features(split.fit, self._taps(n_layers)), _labels(split.fit)
            started = time.perf_counter()
            fitted = fit_best(X, y, split.folds(), goal=split.goal())
            seconds = time.perf_counter() - started
            self._svms[key] = fitted, seconds + self._pass_seconds(split.fit)
        return self._svms[key]

    def _taps(self, n_layers: int) -> tuple[str, ...]:
        """The last layers before the logits."""
        from headstart.backbones.backbone import last_layers

        return tuple(last_layers([tap.name for tap in self.backbone.taps], n_layers))

    def _features(self, records: Sequence[Record], taps: Sequence[str]) -> NDArray[np.float32]:
        """Rows (n, d), each layer's brought to unit length first."""
        from headstart.features import extract

        done = extract(
            records,
            self.backbone,
            resolutions=[self.size_px],
            device=self.device,
            cache=self.cache,
            progress=self.progress,
        )
        store, digests = done.stores[self.size_px], [r.digest for r in records]
        return join_rows([store.read(digests, tap) for tap in taps])

    def _pass_seconds(self, records: Sequence[Record]) -> float:
        """Seconds of one pass of `records` through the network, estimated on some of them."""
        from headstart.features import stream_features

        if self._pass_s is None:
            paths = [r.path for r in records[:N_TIMED]]
            wanted = [(self._taps(1)[0], self.size_px)]
            for _ in range(2):  # the first loads the engine
                started = time.perf_counter()
                for _ in stream_features(
                    paths, self.backbone, wanted, device=self.device, cache=self.cache
                ):
                    pass
                self._pass_s = (time.perf_counter() - started) / len(paths)
        assert self._pass_s is not None
        return self._pass_s * len(records)


def _labels(records: Sequence[Record]) -> NDArray[np.str_]:
    return np.array([r.label for r in records])
