"""Images with captions in rows on a white sheet."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from headstart.errors import one_line

GAP = 10
LINE = 15
INK, FAINT, RULE = (30, 30, 30), (110, 110, 110), (215, 215, 215)


@dataclass
class Cell:
    """An image (float32 (3, S, S) in [0, 1]), lines below it, and a small second image."""

    picture: Tensor
    lines: list[str]
    inset: Tensor | None = None


@dataclass
class Row:
    """Cells from the left (None: empty), notes after them, and a cell at the far right."""

    cells: list[Cell | None]
    notes: list[str] = field(default_factory=list)
    last: Cell | None = None
    begins_group: bool = False


def draw_rows(rows: list[Row]) -> Image.Image:
    """The sheet: as wide as its longest row, each row as high as its captions need."""
    side = next(c.picture.shape[-1] for row in rows for c in row.cells if c)
    font = ImageFont.load_default(size=12)
    n_columns = max(len(row.cells) for row in rows)
    notes_wide = 80 if any(row.notes for row in rows) else 0
    last_wide = side + GAP if any(row.last for row in rows) else 0
    width = GAP + n_columns * (side + GAP) + notes_wide + last_wide
    heights = [side + GAP + LINE * _n_lines(row) + 4 for row in rows]
    sheet = Image.new("RGB", (width, GAP + sum(heights)), "white")
    pen = ImageDraw.Draw(sheet)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        if row.begins_group and top > GAP:
            pen.line((GAP, top - GAP // 2, width - GAP, top - GAP // 2), fill=RULE)
        for column, cell in enumerate(row.cells):
            _put(sheet, cell, GAP + column * (side + GAP), top, font)
        right = GAP + n_columns * (side + GAP)
        for n, note in enumerate(row.notes):
            pen.text((right, top + side // 2 - LINE + n * LINE), note, fill=FAINT, font=font)
        _put(sheet, row.last, right + notes_wide, top, font)
        top += height
    return sheet


def _n_lines(row: Row) -> int:
    return max((len(c.lines) for c in (*row.cells, row.last) if c), default=0)


def _put(
    sheet: Image.Image,
    cell: Cell | None,
    x: int,
    y: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    if cell is None:
        return
    picture = as_image(cell.picture)
    side = picture.width
    sheet.paste(picture, (x, y))
    pen = ImageDraw.Draw(sheet)
    if cell.inset is not None:
        small = max(16, side * 3 // 10)
        thumb = as_image(cell.inset).resize((small, small), Image.Resampling.LANCZOS)
        left, top = x + side - small, y + side - small
        pen.rectangle((left - 2, top - 2, x + side - 1, y + side - 1), fill="white")
        sheet.paste(thumb, (left, top))
    for n, line in enumerate(cell.lines):
        text = fitted(one_line(line), side + GAP - 4, font)
        pen.text((x, y + side + 2 + n * LINE), text, fill=INK, font=font)


def fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """`text`, shortened with an ellipsis to `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def as_image(picture: Tensor) -> Image.Image:
    """A float32 tensor (3, H, W) in [0, 1] as an RGB image."""
    levels = picture.mul(255).round().clamp(0, 255).permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(levels, dtype=np.uint8))
