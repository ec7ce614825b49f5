"""Word sequences behind a TextCNN's predictions: the windows at its maxima, and the classes they favour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import InputError
from headstart.text.batches import TokenRows, even_chunks
from headstart.text.textcnn import TextCNN, linear_of
from headstart.text.words import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class Ngram:
    """A word sequence and what it contributes to a class.

    Attributes
    ----------
    words : tuple of str
        As many as the maps are wide; fewer in a text that is shorter.
    score : float
        Sum over the texts of what it adds to the class's logit, over that of the mean class.
    n_texts : int
        In how many texts it is a maximum of at least one map.
    """

    words: tuple[str, ...]
    score: float
    n_texts: int

    @property
    def text(self) -> str:
        """The words, separated by spaces."""
        return " ".join(self.words)


def telling_ngrams(
    model: TextCNN,
    token_rows: Sequence[NDArray[np.int64]],
    vocabulary: Vocabulary,
    classes: Sequence[str],
    *,
    most: int = 10,
    max_words: int | None = None,
) -> dict[str, tuple[Ngram, ...]]:
    """The word sequences that contribute most to each class, over some texts.

    The logit of class `k` is an intercept plus, for each map `m`, the map's maximum over the text
    times the weight ``w[k, m]``. Each such product is given to the window in which the maximum is
    (the first of equal ones). The weights are taken over the mean of all classes', because adding a
    number to all logits changes no probability. Summed over maps and texts, the contributions are the
    scores; they sum to the logits, so nothing is estimated.

    Parameters
    ----------
    model : TextCNN
    token_rows : sequence of int64 array (L_i,)
    vocabulary : Vocabulary
    classes : sequence of str
        In the order of the logits.
    most : int >= 1
        Sequences per class.
    max_words : int, optional
        As in `predict_proba`.

    Returns
    -------
    dict of class to tuple of Ngram
        The highest score first, ties in alphabetical order; positive scores only.

    Raises
    ------
    InputError
        `most` is below 1, or the classes are not as many as the logits.
    """
    weights = linear_of(model).weight.detach()
    if most < 1:
        raise InputError(f"most must be at least 1, got {most}")
    if len(classes) != len(weights):
        raise InputError(f"the network has {len(weights)} classes, and {len(classes)} are named")
    scores: dict[tuple[int, ...], NDArray[np.float64]] = {}
    n_texts: dict[tuple[int, ...], int] = defaultdict(int)
    for window, contribution in contributions(model, token_rows, max_words=max_words):
        scores[window] = scores.get(window, 0.0) + contribution
        n_texts[window] += 1
    named = sorted((tuple(vocabulary.words[i] for i in window), window) for window in scores)
    return {
        label: tuple(
            Ngram(words=words, score=float(scores[window][k]), n_texts=n_texts[window])
            for words, window in sorted(named, key=lambda pair: -scores[pair[1]][k])[:most]
            if scores[window][k] > 0
        )
        for k, label in enumerate(classes)
    }


def contributions(
    model: TextCNN, token_rows: Sequence[NDArray[np.int64]], *, max_words: int | None = None
) -> Iterator[tuple[tuple[int, ...], NDArray[np.float64]]]:
    """Each window of each text that has a maximum, and what it adds to the logits.

    Yields
    ------
    window : tuple of int
        Word numbers, without padding.
    contribution : float64 array (K,)
        Over the mean of all classes. The sum over a text's windows is its logits less the
        intercepts, less their mean over the classes.
    """
    weights = linear_of(model).weight.detach()
    weights = (weights - weights.mean(0)).double()
    rows = TokenRows.of(token_rows, n_words=model.n_words, max_words=max_words)
    for indices in even_chunks(rows):
        tokens = rows.padded(indices).to(weights.device)
        with torch.no_grad():
            found = model.maxima(tokens)
        for number, width in enumerate(model.widths):
            values, starts = found[number]
            n_maps = values.shape[1]
            own = weights[:, number * n_maps : (number + 1) * n_maps]
            yield from _by_window(tokens, width, values.double(), starts, own)


def _by_window(
    tokens: Tensor, width: int, values: Tensor, starts: Tensor, weights: Tensor
) -> Iterator[tuple[tuple[int, ...], NDArray[np.float64]]]:
    """The windows of one width, each text's windows one by one."""
    products = (values[:, :, None] * weights.T[None]).cpu().numpy()
    fires = (values > 0).cpu().numpy()
    rows, at = tokens.cpu().numpy(), starts.cpu().numpy()
    for i, row in enumerate(rows):
        for start in np.unique(at[i][fires[i]]):
            window = row[start : start + width]
            here = fires[i] & (at[i] == start)
            yield tuple(window[window > 0].tolist()), products[i][here].sum(0)
