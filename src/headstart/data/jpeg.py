"""Fast decoding of ordinary JPEG files by a decoder that releases the interpreter lock.

Pillow holds the lock for much of its work: opening a file, copying it out of its own memory. Threads
that decode side by side then wait for one another, and for the thread that launches a network. The
decoders used here (simplejpeg, else that of torchvision) hold it for a fraction of that. They are used
only where the pixels equal Pillow's bit for bit: 8-bit greyscale and YCbCr. Everything unusual (CMYK,
RGB, several EXIF blocks, XMP, several pictures, reduced sizes) and everything that is damaged is left
to Pillow, which is the reference and gives the reason. torchvision's is deprecated from 0.29 on and
prints libjpeg's warnings about damaged files, so simplejpeg comes first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_BASELINE, _EXTENDED, _PROGRESSIVE, _SCAN = 0xC0, 0xC1, 0xC2, 0xDA
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a payload
_YCBCR = b"\x01\x02\x03"


@dataclass(frozen=True, slots=True)
class Header:
    """What decides whether a JPEG file is an ordinary one."""

    # width, height: as stored, before rotation
    width: int
    height: int
    exif: bytes = b""  # the EXIF block, ``b""`` if there is none


def header_of(data: bytes) -> Header | None:
    """The header of an ordinary JPEG file; None if Pillow is to read it."""
    if data[:3] != b"\xff\xd8\xff" or data[-2:] != b"\xff\xd9":
        return None
    at, exif, frame = 2, b"", None
    while data[at] == 0xFF and at + 4 <= len(data):
        mark = data[at + 1]
        if mark == 0xFF or mark in _ALONE:
            return None
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if mark == _SCAN:
            return frame
        is_frame = 0xC0 <= mark <= 0xCF and mark != 0xC4  # C4 are tables
        if frame is not None and (is_frame or 0xE0 <= mark <= 0xEF):  # late EXIF may turn the image
            return None
        if is_frame:
            frame = _frame(body, exif) if mark in (_BASELINE, _EXTENDED, _PROGRESSIVE) else None
            if frame is None:  # lossless, arithmetic, ...
                return None
        if mark == 0xE1:
            if exif or not body.startswith(b"Exif\0\0"):  # XMP may hold an orientation
                return None
            exif = body
        if (mark == 0xE2 and body.startswith(b"MPF\0")) or _is_odd_adobe(mark, body):
            return None
        at += 2 + length
        if at >= len(data):
            return None
    return None


def _frame(body: bytes, exif: bytes) -> Header | None:
    if len(body) < 6 or body[0] != 8 or body[5] not in (1, 3) or len(body) != 6 + 3 * body[5]:
        return None
    if body[5] == 3 and body[6::3] != _YCBCR:
        return None
    height, width = (int.from_bytes(body[i : i + 2], "big") for i in (1, 3))
    return Header(width, height, exif) if width and height else None


def _is_odd_adobe(mark: int, body: bytes) -> bool:
    """Whether an Adobe segment says that the three channels are not YCbCr."""
    return mark == 0xEE and body.startswith(b"Adobe") and body[11:12] != b"\x01"


def is_reduced(header: Header, at_least: int | tuple[int, int]) -> bool:
    """Whether Pillow would decode at 1/2, 1/4 or 1/8 of the size."""
    width, height = (at_least, at_least) if isinstance(at_least, int) else at_least
    return min(header.width // max(width, 1), header.height // max(height, 1)) >= 2


def decode(data: bytes, header: Header) -> Pixels | None:
    """The pixels (height, width, 3) as stored; None if no decoder is installed or the file is damaged."""
    decoder = fast_decoder()
    if decoder is None:
        return None
    try:
        pixels = decoder(data)
    except Exception:  # Pillow reads it or gives the reason
        return None
    return pixels if pixels.shape == (header.height, header.width, 3) else None


def turned(pixels: Pixels, exif_orientation: int) -> Pixels:
    """``pixels`` rotated and flipped by an EXIF orientation (1 to 8)."""
    if exif_orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if exif_orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if exif_orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)


@cache
def fast_decoder() -> Callable[[bytes], Pixels] | None:
    """The fastest installed decoder that equals Pillow on a test image, if any."""
    for find in (_simplejpeg, _torchvision):
        with contextlib.suppress(Exception):  # not installed, or changed: the next one
            decoder = find()
            if _equals_pillow(decoder):
                return decoder
    return None


def _simplejpeg() -> Callable[[bytes], Pixels]:
    simplejpeg = importlib.import_module("simplejpeg")

    def decoded(data: bytes) -> Pixels:
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB")
        return pixels

    return decoded


def _torchvision() -> Callable[[bytes], Pixels]:
    """The operator of torchvision's image library, without importing torchvision (a second)."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision")
    for library in Path(spec.origin).parent.glob("image*.so"):
        torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
    operator = torch.ops.image.decode_jpeg

    def decoded(data: bytes) -> Pixels:
        # A copy, because torch warns of memory that it must not write to.
        planes = operator(torch.frombuffer(bytearray(data), dtype=torch.uint8), _RGB, False)
        pixels: Pixels = planes.permute(1, 2, 0).numpy()
        return np.ascontiguousarray(pixels)

    return decoded


_RGB = 3  # torchvision.io.ImageReadMode.RGB


def _equals_pillow(decoder: Callable[[bytes], Pixels]) -> bool:
    values = np.arange(17 * 19 * 3, dtype=np.uint32) * 2654435761 >> 24
    picture = Image.fromarray(values.astype(np.uint8).reshape(17, 19, 3))
    files = [_saved(picture), _saved(picture.convert("L"))]
    # libjpeg-turbo before 2.1 smooths a progressive file that lacks scans in another way (torchvision 0.21).
    scans = _saved(picture.resize((61, 43)), progressive=True).split(b"\xff\xda")
    files += [b"\xff\xda".join(scans[:n]) + b"\xff\xd9" for n in range(2, len(scans))]
    return all(
        np.array_equal(decoder(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        for data in files
    )


def _saved(picture: Image.Image, **how: bool) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, **how)
    return buffer.getvalue()
