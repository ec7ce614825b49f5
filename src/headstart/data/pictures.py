"""Images given as files, bytes, arrays or PIL images, in one form."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.data.decode import read_rgb
from headstart.errors import DataError

ACCEPTED = (
    "a path, the bytes of an image file, a PIL image, or a uint8 array (height, width, 3) or "
    "(height, width)"
)


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """An image that is not a file.

    Attributes
    ----------
    name
        Name in errors: ``"image 3"``, counted from 0.
    content
        A PIL image of any mode, or the bytes of an image file.
    """

    name: str
    content: bytes | Image.Image


class FetchedPicture(Picture):
    """The bytes of an image file that are fetched when they are first read, from any thread.

    Every network of a model reads them. So that they are fetched once, they lie in a file meanwhile.

    Parameters
    ----------
    fetch : callable
        Returns the bytes; raises DataError with the reason where it cannot.
    file : Path
        Written here.
    """

    __slots__ = ("_error", "_fetch", "_file", "_lock")
    _error: str
    _fetch: Callable[[], bytes]
    _file: Path
    _lock: threading.Lock

    def __init__(self, name: str, fetch: Callable[[], bytes], file: Path) -> None:
        own = {
            "name": name,
            "_error": "",
            "_fetch": fetch,
            "_file": file,
            "_lock": threading.Lock(),
        }
        for attribute, value in own.items():  # frozen
            object.__setattr__(self, attribute, value)

    @property
    def content(self) -> bytes:
        """The bytes.

        Raises DataError where they cannot be fetched, now or when it was tried first.
        """
        with self._lock:
            if self._error:
                raise DataError(self._error)
            if self._file.exists():
                return self._file.read_bytes()
            try:
                data = self._fetch()
                self._file.write_bytes(data)
            except (DataError, OSError) as error:
                reason = f"cannot keep it: {error}" if isinstance(error, OSError) else str(error)
                object.__setattr__(self, "_error", reason)
                raise DataError(reason) from None
            return data

    def forget(self) -> None:
        """Delete the file."""
        self._file.unlink(missing_ok=True)


Source = Path | Picture


def list_sources(images: Any) -> list[Source]:
    """The images in order, without reading them.

    Parameters
    ----------
    images : path, bytes, PIL image, array, or a sequence of these
        Arrays are uint8: (height, width, 3), (height, width) for grey, or a stack of either.

    Raises
    ------
    DataError
        An item has an unsupported type, or an array an unsupported shape or dtype.
    """
    if is_one_image(images):
        return [source_of(images, 0)]
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        _check_stack(images)
        return [source_of(item, i) for i, item in enumerate(images)]
    if isinstance(images, dict) or not isinstance(images, Iterable):
        raise DataError(f"images must each be {ACCEPTED}; got {_kind(images)}")
    return [source_of(item, i) for i, item in enumerate(images)]


def is_one_image(images: Any) -> bool:
    """Whether this is one image rather than several."""
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        # Two or three grey images are not colour channels.
        return images.ndim == 2 or (images.ndim == 3 and images.shape[-1] == 3)
    return isinstance(
        images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image | Picture
    )


def source_of(item: Any, i: int) -> Source:
    """One image; `i` is its position, for errors.

    Raises DataError where it has an unsupported type, or an array an unsupported shape or dtype.
    """
    if isinstance(item, np.ndarray) and item.shape in ((), (1,)):
        item = item.reshape(-1)[0]  # a row of a column of paths
    if isinstance(item, Picture):
        return item
    if isinstance(item, str | os.PathLike):
        return Path(os.fspath(item))
    name = f"image {i}"
    if isinstance(item, bytes | bytearray | memoryview):
        return Picture(name, bytes(item))
    if isinstance(item, Image.Image):
        if 0 in item.size:
            raise DataError(f"{name} is a PIL image without pixels: {item.width} x {item.height}")
        return Picture(name, item)
    if isinstance(item, np.ndarray):
        is_grey, is_colour = item.ndim == 2, item.ndim == 3 and item.shape[2] == 3
        if item.dtype != np.uint8 or not (is_grey or is_colour) or 0 in item.shape:
            raise DataError(
                f"{name} must be a uint8 array of shape (height, width, 3) or (height, width); got "
                f"{item.dtype} of shape {item.shape}"
            )
        return Picture(name, Image.fromarray(np.ascontiguousarray(item)))
    raise DataError(f"{name} must be {ACCEPTED}; got {_kind(item)}")


def picture_of(source: Source) -> Image.Image:
    """Decode with `headstart.data.read_rgb`.

    Raises
    ------
    DataError
        It cannot be read.
    """
    if isinstance(source, Path):
        return read_rgb(source)
    return read_rgb(source.content, name=source.name)


def _check_stack(images: np.ndarray[Any, Any]) -> None:
    """Refuse an array that looks like one image in another layout rather than a stack of grey images."""
    if images.ndim == 3 and (images.shape[-1] in (1, 2, 4) or images.shape[0] in (3, 4)):
        raise DataError(
            f"an array of shape {images.shape} is neither (height, width, 3) nor clearly a stack of grey "
            "pictures: put the three colours last and leave out alpha, or give a list of pictures"
        )


def _kind(value: Any) -> str:
    return type(value).__name__
