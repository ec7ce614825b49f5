"""What a licence of weights means for those who use them."""

from __future__ import annotations

import re

_OWN_TERMS = re.compile(
    r"-(license|ascl|amlr)$|^(gemma|llama)|community|^other$|open-model|gated", re.IGNORECASE
)
_NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial|amlr|research", re.IGNORECASE)


def licence_note(licence: str) -> str:
    """What to know before use, or an empty text for a free licence.

    Examples
    --------
    >>> licence_note("cc-by-nc-4.0")
    'not for commercial use'
    >>> licence_note("dinov3-license")
    'with terms of its own'
    >>> licence_note("apache-2.0")
    ''
    """
    if _NON_COMMERCIAL.search(licence):
        return "not for commercial use"
    return "with terms of its own" if _OWN_TERMS.search(licence) else ""
