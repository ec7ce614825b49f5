"""Varying training images: fixed policies, mixing, AugMix, and policies learnt by gradient.

Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.augment.policy import DEFAULTS, Policy, parse_policy
from headstart.augment.subpolicies import OPERATIONS, Choice

if TYPE_CHECKING:
    from headstart.augment.augmix import jensen_shannon
    from headstart.augment.batch import Augmented, augment_batch
    from headstart.augment.preview import preview_grid
    from headstart.augment.searching import Found, SearchSettings, search
    from headstart.augment.views import jittered_views

__all__ = [
    "DEFAULTS",
    "OPERATIONS",
    "Augmented",
    "Choice",
    "Found",
    "Policy",
    "SearchSettings",
    "augment_batch",
    "jensen_shannon",
    "jittered_views",
    "parse_policy",
    "preview_grid",
    "search",
]

_HOMES = {
    "Augmented": "batch",
    "Found": "searching",
    "SearchSettings": "searching",
    "augment_batch": "batch",
    "jensen_shannon": "augmix",
    "jittered_views": "views",
    "preview_grid": "preview",
    "search": "searching",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
