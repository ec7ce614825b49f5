"""Stacked bars of counts, such as images per class and split."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.plots import svg

_ROW = 24
# Steps of the ramps that also differ in lightness, so they are distinguishable in grey.
_FILLS = ("blue5", "blue2", "orange3")


def stacked_bars(
    labels: Sequence[str],
    counts: Sequence[Sequence[int]],
    parts: Sequence[str],
    *,
    name: str,
    title: str,
    description: str,
    width: float = 400,
) -> str:
    """One horizontal bar per label, with parts in different colours and the counts as text.

    Parameters
    ----------
    labels : sequence of str, length n_bars
    counts : sequence of sequences of int, shape (n_bars, n_parts)
    parts : sequence of str, length n_parts, at most 3
        Names for the legend.
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    width : float, default=400
        In px.
    """
    shown = [svg.shorten(label, 20) for label in labels]
    left = max((svg.text_width(label) for label in shown), default=0) + 8
    written = [" + ".join(f"{c:,}" for c in row) for row in counts]
    room = max((svg.text_width(w, size_px=11) for w in written), default=0) + 8
    longest = max((sum(row) for row in counts), default=0) or 1
    scale = max(width - left - room, 60) / longest
    body = _legend(parts)
    top = 28
    for i, row in enumerate(counts):
        y = top + i * _ROW
        words = ", ".join(f"{c:,} {part}" for c, part in zip(row, parts, strict=True))
        bar = [svg.tip(f"{labels[i]}: {words}")]
        bar.append(svg.text(shown[i], left - 8, y + 16, anchor="end"))
        bar += _bar(row, left, y, scale)
        bar.append(svg.text(written[i], left + sum(row) * scale + 6, y + 16, class_="muted small"))
        body.append(svg.element("g", *bar))
    height = top + _ROW * len(labels) + 4
    width = max(width, left + scale * longest + room)
    return svg.figure(name, title, description, width, height, *body)


def _bar(row: Sequence[int], x: float, y: float, scale: float) -> list[str]:
    parts = []
    for count, fill in zip(row, _FILLS, strict=False):
        box = {"x": x, "y": y + 4, "width": count * scale, "height": _ROW - 8.0}
        if count:
            parts.append(svg.element("rect", class_=fill, **box))
        x += count * scale
    return parts


def _legend(parts: Sequence[str]) -> list[str]:
    body, x = [], 2.0
    for part, fill in zip(parts, _FILLS, strict=False):
        body.append(svg.element("rect", x=x, y=4, width=12, height=12, class_=fill))
        body.append(svg.text(part, x + 17, 14, class_="small"))
        x += 34 + svg.text_width(part, size_px=11)
    return body
