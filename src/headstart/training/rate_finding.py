"""The learning-rate range test for given training settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from headstart.augment import jensen_shannon
from headstart.errors import argument, explain_full_memory
from headstart.features.engines import pick_device
from headstart.home import cache_folder
from headstart.progress import Progress, silent
from headstart.training import training
from headstart.training.batches import Batch, PixelBatches, cross_entropy, epoch_order
from headstart.training.checking import (
    check_batches,
    check_data,
    counted_records,
    divide_norms,
    prepare_norms,
)
from headstart.training.folding import find_folding
from headstart.training.network import prepare
from headstart.training.optimizers import make_optimizer, set_rates
from headstart.training.rates import RangeTest, range_test

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.training.settings import TrainSettings

N_STEPS = 100


def find_rate(
    backbone: Backbone,
    records: Sequence[Record],
    classes: Sequence[str],
    settings: TrainSettings,
    *,
    head: tuple[ArrayLike, ArrayLike] | None = None,
    n_steps: int = N_STEPS,
    cache: Path | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> RangeTest:
    """Train with exponentially rising rates, starting as `train` does.

    Regime, optimizer, augmentation, BatchNorm policy and layer decay are those of the settings;
    their rate, schedule, clipping and epochs are ignored.

    Parameters
    ----------
    backbone : Backbone
        It is not changed.
    records, classes, settings, head, cache, device, progress
        As for `headstart.training.train`; the records are the training images.
    n_steps : int, at least 10

    Returns
    -------
    RangeTest
        The rates are those of the output layer.

    Raises
    ------
    InputError, DataError
        As `headstart.training.train`.
    """
    policy = training._read_policy(settings)
    device = pick_device(device)
    records = counted_records(records)
    check_data(records, (), classes, settings)
    prepared = prepare(backbone, len(classes), settings, head)
    division = divide_norms(prepared, settings)
    check_batches(prepared, division, settings, len(records))
    images = training._load_images(
        prepared, (records, ()), classes, policy, settings, cache or cache_folder(), progress
    )
    folding = find_folding(prepared.network, training._probe(prepared))
    remedy = f"use a smaller {argument('batch_size')}, "
    with explain_full_memory(device, remedy):
        network = training._place(prepared, settings, division, images, device)
    groups = training._groups(network, division, settings)
    optimizer = make_optimizer(network, groups, settings)
    set_rates(optimizer, groups, settings.lr, 0)
    prepare_norms(prepared, division, settings)

    def loss_of(module: nn.Module, batch: Batch) -> Tensor:
        logits = module(torch.cat([batch.inputs, *batch.views])).float()
        own, *others = logits.split(len(batch.targets))
        loss = cross_entropy(own, batch.targets, smoothing=settings.label_smoothing)
        return loss + (policy.consistency or 0.0) * jensen_shannon(own, *others) if others else loss

    with folding.fold(), explain_full_memory(device, remedy):
        return range_test(
            network,
            optimizer,
            _batches(images, settings, torch.device(device)),
            loss_of,
            n_steps=n_steps,
            progress=progress,
        )


def _batches(
    images: PixelBatches, settings: TrainSettings, device: torch.device
) -> Iterator[Batch]:
    """The batches of the first epoch, the second, and so on."""
    for epoch in itertools.count(1):
        order = epoch_order(len(images.train), settings.batch_size, settings.seed, epoch)
        for step, indices in enumerate(order):
            yield images.train_batch(indices, epoch, step).to(device)
