"""What `transfer similarity` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from headstart.experiments.settings import Crop, Crops, OnImages, WithBackbone, about


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages, WithBackbone):
    """Measure how far your images lie from those that the network was trained on, without those images.

    The BatchNorm layers of the network keep the statistics of its source. The distance to them is
    shown among reference sets, layer by layer, and beside what transfer gave on every set that has
    labels.

    Examples:

        headstart transfer similarity photos/

        headstart transfer similarity photos/ --reference textures=dtd/ --reference cells=cells/
    """

    why_images: ClassVar[str] = (
        "the distance to the source is read from BatchNorm layers, which sentence encoders do not have"
    )

    reference: Annotated[
        tuple[str, ...], about("NAME=PATH: images to compare with; may be given several times.")
    ] = ()
    made: Annotated[
        bool,
        about(
            "Use the built-in references: with the embedded network at its own size, 17 sets measured "
            "beforehand; else two photographs, digits and noise, measured now."
        ),
    ] = True
    n_images: Annotated[Annotated[int, Meta(ge=2)], about("Most images of each set.")] = 200
    size_px: Crops = None
    crop: Crop = None
    backbone: Annotated[
        str, about("Pretrained network with BatchNorm: see `headstart backbones`.")
    ] = "embedded"
