"""What a person calls images (files, arrays, PIL pictures) as RGB pictures, one form for all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.data import read_rgb
from headstart.errors import DataError

Source = Path | Image.Image


def list_sources(images: Any) -> list[Source]:
    """The images, in order: paths stay paths, everything else becomes a PIL picture in RGB.

    Parameters
    ----------
    images : path, PIL image, array, or a sequence of these
        Arrays are uint8: (height, width, 3), (height, width) for grey, or a stack of either.

    Raises
    ------
    DataError
        An item is of another kind, or an array of another shape or type.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        return [_source(images, 0)]
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        # One picture, or a stack; grey pictures side by side are no colours.
        is_one = images.ndim == 2 or (images.ndim == 3 and images.shape[-1] == 3)
        return [_source(item, i) for i, item in enumerate([images] if is_one else images)]
    if not isinstance(images, Iterable):
        raise DataError(f"images must be paths, PIL images or uint8 arrays; got {_kind(images)}")
    items: Sequence[Any] = list(images)
    return [_source(item, i) for i, item in enumerate(items)]


def picture_of(source: Source) -> Image.Image:
    """The RGB picture.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    return read_rgb(source) if isinstance(source, Path) else source


def _source(item: Any, i: int) -> Source:
    if isinstance(item, np.ndarray) and item.shape in ((), (1,)):
        item = item.reshape(-1)[0]  # a row of a column of paths
    if isinstance(item, str | os.PathLike):
        return Path(os.fspath(item))
    if isinstance(item, Image.Image):
        return item if item.mode == "RGB" else item.convert("RGB")
    if isinstance(item, np.ndarray):
        is_grey, is_colour = item.ndim == 2, item.ndim == 3 and item.shape[2] == 3
        if item.dtype != np.uint8 or not (is_grey or is_colour) or 0 in item.shape:
            raise DataError(
                f"image {i} must be uint8 of shape (height, width, 3); got {item.dtype} of shape "
                f"{item.shape}"
            )
        return Image.fromarray(np.ascontiguousarray(item)).convert("RGB")
    raise DataError(f"image {i} must be a path, a PIL image or a uint8 array; got {_kind(item)}")


def _kind(value: Any) -> str:
    return type(value).__name__
