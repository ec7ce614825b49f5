"""Batches of texts of similar length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import InputError
from headstart.text.words import PAD
from headstart.training.batches import Batch, derive_seed
from headstart.training.processes import ALONE, Processes

# Word numbers per pass in inference: some MiB of activations.
_CHUNK_WORDS = 4096


def bucketed_order(lengths: Tensor, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The batches of an epoch: neighbours by length, in a shuffled order.

    Texts are shuffled, sorted by length (texts of one length stay shuffled), cut into batches that
    differ in size by at most one, and the batches are shuffled. Each text occurs once. Of the
    padding that fills a batch up to its longest text, all batches of an epoch together have at most
    ``batch_size * (longest - shortest)`` words, however many texts there are: each batch begins
    where the one before it ends.

    Parameters
    ----------
    lengths : int64 Tensor of shape (n,)
    batch_size : int >= 1
    seed, epoch : int
        The same give the same batches.

    Returns
    -------
    list of int64 Tensor
        Indices; ``ceil(n / batch_size)`` batches in every epoch.
    """
    if not len(lengths):
        return []
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    order = torch.randperm(len(lengths), generator=generator)
    order = order[lengths[order].sort(stable=True).indices]
    batches = torch.tensor_split(order, -(-len(lengths) // batch_size))
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


@dataclass(frozen=True)
class TokenRows:
    """Texts of different lengths in one array.

    Attributes
    ----------
    words : int64 Tensor of shape (n_words_of_all_texts,)
    starts : int64 Tensor of shape (n + 1,)
        Text `i` is ``words[starts[i]:starts[i + 1]]``.
    """

    words: Tensor
    starts: Tensor

    @classmethod
    def of(
        cls, rows: Sequence[NDArray[np.int64]], *, n_words: int, max_words: int | None = None
    ) -> TokenRows:
        """Join rows of word numbers.

        Parameters
        ----------
        rows : sequence of int array (L_i,)
        n_words : int
            Size of the vocabulary.
        max_words : int, optional
            What a row has beyond these is left out.

        Raises
        ------
        InputError
            A row has another shape, or a number that no word has; its number, from 0, is given.
        """
        checked = [_checked_row(i, row, n_words)[:max_words] for i, row in enumerate(rows)]
        lengths = np.array([len(row) for row in checked], dtype=np.int64)
        joined = np.concatenate(checked) if checked else np.zeros(0, np.int64)
        return cls(
            words=torch.from_numpy(joined.astype(np.int64)),
            starts=torch.from_numpy(np.concatenate([[0], lengths.cumsum()]).astype(np.int64)),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Tensor:
        """Words of each text, of shape (n,)."""
        return self.starts.diff()

    def padded(self, indices: Tensor) -> Tensor:
        """Some texts as (B, L), L the longest of these and at least 1, padded with 0."""
        starts, lengths = self.starts[indices], self.lengths[indices]
        longest = max(int(lengths.max()), 1) if len(indices) else 1
        at = torch.arange(longest)
        inside = at < lengths[:, None]
        if not len(self.words):
            return torch.full(inside.shape, PAD)
        found = self.words[(starts[:, None] + at).clamp(max=len(self.words) - 1)]
        return found.masked_fill_(~inside, PAD)


def _checked_row(i: int, row: NDArray[np.int64], n_words: int) -> NDArray[np.int64]:
    array = np.asarray(row)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(
            f"row {i} must be a one-dimensional array of word numbers, got {array.dtype} of shape "
            f"{array.shape}"
        )
    if array.size and not 1 <= array.min() <= array.max() < n_words:
        bad = array.min() if array.min() < 1 else array.max()
        raise InputError(
            f"row {i} has the word number {bad}; those of this vocabulary go from 1 to {n_words - 1}"
            f"{' (0 is padding)' if bad == 0 else ''}"
        )
    return array


@dataclass(frozen=True, kw_only=True)
class TextBatches:
    """What the training loop is given; see `headstart.training.batches.Batches`.

    Attributes
    ----------
    train, val : TokenRows
    targets, val_targets : Tensor of shape (n, K), float32
        One value per row: the weight of the text, 1 where all count alike.
    batch_size, seed : int
    """

    train: TokenRows
    val: TokenRows
    targets: Tensor
    val_targets: Tensor
    batch_size: int
    seed: int

    def order(self, epoch: int) -> list[Tensor]:
        """The batches of an epoch."""
        return bucketed_order(self.train.lengths, self.batch_size, self.seed, epoch)

    def train_batch(
        self, indices: Tensor, epoch: int, step: int, rows: Tensor | None = None
    ) -> Batch:
        """Texts, none longer than need be."""
        indices = indices if rows is None else indices[rows]
        return Batch(self.train.padded(indices), self.targets[indices])

    def val_batches(self, processes: Processes = ALONE) -> Iterator[Batch]:
        """All validation texts, the shortest first."""
        for indices in list(even_chunks(self.val))[processes.rank :: processes.size]:
            yield Batch(self.val.padded(indices), self.val_targets[indices])


def even_chunks(rows: TokenRows, n_words: int = _CHUNK_WORDS) -> Iterator[Tensor]:
    """Indices of all rows by length, as many at once as have together about `n_words` words."""
    order = rows.lengths.sort(stable=True).indices
    lengths = rows.lengths[order].clamp(min=1).tolist()
    start = 0
    for end in range(1, len(order) + 1):
        # Adding the next row, the longest so far, would pad all others to its length.
        if end == len(order) or lengths[end] * (end + 1 - start) > n_words:
            yield order[start:end]
            start = end
