"""Large images are decoded in turn, so that threads do not multiply what one of them takes.

A file of a hundred bytes may declare as many pixels as the limit allows, and each takes 8 to 20 bytes
while it is decoded. All threads of a process together use at most `MAX_AT_ONCE` bytes; images that need
no more than `SMALL` never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_AT_ONCE = 1_000_000_000
SMALL = 32_000_000

_BYTES_PER_PIXEL = {"WEBP": 16, "AVIF": 10, "JPEG2000": 20, "DICOM": 40}
"""Measured at the peak; 8 for all other formats: the image as stored, and as RGB beside it."""

_queue = threading.Lock()
_change = threading.Condition()
_decoding = 0


@contextmanager
def turn(n_pixels: int, image_format: str | None) -> Iterator[None]:
    """Wait until an image of so many pixels may be decoded; those who came first go first.

    An image that needs more than `MAX_AT_ONCE` is decoded alone.
    """
    global _decoding
    needed = n_pixels * _BYTES_PER_PIXEL.get(image_format or "", 8)
    if needed <= SMALL:
        yield
        return
    with _queue, _change:
        _change.wait_for(lambda: not _decoding or _decoding + needed <= MAX_AT_ONCE)
        _decoding += needed
    try:
        yield
    finally:
        with _change:
            _decoding -= needed
            _change.notify_all()
