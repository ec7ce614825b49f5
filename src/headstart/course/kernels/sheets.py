"""Images side by side on white sheets, with their kernels or names below.

Labels are plain ASCII: Pillow's own font has no minus sign and no multiplication sign.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from headstart.course.kernels.correlation import Variant, correlate
from headstart.course.kernels.filters import FeatureMaps, FirstFilters
from headstart.course.kernels.gallery import Kernel

Floats = NDArray[np.float32]

GAP, LINE, SIZE = 14, 16, 13
INK, FAINT, PAPER = (25, 28, 33), (95, 103, 112), (255, 255, 255)
# Results that do not keep brightness are scaled so that all but the brightest pixels fit.
PERCENTILE = 99.5
MAP_PX = 112
FILTER_PX = 56


@dataclass(frozen=True, kw_only=True)
class _Cell:
    picture: Image.Image
    title: str
    kernel: Sequence[Sequence[str]] = ()


def kernel_sheet(
    picture: Floats, kernels: Sequence[Kernel], *, stride: int, padding: str, dilation: int
) -> bytes:
    """The image, then the result of each kernel with the kernel printed below.

    Parameters
    ----------
    picture : float32 array (H, W, 3) in [0, 1]
    stride, padding, dilation
        As for `correlate`.

    Returns
    -------
    bytes
        A PNG. Results of kernels that keep brightness are clipped to [0, 1]; of others the absolute
        value is shown, scaled so that all but the brightest half per cent fits.
    """
    cells = [_Cell(picture=_as_image(picture), title="the picture")]
    for kernel in kernels:
        shown, factor = result_picture(
            picture, kernel, stride=stride, padding=padding, dilation=dilation
        )
        note = "" if factor is None else f", |result| x {factor:.2g}"
        cells.append(_Cell(picture=shown, title=kernel.name + note, kernel=kernel.printed()))
    return _sheet(cells, _columns(picture.shape[1], len(cells)))


def result_picture(
    picture: Floats, kernel: Kernel, *, stride: int, padding: str, dilation: int
) -> tuple[Image.Image, float | None]:
    """The result of one kernel as `kernel_sheet` shows it, in its own size.

    Returns
    -------
    (PIL.Image.Image, float or None)
        The image, and the factor of the absolute value; None if brightness is kept.
    """
    result = correlate(picture, kernel.weights, stride=stride, padding=padding, dilation=dilation)
    shown, factor = _visible(result, kernel.keeps_brightness)
    return _as_image(shown), factor


def picture_pixels(whole: Image.Image, longest_px: int) -> Floats:
    """An RGB image as float32 (H, W, 3) in [0, 1], reduced to a longer side of `longest_px`."""
    small = whole.copy()
    small.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    pixels: Floats = np.asarray(small, np.float32) / np.float32(255)
    return pixels


def variant_sheet(picture: Floats, kernel: Kernel, variants: Sequence[Variant]) -> bytes:
    """One kernel with several settings, each result in its own size, as a PNG."""
    cells = []
    for v in variants:
        shown, _ = result_picture(
            picture, kernel, stride=v.stride, padding=v.padding, dilation=v.dilation
        )
        title = f"stride {v.stride}, {v.padding}, dilation {v.dilation}: {v.width} x {v.height}"
        cells.append(_Cell(picture=shown, title=title))
    return _sheet(cells, _columns(picture.shape[1], len(cells)))


def filter_sheet(filters: FirstFilters) -> bytes:
    """Filters as small colour images, each scaled to its own range with grey for zero; a PNG."""
    reach = np.abs(filters.weights).max(axis=(1, 2, 3), keepdims=True)
    values = 0.5 + 0.5 * filters.weights / np.where(reach > 0, reach, 1)
    cells = [
        _Cell(picture=_enlarged(_as_image(v), FILTER_PX), title=str(i))
        for i, v in enumerate(values)
    ]
    return _sheet(cells, min(len(cells), 12))


def map_sheet(found: FeatureMaps) -> bytes:
    """The network's input, and the maps, each scaled to its own range; a PNG."""
    crop = found.crop.resize((MAP_PX, MAP_PX), Image.Resampling.LANCZOS)
    cells = [_Cell(picture=crop, title="the crop")]
    for channel, values in zip(found.channels, found.maps, strict=True):
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) / (high - low or 1.0)
        picture = _as_image(np.repeat(scaled[:, :, None], 3, axis=2))
        cells.append(_Cell(picture=_enlarged(picture, MAP_PX), title=f"map {channel}"))
    return _sheet(cells, min(len(cells), 6))


def _visible(result: Floats, keeps_brightness: bool) -> tuple[Floats, float | None]:
    """The result in [0, 1], and the factor of its absolute value."""
    if keeps_brightness:
        return np.clip(result, 0, 1), None
    size = np.abs(result)
    top = float(np.percentile(size, PERCENTILE)) or float(size.max()) or 1.0
    return np.clip(size / top, 0, 1), 1 / top


def _as_image(values: Floats) -> Image.Image:
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels))


def _enlarged(picture: Image.Image, side: int) -> Image.Image:
    """A small image at a whole multiple of its size near ``side``, its pixels as squares."""
    factor = max(1, round(side / picture.width))
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _columns(width: int, n: int) -> int:
    """As many columns as fit about 1,100 px, at least two."""
    return max(2, min(n, 1_100 // (width + GAP)))


def _sheet(cells: Sequence[_Cell], n_columns: int) -> bytes:
    plain = ImageFont.load_default(size=SIZE)
    wide = max(
        max(c.picture.width for c in cells),
        math.ceil(max(plain.getlength(c.title) for c in cells)),
        max(sum(_widths(c.kernel, plain)) for c in cells),
    )
    rows = [cells[i : i + n_columns] for i in range(0, len(cells), n_columns)]
    heights = [
        max(c.picture.height for c in row) + LINE * (1 + max(len(c.kernel) for c in row)) + 8 + GAP
        for row in rows
    ]
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (GAP + columns * (wide + GAP), GAP + sum(heights)), PAPER)
    pen = ImageDraw.Draw(sheet)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for i, cell in enumerate(row):
            _put(sheet, pen, cell, GAP + i * (wide + GAP), top, plain)
        top += height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _put(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    cell: _Cell,
    x: int,
    y: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    sheet.paste(cell.picture, (x, y))
    below = y + cell.picture.height + 4
    pen.text((x, below), cell.title, fill=INK, font=font)
    _put_kernel(pen, cell.kernel, x, below + LINE, font)


def _put_kernel(
    pen: ImageDraw.ImageDraw,
    kernel: Sequence[Sequence[str]],
    x: int,
    y: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """The numbers in columns, aligned right."""
    widths = _widths(kernel, font)
    for row in kernel:
        right = x
        for text, wide in zip(row, widths, strict=True):
            right += wide
            pen.text((right - font.getlength(text), y), text, fill=FAINT, font=font)
        y += LINE


def _widths(
    kernel: Sequence[Sequence[str]], font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[int]:
    """Width of each column in pixels, including the gap before it."""
    columns = list(zip(*kernel, strict=True))
    gap = math.ceil(font.getlength("00"))
    return [
        math.ceil(max(map(font.getlength, column))) + (gap if i else 0)
        for i, column in enumerate(columns)
    ]
