"""What `compare` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from headstart.errors import InputError, argument, one_line
from headstart.experiments.settings import Crop, OnImages, Pixels, about
from headstart.wording import parse_seconds


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages):
    """Compare networks on your images: accuracy, size and speed.

    The last layer before the output layer of each, with a linear SVM, is judged by cross-validation
    on the same folds of the training images; test images are scored once each. The page draws
    accuracy against multiply-accumulates and names the Pareto front.

    Examples:

        headstart compare photos/ --backbones embedded,resnet18,resnet50,vgg16

        headstart compare photos/ --race --budget 10m
    """

    why_images: ClassVar[str] = "the networks compared are for images"

    backbones: Annotated[
        tuple[str, ...] | None,
        about("Networks; FILE@ARCH for local weights. Default: those whose weights are here."),
    ] = None
    size_px: Annotated[
        Pixels | None, about("Crop size in pixels; default: each network's own.")
    ] = None
    crop: Crop = None

    race: Annotated[
        bool,
        about("Start with a subset of the images and drop networks that are clearly behind."),
    ] = False
    budget: Annotated[str | None, about("Total time for `race`: 90s, 10m, 1h.")] = None

    def __post_init__(self) -> None:
        OnImages.__post_init__(self)
        if self.backbones is not None and len(self.backbones) == 1:
            raise InputError(
                f"{argument('backbones')} takes two networks or more to compare; got "
                f"{one_line(self.backbones[0])!r} alone: to measure one, `headstart fit DATA "
                f"--backbone {one_line(self.backbones[0])}`"
            )
        if self.budget is not None and not self.race:
            raise InputError(
                f"{argument('budget')} is the time of a race: add {argument('race', True)}"
            )
        _ = self.budget_s

    @property
    def budget_s(self) -> float | None:
        """The budget in seconds."""
        return None if self.budget is None else parse_seconds(self.budget, "budget")

    @property
    def folder(self) -> tuple[str, str]:
        """The results of a comparison of networks go to ``DATA-compare``."""
        return self.data, "compare"
