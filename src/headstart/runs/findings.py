"""What the scores say of single images or texts: mistakes, suspicious labels, and small pictures of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.reliability.labels import counted_as
from headstart.runs.result import Mistake, SuspiciousLabel

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.data.records import Example

N_SHOWN = 24
THUMBNAIL_PX = 160
N_CHARACTERS = 400


def mistakes(
    records: Sequence[Example],
    P: NDArray[np.float64],
    classes: Sequence[str],
    predicted: NDArray[np.intp] | None = None,
) -> list[Mistake]:
    """Wrong predictions, the most confident first.

    Parameters
    ----------
    records : sequence of Example, length n
    P : array (n, K)
        Class probabilities.
    classes : sequence of str, length K
    predicted : int array (n,), optional
        Columns of the predicted classes; default the most probable ones.
    """
    predicted = P.argmax(axis=1) if predicted is None else predicted
    wrong = [i for i, r in enumerate(records) if classes[predicted[i]] != r.label]
    wrong.sort(key=lambda i: -P[i, predicted[i]])
    return [
        Mistake(
            **_shown(records[i]),
            true=records[i].label,
            predicted=classes[predicted[i]],
            probability=float(P[i, predicted[i]]),
        )
        for i in wrong[:N_SHOWN]
    ]


def suspicious_labels(
    records: Sequence[Example], P: NDArray[np.float64], classes: Sequence[str]
) -> tuple[list[SuspiciousLabel], int]:
    """Training labels that count as wrong, the least probable beside the suggestion first; and how many there are.

    They are those of :func:`headstart.reliability.labels.counted_as`, as in ``headstart clean``.
    """
    if not records:
        return [], 0
    column = {c: k for k, c in enumerate(classes)}
    member = np.array([column[r.label] for r in records])
    counted = counted_as(P, member)
    at = np.flatnonzero(counted != member)
    margin = P[at, counted[at]] - P[at, member[at]]
    order = at[np.argsort(-margin, kind="stable")]
    return [
        SuspiciousLabel(
            **_shown(records[i]),
            label=records[i].label,
            suggested=classes[counted[i]],
            probability=float(P[i, counted[i]]),
            split=records[i].split,
        )
        for i in order[:N_SHOWN]
    ], len(at)


def _shown(record: Example) -> dict[str, str]:
    """What tells which one it is; of a text, its beginning too."""
    told = {"name": record.name, "digest": record.digest}
    text = getattr(record, "text", None)
    if text is None:
        return told
    cut = text if len(text) <= N_CHARACTERS else text[: N_CHARACTERS - 1] + "…"
    return told | {"text": " ".join(cut.split())}


def thumbnails(records: Iterable[Record]) -> dict[str, bytes]:
    """JPEG bytes by digest, at most THUMBNAIL_PX on a side; a file that has gone is left out."""
    from headstart.data import read_rgb
    from headstart.errors import DataError

    small: dict[str, bytes] = {}
    for record in records:
        if record.digest in small:
            continue
        try:
            image = read_rgb(record.path, at_least=THUMBNAIL_PX)
        except DataError:
            continue
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        small[record.digest] = buffer.getvalue()
    return small


def numbered_sheet(records: Sequence[Record], n_columns: int = 6) -> bytes:
    """A PNG of small pictures with their numbers from 1, in rows; of a file that has gone, its number."""
    from PIL import Image, ImageDraw

    small = thumbnails(records)
    side = THUMBNAIL_PX + 16
    n_rows = -(-len(records) // n_columns)
    sheet = Image.new("RGB", (side * min(n_columns, len(records)), side * n_rows), "white")
    pen = ImageDraw.Draw(sheet)
    for i, record in enumerate(records):
        left, top = i % n_columns * side, i // n_columns * side
        pen.text((left, top), str(i + 1), fill=(30, 30, 30))
        if record.digest in small:
            sheet.paste(Image.open(io.BytesIO(small[record.digest])), (left, top + 14))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
