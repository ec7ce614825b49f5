"""What `compare` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from headstart.experiments.settings import OnImages, Pixels, about


@dataclass(frozen=True, kw_only=True)
class Settings(OnImages):
    """Compare networks on your images: accuracy, size and speed.

    The last layer before the output layer of each, with a linear SVM, is judged by cross-validation
    on the same folds of the training images; test images are scored once each. The page draws
    accuracy against multiply-accumulates and names the Pareto front.

    Examples:

        headstart compare photos/ --backbones embedded,resnet18,resnet50,vgg16
    """

    backbones: Annotated[
        tuple[str, ...] | None,
        about("Networks; FILE@ARCH for local weights. Default: those whose weights are here."),
    ] = None
    size_px: Annotated[
        Pixels | None, about("Crop size in pixels; default: each network's own.")
    ] = None

    @property
    def folder(self) -> tuple[str, str]:
        """The results of a comparison of networks go to ``DATA-compare``."""
        return self.data, "compare"
