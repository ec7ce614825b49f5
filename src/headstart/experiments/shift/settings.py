"""What `transfer shift` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from headstart.errors import InputError, argument
from headstart.experiments.settings import (
    Crop,
    Crops,
    Natural,
    OnImages,
    Positive,
    Tap,
    WithBackbone,
    about,
)


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages, WithBackbone):
    """Measure what a shift of domain costs, and what unlabelled target images win back.

    A linear SVM on frozen features is trained on the source and tested on held-out images of both.
    AdaBN, CORAL and DANN then adapt with the target's training images, without labels; the same
    SVM trained with their labels is the upper bound.

    Examples:

        headstart transfer shift photos/ sketches/

        headstart transfer shift photos/ --corrupt blur
    """

    why_images: ClassVar[str] = "the methods of adaptation are for networks for images"

    data: Annotated[
        str,
        about("The source: folder of class folders or data set name.", is_argument=True),
    ]
    target: Annotated[
        str | None,
        about("The same classes from elsewhere; or give `corrupt`.", is_argument=True),
    ] = None
    corrupt: Annotated[
        Literal["invert", "blur", "noise", "grey", "dark"] | None,
        about("Make the target from the source: invert, blur, noise, grey or dark."),
    ] = None
    tap: Tap = None
    size_px: Crops = None
    crop: Crop = None
    seeds: Annotated[Positive, about("Repeats of DANN.")] = 3
    seed: Annotated[Natural, about("The first seed, and that of the split.")] = 0
    split: Annotated[str | None, about("CSV or JSON file of the source's train and test.")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.target is None) == (self.corrupt is None):
            raise InputError(
                f"give a target folder, or {argument('corrupt')} to make one from the source; one of them"
            )

    @property
    def folder(self) -> tuple[str, str]:
        """A corrupted copy has a folder of its own."""
        return self.data, f"shift-{self.corrupt}" if self.corrupt else "shift"
