"""Texts to words. Standard library only: an exported classifier of texts carries a copy of this file."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

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
