"""Numbers as the report writes them. Absent values (None, NaN) become an en dash."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headstart import wording
from headstart.data.labels import name_classes
from headstart.results import Interval

NOTHING = "–"
_THIN = "\u00a0"  # a space that no line breaks at


def about_data(classes: Sequence[str], notes: Sequence[str] = ()) -> list[str]:
    """The classes of a data set by name, and the notes on it, a sentence each."""
    return [
        f"Classes: {name_classes(classes)}.",
        *(f"{note[:1].upper()}{note[1:]}." for note in notes),
    ]


def beside_fit(of: str, rows: str, noun: str = "image", *, has_all_layers: bool = False) -> str:
    """What test accuracies are of, and why those of ``headstart fit`` on the same examples are others.

    `has_all_layers`: whether the page, too, compares layers and resolutions.
    """
    if noun != "image":  # of texts, one candidate is taken
        fit = "chooses among candidates of its own" if has_all_layers else "tries more candidates"
    elif has_all_layers:
        fit = "averages several candidates by default"
    else:
        fit = "tries more layers and resolutions, and averages several by default"
    return (
        f"Test accuracies here are of {of} with a linear SVM trained on {rows}. headstart fit {fit}, "
        f"so its accuracy on the same test {noun}s can differ."
    )


def percent(share: float | None) -> str:
    """0.931 as ``93.1 %``."""
    return NOTHING if _absent(share) else f"{100 * _number(share):.1f}{_THIN}%"


def bare_percent(share: float | None) -> str:
    """0.931 as ``93.1``, for columns whose head says percent."""
    return NOTHING if _absent(share) else f"{100 * _number(share):.1f}"


def bounds(interval: Interval | None) -> str:
    """The ends of an interval of shares as ``[92.2, 94.0]``."""
    if interval is None or not _is_closed(interval):
        return ""
    return f"[{100 * interval.low:.1f},{_THIN}{100 * interval.high:.1f}]"


def number_bounds(interval: Interval | None) -> str:
    """The ends of an interval of plain numbers as ``[0.779, 0.845]``; an open end as a dash."""
    if interval is None:
        return ""
    return f"[{decimal(interval.low)},{_THIN}{decimal(interval.high)}]"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points with its sign: ``−0.4``."""
    if _absent(difference):
        return NOTHING
    return wording.points(_number(difference))


def point_bounds(interval: Interval | None) -> str:
    """The ends of an interval of differences as ``[−0.9, +0.1]``."""
    if interval is None or not _is_closed(interval):
        return ""
    return f"[{points(interval.low)},{_THIN}{points(interval.high)}]"


def count(n: float | None) -> str:
    """2985 as ``2,985``."""
    return NOTHING if _absent(n) else f"{round(_number(n)):,}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A plain number with that many decimals."""
    return NOTHING if _absent(value) else f"{_number(value):.{digits}f}"


def plain(value: float | None) -> str:
    """A setting such as C in its shortest form."""
    return NOTHING if _absent(value) else f"{_number(value):g}"


def macs(n: float | None) -> str:
    """Multiply-accumulates an image as ``385 M`` or ``1.2 G``."""
    if _absent(n):
        return NOTHING
    value = _number(n)
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            scaled = value / size
            return f"{scaled:.1f}{_THIN}{unit}" if scaled < 10 else f"{scaled:.0f}{_THIN}{unit}"
    return f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """``0.8 s``, ``42 s``, ``3 min 5 s`` or ``2 h 10 min``."""
    if _absent(seconds):
        return NOTHING
    value = _number(seconds)
    if value < 9.95:
        return f"{value:.1f}{_THIN}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{_THIN}s"
    if whole < 3600:
        return f"{whole // 60}{_THIN}min {whole % 60}{_THIN}s"
    return f"{whole // 3600}{_THIN}h {whole % 3600 // 60}{_THIN}min"


def moment(iso: str) -> str:
    """``2026-05-09T07:35:25.1+00:00`` as ``2026-05-09 07:35 UTC``."""
    day, _, time = iso.partition("T")
    if not time:
        return iso
    is_utc = time.endswith(("Z", "+00:00"))
    return f"{day} {time[:5]}" + (" UTC" if is_utc else "")


def plural(n: int, one: str, many: str | None = None) -> str:
    """``1 image``, ``2 images``."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _is_closed(interval: Interval) -> bool:
    return math.isfinite(interval.low) and math.isfinite(interval.high)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
