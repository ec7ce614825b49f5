"""Batches for training: normalised images or stored activations, with soft targets.

Every batch is a function of (seed, epoch, step), without generator state, so a resumed run sees the
same batches as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.augment import Policy, augment_batch
from headstart.backbones import Preprocessing
from headstart.progress import Progress
from headstart.training.activations import FrozenRunner
from headstart.training.processes import ALONE, Processes

# Batch sizes of augmenting for stored views, and of validation.
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs of the trained part (B, ...), targets (B, K), and the additional views of AugMix.

    Rows of targets sum to the weight of the example, so that their cross-entropy is weighted by it.
    """

    inputs: Tensor
    targets: Tensor
    views: tuple[Tensor, ...] = ()

    def part(self, start: int, end: int) -> Batch:
        """A part of the batch."""
        views = tuple(view[start:end] for view in self.views)
        return Batch(self.inputs[start:end], self.targets[start:end], views)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device; a GPU is not waited for."""
        there: dict[str, Any] = {"device": device, "non_blocking": device.type == "cuda"}
        views = tuple(view.to(**there) for view in self.views)
        return Batch(self.inputs.to(**there), self.targets.to(**there), views)


class Batches(Protocol):
    """A source of batches."""

    def train_batch(
        self, indices: Tensor, epoch: int, step: int, rows: Tensor | None = None
    ) -> Batch:
        """The training images `indices` for one step (from 0) of one epoch (from 1).

        With `rows`, only these rows, equal to those of the whole batch.
        """
        ...

    def val_batches(self, processes: Processes = ALONE) -> Iterator[Batch]:
        """All validation images without augmentation; with several processes, this one's share."""
        ...


def derive_seed(seed: int, *parts: object) -> int:
    """A seed for one purpose, independent of seeds with other arguments."""
    text = ":".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def epoch_order(n_images: int, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The batches of an epoch as indices: shuffled, with sizes that differ by at most one."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    order = torch.randperm(n_images, generator=generator)
    return list(torch.tensor_split(order, -(-n_images // batch_size)))


def micro_batches(n: int, size: int) -> list[tuple[int, int]]:
    """``0 .. n`` in parts of at most `size`, whose sizes differ by at most one."""
    k = -(-n // size)
    return [(i * n // k, (i + 1) * n // k) for i in range(k)]


@dataclass(frozen=True, kw_only=True)
class Images:
    """Decoded images with labels."""

    pixels: Tensor  # uint8 (n, 3, R, R)
    labels: Tensor  # int64 (n,)
    weights: Tensor | None = None  # float32 (n,); how often each counts, with a mean of 1

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_bytes(self) -> int:
        """Size of the decoded images."""
        return self.pixels.numel()

    def on(self, device: torch.device, max_bytes: int) -> Images:
        """The same with its pixels on a device if they take `max_bytes` or less."""
        if self.n_bytes > max_bytes:
            return self
        return dataclasses.replace(self, pixels=self.pixels.to(device))

    def weights_of(self, some: Tensor) -> Tensor | None:
        """The weights of some images, if there are any."""
        return None if self.weights is None else self.weights[some]

    def targets(self, n_classes: int, some: slice = slice(None)) -> Tensor:
        """Weighted one-hot targets (n, n_classes), float32."""
        return weighted_targets(
            self.labels[some], n_classes, None if self.weights is None else self.weights[some]
        )


@dataclass(frozen=True, kw_only=True)
class PixelBatches:
    """Batches of freshly augmented images."""

    train: Images
    val: Images
    policy: Policy
    n_classes: int
    preprocessing: Preprocessing
    seed: int

    def train_batch(
        self, indices: Tensor, epoch: int, step: int, rows: Tensor | None = None
    ) -> Batch:
        """Augmented and normalised images."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "vary", epoch, step))
        made = augment_batch(
            self.policy,
            _rows(self.train.pixels, indices),
            self.train.labels[indices],
            n_classes=self.n_classes,
            size_px=self.preprocessing.size_px,
            generator=generator,
            rows=rows,
            weights=self.train.weights_of(indices),
        )
        views = tuple(normalised(view, self.preprocessing) for view in made.views)
        return Batch(normalised(made.images, self.preprocessing), made.targets, views)

    def on(self, device: torch.device, max_bytes: int) -> PixelBatches:
        """The same with decoded images on a device: the training images first."""
        train = self.train.on(device, max_bytes)
        val = self.val.on(device, max_bytes - train.n_bytes)
        return dataclasses.replace(self, train=train, val=val)

    def val_batches(self, processes: Processes = ALONE) -> Iterator[Batch]:
        """Centre crops."""
        yield from self.plain_batches(self.val, processes)

    def plain_batches(self, images: Images, processes: Processes = ALONE) -> Iterator[Batch]:
        """Images without augmentation, in order; see `Batches.val_batches`."""
        size = self.preprocessing.size_px
        for some in chunks(len(images), _CHUNK, processes):
            crops = centre(images.pixels[some], size).float().div(255)
            targets = images.targets(self.n_classes, some)
            yield Batch(normalised(crops, self.preprocessing), targets)


def chunks(n: int, size: int, processes: Processes = ALONE) -> Iterator[slice]:
    """``0 .. n`` in chunks of `size`, alternating between processes.

    A last chunk of one image, which has no batch statistics, is joined to the one before it.
    """
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    for number in range(processes.rank, len(starts), processes.size):
        end = starts[number + 1] if number + 1 < len(starts) else n
        yield slice(starts[number], end)


def centre(pixels: Tensor, size_px: int) -> Tensor:
    """The centre crop (n, 3, size_px, size_px)."""
    top, left = ((side - size_px) // 2 for side in pixels.shape[-2:])
    return pixels[..., top : top + size_px, left : left + size_px]


def normalised(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalise images in [0, 1], in channels-last memory."""
    mean, std = _moments(preprocessing.mean, preprocessing.std, images.device)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


@cache
def _moments(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the channels, copied to a device once."""
    return (
        torch.tensor(mean, device=device).view(1, 3, 1, 1),
        torch.tensor(std, device=device).view(1, 3, 1, 1),
    )


def _rows(values: Tensor, indices: Tensor) -> Tensor:
    """Rows of a tensor, by indices on the CPU."""
    return values[indices.to(values.device, non_blocking=values.device.type == "cuda")]


@dataclass(frozen=True, kw_only=True)
class ActivationBatches:
    """Batches of stored activations: one view of each image per epoch, in turn."""

    values: Tensor  # (n_views, n, ...)
    targets: Tensor  # float32 (n_views, n, K)
    # val_values, val_targets: (n_val, ...) and (n_val, K)
    val_values: Tensor
    val_targets: Tensor

    def train_batch(
        self, indices: Tensor, epoch: int, step: int, rows: Tensor | None = None
    ) -> Batch:
        """Activations of the epoch's view."""
        view = (epoch - 1) % len(self.values)
        some = indices if rows is None else indices[rows]
        return Batch(_rows(self.values[view], some).float(), _rows(self.targets[view], some))

    def on(self, device: torch.device, max_bytes: int) -> ActivationBatches:
        """The same with all values on a device, if they take `max_bytes` or less."""
        parts = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if sum(part.numel() * part.element_size() for part in parts.values()) > max_bytes:
            return self
        return ActivationBatches(**{name: part.to(device) for name, part in parts.items()})

    def val_batches(self, processes: Processes = ALONE) -> Iterator[Batch]:
        """Activations of centre crops."""
        for some in chunks(len(self.val_values), 4 * _CHUNK, processes):
            yield Batch(self.val_values[some].float(), self.val_targets[some])


def keep_activations(
    images: PixelBatches,
    runner: FrozenRunner,
    n_views: int,
    progress: Progress,
    processes: Processes = ALONE,
) -> ActivationBatches:
    """Run `n_views` views of each training image, and each validation image, through the runner.

    Augmented pixels are rounded to whole grey levels. With several processes each runs its share of
    the chunks, and all gather the rest.
    """
    n, n_val = len(images.train), len(images.val)
    total, size = n_views * n + n_val, images.preprocessing.size_px
    # One output row, and this process's chunks; rows of other processes are zero until gathered.
    like = runner(centre(images.train.pixels[:1], size))[0]
    make = torch.zeros if processes.is_several else torch.empty
    values = make((n_views, n, *like.shape), dtype=like.dtype)
    val_values = make((n_val, *like.shape), dtype=like.dtype)
    targets = make(n_views, n, images.n_classes)
    done = 0
    for view in range(n_views):
        for indices in list(_chunks(n, images.seed, view))[processes.rank :: processes.size]:
            made = _vary(images, indices, view)
            values[view, indices] = runner((made.inputs * 255).round().to(torch.uint8))
            targets[view, indices] = made.targets
            done += len(indices)
            progress("frozen part", done * processes.size, total)
    for some in chunks(n_val, _CHUNK, processes):
        val_values[some] = runner(centre(images.val.pixels[some], size))
        done += some.stop - some.start
        progress("frozen part", min(done * processes.size, total), total)
    for part in (values, targets, val_values):
        processes.gather_rows(part)
    return ActivationBatches(
        values=values,
        targets=targets,
        val_values=val_values,
        val_targets=images.val.targets(images.n_classes),
    )


def _chunks(n: int, seed: int, view: int) -> Iterator[Tensor]:
    """Shuffled chunks, so that mixing policies do not only mix neighbours of one class."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "views", view))
    order = torch.randperm(n, generator=generator)
    yield from (order[start : start + _CHUNK] for start in range(0, n, _CHUNK))


def _vary(images: PixelBatches, indices: Tensor, view: int) -> Batch:
    """One augmented view, in [0, 1] and not normalised."""
    generator = torch.Generator()
    generator.manual_seed(derive_seed(images.seed, "view", view, int(indices[0])))
    made = augment_batch(
        images.policy,
        images.train.pixels[indices],
        images.train.labels[indices],
        n_classes=images.n_classes,
        size_px=images.preprocessing.size_px,
        generator=generator,
        weights=images.train.weights_of(indices),
    )
    return Batch(made.images, made.targets)


def labels_of(labels: list[int]) -> Tensor:
    """Class numbers as a tensor."""
    return torch.from_numpy(np.asarray(labels, dtype=np.int64))


def mean_one(weights: Sequence[float]) -> Tensor | None:
    """Weights scaled to a mean of 1, so that learning rates keep their meaning; None of equal ones."""
    values = np.asarray(weights, dtype=np.float64)
    if not values.size or (values == values[0]).all():
        return None
    return torch.from_numpy((values / values.mean()).astype(np.float32))


def weighted_targets(labels: Tensor, n_classes: int, weights: Tensor | None = None) -> Tensor:
    """Class numbers (n,) as targets (n, n_classes), float32, whose rows sum to the weights."""
    targets = F.one_hot(labels, n_classes).float()
    return targets if weights is None else targets * weights[:, None]


def cross_entropy(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of (B, K) logits and targets, each example times the sum of its target.

    Label smoothing (Szegedy et al. 2016) keeps that sum.
    """
    if smoothing:
        total = targets.sum(1, keepdim=True)
        targets = (1 - smoothing) * targets + smoothing / targets.shape[1] * total
    return F.cross_entropy(logits, targets)
