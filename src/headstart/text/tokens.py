"""Texts to words. Standard library only: an exported classifier of texts carries a copy of this file."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Scripts that do not separate words by spaces: each character of kana and Han is a token.
_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
# Typographic apostrophes; invisible characters that do not separate words.
_SAME = str.maketrans(
    {"\u2019": "'", "\u02bc": "'", "\uff07": "'", "\u00ad": None, "\u200b": None, "\ufeff": None}
)
# Joiners within a word or an emoji: not marks by category, but they bind to their neighbours like marks.
_JOINERS = "\u200c\u200d"


def tokenize(text: str) -> list[str]:
    """Words and punctuation of a text, in lower case.

    After Kim's ``clean_str`` (Y. Kim, "Convolutional Neural Networks for Sentence Classification",
    EMNLP 2014): English contractions are split off (``don't`` becomes ``do n't``, ``it's`` becomes
    ``it 's``), and each punctuation mark is a token. Unlike there, nothing is dropped:
    letters of every script, digits, marks and emoji stay. Combining marks stay with their letter;
    each character of kana or Han is a token. Other scripts without spaces (Thai, Khmer, Lao)
    are not divided into words.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        Empty for a text of white space only.

    Examples
    --------
    >>> tokenize("Don't go: it's 3.5/10!")
    ['do', "n't", 'go', ':', 'it', "'s", '3', '.', '5', '/', '10', '!']
    """
    text = text.lower()
    if text.isascii():
        return _pattern("").findall(text)
    text = unicodedata.normalize("NFC", text.translate(_SAME))
    # Python's \w excludes combining marks, which would split words of Indic scripts.
    marks = {c for c in set(text) if unicodedata.category(c)[0] == "M" or c in _JOINERS}
    return _pattern("".join(sorted(marks))).findall(text)


@lru_cache(maxsize=256)
def _pattern(marks: str) -> re.Pattern[str]:
    """One token; `marks` are the characters of a text that belong to the preceding one."""
    letter = rf"(?:(?![{_SINGLE}])[\w{marks}])"
    ending = r"n't(?!\w)|'(?:s|ve|re|d|ll|m)(?!\w)"
    bound = rf"[{marks}]*" if marks else ""
    # A word ends where a contraction begins; the contraction is the next token.
    word = rf"(?:(?!(?<=\w)n't(?!\w)){letter})+"
    return re.compile(rf"(?<=\w)(?:{ending})|[{_SINGLE}]{bound}|{word}|[^\w\s]{bound}")
