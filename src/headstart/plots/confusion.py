"""The confusion matrix, with numbers if they fit."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from headstart.plots import svg

# Classes up to which every cell is labelled.
N_LABELLED = 32
# Shares of the true class at which the colour of a mistake changes.
_MISTAKE_EDGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
# Maximum number of cells in a large matrix, to limit the size of the page.
_MAX_CELLS = 6000


def confusion_matrix(
    classes: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    name: str,
    title: str,
    description: str,
) -> str:
    """Matrix of true classes (rows) against predicted ones (columns).

    Above ``N_LABELLED`` classes the cells carry no numbers and the axes number the classes in
    order.

    Parameters
    ----------
    classes : sequence of str, length n_classes
    counts : sequence of sequences of int, shape (n_classes, n_classes)
        ``counts[i][j]`` images of class ``i`` were given to class ``j``.
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    """
    if len(classes) <= N_LABELLED:
        return _labelled(classes, counts, name, title, description)
    return _condensed(classes, counts, name, title, description)


def _labelled(
    classes: Sequence[str], counts: Sequence[Sequence[int]], name: str, title: str, description: str
) -> str:
    n = len(classes)
    digits = len(str(max((max(row) for row in counts), default=0)))
    size = min(max(400 / n, 15 + 7 * digits, 26), 60)
    labels = [svg.shorten(c, 20) for c in classes]
    longest = max(svg.text_width(label) for label in labels)
    lean = math.radians(50)
    # The corner must be large enough for the title of the rows.
    left, top = max(longest, 76) + 12, longest * math.sin(lean) + 30
    body = [svg.text("predicted class →", left, 12, class_="muted small")]
    body.append(svg.text("true class ↓", 0, top - 8, class_="muted small"))
    for j, label in enumerate(labels):
        x = left + (j + 0.5) * size + 4
        body.append(svg.text(label, x, top - 6, transform=f"rotate(-50 {x:.1f} {top - 6:.1f})"))
    for i, row in enumerate(counts):
        y = top + i * size
        body.append(svg.text(labels[i], left - 8, y + size / 2 + 4, anchor="end"))
        for j, count in enumerate(row):
            words = _words(classes, counts, i, j)
            box = _cell(left + j * size + 0.5, y + 0.5, size - 1, row, i, j, words)
            body.append(box)
            if count:
                body.append(
                    svg.text(
                        f"{count}",
                        left + (j + 0.5) * size,
                        y + size / 2 + 4,
                        anchor="middle",
                        class_=f"on-{_colour(row, i, j)} small" + (" strong" if i == j else ""),
                    )
                )
    width = left + n * size + longest * math.cos(lean) * 0.9
    return svg.figure(name, title, description, width, top + n * size + 4, *body)


def _condensed(
    classes: Sequence[str], counts: Sequence[Sequence[int]], name: str, title: str, description: str
) -> str:
    n = len(classes)
    size = 480 / n
    left, top = 40.0, 40.0
    side = n * size
    body = [
        svg.text("predicted class, numbered in order →", left, 12, class_="muted small"),
        svg.element("rect", x=left, y=top, width=side, height=side, class_="line"),
    ]
    for tick in svg.ticks(1, n, n=6):
        if tick < 1:
            continue
        place = (tick - 0.5) * size
        body.append(
            svg.text(f"{tick:g}", left + place, top - 6, class_="muted small", anchor="middle")
        )
        body.append(
            svg.text(f"{tick:g}", left - 6, top + place + 4, class_="muted small", anchor="end")
        )
    filled = [(c, i, j) for i, row in enumerate(counts) for j, c in enumerate(row) if c]
    filled = sorted(filled, key=lambda cell: (cell[1] != cell[2], -cell[0]))[:_MAX_CELLS]
    # A single mistake in a large matrix must be visible.
    drawn = max(size, 2.2)
    for _, i, j in filled:
        words = _words(classes, counts, i, j)
        body.append(_cell(left + j * size, top + i * size, drawn, counts[i], i, j, words))
    return svg.figure(name, title, description, left + side + 12, top + side + 6, *body)


def _cell(x: float, y: float, size: float, row: Sequence[int], i: int, j: int, words: str) -> str:
    colour = _colour(row, i, j) if row[j] else "empty"
    return svg.element("rect", svg.tip(words), x=x, y=y, width=size, height=size, class_=colour)


def _colour(row: Sequence[int], i: int, j: int) -> str:
    """Blue on the diagonal by recall, orange off it by the share of the true class."""
    share = row[j] / max(sum(row), 1)
    if i == j:
        # Not the strongest step: it is nearly black, and white on a dark page.
        return f"blue{min(int(share * 7), 6)}"
    return f"orange{bisect.bisect_right(_MISTAKE_EDGES, share)}"


def _words(classes: Sequence[str], counts: Sequence[Sequence[int]], i: int, j: int) -> str:
    total = sum(counts[i])
    share = 100 * counts[i][j] / total if total else 0.0
    return f"true {classes[i]}, predicted {classes[j]}: {counts[i][j]} of {total} ({share:.1f} %)"
