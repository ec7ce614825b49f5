"""What `transfer scores` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from headstart.experiments.settings import CropOrAuto, OnImages, Pixels, about


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages):
    """Rank backbones by LogME, H-score, LEEP and NCE, and measure whether the order is right.

    Each score is computed from the features of the training images; beside it stands the measured
    accuracy of a linear SVM on the same features, and how well both orders agree.

    Examples:

        headstart transfer scores photos/ --backbones embedded,resnet18,resnet50

        headstart transfer scores photos/ --per tap
    """

    why_images: ClassVar[str] = "the scores rank pretrained networks for images"

    backbones: Annotated[
        tuple[str, ...] | None,
        about("Networks; FILE@ARCH for local weights. Default: those whose weights are here."),
    ] = None
    per: Annotated[
        Literal["backbone", "tap"], about("backbone, or tap: every layer is a candidate.")
    ] = "backbone"
    size_px: Annotated[
        Pixels | None, about("Crop size in pixels; default: each network's own.")
    ] = None
    crop: CropOrAuto = None
