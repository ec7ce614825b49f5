"""Checks before training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.errors import DataError, InputError, one_line
from headstart.training import batchnorm
from headstart.training.batches import epoch_order, micro_batches
from headstart.training.processes import ALONE, Processes
from headstart.training.regimes import Division, divide, set_modes, without_untrained

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.training.network import Prepared
    from headstart.training.settings import TrainSettings


def counted_records(records: Sequence[Record]) -> list[Record]:
    """Those that count: their weight is not 0.

    Raises DataError where a weight is negative or not finite.
    """
    for record in records:
        if not (math.isfinite(record.weight) and record.weight >= 0):
            raise DataError(
                f"{one_line(record.name)} has the weight {record.weight}: a weight is a number of 0 or more"
            )
    return [record for record in records if record.weight > 0]


def check_data(
    train: Sequence[Record],
    val: Sequence[Record],
    classes: Sequence[str],
    settings: TrainSettings,
) -> None:
    """Check that every class has training images, and every label is a class."""
    counts = Counter(r.label for r in train)
    for record in [*train, *val]:
        if record.label not in classes:
            raise DataError(
                f"{one_line(record.name)} has the label {one_line(record.label)!r}, which is none "
                f"of the {len(classes)} classes to be told apart"
            )
    missing = [c for c in classes if not counts[c]]
    if missing:
        raise DataError(
            f"class {one_line(missing[0])!r} has no training image"
            f"{f' (and {len(missing) - 1} more classes)' if len(missing) > 1 else ''}: give it some "
            "or leave it out"
        )
    if len(classes) < 2:
        raise DataError(f"training needs two classes or more, got {len(classes)}")
    if settings.patience is not None and not val:
        raise InputError("patience waits for the validation images to improve, and there are none")


def divide_norms(prepared: Prepared, settings: TrainSettings) -> Division:
    """The regime's division without parameters that the BatchNorm policy does not train."""
    division = divide(prepared, settings)
    prepare_norms(prepared, division, settings)
    return without_untrained(prepared.network, division)


def prepare_norms(prepared: Prepared, division: Division, settings: TrainSettings) -> None:
    """Set modes and gradients as in training."""
    network = prepared.network
    set_modes(network, division)
    frozen = [network.get_submodule(path) for path in division.frozen_modules]
    batchnorm.prepare(network, settings.bn_policy, frozen=frozen, head=network.head)


def check_batches(
    prepared: Prepared,
    division: Division,
    settings: TrainSettings,
    n_images: int,
    processes: Processes = ALONE,
) -> None:
    """Check that every process has images, and at least two for batch statistics."""
    sizes = [len(b) for b in epoch_order(n_images, settings.batch_size, 0, 1)]
    parts = [ends for n in sizes for ends in micro_batches(n, settings.micro_batch or n)]
    smallest = min(end - start for start, end in parts)
    if smallest < processes.size:
        raise InputError(
            f"a batch of {smallest} cannot be shared by {processes.size} processes: raise the batch size"
            f"{' and micro_batch' if settings.micro_batch else ''}, or start fewer processes"
        )
    prepare_norms(prepared, division, settings)
    network = prepared.network
    frozen = [network.get_submodule(path) for path in division.frozen_modules]
    batchnorm.check_batch(network, settings.bn_policy, smallest, frozen=frozen)
