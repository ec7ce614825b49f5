"""Labels that look the same, and labels for missing values: detection, notes, merging on request.

Two labels look the same if they are equal ignoring case, Unicode form, white space and invisible
characters, separators between words, the spelling of numbers, and letters of other alphabets with Latin
shapes. Class folders and tables are read literally: each spelling is a class unless merging is
requested.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from headstart.data.duplicates import merge_groups
from headstart.data.sources import counted, shown
from headstart.data.targets import shown_labels
from headstart.errors import argument

T = TypeVar("T")

MISSING = frozenset(
    [
        "nan",
        "none",
        "null",
        "nil",
        "na",
        "n/a",
        "#n/a",
        "<na>",
        "nat",
        "n.a.",
        "missing",
        "-",
        "?",
        "",
    ]
)
"""Spellings of a missing label, in the form of `label_key`."""

MERGE_HINT = argument("merge_labels", True)
N_GROUPS = 3
ALPHABETS = "letters of another alphabet"
_NUMBER = re.compile(r"[+-]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})(e[+-]?\d{1,3})?", re.ASCII)
_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")
# Invisible, although Unicode classifies them as letters, marks or symbols.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_PUNCTUATION = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u02bc": "'"} | dict.fromkeys(_DASHES, "-")
)
# Cyrillic and Greek letters with Latin shapes (from Unicode's confusables).
_SAME_SHAPE = str.maketrans(
    "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423"
    "\u0430\u0435\u0455\u0456\u0458\u043e\u0440\u0441\u0445\u0443\u0501\u051b\u051d"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u03bf\u03bd\u03b1\u03c1\u03f2",
    "ABESIJKMHOPCTXYaesijopcxydqwABEZHIKMNOPTYXovapc",
)


def label_key(label: str) -> str:
    """A normal form of a label: without invisible characters and spelling variants.

    Examples
    --------
    >>> label_key("Sea_Lion"), label_key(" sea lion"), label_key("1.0"), label_key("01")
    ('sea lion', 'sea lion', '1', '1')
    """
    text = unicodedata.normalize("NFKC", _seen(label)).casefold()
    text = unicodedata.normalize("NFKC", text).translate(_PUNCTUATION)
    if _NUMBER.fullmatch(text):
        return f"{Decimal(text).normalize() + 0:f}"
    return _BETWEEN_WORDS.sub(" ", text)


def look_alikes(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of different labels that look the same, each sorted, ordered by first label."""
    names = sorted(set(labels))
    of_key: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for key in _keys(name):
            of_key[key].append(name)
    alike = merge_groups([group for group in of_key.values() if len(group) > 1], names)
    return sorted(tuple(sorted(group)) for group in alike if len(group) > 1)


def difference(a: str, b: str) -> str:
    """Describe the difference between two labels that look the same."""
    composed = [unicodedata.normalize("NFC", label) for label in (a, b)]
    seen = [_seen(text) for text in composed]
    key = label_key(a)
    if composed[0] == composed[1]:
        return "Unicode form"
    if seen[0] == seen[1]:
        return "spaces or invisible characters"
    if composed[0].casefold() == composed[1].casefold():
        return "case"
    if key != label_key(b):
        return ALPHABETS
    if _NUMBER.fullmatch(key):
        return "the spelling of the number"
    if seen[0].casefold() == seen[1].casefold():
        return "case and spaces or invisible characters"
    return "case, separators or Unicode form"


def spelled(label: str, *, apart_from: str | None = None) -> str:
    """A quoted label; characters that hide its difference from another label are escaped.

    `label`: the label as written. `apart_from`: another label, which looks the same.
    """
    if apart_from is None:
        return shown("".join(_escape(c) if _is_invisible(c) else c for c in label))
    reason = difference(label, apart_from)
    if reason == "case":
        return shown(label)
    is_hidden = _has_twin_letter if reason == ALPHABETS else _is_hidden
    return shown("".join(_escape(c) if is_hidden(c) else c for c in label))


def name_classes(classes: Sequence[str], *, n: int = 10) -> str:
    """The quoted names of the classes: all, or the first `n` and the total number."""
    more = f", ... ({len(classes):,} in all)" if len(classes) > n else ""
    return ", ".join(map(spelled, classes[:n])) + more


def twin_hint(labels: Iterable[str], among: Iterable[str]) -> str:
    """A sentence on look-alikes of `labels` `among` others, beginning with a space; or ``""``."""
    wanted, others = set(labels), set(among)
    named = []
    for group in look_alikes(wanted | others):
        own = next((x for x in group if x in wanted), None)
        twin = next((x for x in group if x in others and x != own), None)
        if own is not None and twin is not None:
            pair = f"{spelled(own, apart_from=twin)} and {spelled(twin, apart_from=own)}"
            named.append(f"{pair} differ in {difference(own, twin)} only")
    if not named:
        return ""
    rest = len(named) - N_GROUPS
    more = f", and so do {counted(rest, 'more pair')}" if rest > 0 else ""
    which = "them one class" if len(named) == 1 else "one class of each pair"
    return f" {', '.join(named[:N_GROUPS])}{more}: {MERGE_HINT} makes {which}."


def label_notes(labels: Sequence[str], noun: str, kind: str = "class") -> list[str]:
    """Notes on labels that look the same, and on labels for missing values.

    `labels`: one per example. `noun`: noun for an example. `kind`: noun for a label.
    """
    sizes = Counter(labels)
    notes = []
    groups = look_alikes(sizes)
    if groups:
        told = "; ".join(_told(group, sizes, noun) for group in groups[:N_GROUPS])
        rest = len(groups) - N_GROUPS
        more = f"; and {counted(rest, 'more group')} like these" if rest > 0 else ""
        notes.append(
            f"the labels {told}{more}: each spelling is a {kind} of its own; {MERGE_HINT} merges them"
        )
    missing = [label for label in sorted(sizes) if label_key(label) in MISSING]
    if missing:
        named = ", ".join(_sized(label, sizes, noun) for label in missing)
        one = len(missing) == 1
        notes.append(
            f"the {'label' if one else 'labels'} {named} {'is' if one else 'are'} often written for "
            f"a missing value: remove these {noun}s, or correct their label, unless "
            f"{'it names a class' if one else 'they name classes'}"
        )
    return notes


def merge_labels(items: Sequence[T], noun: str) -> tuple[list[T], list[str]]:
    """Replace labels that look the same with the most frequent spelling; also returns notes.

    `items`: frozen values with a ``label``, and perhaps several as ``target``. `noun`: noun for an
    item.
    """
    found: Sequence[Any] = items
    sizes = Counter(name for item in found for name in _labels_of(item))
    into: dict[str, str] = {}
    told = []
    for group in look_alikes(sizes):
        kept = min(group, key=lambda label: (-sizes[label], any(map(_is_hidden, label)), label))
        others = [label for label in group if label != kept]
        into |= dict.fromkeys(others, kept)
        told.append(
            f"{', '.join(_sized(x, sizes, noun, kept) for x in others)} into "
            f"{_sized(kept, sizes, noun, others[0])}"
        )
    if not into:
        return list(items), ["no labels look the same: there was nothing to merge"]
    merged = []
    for item in found:
        names = tuple(sorted({into.get(name, name) for name in _labels_of(item)}))
        if _has_several(item):
            item = replace(item, target=names, label=shown_labels(names))
        elif item.label in into:
            item = replace(item, label=names[0])
        merged.append(item)
    return merged, [f"merged labels that look the same: {'; '.join(told)}"]


def _has_several(item: Any) -> bool:
    return isinstance(getattr(item, "target", None), tuple)


def _labels_of(item: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = item.target if _has_several(item) else (item.label,)
    return found


def _told(group: Sequence[str], sizes: Mapping[str, int], noun: str) -> str:
    first, *others = group
    reasons = " and ".join(dict.fromkeys(difference(first, other) for other in others))
    *most, last = (_sized(x, sizes, noun, others[0] if x == first else first) for x in group)
    return f"{', '.join(most)} and {last} differ in {reasons} only"


def _sized(label: str, sizes: Mapping[str, int], noun: str, apart_from: str | None = None) -> str:
    return f"{spelled(label, apart_from=apart_from)} ({counted(sizes[label], noun)})"


def _keys(label: str) -> set[str]:
    """Keys of a label; labels with a common key look the same."""
    composed = unicodedata.normalize("NFKC", label)
    return {label_key(label), label_key(composed.translate(_SAME_SHAPE))}


def _seen(label: str) -> str:
    """Normalise white space, and remove invisible characters."""
    spaced = (" " if c.isspace() else "" if _is_invisible(c) else c for c in label)
    return " ".join("".join(spaced).split())


def _is_invisible(c: str) -> bool:
    if c.isascii():
        return not c.isprintable()
    is_selector = "\ufe00" <= c <= "\ufe0f" or "\U000e0100" <= c <= "\U000e01ef"
    is_blank = c in _BLANK or c.isspace() or is_selector
    return is_blank or unicodedata.category(c) in ("Cc", "Cf")


def _is_hidden(c: str) -> bool:
    """Whether a character may be invisible or look like another one."""
    if c.isascii():
        return not c.isprintable()
    is_mark = unicodedata.category(c) in ("Mn", "Me", "Pd")
    return _is_invisible(c) or is_mark or unicodedata.normalize("NFC", c) != c


def _has_twin_letter(c: str) -> bool:
    return _is_invisible(c) or c.translate(_SAME_SHAPE) != c


def _escape(c: str) -> str:
    return c.encode("unicode_escape").decode()
