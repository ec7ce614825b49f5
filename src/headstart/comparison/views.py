"""Augmentation of off-the-shelf features: jittered views of each image, pooled or added as rows.

A. Razavian, H. Azizpour, J. Sullivan, S. Carlsson: "CNN features off-the-shelf: an astounding
baseline for recognition" (CVPR workshops 2014) gave the linear SVM crops and rotations of each
training image as further examples. The views here are those of
`headstart.augment.jittered_views`: the same ones every time, the centre crop first.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.comparison.arms import Arm
from headstart.errors import InputError, argument
from headstart.features.cores import n_cores, one_core_workers
from headstart.features.engines import machine_name, pick_device
from headstart.heads.examples import normalize_rows
from headstart.probe import fit_best
from headstart.probe.judging import Goal
from headstart.probe.memo import keep_arrays, memo_path, recall_arrays
from headstart.progress import Progress

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.comparison.comparing import Outcome, Split
    from headstart.data import Record

CENTRE, POOLED, ROWS = "centre crop", "views pooled", "views as rows"
MOST_VIEWS = 64
# Rooms and files whose code decides the features of views.
CODE = ("augment", "backbones", "data", "features", "training/images.py", "training/network.py")


@dataclass(frozen=True, kw_only=True)
class ViewArm(Arm):
    """A linear SVM that is given views of each image."""

    # {"centre crop", "views pooled", "views as rows"}; the first view alone, the mean of all, or
    # each as a row of its own
    views: str


def view_arms(n_views: int) -> tuple[ViewArm, ...]:
    """The centre crop alone, all views pooled, and all views as rows.

    Raises InputError where there are not 2 to 64 views.
    """
    if not 2 <= n_views <= MOST_VIEWS:
        raise InputError(f"{argument('n_views')} must be from 2 to {MOST_VIEWS}; got {n_views}")
    lines = {
        CENTRE: "the linear SVM on features of the centre crop",
        POOLED: f"on the mean of the features of {n_views} jittered views",
        ROWS: f"on {n_views} jittered views as training rows; of a new image, the mean score of as "
        "many views",
    }
    return tuple(ViewArm(name=name, line=line, views=name) for name, line in lines.items())


@dataclass(kw_only=True)
class ViewFitter:
    """Fits the arms of `view_arms`; a `headstart.comparison.comparing.FitsArms`."""

    backbone: Backbone
    classes: Sequence[str]
    # records, test: all images that splits are made of, and the test images
    records: Sequence[Record]
    test: Sequence[Record]
    size_px: int
    n_views: int
    cache: Path
    device: str | None
    progress: Progress
    _features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    _image_s: float = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an outcome beside the arm and the split."""
        return {
            "kind": "views",
            "weights": self.backbone.digest,
            "arch": self.backbone.arch,
            "preprocessing": self.backbone.preprocessing.to_dict(),
            "size_px": self.size_px,
            "n_views": self.n_views,
            "device": pick_device(self.device),
            "classes": list(self.classes),
            "test": [(r.digest, r.label) for r in self.test],
        }

    def fit(self, arm: Arm, split: Split, folder: Path) -> Outcome:
        """Fit one arm, and score the validation and the test images."""
        from headstart.comparison.comparing import Outcome

        assert isinstance(arm, ViewArm)
        seen = [*split.val, *self.test]
        X, y = self._read(split.fit), np.array([r.label for r in split.fit])
        started = time.perf_counter()
        rows = _rows(X, arm.views)
        per_image = rows.shape[1]
        goal = split.goal()
        if goal.weight is not None:
            goal = Goal(weight=goal.weight.repeat(per_image))
        fitted = fit_best(
            rows.reshape(-1, rows.shape[2]),
            y.repeat(per_image),
            split.folds().repeat(per_image),  # views of one image share a fold
            goal=goal,
        )
        seconds = time.perf_counter() - started
        scores = _rows(self._read(seen), arm.views) @ fitted.coef.T + fitted.intercept
        told = np.array(sorted(set(y)))[scores.mean(axis=1).argmax(axis=1)]
        correct = told == np.array([r.label for r in seen])
        n_views = 1 if arm.views == CENTRE else self.n_views
        return Outcome(
            val_correct=correct[: len(split.val)],
            test_correct=correct[len(split.val) :],
            seconds=seconds + len(split.fit) * self._image_s * n_views / self.n_views,
            n_trained_parameters=len(self.classes) * (X.shape[2] + 1),
            note=f"C = {fitted.path.C:g}; {len(y) * per_image:,} rows",
        )

    def _read(self, records: Sequence[Record]) -> NDArray[np.float32]:
        """Unit rows (n, n_views, d)."""
        if not self._features:
            every = list({r.digest: r for r in [*self.records, *self.test]}.values())
            every.sort(key=lambda r: r.digest)
            X, self._image_s = self._kept(every)
            self._features = {r.digest: x for r, x in zip(every, X, strict=True)}
        X = np.array([self._features[r.digest] for r in records], dtype=np.float32)
        return X.reshape(len(records), self.n_views, -1)

    def _kept(self, records: Sequence[Record]) -> tuple[NDArray[np.float32], float]:
        """Features of all views, and the seconds that an image took; from the cache if there."""
        facts = {k: v for k, v in self.identity.items() if k not in ("classes", "test")}
        facts["digests"] = [r.digest for r in records]
        machine = [machine_name(), n_cores()]  # a time is kept
        path = memo_path(self.cache, "views", [machine, facts], code=CODE, suffix="safetensors")
        kept = recall_arrays(path)
        if kept is not None:
            return kept["X"], kept["image_s"].item()
        started = time.perf_counter()
        X = self._extract(records)
        image_s = (time.perf_counter() - started) / len(records)
        keep_arrays(path, {"X": X, "image_s": np.array(image_s)})
        return X, image_s

    def _extract(self, records: Sequence[Record]) -> NDArray[np.float32]:
        """Pass every view of every image through the network."""
        from headstart.augment import jittered_views
        from headstart.backbones import at_size
        from headstart.features.engines import choose_engine
        from headstart.training.images import load_pixels
        from headstart.training.network import features_tap

        net = at_size(self.backbone, self.size_px)
        net = dataclasses.replace(net, taps=(features_tap(net),))
        pixels = load_pixels(records, net.preprocessing, cache=self.cache, progress=self.progress)
        engine = choose_engine(
            net,
            n_images=len(records) * self.n_views,
            precision="float32",
            device=pick_device(self.device),
            cache=self.cache,
            max_batch=self.n_views,
        )
        most = engine.batch_size

        def run(i: int) -> NDArray[np.float32]:
            image = pixels[i].permute(1, 2, 0).contiguous().numpy()
            views = jittered_views(image, self.n_views, size_px=self.size_px)
            parts = [engine(views[at : at + most])[0] for at in range(0, len(views), most)]
            return normalize_rows(np.concatenate(parts).astype(np.float32), "l2")

        found = []
        with one_core_workers(engine.n_workers, "views") as pool:
            for x in pool.map(run, range(len(records))):
                found.append(x)
                self.progress("views", len(found), len(records))
        return np.array(found, dtype=np.float32)


def _rows(X: NDArray[np.float32], views: str) -> NDArray[np.float32]:
    """What the SVM is given: unit rows (n, 1 or n_views, d) of features (n, n_views, d)."""
    if views == CENTRE:
        return X[:, :1]
    if views == ROWS:
        return X
    mean = X.mean(axis=1)
    return normalize_rows(mean, "l2").astype(np.float32)[:, None]
