"""CPU time of decoding an image, and the part of it that holds the interpreter lock.

    python bench/decode.py [n_images]

Made photographs of 500 x 375 pixels (about 65 kB), from the bytes to the pixels in an array. Times are
CPU time of the thread, the best of five rounds, so that other load matters little. A decoder's own work
leaves the lock (tests/data/test_jpeg.py); everything else counts as under the lock.
"""

from __future__ import annotations

import argparse
import functools
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from headstart.data import jpeg, read_pixels, read_rgb

N_ROUNDS = 5


def photo(
    rng: np.random.Generator, width: int = 500, height: int = 375, *, dark: int | None = None
) -> bytes:
    """A JPEG file with large coloured areas, edges and some noise; ``dark`` names a weak channel."""
    colours = rng.integers(0, 256, (45, 60, 3), dtype=np.uint8)
    if dark is not None:
        colours[..., dark] //= 2
    coarse = Image.fromarray(colours)
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=int)
    noisy = (smooth + rng.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class Clock:
    """CPU time that the thread spends in a function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, with its CPU time added to this clock."""

        @functools.wraps(function)
        def call(*args: Any) -> Any:
            started = time.thread_time()
            result = function(*args)
            self.seconds += time.thread_time() - started
            return result

        return call


@contextmanager
def pillow_timed(away: Clock) -> Iterator[None]:
    """Time Pillow's decoder objects, whose method ``decode`` leaves the lock."""
    make = Image._getdecoder  # type: ignore[attr-defined]

    class Timed:
        def __init__(self, decoder: Any) -> None:
            self.decode, self._decoder = away.timed(decoder.decode), decoder

        def __getattr__(self, name: str) -> Any:
            return getattr(self._decoder, name)

    Image._getdecoder = lambda *args: Timed(make(*args))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        Image._getdecoder = make  # type: ignore[attr-defined]


def measure(decode: Callable[[bytes], Any], files: list[bytes], away: Clock) -> tuple[float, float]:
    """CPU milliseconds an image: in all, and outside of the decoder."""
    rounds = []
    for _ in range(N_ROUNDS):
        away.seconds, started = 0.0, time.thread_time()
        for data in files:
            decode(data)
        whole = time.thread_time() - started
        rounds.append((1e3 * whole / len(files), 1e3 * (whole - away.seconds) / len(files)))
    return min(w for w, _ in rounds), min(held for _, held in rounds)


def ways() -> Iterator[tuple[str, Callable[[bytes], Any], Clock]]:
    """Each way of decoding, with the clock of its decoder."""
    away = Clock()
    with pillow_timed(away):
        yield "Pillow, np.array", lambda data: np.array(Image.open(io.BytesIO(data))), away
        yield "read_rgb, np.array", lambda data: np.array(read_rgb(data)), away
    found = jpeg.fast_decoder
    for name, find in (("simplejpeg", jpeg._simplejpeg), ("torchvision", jpeg._torchvision)):
        try:
            decoder, away = find(), Clock()
        except Exception as error:
            print(f"{name}: not here ({error})")
            continue
        timed = away.timed(decoder)
        jpeg.fast_decoder = lambda timed=timed: timed  # type: ignore[misc, assignment]
        yield f"read_pixels by {name}", read_pixels, away
    jpeg.fast_decoder = found


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n_images", type=int, nargs="?", default=50)
    rng = np.random.default_rng(0)
    files = [photo(rng) for _ in range(parser.parse_args().n_images)]
    print(f"{len(files)} JPEG files, {np.mean([len(f) for f in files]) / 1e3:.0f} kB each")
    for name, decode, away in ways():
        whole, held = measure(decode, files, away)
        print(f"{name:28s} {whole:6.3f} ms of CPU an image, {held:6.3f} ms under the lock")


if __name__ == "__main__":
    main()
