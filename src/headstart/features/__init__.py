"""One-pass extraction of pooled features, and the store that keeps them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.features.any_network import extract_features
    from headstart.features.cluster import extract_on_cluster
    from headstart.features.extraction import (
        Extraction,
        extract,
        feature_key,
        stream_converted,
        stream_features,
    )
    from headstart.features.raycluster import Cluster
    from headstart.features.store import FeatureKey, FeatureStore
    from headstart.features.transformer import Features
    from headstart.home import cache_folder

_HOMES = {
    "Cluster": "raycluster",
    "Extraction": "extraction",
    "FeatureKey": "store",
    "FeatureStore": "store",
    "Features": "transformer",
    "cache_folder": "store",
    "extract": "extraction",
    "extract_features": "any_network",
    "extract_on_cluster": "cluster",
    "feature_key": "extraction",
    "stream_converted": "extraction",
    "stream_features": "extraction",
}

__all__ = [
    "Cluster",
    "Extraction",
    "FeatureKey",
    "FeatureStore",
    "Features",
    "cache_folder",
    "extract",
    "extract_features",
    "extract_on_cluster",
    "feature_key",
    "stream_converted",
    "stream_features",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
