"""Class probabilities of a run's images by a classifier that has not seen them, for other tools."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data import duplicate_groups
from headstart.errors import DataError, InputError, argument, one_line
from headstart.files import write_atomically
from headstart.probe import judgeable
from headstart.progress import Progress, silent
from headstart.reliability.labels import check_labels, left_out_scores
from headstart.runs.model import need_classes
from headstart.runs.predictions import csv_text
from headstart.runs.retrieval import TrainingImages

if TYPE_CHECKING:
    from headstart.runs.run import Run

SUFFIXES = (".csv", ".npz")


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """Probabilities of images that a classifier has not seen."""

    # names, labels, splits: of each image
    names: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]  # sorted
    P: NDArray[np.float64]  # (n, K); calibrated; rows sum to 1
    n_left_out: int  # images that are the only one, or the only group, of their class

    def write(self, path: Path) -> None:
        """Write ``.npz`` (labels as numbers, pred_probs, names, classes) or ``.csv``.

        Raises InputError where the suffix is another one; OutputError where it cannot be written.
        """
        check_suffix(path)
        if path.suffix.lower() == ".csv":
            header = ("name", "split", "label", *(f"p({c})" for c in self.classes))
            rows = (
                (name, split, label, *(f"{v:.6f}" for v in p))
                for name, split, label, p in zip(
                    self.names, self.splits, self.labels, self.P, strict=True
                )
            )
            payload = csv_text(header, rows).encode("utf-8", "surrogateescape")
        else:
            number = {c: k for k, c in enumerate(self.classes)}
            buffer = io.BytesIO()
            np.savez_compressed(
                buffer,
                labels=np.array([number[label] for label in self.labels]),
                pred_probs=self.P.astype(np.float32),
                names=np.array(self.names),
                classes=np.array(self.classes),
            )
            payload = buffer.getvalue()
        write_atomically(path, payload)


def out_of_fold(
    run: Run,
    *,
    data: str | None = None,
    split: str | None = None,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> OutOfFold:
    """Probabilities of every image of a run, training and test alike, by the others.

    A ridge classifier on the run's frozen features is fitted without each image, and without its
    duplicates and its group, in closed form, and calibrated by a temperature. That is what `headstart clean` uses and
    what cleanlab takes as ``pred_probs``.

    Raises DataError or RunError where the images are gone, or no label can be judged.

    `run`: on images. `data`, `split`, `device`, `cache`, `progress`: as for
    :func:`headstart.runs.retrieval.similar`.
    """
    need_classes(run.model, "headstart export --to cleanlab")
    images = TrainingImages.of(
        run, data=data, split=split, device=device, cache=cache, progress=progress, is_frozen=True
    )
    records = [*images.records, *images.held_out]
    y = np.array([r.label for r in records])
    classes, member = np.unique(y, return_inverse=True)
    together = duplicate_groups(images.index, records)
    can = judgeable(y, together)
    if not can.any():
        raise DataError("no label can be judged: each class has one image, or one group of them")
    P = check_labels(left_out_scores(images.X, member, together)[can], member[can]).P
    kept = [r for r, is_judged in zip(records, can, strict=True) if is_judged]
    return OutOfFold(
        names=tuple(r.name for r in kept),
        labels=tuple(r.label for r in kept),
        splits=tuple(r.split for r in kept),
        classes=tuple(classes.tolist()),
        P=P,
        n_left_out=len(records) - len(kept),
    )


def check_suffix(path: Path) -> None:
    """Raise InputError unless the file is to be ``.csv`` or ``.npz``."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{argument('out')} must end in {' or '.join(SUFFIXES)}, got {one_line(path.name)}"
        )
