"""A backbone whose BatchNorm statistics are those of given images: AdaBN (Li et al. 2016)."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from headstart.backbones.weights import digest_weights
from headstart.errors import explain_full_memory
from headstart.features.cores import n_cores
from headstart.features.engines import pick_device
from headstart.features.pixels import crops
from headstart.training import batchnorm
from headstart.training.batches import normalised

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record

# A channel has many values per image; more images move its mean and variance by little.
MAX_IMAGES = 512
_BATCH = 32


def with_statistics_of(
    backbone: Backbone,
    records: Sequence[Record],
    *,
    what: str,
    seed: int = 0,
    device: str | None = None,
) -> Backbone:
    """A copy of the backbone with all BatchNorm statistics taken from images; labels play no part.

    Raises InputError where there are fewer than two images. It has a digest of its own, so that its
    features are kept apart.

    Parameters
    ----------
    backbone : Backbone
        Left as it is; must have BatchNorm (`headstart.training.batchnorm.has_batchnorm`).
    records : sequence of Record
        Two or more; of more than `MAX_IMAGES` a random part is taken.
    what : str
        Whose statistics, for the name.
    seed : int, default 0
        Of the random part.
    device : str, optional
    """
    some = list(records)
    if len(some) > MAX_IMAGES:
        some = random.Random(seed).sample(some, MAX_IMAGES)
    place = torch.device(pick_device(device))
    with explain_full_memory(str(place)):
        module = copy.deepcopy(backbone.module).to(place).requires_grad_(True)
        batchnorm.reestimate(module, (batch.to(place) for batch in _batches(backbone, some)))
    module.to("cpu").eval().requires_grad_(False)
    return dataclasses.replace(
        backbone,
        name=f"{backbone.name} with the statistics of {what}",
        module=module,
        digest=digest_weights(module),
        source=f"{backbone.source}, BatchNorm statistics of {what}",
    )


def _batches(backbone: Backbone, records: Sequence[Record]) -> Iterator[torch.Tensor]:
    """Normalised centre crops, read by threads."""
    preprocessing = backbone.preprocessing
    with ThreadPoolExecutor(n_cores()) as pool:
        for start in range(0, len(records), _BATCH):
            some = records[start : start + _BATCH]
            cut = np.stack(list(pool.map(lambda r: crops(r.path, [preprocessing])[0], some)))
            images = torch.from_numpy(cut).permute(0, 3, 1, 2).float().div(255)
            yield normalised(images, preprocessing)
