"""Texts to words, and words to numbers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from headstart.errors import InputError, one_line

PADDING, UNKNOWN = "<pad>", "<unk>"
PAD, UNK = 0, 1
"""Their numbers in every vocabulary."""

# Scripts whose words are not parted by spaces: kana and Han, each character a token of its own.
_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
# Typographic apostrophes; characters that show nothing and part nothing.
_SAME = str.maketrans(
    {"\u2019": "'", "\u02bc": "'", "\uff07": "'", "\u00ad": None, "\u200b": None, "\ufeff": None}
)
# Joiners within a word or an emoji: no marks by category, but bound to their neighbours as these are.
_JOINERS = "\u200c\u200d"


def tokenize(text: str) -> list[str]:
    """Words and punctuation of a text, in lower case.

    After Kim's ``clean_str`` (Y. Kim, "Convolutional Neural Networks for Sentence Classification",
    EMNLP 2014): English contractions are split off (``don't`` becomes ``do n't``, ``it's`` becomes
    ``it 's``), and each punctuation mark is a token. It differs in that nothing is thrown away:
    letters of every script, digits, marks and emoji stay. Combining marks stay with their letter;
    a character of kana or Han is a token of its own. Scripts without spaces other than these
    (Thai, Khmer, Lao) are not divided into words.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        Empty for a text of white space alone.

    Examples
    --------
    >>> tokenize("Don't go: it's 3.5/10!")
    ['do', "n't", 'go', ':', 'it', "'s", '3', '.', '5', '/', '10', '!']
    """
    text = text.lower()
    if text.isascii():
        return _pattern("").findall(text)
    text = unicodedata.normalize("NFC", text.translate(_SAME))
    # Python's \w leaves combining marks out, which would cut words of Indic scripts to pieces.
    marks = {c for c in set(text) if unicodedata.category(c)[0] == "M" or c in _JOINERS}
    return _pattern("".join(sorted(marks))).findall(text)


@lru_cache(maxsize=256)
def _pattern(marks: str) -> re.Pattern[str]:
    """One token; `marks` are what a text has of characters that belong to the one before them."""
    letter = rf"(?:(?![{_SINGLE}])[\w{marks}])"
    ending = r"n't(?!\w)|'(?:s|ve|re|d|ll|m)(?!\w)"
    bound = rf"[{marks}]*" if marks else ""
    # A word ends where a contraction begins; the contraction is then the next token.
    word = rf"(?:(?!(?<=\w)n't(?!\w)){letter})+"
    return re.compile(rf"(?<=\w)(?:{ending})|[{_SINGLE}]{bound}|{word}|[^\w\s]{bound}")


@dataclass(frozen=True)
class Vocabulary:
    """The words that have a number.

    Parameters
    ----------
    words : tuple of str
        Word ``i`` has the number ``i``; the first two are ``"<pad>"`` and ``"<unk>"``.

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
        """The number of a word; that of ``"<unk>"`` for one that is not known."""
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
            Of the training texts alone: a word that only the test has must stay unknown.
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
