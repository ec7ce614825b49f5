"""Words to numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headstart.errors import InputError, one_line

PADDING, UNKNOWN = "<pad>", "<unk>"
PAD, UNK = 0, 1
"""Their numbers in every vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers.

    Parameters
    ----------
    words : tuple of str
        Word ``i`` has number ``i``; the first two are ``"<pad>"`` and ``"<unk>"``.

    Raises
    ------
    InputError
        The first two are others, or a word is there twice.
    """

    words: tuple[str, ...]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.words[:2] != (PADDING, UNKNOWN):
            raise InputError(
                f"the first two words of a vocabulary must be {PADDING} and {UNKNOWN}, "
                f"got {one_line(', '.join(map(str, self.words[:2])))!r}"
            )
        numbers = {word: i for i, word in enumerate(self.words)}
        if len(numbers) != len(self.words):
            twice = next(w for i, w in enumerate(self.words) if numbers[w] != i)
            raise InputError(f"the word {one_line(twice)!r} is in the vocabulary twice")
        object.__setattr__(self, "_numbers", numbers)

    def __len__(self) -> int:
        return len(self.words)

    def index(self, word: str) -> int:
        """Number of a word; that of ``"<unk>"`` for an unknown one."""
        return self._numbers.get(word, UNK)

    def encode(self, tokens: Iterable[str]) -> NDArray[np.int64]:
        """Numbers of words, of shape (L,)."""
        numbers = self._numbers
        return np.array([numbers.get(token, UNK) for token in tokens], dtype=np.int64)

    @classmethod
    def build(
        cls, token_lists: Iterable[Sequence[str]], min_count: int = 1, most: int = 50_000
    ) -> Vocabulary:
        """The words of some texts, the most frequent first, ties in alphabetical order.

        Parameters
        ----------
        token_lists : iterable of sequence of str
            Of the training texts only: a word that occurs only in the test texts must stay unknown.
        min_count : int >= 1
            Rarer words are left out.
        most : int >= 1
            Words to keep, ``"<pad>"`` and ``"<unk>"`` not counted.

        Raises
        ------
        InputError
            `min_count` or `most` is below 1.
        """
        for name, value in (("min_count", min_count), ("most", most)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        counts = Counter(token for tokens in token_lists for token in tokens)
        for special in (PADDING, UNKNOWN):
            counts.pop(special, None)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        kept = [word for word in ranked[:most] if counts[word] >= min_count]
        return cls((PADDING, UNKNOWN, *kept))
