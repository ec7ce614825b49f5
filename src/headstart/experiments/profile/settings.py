"""What `transfer profile` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from headstart.experiments.settings import (
    CropOrAuto,
    OnImages,
    OrTexts,
    Positive,
    WithBackbone,
    about,
)


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages, WithBackbone, OrTexts):
    """Measure how accurate each layer is on your images, and which layers to join.

    A linear SVM on each layer at each resolution is judged by cross-validation on the training
    images. Blocks are then joined to the best one, as few as are within one standard error of the
    most accurate set. The test images are scored once for the usual layer (before the logits), the
    best block and the concatenation. Of a table of texts, the layers are those of a sentence
    encoder, beside TF-IDF.

    Examples:

        headstart transfer profile photos/

        headstart transfer profile photos/ --resolutions 224,320 --mirror --whole

        headstart transfer profile reviews.csv
    """

    resolutions: Annotated[
        tuple[Positive, ...] | None,
        about("Resolutions in pixels; default: the network's own and 10/7 of it."),
    ] = None
    taps: Annotated[tuple[str, ...] | None, about("Layers; default: all.")] = None
    normalize: Annotated[
        Literal["l2", "power"], about("l2, or power: signed square roots first.")
    ] = "l2"
    pooling: Annotated[
        Literal["average", "max", "pyramid"],
        about("average, max, or pyramid (1x1 + 2x2), over positions."),
    ] = "average"
    mirror: Annotated[bool, about("Average features of each image and its mirror image.")] = False
    whole: Annotated[
        bool, about("Show the network each image whole as well, squashed to a square.")
    ] = False
    max_blocks: Annotated[Positive, about("Most blocks to join; 1 joins none.")] = 6
    crop: CropOrAuto = None
