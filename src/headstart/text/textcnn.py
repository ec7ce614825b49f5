"""TextCNN: convolutions over the words of a text, the maximum over time, and a linear layer.

Y. Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014. A *window* is so many
neighbouring words as a map is wide.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.text.settings import require_variant
from headstart.text.words import PAD

# The copies of the word vectors that each variant has.
CHANNELS: dict[str, tuple[str, ...]] = {
    "rand": ("tuned",),
    "static": ("static",),
    "non-static": ("tuned",),
    "multichannel": ("static", "tuned"),
}
WIDTHS = (3, 4, 5)
N_MAPS = 100
DROPOUT = 0.5
# Random vectors are uniform in [-a, a], as in Kim's code.
RANDOM_RANGE = 0.25


class TextCNN(nn.Module):
    """A network from word numbers to logits.

    A text shorter than a map is padded with zero vectors to one window; no other window extends
    beyond the end of a text, so the logits of a text do not depend on its batch. (Kim's code pads
    every text to the longest one; we follow his paper, "padded where necessary".)

    Parameters
    ----------
    n_words : int
        `V`, ``"<pad>"`` and ``"<unk>"`` counted.
    n_features : int
        `d`, the length of a word vector.
    n_classes : int
        `K`.
    variant : {"rand", "static", "non-static", "multichannel"}
        See `headstart.text.VARIANTS`. With two channels a map has separate weights for each, as a convolution of
        an image has for each colour.
    widths : sequence of int
    n_maps : int
        Of each width.
    dropout : float in [0, 1)
        Of the penultimate features.
    vectors : float array (V, d), optional
        Required by all variants except ``rand``, which ignores it. Row 0, padding, is taken as zero.
    seed : int
        Random seed.

    Attributes
    ----------
    channels : torch.nn.ModuleDict
        ``static`` (frozen) and ``tuned``: `torch.nn.Embedding`, as the variant has them.
    maps : torch.nn.ModuleDict
        ``width3`` and so on: `torch.nn.Conv1d`.
    head : torch.nn.Sequential
        ``dropout`` and ``linear``: penultimate features to logits.

    Raises
    ------
    InputError
        The variant is unknown, or `vectors` is missing, of another shape, or not finite.
    """

    def __init__(
        self,
        n_words: int,
        n_features: int,
        n_classes: int,
        *,
        variant: str = "rand",
        widths: Sequence[int] = WIDTHS,
        n_maps: int = N_MAPS,
        dropout: float = DROPOUT,
        vectors: NDArray[np.floating] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_variant(variant)
        self.variant = variant
        self.widths = tuple(sorted(widths))
        given = None if variant == "rand" else _checked(vectors, variant, n_words, n_features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            start = _random_vectors(n_words, n_features) if given is None else given
            self.channels = nn.ModuleDict(
                {name: _embedding(start, name == "static") for name in CHANNELS[variant]}
            )
            n_inputs = n_features * len(self.channels)
            self.maps = nn.ModuleDict(
                {f"width{w}": nn.Conv1d(n_inputs, n_maps, w) for w in self.widths}
            )
            parts = {
                "dropout": nn.Dropout(dropout),
                "linear": nn.Linear(n_maps * len(self.widths), n_classes),
            }
            self.head = nn.Sequential(OrderedDict(parts))

    @property
    def n_words(self) -> int:
        """`V`."""
        return len(cast("Tensor", next(iter(self.channels.values())).weight))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, K) of word numbers (B, L), int64, each row padded with 0 at its end."""
        logits: Tensor = self.head(self.penultimate(tokens))
        return logits

    def penultimate(self, tokens: Tensor) -> Tensor:
        """All maps' maxima over time, rectified: (B, n_maps * number of widths), narrowest first."""
        return torch.cat([values for values, _ in self.maxima(tokens)], 1)

    def maxima(self, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each width the maxima (B, n_maps), rectified, and the word at which each one's window starts."""
        vectors = self.embed(tokens)
        lengths = (tokens != PAD).sum(1)
        shortest = int(lengths.min()) if len(tokens) else 0
        return [
            self._maxima(vectors, width, lengths, is_ragged=shortest < tokens.shape[1])
            for width in self.widths
        ]

    def embed(self, tokens: Tensor) -> Tensor:
        """Word vectors (B, d * channels, L), L at least the widest map's; zeros for padding."""
        missing = self.widths[-1] - tokens.shape[1]
        if missing > 0:
            tokens = nn.functional.pad(tokens, (0, missing), value=PAD)
        channels = [channel(tokens) for channel in self.channels.values()]
        whole = channels[0] if len(channels) == 1 else torch.cat(channels, 2)
        return whole.transpose(1, 2).contiguous()

    def _maxima(
        self, vectors: Tensor, width: int, lengths: Tensor, *, is_ragged: bool
    ) -> tuple[Tensor, Tensor]:
        responses = self.maps[f"width{width}"](vectors)
        n_windows = responses.shape[2]
        # Also where no row is shorter than its batch: all may be shorter than the widest map.
        if is_ragged or n_windows > 1:
            own = (lengths - width + 1).clamp(min=1)
            if int(own.min()) < n_windows:
                beyond = torch.arange(n_windows, device=own.device) >= own[:, None]
                responses = responses.masked_fill(beyond[:, None], -torch.inf)
        values, starts = responses.max(2)
        return values.relu(), starts

    @torch.no_grad()
    def taps(self, tokens: Tensor) -> dict[str, Tensor]:
        """Features of every layer, by name.

        Parameters
        ----------
        tokens : Tensor of shape (B, L), int64

        Returns
        -------
        dict of str to Tensor of shape (B, n_features)
            ``embedding``: the mean vector of the words, channel by channel; zeros for no words.
            ``width3`` and so on: the maps' maxima. ``penultimate``: all of these.
        """
        lengths = (tokens != PAD).sum(1, keepdim=True).clamp(min=1)
        # Padding adds zeros to the sum.
        found = {"embedding": self.embed(tokens).sum(2) / lengths}
        by_width = [values for values, _ in self.maxima(tokens)]
        found |= {f"width{w}": v for w, v in zip(self.widths, by_width, strict=True)}
        return found | {"penultimate": torch.cat(by_width, 1)}


def limit_norms(weight: Tensor, most: float) -> None:
    """Shorten, in place, each row of `weight` that is longer than `most` to that length.

    The constraint on the output layer's rows of Kim 2014, section 2.1, after each step (G. Hinton et
    al., "Improving neural networks by preventing co-adaptation of feature detectors", 2012).
    """
    with torch.no_grad():
        norms = weight.norm(dim=1, keepdim=True)
        weight.mul_((most / norms.clamp(min=1e-12)).clamp(max=1.0))


def linear_of(model: TextCNN) -> nn.Linear:
    """The output layer's weights and intercepts."""
    return cast("nn.Linear", model.head.get_submodule("linear"))


def _checked(
    vectors: NDArray[np.floating] | None, variant: str, n_words: int, n_features: int
) -> Tensor:
    """Word vectors as a tensor."""
    if vectors is None:
        raise InputError(
            f"the variant {variant!r} needs word vectors: give some, or take the variant 'rand'"
        )
    array = np.asarray(vectors, dtype=np.float32)
    if array.shape != (n_words, n_features):
        raise InputError(
            f"word vectors must have shape {(n_words, n_features)}, one row per word of the "
            f"vocabulary, got {array.shape}"
        )
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise InputError(f"the word vector in row {bad} has values that are not finite")
    return torch.from_numpy(array)


def _random_vectors(n_words: int, n_features: int) -> Tensor:
    return torch.empty(n_words, n_features).uniform_(-RANDOM_RANGE, RANDOM_RANGE)


def _embedding(start: Tensor, is_frozen: bool) -> nn.Embedding:
    """A channel with its own weights; the zeros of padding receive no gradient."""
    own = start.clone()
    own[PAD] = 0.0
    channel = nn.Embedding(len(own), own.shape[1], padding_idx=PAD, _weight=own)
    channel.requires_grad_(not is_frozen)
    return channel
