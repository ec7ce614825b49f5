"""Questions on a finished run: which run, where its images are now, and their features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.experiments.settings import Settings, about
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.experiments.experiment import Inputs
    from headstart.runs.retrieval import TrainingImages
    from headstart.runs.run import Run


RunFolder = Annotated[str, about("A run folder, of images.", is_argument=True)]


@dataclass(frozen=True, kw_only=True)
class OnRun(Settings):
    """Settings of an experiment on a run folder."""

    run: RunFolder
    data: Annotated[
        str | None,
        about("Folder of the run's images, if it moved or the run was made elsewhere."),
    ] = None
    split: Annotated[str | None, about("The split file of a run that was made elsewhere.")] = None
    device: Annotated[str | None, about("auto, cpu, cuda, cuda:1, mps; default: the best.")] = None

    @property
    def folder(self) -> tuple[str, str]:
        """Named after the run."""
        what = type(self).__module__.split(".")[-2].replace("_", "-")
        return Path(self.run).resolve().name, what


def training_images(settings: OnRun, inputs: Inputs) -> TrainingImages:
    """The run's images with frozen features.

    Raises RunError or DataError where the folder is not a run, its images are gone, or it keeps
    no frozen features.
    """
    from headstart.runs.retrieval import TrainingImages
    from headstart.runs.run import load

    found = TrainingImages.of(
        load(settings.run),
        data=settings.data,
        split=settings.split,
        device=settings.device,
        cache=inputs.cache,
        progress=inputs.progress,
        is_frozen=True,
    )
    inputs.on_index(found.index)
    return found


def who_judged(run: Run) -> str:
    """Where training images are not judged by the run's own model: by what, in a sentence; else empty."""
    n, n_repeats = run.metrics.chosen.n_averaged, run.metrics.selection.n_repeats
    if run.model.is_finetuned:
        return (
            "Training images were judged by a linear SVM on frozen features, test images by the fine-tuned network: "
            "the run's report, which has the network's own answers for the images held out from its training, differs."
        )
    if n:
        return (
            f"The run averages {n} candidates. Training images were judged by one linear SVM (C = 1) on the "
            "features of all of them, cross-validated; it may make different mistakes than the mean, which the run's report "
            "speaks of. Test images were judged by the run itself."
        )
    if n_repeats > 1:
        return (
            f"Training images were judged on one division into folds; the run's report averages over {n_repeats}, and may "
            "differ slightly."
        )
    return ""


def unseen_predictions(images: TrainingImages, progress: Progress = silent) -> dict[str, str]:
    """The class of each image, by name, from a classifier that has not seen it.

    A test image has the run's own prediction, a training image that of a linear SVM on the run's features,
    cross-validated with its folds, weights and C (1 where it has not one C: a network, or a mean of
    several), once for all questions. Those that cross-validation cannot judge are left out.
    """
    import numpy as np

    from headstart.data.weights import example_weights
    from headstart.features import cache_folder
    from headstart.probe import Goal, judge, judgeable, training_folds
    from headstart.probe.judging import scores_path

    train, model = images.records, images.model
    y = np.array([r.label for r in train])
    settings = images.run.settings
    folds = training_folds(images.index, train, n_folds=settings.n_folds, seed=settings.seed)
    can, classes = judgeable(y, folds), np.unique(y)
    progress("cross-validate", 0, 1)
    C = images.run.metrics.chosen.C or 1.0
    weight, objective = example_weights(train), images.run.metrics.objective
    if objective is not None and objective.class_weights is not None:
        own = np.array([objective.class_weights.get(label, 1.0) for label in y])
        weight = own if weight is None else weight * own
    X = np.ascontiguousarray(images.X[: len(train)])
    parts = (X, y, folds, *(() if weight is None else (weight,)))
    facts = [C, *([str(p.dtype), p.shape, hashlib.sha256(p.tobytes()).hexdigest()] for p in parts)]
    scores = judge(
        X,
        y,
        folds,
        Cs=[C],
        goal=Goal(weight=weight),
        kept_at=scores_path(images.cache or cache_folder(), facts),
    )
    best = scores.decisions.argmax(axis=1)
    if model.costs is not None and model.classes == tuple(classes):
        # The class of least expected cost, as the run predicts.
        best = model.decide(model.temperature.probabilities(scores.decisions))
    progress("cross-validate", 1, 1)
    held_out = {r.name for r in images.held_out}
    said = {p.name: p.predicted for p in images.run.test_predictions() if p.name in held_out}
    return said | {train[i].name: str(classes[best[i]]) for i in np.flatnonzero(can)}
