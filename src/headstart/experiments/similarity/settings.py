"""What `transfer similarity` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from headstart.experiments.settings import Crop, Crops, OnImages, OrTexts, WithBackbone, about


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages, WithBackbone, OrTexts):
    """Measure how far your images lie from those that the network was trained on, without those images.

    The BatchNorm layers of the network keep the statistics of its source. The distance to them is
    shown among reference sets, layer by layer, and beside what transfer gave on every set that has
    labels. A sentence encoder keeps no statistics: a table of texts is compared with reference sets
    of texts instead.

    Examples:

        headstart transfer similarity photos/

        headstart transfer similarity photos/ --reference textures=dtd/ --reference cells=cells/

        headstart transfer similarity reviews.csv --reference tickets=tickets.csv
    """

    reference: Annotated[
        tuple[str, ...],
        about("NAME=PATH: images or texts to compare with; may be given several times."),
    ] = ()
    made: Annotated[
        bool,
        about(
            "Use the built-in references: with the embedded network at its own size, 17 sets measured "
            "beforehand; else two photographs, digits and noise, measured now. Of texts: sets measured "
            "beforehand with the encoder of headstart[text]."
        ),
    ] = True
    n_images: Annotated[Annotated[int, Meta(ge=2)], about("Most images or texts of each set.")] = (
        200
    )
    size_px: Crops = None
    crop: Crop = None
    backbone: Annotated[
        str, about("Pretrained network with BatchNorm: see `headstart backbones`.")
    ] = "embedded"
