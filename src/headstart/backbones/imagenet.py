"""Predictions among the 1000 ImageNet classes that a pretrained network knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from headstart.backbones.backbone import CLASS_SCORES, Backbone
from headstart.errors import BackboneError, DataError, argument

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.data import Source

N_CLASSES = 1000
_BATCH_SIZE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassProbability:
    """A class, its probability, and its index among ImageNet's 1000."""

    label: str
    probability: float
    index: int


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The names of the 1000 classes of ImageNet-1k, in the order of the logits."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def pred(
    image: Any, *, backbone: str | Backbone = "embedded", top: int = 5
) -> list[ClassProbability]:
    """Classify an image among ImageNet's 1000 classes.

    Parameters
    ----------
    image : path, bytes, PIL image or array
        One image: its file, the bytes of its file, a PIL image of any mode, or a uint8 array
        (height, width, 3) in RGB or (height, width) in grey.
    backbone : str or Backbone, default "embedded"
        A name for `load`, or a loaded backbone with its ImageNet classifier.
    top : int in [1, 1000], default 5
        Number of classes to return.

    Returns
    -------
    list of ClassProbability
        The most likely first.

    Raises
    ------
    DataError
        The image cannot be read, or there are several.
    BackboneError
        If the backbone was not trained on the 1000 classes.

    Examples
    --------
    >>> pred("cat.jpg")[0].label  # doctest: +SKIP
    'Egyptian cat'
    """
    from headstart.data import is_one_image, list_sources

    sources = list_sources(image)
    if not is_one_image(image):
        raise DataError(
            f"pred takes one image, got {len(sources)}: for several, "
            "headstart.backbones.predict_imagenet"
        )
    return predict_imagenet(sources, backbone=backbone, top=top)[0]


def predict_imagenet(
    images: Any, *, backbone: str | Backbone = "embedded", top: int = 5
) -> list[list[ClassProbability]]:
    """As `pred` for several images: one list of predictions per image, in order."""
    from headstart.data import list_sources

    if not 1 <= top <= N_CLASSES:
        raise BackboneError(f"top must be from 1 to {N_CLASSES}, got {top}")
    if isinstance(backbone, str):
        from headstart.backbones.loading import load

        backbone = load(backbone)
    check_imagenet(backbone)
    sources = list_sources(images)
    found: list[list[ClassProbability]] = []
    for start in range(0, len(sources), _BATCH_SIZE):
        found += _predict_batch(sources[start : start + _BATCH_SIZE], backbone, top)
    return found


def check_imagenet(backbone: Backbone) -> None:
    """Raise BackboneError if the backbone was not trained on the 1000 classes."""
    if backbone.taps[-1].n_features != N_CLASSES or backbone.taps[-1].name not in CLASS_SCORES:
        raise BackboneError(
            f"{backbone.name} has no classifier for ImageNet's {N_CLASSES} classes; "
            f"{argument('backbone', 'embedded')} has one"
        )


def _predict_batch(
    sources: Sequence[Source], backbone: Backbone, top: int
) -> list[list[ClassProbability]]:
    import torch

    from headstart.backbones.preprocessing import transform
    from headstart.data import picture_of

    made = [transform(picture_of(source), backbone.preprocessing) for source in sources]
    images = torch.stack(made)
    with torch.inference_mode():
        probabilities = backbone.module(images).softmax(dim=1)
    return [_name_top(row, top) for row in probabilities]


def _name_top(probabilities: Tensor, top: int) -> list[ClassProbability]:
    values, indices = probabilities.topk(top)
    names = imagenet_classes()
    return [
        ClassProbability(label=names[i], probability=p, index=i)
        for p, i in zip(values.tolist(), indices.tolist(), strict=True)
    ]
