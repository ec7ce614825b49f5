"""What ``model/model.json`` holds, as types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from headstart.data.targets import Kind
from headstart.heads.examples import Normalize
from headstart.runs.settings import SIZES_PX
from headstart.sources.blocks import Blocks
from headstart.sources.saved import SavedBackbone

Size = Annotated[int, msgspec.Meta(ge=SIZES_PX[0], le=SIZES_PX[1])]
Precision = Literal["float32", "bfloat16"]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A layer at a resolution."""

    tap: str
    size_px: Size


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The features that a head takes of a network: its layers at its resolutions, or some of these."""

    taps: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    resolutions_px: tuple[Size, ...]  # empty of texts
    only: tuple[Cell, ...] = ()  # those that are taken, in this order; empty: all

    def __post_init__(self) -> None:
        for cell in self.only:
            if cell.tap not in self.taps or cell.size_px not in self.resolutions_px:
                raise ValueError(
                    f"{cell.tap} at {cell.size_px} px is not one of its layers and resolutions"
                )

    def blocks(self, backbone: str = "") -> Blocks:
        """The features, of a backbone that is named where there are several."""
        return Blocks(
            taps=self.taps,
            resolutions=self.resolutions_px,
            backbone=backbone,
            only=tuple((cell.tap, cell.size_px) for cell in self.only),
        )


def cells(blocks: Blocks) -> tuple[Cell, ...]:
    """`Taken.only` of features."""
    return tuple(Cell(tap=tap, size_px=size) for tap, size in blocks.only)


class Part(Taken, frozen=True, kw_only=True):
    """One of the backbones of a model, and what the head takes of it."""

    backbone: SavedBackbone

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.resolutions_px) == self.backbone.is_text:
            raise ValueError(f"it has {len(self.resolutions_px)} resolutions")
        known = self.backbone.taps
        if known is not None and not set(self.taps) <= {name for name, _ in known}:
            raise ValueError(f"its layers {list(self.taps)} are not among the network's")


class ModelFile(Part, frozen=True, kw_only=True):
    """A run's model but for its numbers, which are in ``head.safetensors``."""

    schema: int
    classes: tuple[str, ...]  # in the order of the rows of the head
    precision: Precision
    normalize: Normalize = "l2"
    has_partner: bool = False  # whether it is one half of a mean; the other half is in `partner/`
    beside: tuple[Part, ...] = ()  # the other backbones; their columns follow in this order
    # cost of each true class (row) taken for each other (column)
    costs: tuple[tuple[NotNegative, ...], ...] | None = None
    target: Kind = "classes"
    thresholds: tuple[float, ...] = ()  # of labels: each is given where its probability reaches it
    half_width: NotNegative | None = None  # of a number: half of the width of its interval

    def __post_init__(self) -> None:
        super().__post_init__()
        n = len(self.classes)
        if len(set(self.classes)) < n:
            raise ValueError("a class is named twice")
        if self.costs is not None and [len(row) for row in self.costs] != [n] * n:
            raise ValueError(f"its costs of confusions are not {n} rows of {n}")
        if len(self.thresholds) != (n if self.target == "labels" else 0):
            raise ValueError(f"{len(self.thresholds)} thresholds of {n} labels")
        if self.target == "numbers" and n != 1:
            raise ValueError(f"a number has {n} names")
