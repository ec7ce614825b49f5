"""What `transfer advice` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from headstart.experiments.settings import (
    Crop,
    Crops,
    FirstSeed,
    OnImages,
    Positive,
    WithBackbone,
    about,
)


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages, WithBackbone):
    """Classify your data by size and similarity, and test the textbook rule on it.

    Without `--measure`, earlier layers are compared with the last one, which takes seconds. With it,
    the network is also fine-tuned on the same images, and the best regime is compared with the
    rule.

    Examples:

        headstart transfer advice photos/

        headstart transfer advice photos/ --measure --epochs 4 --size 160
    """

    why_images: ClassVar[str] = "the textbook rule is on networks for images, frozen or fine-tuned"

    measure: Annotated[bool, about("Train: fine-tune a few layers, and all of them.")] = False
    distance: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about("Distance to the source, if it is known; default: measured, with its references."),
    ] = None
    much: Annotated[
        Annotated[float, Meta(ge=1)], about("Images per class from which data count as much.")
    ] = 100.0
    epochs: Annotated[Positive, about("Epochs for `measure`.")] = 4
    seeds: Annotated[Positive, about("Number of repeats for `measure`.")] = 1
    seed: FirstSeed = 0
    size_px: Crops = None
    crop: Crop = None
