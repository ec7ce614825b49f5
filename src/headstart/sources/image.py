"""Images: the features of a backbone's layers, at several resolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from headstart.home import expand
from headstart.sources.blocks import (
    Averaged,
    Blocks,
    JoinedRows,
    ZeroShot,
    averaged,
    block_rows,
    plan_blocks,
    usual_blocks,
)
from headstart.sources.reading import Reading
from headstart.sources.saved import saved

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.features import FeatureStore


@dataclass(kw_only=True)
class ImageSource:
    """Images whose features are in stores."""

    noun: ClassVar[str] = "image"
    usual_name: ClassVar[str] = "the usual layer"
    code: ClassVar[tuple[str, ...]] = ()

    backbone: Backbone
    stores: Mapping[int, FeatureStore]
    precision: str = "float32"  # {"float32", "bfloat16"}; of the arithmetic that made the features
    weights: str | None = None  # the local weight file
    # (K, d); of the last tap, from the names of the classes: it is one more candidate
    text_head: NDArray[np.float64] | None = None
    # reads the features, and remembers what was too large for the memory
    reading: Reading = field(default_factory=Reading)

    @property
    def usual(self) -> Blocks:
        """The layer before the logits, at the size nearest the network's own."""
        return usual_blocks(self.backbone, sorted(self.stores))

    first = usual

    @property
    def prior(self) -> Blocks | None:
        """The last layers joined, at the two largest resolutions."""
        last = self._trained()[-1]
        return last if len(last.taps) > 1 else None

    def candidates(self) -> list[Blocks]:
        """Every tap at every resolution, some joined; and the zero-shot head, if there is one."""
        if self.text_head is None:
            return self._trained()
        tap, sizes = self.backbone.taps[-1].name, self.usual.resolutions
        zero_shot = ZeroShot(taps=(tap,), resolutions=sizes, vectors=self.text_head)
        return [*self._trained(), zero_shot]

    def _trained(self) -> list[Blocks]:
        return plan_blocks([tap.name for tap in self.backbone.taps], sorted(self.stores))

    def average(self, candidates: Sequence[Blocks]) -> Averaged:
        """What the mean of several candidates is of."""
        return averaged(candidates, {"": self.backbone})

    def rows(self, blocks: Blocks, examples: Sequence[Record]) -> NDArray[Any] | JoinedRows:
        """Features (n, d): an array, or rows that stay in the store."""
        [own] = blocks.members
        rows = block_rows(self.stores, [r.digest for r in examples], own)
        return self.reading.read(rows, str(blocks))

    def macs(self, blocks: Blocks, n_classes: int) -> int:
        """Of the passes needed: one serves all taps of a resolution, so its last tap counts."""
        [own] = blocks.members
        return sum(max(self._tap_macs[s][t] for t in own.taps_at(s)) for s in own.resolutions)

    def identity(self, blocks: Blocks) -> Any:
        """Keys of the stores, and the taps that are read of them."""
        return [[self.stores[s].key.digest for s in blocks.resolutions], blocks.pairs]

    def encoding(self, blocks: Blocks) -> dict[str, Any]:
        """The backbone by name and digest: its weights stay where they are."""
        weights = str(expand(self.weights).absolute()) if self.weights else None
        return {
            "precision": self.precision,
            "backbone": saved(self.backbone, weights=weights),
        }

    def compared(self, usual: Blocks, chosen: Blocks) -> tuple[str, str]:
        """With its tap, as it need not be the network's output; shorter by what sets it apart."""
        full = f"the usual layer, {usual.tap_label} at {usual.resolution_label} px,"
        if usual.tap_label == chosen.tap_label:
            return full, f"the usual size, {usual.resolution_label} px,"
        return full, f"the usual layer, {usual.tap_label},"

    @cached_property
    def _tap_macs(self) -> dict[int, Mapping[str, int]]:
        from headstart.backbones import at_size, measure_complexity

        return {s: measure_complexity(at_size(self.backbone, s)).tap_macs for s in self.stores}
