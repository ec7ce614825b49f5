"""SIFT, tiny images and frozen features on one split, with the same linear SVM and a paired test."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.baselines.descriptors import Descriptors
from headstart.baselines.encoder import Encoder
from headstart.baselines.encoding import ASSIGNMENTS, chi2_map
from headstart.baselines.pixels import fit_neighbours, tiny_images
from headstart.baselines.settings import SiftSettings
from headstart.baselines.words import answer, detail, row_of
from headstart.data import training_records
from headstart.errors import DataError, argument
from headstart.heads import OutputLayer
from headstart.probe import fit_best, training_folds
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index, Record

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method: chosen on the training images, scored once on the test images.

    Attributes
    ----------
    name, kind, detail : str
        ``kind`` is ``"pixels"``, ``"sift"`` or ``"network"``; ``detail`` is the selected variant.
    n_features : int
    cv_accuracy : float
        Of the selected variant, on the training images.
    correct : bool array (n_test,)
    tried : dict of str to float
        Cross-validated accuracy of each variant.
    """

    name: str
    kind: str
    detail: str
    n_features: int
    cv_accuracy: float
    correct: NDArray[np.bool_]
    tried: Mapping[str, float] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Task:
    """The images of both sides, their labels, and the folds."""

    indexed: Index
    seed: int
    progress: Progress

    def __post_init__(self) -> None:
        self.train: tuple[Record, ...] = training_records(self.indexed)
        self.test: tuple[Record, ...] = self.indexed.test
        if not self.test:
            raise DataError(
                f"{self.indexed.root.name} has no test images: name some with {argument('split')}, or let "
                f"Headstart hold some out with {argument('test_size')}"
            )
        self.y = np.array([r.label for r in self.train])
        self.truth = np.array([r.label for r in self.test])
        self.folds = training_folds(self.indexed, self.train, seed=self.seed)

    def fit(self, X: Floats) -> OutputLayer:
        """The linear SVM with the best C by cross-validation."""
        return fit_best(X, self.y, self.folds)

    def describe(self) -> dict[str, Any]:
        """The data, for the page."""
        return {
            "data": self.indexed.root.name,
            "n_classes": len(np.unique(self.y)),
            "n_train": len(self.train),
            "n_test": len(self.test),
            "n_straddling": len(self.indexed.straddling),
            "n_quarantined": len(self.indexed.quarantine),
            "seed": self.seed,
        }


def compare_sift(
    indexed: Index,
    backbone: Backbone | None,
    settings: SiftSettings,
    *,
    cache: Path,
    size_px: int | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Bags of words, spatial pyramid, Fisher vector, tiny pixels and frozen features, compared.

    Vocabulary, assignment and C are chosen by cross-validation on the training images (the words
    themselves are learnt, without labels, from all of them); the test images are scored once with
    each method's choice.

    Parameters
    ----------
    indexed : Index
        With test images.
    backbone : Backbone, optional
        For frozen features to compare with; None omits them.
    settings : SiftSettings
    cache : Path
        Folder for descriptors, words, encoded images and features.
    size_px : int, optional
        Size of the network's crops; default: its own.
    device : str, optional
    progress : Progress

    Returns
    -------
    dict
        JSON-able: the data, the settings, ``methods`` (one row each, see
        `headstart.baselines.words.row_of`) and ``sentence``.

    Raises
    ------
    DataError
        There are no test images.
    InputError
        OpenCV is missing, or there are too few descriptors for the vocabulary.
    """
    task = _Task(indexed=indexed, seed=settings.seed, progress=progress)
    times: dict[str, float] = {}
    store = Descriptors(settings, cache)
    started = time.perf_counter()
    store.fill([*task.train, *task.test], progress)
    times["descriptors"] = time.perf_counter() - started
    encoder = Encoder(store, [r.digest for r in task.train], progress)
    encoder.words(max(settings.n_words))  # fail early on too few descriptors
    judged = [_pixels(task), *_bags(task, encoder), _fisher(task, encoder)]
    if backbone is not None:
        judged.append(_network(task, backbone, size_px, device, cache))
    found = _found(task, judged)
    found["settings"] = settings.to_dict()
    found["backbone"] = backbone.name if backbone is not None else None
    found["n_descriptors"] = sum(len(store.read(r.digest)[1]) for r in (*task.train, *task.test))
    return found


def compare_pixels(
    indexed: Index,
    backbone: Backbone | None,
    *,
    cache: Path,
    seed: int = 0,
    size_px: int | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Tiny images with nearest neighbours against frozen features, as a lower baseline.

    Parameters, returns and errors as `compare_sift`.
    """
    task = _Task(indexed=indexed, seed=seed, progress=progress)
    judged = [_pixels(task)]
    if backbone is not None:
        judged.append(_network(task, backbone, size_px, device, cache))
    found = _found(task, judged)
    found["backbone"] = backbone.name if backbone is not None else None
    return found


def _found(task: _Task, judged: Sequence[MethodResult]) -> dict[str, Any]:
    rows = [row_of(method, judged[-1]) for method in judged]
    return {
        **task.describe(),
        "methods": rows,
        "sentence": answer(task.describe(), judged),
        "detail": detail(judged, judged[-1]),
    }


def _pixels(task: _Task) -> MethodResult:
    X = tiny_images([*task.train, *task.test], progress=task.progress)
    n = len(task.train)
    model, accuracy = fit_neighbours(X[:n], task.y, task.folds)
    return MethodResult(
        name="tiny pixels, k-NN",
        kind="pixels",
        detail=f"16 x 16 pixels, k = {model.n_neighbors}",
        n_features=X.shape[1],
        cv_accuracy=accuracy,
        correct=model.predict(X[n:]) == task.truth,
    )


def _bags(task: _Task, encoder: Encoder) -> list[MethodResult]:
    """Bag of words and spatial pyramid, each with its best vocabulary and assignment."""
    n_levels = encoder.settings.n_levels
    names = {"bag of words": 1, **({"spatial pyramid": n_levels} if n_levels > 1 else {})}
    best: dict[str, tuple[float, int, Any, OutputLayer]] = {}
    tried: dict[str, dict[str, float]] = {name: {} for name in names}
    for n_words in encoder.settings.n_words:
        for how in ASSIGNMENTS:
            pyramids = encoder.pyramids([r.digest for r in task.train], n_words, how)
            for name, levels in names.items():
                layer = task.fit(chi2_map(_levels(pyramids, n_words, levels)))
                accuracy = float(layer.path.accuracy[layer.path.best])
                tried[name][f"{n_words} words, {how}"] = accuracy
                if name not in best or accuracy > best[name][0]:
                    best[name] = accuracy, n_words, how, layer
    judged = []
    for name, levels in names.items():
        accuracy, n_words, how, layer = best[name]
        test = encoder.pyramids([r.digest for r in task.test], n_words, how)
        X = chi2_map(_levels(test, n_words, levels))
        judged.append(
            MethodResult(
                name=f"SIFT, {name}",
                kind="sift",
                detail=f"{n_words} words, {how} assignment, C = {layer.path.C:g}",
                n_features=X.shape[1] // 3,
                cv_accuracy=accuracy,
                correct=layer.svm.predict(X) == task.truth,
                tried=tried[name],
            )
        )
    return judged


def _levels(pyramids: Floats, n_words: int, n_levels: int) -> Floats:
    """The first levels of pyramids (n, d)."""
    return pyramids[:, : n_words * (4**n_levels - 1) // 3]


def _fisher(task: _Task, encoder: Encoder) -> MethodResult:
    layer = task.fit(encoder.fisher_vectors([r.digest for r in task.train]))
    X = encoder.fisher_vectors([r.digest for r in task.test])
    n = encoder.settings.n_gaussians
    return MethodResult(
        name="SIFT, Fisher vector",
        kind="sift",
        detail=f"{n} Gaussians, C = {layer.path.C:g}",
        n_features=X.shape[1],
        cv_accuracy=float(layer.path.accuracy[layer.path.best]),
        correct=layer.svm.predict(X) == task.truth,
    )


def _network(
    task: _Task, backbone: Backbone, size_px: int | None, device: str | None, cache: Path
) -> MethodResult:
    """Frozen features of the layer before the logits."""
    from headstart.features import extract

    size = size_px or backbone.preprocessing.size_px
    names = [tap.name for tap in backbone.taps]
    tap = names[-1] if names[-1] == "pooled" or len(names) == 1 else names[-2]
    done = extract(
        [*task.train, *task.test], backbone, resolutions=[size], device=device, cache=cache,
        progress=task.progress,
    )  # fmt: skip
    X, test = (
        done.stores[size].read([r.digest for r in records], tap)
        for records in (task.train, task.test)
    )
    layer = task.fit(X)
    return MethodResult(
        name=f"{backbone.name}, frozen features",
        kind="network",
        detail=f"layer {tap} at {size} px, C = {layer.path.C:g}",
        n_features=X.shape[1],
        cv_accuracy=float(layer.path.accuracy[layer.path.best]),
        correct=layer.svm.predict(test) == task.truth,
    )
