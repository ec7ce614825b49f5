"""Predictions of a TextCNN: probabilities, and the features of each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.text.batches import TokenRows, even_chunks
from headstart.text.textcnn import TextCNN, linear_of


def predict_proba(
    model: TextCNN,
    token_rows: Sequence[NDArray[np.int64]],
    *,
    batch_size: int = 256,
    max_words: int | None = None,
) -> NDArray[np.float64]:
    """Softmax of the logits of texts, in their order.

    Parameters
    ----------
    model : TextCNN
        In evaluation mode.
    token_rows : sequence of int64 array (L_i,)
    batch_size : int
        Texts at once, at most; fewer where they are long.
    max_words : int, optional
        What a text has beyond these is not read.

    Returns
    -------
    float64 array (n, K)
        Those of a text do not depend on the other texts, except for rounding.

    Raises
    ------
    InputError
        A row is not an array of the vocabulary's word numbers.
    """
    n_classes = linear_of(model).out_features
    found = np.zeros((len(token_rows), n_classes))
    for indices, tokens in _chunks(model, token_rows, batch_size, max_words):
        with torch.no_grad():
            found[indices.numpy()] = model(tokens).double().softmax(1).cpu().numpy()
    return found


def extract_taps(
    model: TextCNN,
    token_rows: Sequence[NDArray[np.int64]],
    *,
    batch_size: int = 256,
    max_words: int | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Features of every layer of a network as it stands, by name: one pass over the texts.

    Parameters are those of `predict_proba`.

    Returns
    -------
    dict of str to float32 array (n, n_features)
        See `TextCNN.taps`.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for indices, tokens in _chunks(model, token_rows, batch_size, max_words):
        for name, values in model.taps(tokens).items():
            if name not in found:
                found[name] = np.zeros((len(token_rows), values.shape[1]), np.float32)
            found[name][indices.numpy()] = values.cpu().numpy()
    return found


def _chunks(
    model: TextCNN,
    token_rows: Sequence[NDArray[np.int64]],
    batch_size: int,
    max_words: int | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices and padded word numbers, texts of similar length together."""
    rows = TokenRows.of(token_rows, n_words=model.n_words, max_words=max_words)
    device = linear_of(model).weight.device
    for chunk in even_chunks(rows):
        for indices in torch.split(chunk, batch_size):
            yield indices, rows.padded(indices).to(device)
