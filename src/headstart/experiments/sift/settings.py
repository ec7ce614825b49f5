"""What `baseline sift` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from headstart.baselines import SiftSettings
from headstart.baselines.settings import MIN_PATCH_PX
from headstart.experiments.settings import (
    Crop,
    Crops,
    Natural,
    OnImages,
    Positive,
    WithBackbone,
    about,
)

Patch = Annotated[int, Meta(ge=MIN_PATCH_PX)]
Words = Annotated[int, Meta(ge=2)]


@dataclass(frozen=True, kw_only=True)
class Against(OnImages, WithBackbone):
    """A method without a network against the frozen features of one."""

    backbone: Annotated[str, about("Pretrained network to compare with; none: leave it out.")] = (
        "embedded"
    )
    size_px: Crops = None
    crop: Crop = None
    seed: Annotated[Natural, about("Random seed for split, folds and words.")] = 0

    @property
    def folder(self) -> tuple[str, str]:
        """Both baselines write to one folder."""
        return self.data, "baseline"


@dataclass(frozen=True, kw_only=True)
class Settings(Against):
    """Compare dense SIFT (bag of words, spatial pyramid, Fisher vector) with frozen features.

    Vocabulary, assignment and C are chosen by cross-validation on the training images; the test
    images are scored once. Everything is judged by the same linear SVM and on the same split, so the
    difference has a paired test. Descriptors are cached: the same command resumes where it was
    stopped.

    Examples:

        headstart baseline sift photos/

        headstart baseline sift scene15/ --split split.csv --words 200,400

        headstart baseline sift photos/ --backbone none --patches 16
    """

    why_images: ClassVar[str] = "SIFT describes patches of images"

    n_words: Annotated[tuple[Words, ...], about("Sizes of the vocabulary to choose from.")] = (
        200,
        400,
    )
    step_px: Annotated[Positive, about("Pixels between descriptors.")] = 8
    patches_px: Annotated[tuple[Patch, ...], about("Sides of the patches in pixels.")] = (
        16,
        24,
        32,
    )
    n_levels: Annotated[Positive, about("Levels of the spatial pyramid.")] = 3
    n_gaussians: Annotated[Positive, about("Gaussians of the Fisher vector.")] = 64

    @property
    def sift(self) -> SiftSettings:
        """What decides the descriptors and encodings."""
        from headstart.runs.settings import fields_for

        return SiftSettings(**fields_for(SiftSettings, self))
