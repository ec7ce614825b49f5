"""Sources: what differs between images and texts.

A source says which candidates there are, what rows of features a candidate has, what these cost, and
what identifies them. :mod:`headstart.runs` fits, tests and writes a run of any source in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from headstart.sources.blocks import Blocks


class Source(Protocol):
    """Examples of one kind, as the pipeline sees them.

    Attributes
    ----------
    noun : str
        What an example is called: ``"image"``.
    usual_name : str
        What the usual candidate is called: ``"the usual layer"``.
    code : tuple of str
        Rooms and files whose code decides the rows, where these are not kept under a key of their own.
    """

    noun: ClassVar[str]
    usual_name: ClassVar[str]
    code: ClassVar[tuple[str, ...]]

    @property
    def usual(self) -> Blocks:
        """The candidate that others are compared with."""

    @property
    def first(self) -> Blocks:
        """The candidate that is judged first, as an early answer."""

    @property
    def prior(self) -> Blocks | None:
        """The candidate that is the most accurate as a rule, if one is."""

    def candidates(self) -> list[Blocks]:
        """All kinds of features to judge."""

    def rows(self, blocks: Blocks, examples: Sequence[Any]) -> Any:
        """Features (n, d) of examples: an array, rows that stay in a store, or a sparse array."""

    def macs(self, blocks: Blocks, n_classes: int) -> int:
        """Multiply-accumulates of one example, up to the last feature needed."""

    def identity(self, blocks: Blocks) -> Any:
        """JSON-able value that decides the features, the examples apart."""

    def encoding(self, blocks: Blocks) -> dict[str, Any]:
        """What a saved model keeps, as arguments of :class:`headstart.runs.model.Model`."""

    def compared(self, usual: Blocks, chosen: Blocks) -> tuple[str, str]:
        """The usual candidate beside another one, in words: in full, and shorter."""
