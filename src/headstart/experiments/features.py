"""Blocks of features: one tap in one view (resolution and crop) of the images, normalised."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.errors import require_choice
from headstart.heads.examples import Normalize, normalize_rows
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.backbones.tapped import Pooling
    from headstart.data import Record
    from headstart.data.records import Example
    from headstart.features import FeatureStore

NORMALISATIONS: dict[str, str] = {
    "l2": "each row brought to unit length",
    "power": "signed square roots, then each row brought to unit length",
}


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class View:
    """How the network is shown an image."""

    # all of the image, squashed to a square, instead of the network's own crop
    is_whole: bool = False
    size_px: int  # side of the input

    def __str__(self) -> str:
        return f"{'whole ' * self.is_whole}{self.size_px}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One tap in one view; of texts the view is how a layer is pooled over the tokens."""

    tap: str
    view: View | str

    def __str__(self) -> str:
        if isinstance(self.view, str):
            return self.tap if self.view in ("", "mean") else f"{self.tap} {self.view}"
        return f"{self.tap} at {self.view.size_px} px{', whole image' * self.view.is_whole}"


@dataclass(kw_only=True)
class BlockReader:
    """The features of a set of images, passed through the network once."""

    backbone: Backbone
    views: tuple[View, ...]
    normalize: Normalize = "l2"  # {"l2", "power"}; what is done to each row
    pooling: Pooling = "average"  # {"average", "max", "pyramid"}
    mirror: bool = False  # whether the features of an image and of its mirror image are averaged
    device: str | None = None
    cache: Path | None = None
    progress: Progress = silent
    _stores: dict[View, list[FeatureStore]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_choice("normalize", self.normalize, NORMALISATIONS)

    def extract(self, records: Sequence[Record]) -> None:
        """Have the features of these images in the store, computing what is missing."""
        self._stores = {view: [] for view in self.views}
        for is_whole in sorted({view.is_whole for view in self.views}):
            for mirrored in (False, True) if self.mirror else (False,):
                for size, store in self._pass(records, is_whole, mirrored).items():
                    self._stores[View(is_whole=is_whole, size_px=size)].append(store)

    def _pass(
        self, records: Sequence[Record], is_whole: bool, mirrored: bool
    ) -> dict[int, FeatureStore]:
        from headstart.features import extract

        return extract(
            records,
            show_whole(self.backbone) if is_whole else self.backbone,
            resolutions=[v.size_px for v in self.views if v.is_whole == is_whole],
            pooling=self.pooling,
            mirrored=mirrored,
            device=self.device,
            cache=self.cache,
            progress=self.progress,
        ).stores

    def read(self, block: Block, records: Sequence[Record]) -> NDArray[np.float32]:
        """Normalised rows (n, d) of images that were extracted."""
        digests = [r.digest for r in records]
        assert isinstance(block.view, View)
        rows = [store.read(digests, block.tap) for store in self._stores[block.view]]
        mean = rows[0] if len(rows) == 1 else (rows[0] + rows[1]) / 2
        return normalize_rows(mean, self.normalize).astype(np.float32, copy=False)

    def join(self, blocks: Sequence[Block], records: Sequence[Record]) -> NDArray[np.float32]:
        """Rows (n, sum of d) of unit length, in which every block counts the same."""
        parts = [self.read(block, records) for block in blocks]
        return np.hstack(parts) / np.float32(np.sqrt(len(parts)))


def show_whole(backbone: Backbone) -> Backbone:
    """The same network, shown all of each image, squashed to a square."""
    whole = msgspec.structs.replace(backbone.preprocessing.cropped("squash"), crop_pct=1.0)
    return dataclasses.replace(backbone, preprocessing=whole)


def labels_of(records: Sequence[Example]) -> NDArray[np.str_]:
    """Class names, (n,)."""
    return np.array([r.label for r in records])
