"""What `transfer size` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from headstart.experiments.settings import (
    CropOrAuto,
    Crops,
    FirstSeed,
    OnImages,
    OrTexts,
    Positive,
    Share,
    Tap,
    WithBackbone,
    about,
)


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages, WithBackbone, OrTexts):
    """Predict what more images or texts per class would bring.

    A linear SVM on frozen features is fitted to nested subsets of the training images; a law
    through its errors, with an interval, says what more images would do. Of a table of texts, the
    features are those that `fit` takes as a rule: TF-IDF, beside a sentence encoder where there is one.

    Examples:

        headstart transfer size photos/ --more 100 --check

        headstart transfer size photos/ --accuracy 0.95

        headstart transfer size photos/ --scratch

        headstart transfer size reviews.csv --more 500
    """

    more: Annotated[Positive, about("Images per class to add: what would they bring?")] = 100
    accuracy: Annotated[
        Share | None, about("Accuracy to reach: how many images per class would it take?")
    ] = None
    sizes: Annotated[
        tuple[int, ...] | None,
        about("Images per class to train on; default: 1,2,3,5,7,10..."),
    ] = None
    check: Annotated[bool, about("Predict the larger sizes from the smaller ones.")] = False
    scratch: Annotated[bool, about("Train a compact network from random weights as well.")] = False
    epochs: Annotated[Positive, about("Minimum epochs for `scratch`.")] = 30
    tap: Tap = None
    seeds: Annotated[Annotated[int, Meta(ge=2)], about("Random orders of the images.")] = 5
    seed: FirstSeed = 0
    size_px: Crops = None
    crop: CropOrAuto = None
