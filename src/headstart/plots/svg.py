"""Writing SVG: elements, text, marks and axes, as strings that are safe to put in a page."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from html import escape

from headstart.errors import one_line

# From this width on, in px, a figure is shown larger than the screen of a phone, which scrolls it.
BROAD = 640

_STAR = "M0-6.2 1.7-2 6.2-1.8 2.7 1.1 3.9 5.4 0 3-3.9 5.4-2.7 1.1-6.2-1.8-1.7-2Z"
_DIAMOND = "M0-5 5 0 0 5-5 0Z"
_TIE = "M-4.5-2.2Q-2.2-4.4 0-2.2T4.5-2.2M-4.5 2.6Q-2.2.4 0 2.6T4.5 2.6"


def element(name: str, /, *children: str, **attributes: str | float | None) -> str:
    """``<name ...>children</name>``; children are markup already, attributes are escaped.

    ``class_`` writes ``class``; other underscores become hyphens; ``None`` leaves one out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(children)
    return f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>"


def text(
    content: str,
    x: float,
    y: float,
    *,
    class_: str | None = None,
    anchor: str | None = None,
    transform: str | None = None,
) -> str:
    """A line of text with its baseline at ``(x, y)``; ``anchor`` is start, middle or end."""
    return element(
        "text", _clean(content), x=x, y=y, class_=class_, text_anchor=anchor, transform=transform
    )


def tip(content: str) -> str:
    """A tooltip for the parent element."""
    return element("title", _clean(content))


def figure(name: str, title: str, description: str, width: float, height: float, *body: str) -> str:
    """A whole figure. ``name`` must be unique in its page: it names the title and description."""
    return element(
        "svg",
        element("title", _clean(title), id=f"{name}-title"),
        element("desc", _clean(description), id=f"{name}-desc"),
        *body,
        xmlns="http://www.w3.org/2000/svg",
        class_="fig",
        data_broad="" if width >= BROAD else None,
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        style=f"--wide:{_value(width)}px",
    )


def mark(kind: str, x: float, y: float, *, class_: str | None = None) -> str:
    """The sign of a candidate: ``"chosen"`` a star, ``"best"`` a diamond, ``"tie"`` a wave pair."""
    place = f"translate({_value(x)} {_value(y)})"
    if kind == "chosen":
        return element("path", d=_STAR, transform=place, class_=class_ or "mark")
    if kind == "best":
        return element(
            "path",
            d=_DIAMOND,
            transform=place,
            class_=class_ or "outline",
            fill="none",
            stroke_width=1.6,
        )
    return element(
        "path", d=_TIE, transform=place, class_=class_ or "outline", fill="none", stroke_width=1.6
    )


def text_width(content: str, *, size_px: float = 12.5) -> float:
    """An upper estimate of the width of ``content`` in px, without font metrics."""
    ems = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.6 for c in content)
    return ems * size_px


def shorten(content: str, limit: int = 26) -> str:
    """``content`` on one line, with the middle left out if it is longer than ``limit``."""
    flat = one_line(content)
    if len(flat) <= limit:
        return flat
    head = (limit - 1) * 2 // 3
    return f"{flat[:head]}…{flat[len(flat) - (limit - 1 - head) :]}"


def ticks(low: float, high: float, *, n: int = 5) -> list[float]:
    """At most ``n`` round numbers inside ``[low, high]``: multiples of 1, 2 or 5 times 10**k.

    The smallest such step is used, so that there are at least two if ``n`` is 4 or more.
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    power = math.floor(math.log10(span / n))
    for step in (m * 10.0**k for k in (power, power + 1) for m in (1, 2, 5)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < n:
            break
    return [i * step for i in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """The ticks as text, all with the same number of decimals, minus signs as minus signs."""
    between = abs(values[1] - values[0]) if len(values) > 1 else 0.0
    step = between or abs(values[0]) or 1.0  # neighbours may agree up to rounding
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{v + 0.0:.{decimals}f}".replace("-", "−") for v in values]


def printable(content: str, *, limit: int = 4000) -> str:
    """``content`` with control characters escaped and no-break spaces kept.

    Names of files may contain newlines, terminal escapes and lone surrogates, which would be invalid
    XML or could not be encoded.
    """
    return "\u00a0".join(one_line(part, limit=limit) for part in content.split("\u00a0"))


def _clean(content: str) -> str:
    return escape(printable(content), quote=False)


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return escape(printable(value, limit=100_000))
    return f"{value:.2f}".rstrip("0").rstrip(".")
