"""Small images in memory for the experiments: scikit-learn's digits, or a folder of your own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.errors import DataError, InputError, one_line
from headstart.progress import Progress, silent

MAX_IMAGES = 2000
MIN_IMAGES = 20


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The images of a data set, small and in memory."""

    name: str  # name of the data in sentences
    images: Tensor  # float32 (n, C, S, S) in [0, 1]
    labels: Tensor  # int64 (n,)
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Training and validation images, standardised with the training images' mean and deviation."""

    # images, val_images: float32 (n, C, S, S)
    images: Tensor
    # labels, val_labels: int64 (n,)
    labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    n_classes: int


def read_samples(
    data: str | os.PathLike[str] | None = None,
    *,
    size_px: int = 16,
    seed: int = 0,
    progress: Progress = silent,
) -> Samples:
    """The images of a data set, or scikit-learn's 1,797 digits of 8 x 8 pixels.

    Raises DataError where the data cannot be used, or has fewer than `MIN_IMAGES` images.

    Parameters
    ----------
    data : path or name, optional
        As in `headstart.data.index`; its splits are ignored, since every experiment draws its own.
    size_px : int
        Images of `data` are cropped to squares and resized to this side; the digits stay as they are.
    seed : int
        Random seed for choosing `MAX_IMAGES` images where there are more.
    progress : Progress
        Reports the stage ``"decode"``.
    """
    if data is None:
        return digits()
    from PIL import Image, ImageOps

    from headstart.data import index, read_rgb
    from headstart.features import cache_folder

    indexed = index(data, seed=seed, cache=cache_folder(), progress=progress)
    if len(indexed) < MIN_IMAGES:
        raise DataError(
            f"an experiment needs {MIN_IMAGES} images; {one_line(os.fspath(data))} has "
            f"{len(indexed)}: give more, or leave DATA out for the digits that come with it"
        )
    order = np.random.default_rng(seed).permutation(len(indexed))[:MAX_IMAGES]
    chosen = [indexed.records[i] for i in sorted(order)]
    pictures = np.empty((len(chosen), size_px, size_px, 3), np.uint8)
    for i, record in enumerate(chosen):
        image = read_rgb(record.path, at_least=size_px)
        pictures[i] = np.asarray(ImageOps.fit(image, (size_px, size_px), Image.Resampling.BOX))
        progress("decode", i + 1, len(chosen))
    classes = indexed.classes
    return Samples(
        name=Path(data).name or "data",
        images=torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255).contiguous(),
        labels=torch.tensor([classes.index(r.label) for r in chosen]),
        classes=classes,
    )


def digits() -> Samples:
    """The digits that come with scikit-learn (part of the UCI data set of Alpaydin and Kaynak)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return Samples(
        name="digits",
        images=torch.from_numpy(found.images).float().div_(16).unsqueeze(1),
        labels=torch.from_numpy(found.target.astype(np.int64)),
        classes=tuple(map(str, found.target_names)),
    )


def draw_task(samples: Samples, n_train: int, *, n_val: int = 1000, seed: int) -> Task:
    """Draw training images and disjoint validation images at random; a seed fixes the draw.

    If the data set is too small for both, at most 70 % of it is for training. A larger training set
    contains the smaller ones, and the validation images do not depend on `n_train`.

    Raises InputError where `n_train` is below 2.
    """
    if n_train < 2:
        raise InputError(f"the number of training images must be at least 2; got {n_train}")
    order = torch.from_numpy(np.random.default_rng([seed, 71]).permutation(len(samples)))
    n_val = min(n_val, max(len(samples) - n_train, round(0.3 * len(samples))))
    val, train = order[:n_val], order[n_val : n_val + n_train]
    images = samples.images[train]
    mean = images.mean(dim=(0, 2, 3), keepdim=True)
    scale = images.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    return Task(
        images=(images - mean) / scale,
        labels=samples.labels[train],
        val_images=(samples.images[val] - mean) / scale,
        val_labels=samples.labels[val],
        n_classes=len(samples.classes),
    )
