"""Images through several backbones: the candidates of each, and joins across them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from headstart.sources.blocks import (
    Averaged,
    Blocks,
    JoinedRows,
    averaged,
    block_rows,
    of_backbone,
    side_by_side,
)
from headstart.sources.image import ImageSource
from headstart.sources.reading import Reading

if TYPE_CHECKING:
    from headstart.data import Record


@dataclass(kw_only=True)
class SeveralSource:
    """Images whose features by several backbones are in stores."""

    noun: ClassVar[str] = ImageSource.noun
    usual_name: ClassVar[str] = ImageSource.usual_name
    code: ClassVar[tuple[str, ...]] = ImageSource.code

    # at least two; in the order in which they were named; the first gives the usual layer
    of: Mapping[str, ImageSource]
    # reads the features, and remembers what was too large for the memory
    reading: Reading = field(default_factory=Reading)

    @property
    def usual(self) -> Blocks:
        """The usual layer of the first backbone."""
        name, source = next(iter(self.of.items()))
        return of_backbone(source.usual, name)

    first = usual

    @property
    def prior(self) -> Blocks | None:
        """The last layers of every backbone, side by side."""
        return side_by_side(self._priors())

    def candidates(self) -> list[Blocks]:
        """Those of each backbone, then joins: all backbones without one, and all of them."""
        own = [of_backbone(b, name) for name, s in self.of.items() for b in s.candidates()]
        priors = self._priors()
        smaller = [priors[:i] + priors[i + 1 :] for i in reversed(range(len(priors)))]
        joins = [side_by_side(some) for some in smaller if len(some) > 1]
        return [*own, *joins, side_by_side(priors)]

    def average(self, candidates: Sequence[Blocks]) -> Averaged:
        """What the mean of several candidates is of."""
        return averaged(candidates, {name: s.backbone for name, s in self.of.items()})

    def rows(self, blocks: Blocks, examples: Sequence[Record]) -> NDArray[Any] | JoinedRows:
        """Features (n, d): an array, or rows that stay in the stores."""
        digests = [r.digest for r in examples]
        each = [block_rows(self.of[b.backbone].stores, digests, b) for b in blocks.members]
        rows = JoinedRows([part for rows in each for part in rows.parts])
        return self.reading.read(rows, str(blocks))

    def macs(self, blocks: Blocks, n_classes: int) -> int:
        """Of the passes through every backbone that is needed."""
        return sum(self.of[b.backbone].macs(b, n_classes) for b in blocks.members)

    def identity(self, blocks: Blocks) -> Any:
        """That of the backbone's own source; of a join, all of them."""
        each = [self.of[b.backbone].identity(b) for b in blocks.members]
        return each[0] if len(each) == 1 else each

    def encoding(self, blocks: Blocks) -> dict[str, Any]:
        """The backbones by name and digest: their weights stay where they are."""
        first, *others = (self.of[b.backbone].encoding(b) for b in blocks.members)
        return first | {"beside": tuple(other["backbone"] for other in others)}

    def compared(self, usual: Blocks, chosen: Blocks) -> tuple[str, str]:
        """With its backbone and tap, as it need not be the network's output."""
        tap, size = usual.taps[0], usual.resolution_label
        of = f"{tap} of {usual.backbone}"
        return f"the usual layer, {of} at {size} px,", f"the usual layer, {of},"

    def _priors(self) -> list[Blocks]:
        return [of_backbone(s.prior or s.usual, name) for name, s in self.of.items()]
