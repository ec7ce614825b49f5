"""A cache with the features of two networks, made without either of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from headstart.features import FeatureKey, FeatureStore

KEY = FeatureKey(
    weights="ab" * 32,
    arch="torchvision:resnet18",
    taps=(("a", "features.0"), ("b", "fc")),
    preprocessing={"size_px": 64},
    precision="float32",
)
OTHER = dataclasses.replace(KEY, arch="timm:vit_tiny.augreg", weights="cd" * 32, view="mirrored")


def digest(i: int) -> str:
    return f"{i:064x}"


def value(i: int) -> float:
    """What stands in every row of image `i`, exact in float16."""
    return i / 4


def fill(root: Path, key: FeatureKey, *shards: range) -> FeatureStore:
    """One shard for each range of images."""
    store = FeatureStore(key, root)
    for images in shards:
        column = np.array([[value(i)] for i in images], np.float32)
        rows = {"a": np.repeat(column, 3, axis=1), "b": np.repeat(column, 5, axis=1)}
        store.add([digest(i) for i in images], rows)
    return store


def check(root: Path, key: FeatureKey, images: range) -> None:
    """Every image has its row, bit by bit, and no other has one."""
    store = FeatureStore(key, root)
    assert len(store) == len(images)
    X = store.read([digest(i) for i in images], "b")
    np.testing.assert_array_equal(X, [[value(i)] * 5 for i in images])
