"""A fine-tuned network as a run's model: at which size it predicts, and its look at the test."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.errors import BackboneError, DataError
from headstart.heads import Temperature, fit_temperature
from headstart.runs.classify import classify
from headstart.runs.model import Model
from headstart.runs.refit import Tested
from headstart.sources.blocks import Blocks
from headstart.sources.saved import saved
from headstart.training import DivergedError
from headstart.training.saving import NAME

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.training import Trained

# Random crops show objects larger than the centre crop does; Touvron et al. (NeurIPS 2019, "Fixing
# the train-test resolution discrepancy") predict at about this many times the size of training.
LARGER = 8 / 7


def best_view(
    trained: Trained,
    records: Sequence[Record],
    backbone: Backbone,
    truth: NDArray[np.intp],
    weight: NDArray[np.float64] | None = None,
) -> tuple[Trained, NDArray[np.float32]]:
    """The size at which the network predicts best, that of training or a somewhat larger one.

    Parameters
    ----------
    records : sequence of Record, length n
        Validation images.
    backbone : Backbone
        What was trained: it tells whether the network takes the larger size.
    truth : int array (n,)
        Columns of their classes.
    weight : float64 array (n,), optional
        How often each image counts.

    Returns
    -------
    trained : Trained
        Its backbone prepares images at the size chosen, by the calibrated log loss.
    logits : float32 array (n, K)
    """
    own = trained.backbone.preprocessing
    found = []
    for size in dict.fromkeys((own.size_px, _larger(backbone, own.size_px))):
        logits = finite_logits(trained, records, size)
        P = fit_temperature(logits, truth, weight).probabilities(logits)
        loss = float(np.average(losses(P, truth), weights=weight))
        found.append((loss, size, logits))
    _, size, logits = min(found, key=lambda f: f[:2])
    backbone = dataclasses.replace(trained.backbone, preprocessing=own.at(size))
    return dataclasses.replace(trained, backbone=backbone), logits


def finite_logits(trained: Trained, records: Sequence[Record], size_px: int) -> NDArray[np.float32]:
    """Logits of images at a size, (n, K).

    Raises DivergedError where one is not finite: the last step may have thrown the weights far
    away, unseen by any loss.
    """
    logits = trained.logits(records, size_px=size_px)
    if not np.isfinite(logits).all():
        lr = trained.settings.lr
        raise DivergedError(
            f"the trained network gives values that are not finite: the learning rate {lr:g} is "
            f"probably too high; try {lr / 10:g}"
        )
    return logits


def losses(P: NDArray[np.float64], truth: NDArray[np.intp]) -> NDArray[np.float64]:
    """-log of the probability that each true class was given, (n,)."""
    given = P[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.clip(given, 1e-12, 1)), dtype=np.float64)


def _larger(backbone: Backbone, size_px: int) -> int:
    """The larger size, or the same where the network is built for one size."""
    from headstart.backbones import at_size

    larger = round(LARGER * size_px / 32) * 32
    try:
        return larger if at_size(backbone, larger).module is backbone.module else size_px
    except BackboneError:
        return size_px


def logits_model(trained: Trained, classes: Sequence[str], temperature: Temperature) -> Model:
    """The network as a linear model on its own logits: the identity, with no normalisation."""
    net, n_classes = trained.backbone, len(classes)
    return Model(
        classes=tuple(classes),
        blocks=Blocks(taps=("logits",), resolutions=(net.preprocessing.size_px,)),
        precision="float32",
        backbone=saved(net, finetuned=NAME),
        coef=np.eye(n_classes),
        intercept=np.zeros(n_classes),
        temperature=temperature,
        normalize="none",
    )


def score_test(
    trained: Trained,
    model: Model,
    test: Sequence[Record],
    *,
    svm: Tested,
    device: str | None,
    cache: Path,
) -> Tested:
    """Score the test images once, by the same means as later predictions are made.

    `svm` is the linear SVM scored on the same images. The out-of-fold probabilities of the training
    images stay its: of most of them the network has none from a training that did not see them.
    """
    rows: dict[Path, NDArray[np.float64]] = {}
    paths = list(dict.fromkeys(r.path for r in test))
    alone = dataclasses.replace(model, partner=None)
    found = classify(alone, paths, backbone=lambda: trained.backbone, device=device, cache=cache)
    for path, (_, p, reason) in zip(paths, found, strict=True):
        if p is None:
            raise DataError(f"{path} could be read before and cannot be now: {reason}")
        rows[path] = p
    n_classes = len(model.classes)
    P = np.array([rows[r.path] for r in test]).reshape(len(test), n_classes)
    if model.partner is not None and len(test):
        P = model.mean(P, svm.probabilities)
    predicted = np.array(model.classes)[model.decide(P)] if len(test) else np.empty(0, str)
    correct = np.asarray(predicted == np.array([r.label for r in test], dtype=str), dtype=bool)
    return Tested(model=model, out_of_fold=svm.out_of_fold, probabilities=P, correct=correct)
