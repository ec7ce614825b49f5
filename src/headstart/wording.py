"""Words and numbers that every room's sentences are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from headstart.errors import InputError, argument

# A headline has at most this many words; further detail goes into a paragraph below it.
MOST_WORDS = 25
# A share nearer to zero than this is zero but for rounding.
_ROUNDING = 1e-12


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(n: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 classes``."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{n:,} {noun if n == 1 else plural}"


def headline(*versions: str) -> str:
    """The first version of at most `MOST_WORDS` words; the last if all are longer."""
    return next((v for v in versions if len(v.split()) <= MOST_WORDS), versions[-1])


def without_repeats(sentence: str, detail: str) -> str:
    """A headline without its last clause, where the detail below it begins with the same in full."""
    first, between, last = sentence.rpartition("; ")
    subject = last.partition(",")[0].casefold()
    is_said = between and "," in last and detail.casefold().startswith(f"{subject},")
    return f"{first}." if is_said else sentence


def points(share: float, *, sign: bool = True) -> str:
    """A difference of shares in percentage points: ``+1.2``, ``−0.4``, ``0.0``.

    One decimal; what is not zero but would round to it has as many as it needs, ``+0.03``, so that
    the sign of a difference, and of the ends of its interval, can always be read.
    """
    if math.isinf(share):
        return "∞" if share > 0 else "−∞"
    if abs(share) < _ROUNDING:
        return "0.0"
    value = 100 * share
    n_digits = max(1, math.ceil(-math.log10(abs(value)))) if abs(value) < 0.05 else 1
    return f"{value:{'+' if sign else ''}.{n_digits}f}".replace("-", "−")


def amounts(interval: Iterable[float], *others: float) -> list[str]:
    """Value and ends of an interval, and other amounts beside it, with as many decimals as its width warrants.

    Two digits of half its width: ``1.42``, ``0.63``, ``2.03`` and of another ``0.80``.
    """
    value, low, high = interval
    found = [value, low, high, *others]
    half = (high - low) / 2
    if not half > 0 or not 1e-4 <= max(map(abs, found)) < 1e7:
        return [f"{v:.4g}" for v in found]
    n_decimals = max(0, 1 - math.floor(math.log10(half)))
    return [f"{v:.{n_decimals}f}" for v in found]


def signed_points(value: float, low: float, high: float) -> str:
    """A difference with its interval: ``+1.2 [+0.5, +1.9]``."""
    return f"{points(value)} [{points(low)}, {points(high)}]"


def unsigned_points(value: float, low: float, high: float) -> str:
    """The same where the words say which way it goes: ``1.2 [0.5, 1.9]``."""
    return "{} [{}, {}]".format(*(points(v, sign=False) for v in (value, low, high)))


def epoch_figures(
    train_loss: float, train_accuracy: float, val_loss: float, val_accuracy: float
) -> str:
    """``loss 0.41, accuracy 90.0 %; validation loss 0.5, accuracy 85.0 %``; without validation the former."""
    own, other = (
        f"loss {loss:.3g}, accuracy {100 * accuracy:.1f} %"
        for loss, accuracy in ((train_loss, train_accuracy), (val_loss, val_accuracy))
    )
    return (
        own if math.isnan(val_loss) and math.isnan(val_accuracy) else f"{own}; validation {other}"
    )


def rough_time(seconds: float) -> str:
    """``40 s``, ``8 min`` or ``2.5 h``: as exact as an estimate is."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5940 else f"{seconds / 3600:.1f} h"


def against_time(seconds: float, other: float) -> str:
    """``in 2.1 s instead of 40 s``; ``in the same time (2.1 s)`` where both read alike."""
    mine, its = _measured_time(seconds), _measured_time(other)
    return f"in the same time ({mine})" if mine == its else f"in {mine} instead of {its}"


def _measured_time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else rough_time(seconds)


def parse_seconds(text: str, parameter: str = "budget_s") -> float:
    """Seconds from ``"90s"``, ``"10m"`` or ``"1.5h"``.

    Raises InputError where the text is none of these.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    text = text.strip()
    if text and text.replace(".", "", 1).isdecimal():
        raise InputError(
            f"{argument(parameter)} needs a unit, such as {text}s or {text}m; got {text!r}"
        )
    try:
        seconds = float(text[:-1]) * units[text[-1:]]
    except (KeyError, ValueError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise InputError(
            f"{argument(parameter)} must be a time such as 90s, 10m or 1.5h; got {text!r}"
        )
    return seconds
