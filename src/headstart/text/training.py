"""`train_textcnn`: settings, word numbers and labels to a trained TextCNN."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from headstart.augment import parse_policy
from headstart.backbones.weights import digest_weights
from headstart.errors import DataError, InputError, argument, explain_full_memory, one_line
from headstart.features.engines import pick_device
from headstart.progress import Progress, silent
from headstart.text.batches import TextBatches, TokenRows
from headstart.text.predicting import extract_taps, predict_proba
from headstart.text.settings import TextTraining
from headstart.text.textcnn import TextCNN, limit_norms, linear_of
from headstart.training.batches import labels_of, mean_one, weighted_targets
from headstart.training.checkpoints import load_checkpoint
from headstart.training.fabric import make_fabric
from headstart.training.folding import Folding
from headstart.training.history import Epoch
from headstart.training.loop import Loop
from headstart.training.network import HEAD
from headstart.training.optimizers import make_groups
from headstart.training.regimes import Division, hash_frozen, require_unchanged
from headstart.training.trained import TrainingRecord

if TYPE_CHECKING:
    from headstart.text.words import Vocabulary

__all__ = ["TextTraining", "TrainedText", "extract_taps", "predict_proba", "train_textcnn"]


@dataclass(frozen=True, kw_only=True)
class TrainedText(TrainingRecord):
    """A trained TextCNN.

    Attributes
    ----------
    model : TextCNN
        In evaluation mode, on the CPU, without gradients.
    classes : tuple of str
        In the order of the logits.
    history : tuple of Epoch
    best_epoch : int
        The epoch whose weights the network has.
    settings : TextTraining
    seconds : float
        Of all epochs.
    n_trained_parameters : int
    device : str
    """

    model: TextCNN
    settings: TextTraining

    def proba(self, token_rows: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Probabilities (n, K) of texts, read up to the words that training read."""
        return predict_proba(self.model, token_rows, max_words=self.settings.max_words)


def train_textcnn(
    token_rows: Sequence[NDArray[np.int64]],
    y: ArrayLike,
    vocabulary: Vocabulary,
    vectors: NDArray[np.float32] | None,
    settings: TextTraining,
    *,
    val_rows: Sequence[NDArray[np.int64]] = (),
    val_y: ArrayLike = (),
    weights: ArrayLike | None = None,
    val_weights: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    folder: Path | None = None,
    device: str = "cpu",
    progress: Progress = silent,
    on_epoch: Callable[[tuple[Epoch, ...]], None] | None = None,
) -> TrainedText:
    """Train a TextCNN, as the settings say.

    Parameters
    ----------
    token_rows : sequence of int64 array (L_i,)
        Word numbers of each training text, as `Vocabulary.encode` gives them.
    y : array-like of str, of shape (n,)
        Their labels.
    vocabulary : Vocabulary
    vectors : float32 array (V, d), optional
        A vector for each word of the vocabulary. The variant ``rand`` takes only their length.
    settings : TextTraining
    val_rows, val_y
        Validation texts, by which the best epoch is chosen; without any, the last one is kept.
    weights, val_weights : array-like of shape (n,), optional
        How often each text counts in the loss; those of weight 0 are left out.
    classes : sequence of str, optional
        The labels, in the order of the logits; default the sorted ones of `y`.
    folder : Path, optional
        Where the checkpoint is kept. A run that was stopped there goes on, and ends equal to the
        last bit on a CPU; one that is done gives its result again.
    device : str, default "cpu"
        A torch device, or ``"auto"``. The network is small: a CPU is the default.
    progress : Progress
    on_epoch : function, optional
        Called after each epoch with the history so far.

    Returns
    -------
    TrainedText

    Raises
    ------
    InputError
        A setting does not fit, a row has no words' numbers, or the vectors have another shape.
    DataError
        Fewer than two classes, a class without training text, or an unknown label.
    RunError
        The folder holds a checkpoint of another run, or a damaged one.
    DivergedError
        The loss is not finite.
    """
    device = pick_device(device)
    token_rows, labels, own = _counted("training", token_rows, y, weights)
    val_rows, val_labels, val_own = _counted("validation", val_rows, val_y, val_weights)
    known = tuple(sorted(set(labels)) if classes is None else map(str, classes))
    _check(token_rows, labels, val_rows, val_labels, known, settings)
    model = _make_model(vocabulary, vectors, settings, len(known))
    batches = _make_batches(
        (token_rows, labels, own), (val_rows, val_labels, val_own), known, len(vocabulary), settings
    )
    division = divide_textcnn(model)
    identity = _identity(model, batches, known, settings)
    checkpoint = load_checkpoint(folder, identity) if folder is not None else None
    before = hash_frozen(model, division)
    for_loop = settings.for_loop()
    loop = Loop(
        network=model.to(torch.device(device)),
        trained_part=model,
        division=division,
        groups=make_groups(
            model,
            division.stages,
            layer_decay=settings.layer_decay,
            weight_decay=settings.weight_decay,
        ),
        settings=for_loop,
        policy=parse_policy("none"),
        batches=batches,
        n_images=len(batches.train),
        has_val=bool(len(batches.val)),
        folding=Folding(),
        fabric=make_fabric(torch.device(device), for_loop.precision),
        identity=identity,
        folder=folder,
        progress=progress,
        on_epoch=on_epoch,
        order=batches.order,
        after_step=_constraint(model, settings.max_norm),
        is_fused=True,
    )
    if checkpoint is not None:
        loop.resume(checkpoint)
    with explain_full_memory(device, f"use a smaller {argument('batch_size')}, "):
        loop.run()
    if settings.keep == "best" and loop.has_val:
        loop.set_weights(loop.best)
    model.to("cpu").eval().requires_grad_(False)
    require_unchanged(before, hash_frozen(model, division))
    return _result(model, loop, known, settings, device)


def divide_textcnn(model: TextCNN) -> Division:
    """What the variant trains, in stages: word vectors, maps, output layer.

    Parameters
    ----------
    model : TextCNN

    Returns
    -------
    Division
        Stages are counted from the lowest that is trained; the frozen channel is kept.
    """
    parts = ("channels.tuned.", "maps.", f"{HEAD}.")
    names = [name for name, _ in model.named_parameters()]
    raw = {n: i for i, part in enumerate(parts) for n in names if n.startswith(part)}
    lowest = min(raw.values())
    has_static = "static" in model.channels
    return Division(
        stages={name: stage - lowest for name, stage in raw.items()},
        frozen=tuple(name for name in names if name not in raw),
        frozen_modules=frozenset({"channels.static"} if has_static else ()),
        cut=None,
    )


def _counted(
    what: str, rows: Sequence[NDArray[np.int64]], y: ArrayLike, weights: ArrayLike | None
) -> tuple[Sequence[NDArray[np.int64]], list[str], list[float]]:
    """Texts with their labels and weights, as many of each; without those of weight 0."""
    labels = [str(label) for label in np.asarray(y).tolist()]
    if len(rows) != len(labels):
        raise InputError(f"{len(rows)} {what} texts have {len(labels)} labels")
    if weights is None:
        return rows, labels, [1.0] * len(labels)
    own = np.asarray(weights, dtype=np.float64)
    if own.shape != (len(labels),):
        raise InputError(f"{len(rows)} {what} texts have weights of shape {own.shape}")
    if not (np.isfinite(own) & (own >= 0)).all():
        bad = int(np.flatnonzero(~(np.isfinite(own) & (own >= 0)))[0])
        raise InputError(
            f"{what} text {bad} has the weight {own[bad]}: a weight is a number of 0 or more"
        )
    kept = np.flatnonzero(own).tolist()
    return [rows[i] for i in kept], [labels[i] for i in kept], own[kept].tolist()


def _check(
    rows: Sequence[Any],
    labels: Sequence[str],
    val_rows: Sequence[Any],
    val_labels: Sequence[str],
    classes: Sequence[str],
    settings: TextTraining,
) -> None:
    """Two classes or more, every one with training texts."""
    if len(classes) < 2:
        raise DataError(f"training needs two classes or more, got {len(classes)}")
    strange = sorted({*labels, *val_labels} - set(classes))
    if strange:
        raise DataError(
            f"the label {one_line(strange[0])!r} is none of the {len(classes)} classes to be told apart"
        )
    missing = sorted(set(classes) - set(labels))
    if missing:
        raise DataError(
            f"class {one_line(missing[0])!r} has no training text: give it some or leave it out"
        )
    if settings.patience is not None and not len(val_rows):
        raise InputError("patience waits for the validation texts to improve, and there are none")


def _make_model(
    vocabulary: Vocabulary,
    vectors: NDArray[np.float32] | None,
    settings: TextTraining,
    n_classes: int,
) -> TextCNN:
    shape = np.shape(vectors) if vectors is not None else ()
    return TextCNN(
        len(vocabulary),
        shape[1] if len(shape) == 2 else settings.n_features,
        n_classes,
        variant=settings.variant,
        widths=settings.widths,
        n_maps=settings.n_maps,
        dropout=settings.dropout,
        vectors=vectors,
        seed=settings.seed,
    )


def _make_batches(
    train: tuple[Sequence[NDArray[np.int64]], Sequence[str], Sequence[float]],
    val: tuple[Sequence[NDArray[np.int64]], Sequence[str], Sequence[float]],
    classes: Sequence[str],
    n_words: int,
    settings: TextTraining,
) -> TextBatches:
    numbers = {label: i for i, label in enumerate(classes)}
    rows, targets = [], []
    for texts, labels, weights in (train, val):
        rows.append(TokenRows.of(texts, n_words=n_words, max_words=settings.max_words))
        member = labels_of([numbers[label] for label in labels])
        targets.append(weighted_targets(member, len(classes), mean_one(weights)))
    return TextBatches(
        train=rows[0],
        val=rows[1],
        targets=targets[0],
        val_targets=targets[1],
        batch_size=settings.batch_size,
        seed=settings.seed,
    )


def _constraint(model: TextCNN, max_norm: float | None) -> Callable[[], None] | None:
    if max_norm is None:
        return None
    weight = linear_of(model).weight
    return lambda: limit_norms(weight, max_norm)


def _identity(
    model: TextCNN, batches: TextBatches, classes: Sequence[str], settings: TextTraining
) -> dict[str, Any]:
    """What decides a run's result; see `headstart.training.checkpoints.identify`."""

    def digest(rows: TokenRows, targets: Tensor) -> str:
        whole = hashlib.sha256()
        for value in (rows.words, rows.starts, targets):
            whole.update(value.numpy().tobytes())
        return whole.hexdigest()

    return {
        "architecture": "TextCNN",
        "weights": digest_weights(model),
        "settings": settings.to_dict(),
        "classes": list(classes),
        "training texts": digest(batches.train, batches.targets),
        "validation texts": digest(batches.val, batches.val_targets),
    }


def _result(
    model: TextCNN, loop: Loop, classes: tuple[str, ...], settings: TextTraining, device: str
) -> TrainedText:
    history = tuple(loop.position.history)
    keeps_best = settings.keep == "best" and loop.has_val
    trained = [p for name, p in model.named_parameters() if name in loop.division.stages]
    return TrainedText(
        model=model,
        classes=classes,
        history=history,
        best_epoch=loop.position.best_epoch if keeps_best else len(history),
        settings=settings,
        seconds=sum(epoch.seconds for epoch in history),
        n_trained_parameters=sum(p.numel() for p in trained),
        device=device,
    )
