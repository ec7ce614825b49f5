"""SIFT, tiny images and frozen features on one split, with the same linear SVM and a paired test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.baselines.descriptors import Descriptors
from headstart.baselines.encoder import Encoder
from headstart.baselines.encoding import ASSIGNMENTS, chi2_map
from headstart.baselines.pixels import fit_neighbours, tiny_images
from headstart.data import training_records
from headstart.data.groups import groups_of, require_enough_groups
from headstart.errors import DataError, argument
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.sift.result import Method, SiftResult
from headstart.experiments.sift.settings import Settings
from headstart.heads import OutputLayer, accuracy_interval, paired_gain, paired_test
from headstart.probe import fit_best, training_folds
from headstart.probe.folds import N_FOLDS
from headstart.results import Difference

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method: chosen on the training images, scored once on the test images."""

    # name, kind, detail: ``kind`` is ``"pixels"``, ``"sift"`` or ``"network"``; ``detail`` is the
    # selected variant
    name: str
    kind: str
    detail: str
    n_features: int
    cv_accuracy: float  # of the selected variant, on the training images
    correct: NDArray[np.bool_]  # (n_test,)
    # cross-validated accuracy of each variant
    tried: Mapping[str, float] = field(default_factory=dict)


def measure(s: Settings, inputs: Inputs) -> SiftResult:
    """Bags of words, spatial pyramid, Fisher vector, tiny pixels and frozen features, compared.

    Vocabulary, assignment and C are chosen by cross-validation on the training images (the words
    themselves are learnt, without labels, from all of them); the test images are scored once with
    each method's choice.

    Raises DataError where there are no test images; InputError where OpenCV is missing, or there
    are too few descriptors for the vocabulary.
    """
    from headstart.features import cache_folder

    net = None if s.backbone == "none" else inputs.backbone()
    task = Task(inputs.index(split=s.split), inputs)
    records = (*task.train, *task.test)
    store = Descriptors(s.sift, inputs.cache or cache_folder())
    store.fill(records, inputs.progress)
    encoder = Encoder(store, [r.digest for r in task.train], inputs.progress)
    encoder.words(max(s.n_words))  # fail early on too few descriptors
    judged = [task.pixels(), *_bags(task, encoder), _fisher(task, encoder), *task.network(net)]
    return SiftResult(
        settings=s,
        n_descriptors=sum(len(store.read(r.digest)[1]) for r in records),
        **task.figures(judged, net),
    )


class Task:
    """The images of both sides, their labels, and the folds."""

    def __init__(self, index: Index, inputs: Inputs) -> None:
        self.index, self.inputs = index, inputs
        self.train, self.test = training_records(index), index.test
        if not self.test:
            raise DataError(
                f"{index.root.name} has no test images: name some with {argument('split')}, or let "
                f"Headstart hold some out with {argument('test_size')}"
            )
        self.y = np.array([r.label for r in self.train])
        self.truth = np.array([r.label for r in self.test])
        require_enough_groups(self.train, N_FOLDS)
        self.folds = training_folds(index, self.train, seed=inputs.settings.seed)

    def fit(self, X: Floats) -> OutputLayer:
        """The linear SVM with the best C by cross-validation."""
        return fit_best(X, self.y, self.folds)

    def figures(self, judged: Sequence[MethodResult], net: Backbone | None) -> dict[str, Any]:
        """The data and the methods, as fields of a result."""
        return {
            "datasets": (DataFacts.of(self.index),),
            "data": self.index.root.name,
            "backbone": net and net.name,
            "n_classes": len(np.unique(self.y)),
            "n_train": len(self.train),
            "n_test": len(self.test),
            "n_straddling": len(self.index.straddling),
            "methods": methods(judged, groups_of(self.test)),
            "paired_test": paired_test(groups_of(self.test)),
        }

    def pixels(self) -> MethodResult:
        """Tiny pictures with their nearest neighbours."""
        X = tiny_images([*self.train, *self.test], progress=self.inputs.progress)
        n = len(self.train)
        model, accuracy = fit_neighbours(X[:n], self.y, self.folds)
        return MethodResult(
            name="tiny pixels, k-NN",
            kind="pixels",
            detail=f"16 x 16 pixels, k = {model.n_neighbors}",
            n_features=X.shape[1],
            cv_accuracy=accuracy,
            correct=model.predict(X[n:]) == self.truth,
        )

    def network(self, backbone: Backbone | None) -> Iterator[MethodResult]:
        """Frozen features of the layer before the logits; nothing without a network."""
        from headstart.backbones.backbone import before_output
        from headstart.features import extract

        if backbone is None:
            return
        s = self.inputs.settings
        size = s.size_px or backbone.preprocessing.size_px
        tap = before_output([tap.name for tap in backbone.taps])[-1]
        done = extract(
            [*self.train, *self.test],
            backbone,
            resolutions=[size],
            device=s.device,
            cache=self.inputs.cache,
            progress=self.inputs.progress,
        )
        X, test = (
            done.stores[size].read([r.digest for r in records], tap)
            for records in (self.train, self.test)
        )
        layer = self.fit(X)
        yield MethodResult(
            name=f"{backbone.name}, frozen features",
            kind="network",
            detail=f"layer {tap} at {size} px, C = {layer.path.C:g}",
            n_features=X.shape[1],
            cv_accuracy=float(layer.path.accuracy[layer.path.best]),
            correct=layer.svm.predict(test) == self.truth,
        )


def methods(
    judged: Sequence[MethodResult], groups: Sequence[str] | None = None
) -> tuple[Method, ...]:
    """Every method with its test accuracy, and its paired difference to the last."""
    found = []
    for method in judged:
        is_last = method is judged[-1]
        last = judged[-1].correct
        paired = None if is_last else paired_gain(method.correct, last, groups=groups)
        found.append(
            Method(
                name=method.name,
                kind=method.kind,
                detail=method.detail,
                n_features=method.n_features,
                cv_accuracy=method.cv_accuracy,
                tried=dict(method.tried),
                test=accuracy_interval(method.correct, groups=groups),
                difference=None if paired is None else Difference.of(paired),
                p_value=None if paired is None else paired.p_value,
            )
        )
    return tuple(found)


def _bags(task: Task, encoder: Encoder) -> list[MethodResult]:
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


def _fisher(task: Task, encoder: Encoder) -> MethodResult:
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
