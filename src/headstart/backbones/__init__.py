"""Pretrained networks: their names, weights, preprocessing and taps.

Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.backbones.backbone import Backbone, Preprocessing, Tap

if TYPE_CHECKING:
    from headstart.backbones.architectures import known_names
    from headstart.backbones.complexity import Complexity, measure_complexity
    from headstart.backbones.imagenet import (
        ClassProbability,
        imagenet_classes,
        pred,
        predict_imagenet,
    )
    from headstart.backbones.loading import at_size, load
    from headstart.backbones.preprocessing import normalise, to_uint8, transform
    from headstart.backbones.shortlist import Entry, catalogue, list_backbones
    from headstart.backbones.tapped import TappedModule, pool, tapped_forward

__all__ = [
    "Backbone",
    "ClassProbability",
    "Complexity",
    "Entry",
    "Preprocessing",
    "Tap",
    "TappedModule",
    "at_size",
    "catalogue",
    "imagenet_classes",
    "known_names",
    "list_backbones",
    "load",
    "measure_complexity",
    "normalise",
    "pool",
    "pred",
    "predict_imagenet",
    "tapped_forward",
    "to_uint8",
    "transform",
]

_NAMES_OF = {
    "architectures": ("known_names",),
    "shortlist": ("Entry", "catalogue", "list_backbones"),
    "complexity": ("Complexity", "measure_complexity"),
    "imagenet": ("ClassProbability", "imagenet_classes", "pred", "predict_imagenet"),
    "loading": ("at_size", "load"),
    "preprocessing": ("normalise", "to_uint8", "transform"),
    "tapped": ("TappedModule", "pool", "tapped_forward"),
}
_HOMES = {name: home for home, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
