"""One-pass extraction of pooled features, and the store that keeps them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.features.extraction import (
        Extraction,
        extract,
        feature_key,
        stream_converted,
        stream_features,
    )
    from headstart.features.store import FeatureKey, FeatureStore, cache_folder

_HOMES = {
    "Extraction": "extraction",
    "FeatureKey": "store",
    "FeatureStore": "store",
    "cache_folder": "store",
    "extract": "extraction",
    "feature_key": "extraction",
    "stream_converted": "extraction",
    "stream_features": "extraction",
}

__all__ = [
    "Extraction",
    "FeatureKey",
    "FeatureStore",
    "cache_folder",
    "extract",
    "feature_key",
    "stream_converted",
    "stream_features",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
