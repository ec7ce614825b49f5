"""Ordinary JPEG files are decoded without Pillow, to Pillow's pixels and with Pillow's reasons."""

from __future__ import annotations

import io
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data import jpeg, read_pixels, read_rgb
from headstart.errors import DataError

FINDERS = {"simplejpeg": jpeg._simplejpeg, "torchvision": jpeg._torchvision}


@pytest.fixture(params=FINDERS)
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each decoder that is installed, in the place of the fastest."""
    try:
        found = FINDERS[request.param]()
    except (ImportError, OSError, AttributeError):
        pytest.skip(f"{request.param} is not installed")
    if not jpeg._equals_pillow(found):
        pytest.skip(f"this version of {request.param} differs from Pillow and is not used")
    monkeypatch.setattr(jpeg, "fast_decoder", lambda: found)
    return found


def photo(width: int = 61, height: int = 43, seed: int = 0) -> Image.Image:
    """Smooth colours with some noise, as in a photograph."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=int)
    noisy = smooth + rng.integers(-9, 10, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def jpeg_of(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 85, **options})
    return buffer.getvalue()


def turned_by(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def outcome(read: Callable[..., Any], data: bytes, **options: Any) -> tuple[Any, str]:
    try:
        return np.asarray(read(data, **options)), ""
    except DataError as error:
        return None, str(error)


def assert_as_pillow(data: bytes, **options: Any) -> None:
    expected, why = outcome(read_rgb, data, **options)
    found, reason = outcome(read_pixels, data, **options)
    assert reason == why
    np.testing.assert_array_equal(found, expected)


ORDINARY = [
    {"subsampling": sampling, "progressive": progressive, "quality": quality}
    for sampling, progressive, quality in itertools.product((0, 1, 2), (False, True), (30, 95))
]


@pytest.mark.parametrize("options", ORDINARY, ids=lambda o: "-".join(map(str, o.values())))
def test_read_pixels__of_ordinary_files_are_pillows(
    decoder: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        jpeg_of(photo(*size).convert(mode), **options, **more)
        for size in ((61, 43), (64, 32), (1, 1), (3, 17), (130, 9))
        for mode in ("RGB", "L")
        for more in ({}, {"optimize": True}, {"restart_marker_rows": 1}, {"comment": b"hello"})
    ]
    expected = [np.asarray(read_rgb(data)) for data in files]
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow read an ordinary file"))
    for data, pixels in zip(files, expected, strict=True):
        np.testing.assert_array_equal(read_pixels(data), pixels)


@pytest.mark.parametrize("orientation", [*range(10), 65535])
def test_read_pixels__turns_as_exif_says(decoder: Any, orientation: int) -> None:
    data = jpeg_of(photo(), exif=turned_by(orientation))
    assert jpeg.header_of(data) is not None
    assert_as_pillow(data)
    assert read_pixels(data).flags.c_contiguous


XMP = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'


def with_segment(data: bytes, mark: int, body: bytes) -> bytes:
    return data[:2] + bytes([0xFF, mark]) + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def mpo() -> bytes:
    buffer = io.BytesIO()
    photo().save(buffer, "MPO", save_all=True, append_images=[photo(seed=1)])
    return buffer.getvalue()


def late_exif() -> bytes:
    data = jpeg_of(photo())
    at = data.index(b"\xff\xc0\0\x11")
    late = with_segment(data[:2], 0xE1, turned_by(6).tobytes())[2:]
    return data[: at + 19] + late + data[at + 19 :]


UNUSUAL = {
    "CMYK": jpeg_of(photo().convert("CMYK")),
    "RGB": jpeg_of(photo(), keep_rgb=True),
    "XMP": with_segment(jpeg_of(photo()), 0xE1, XMP),
    "two EXIF blocks": with_segment(
        jpeg_of(photo(), exif=turned_by(6)), 0xE1, turned_by(3).tobytes()
    ),
    "EXIF after the frame": late_exif(),
    "two pictures": mpo(),
    "Adobe without YCbCr": with_segment(jpeg_of(photo()), 0xEE, b"Adobe\0d\0\0\0\0\0"),
    "bytes after the end": jpeg_of(photo()) + b"rubbish",
    "no end": jpeg_of(photo())[:-2],
    "fill bytes": jpeg_of(photo()).replace(b"\xff\xdb", b"\xff\xff\xdb", 1),
    "12 bit": jpeg_of(photo()).replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
    "PNG": b"\x89PNG\r\n\x1a\n\0\0",
    "empty": b"",
    "header only": jpeg_of(photo())[:20] + b"\xff\xd9",
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_read_pixels__leaves_unusual_files_to_pillow(decoder: Any, kind: str) -> None:
    assert jpeg.header_of(UNUSUAL[kind]) is None
    assert_as_pillow(UNUSUAL[kind])


def test_read_pixels__damaged_exif_is_ignored(decoder: Any) -> None:
    data = jpeg_of(photo(), exif=b"Exif\0\0II*\0\xff\xff\xff\xffrubbish")
    assert jpeg.header_of(data) is not None
    assert_as_pillow(data)


@pytest.mark.parametrize("at_least", [10, 21, 22, 30, 43, 44, 61, (10, 43), (43, 10)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_read_pixels__reduced_sizes_are_pillows(
    decoder: Any, at_least: int | tuple[int, int], orientation: int
) -> None:
    assert_as_pillow(jpeg_of(photo(), exif=turned_by(orientation)), at_least=at_least)


def test_read_pixels__refuses_as_read_rgb_does(decoder: Any) -> None:
    data = jpeg_of(photo(20, 10))
    assert_as_pillow(data, max_pixels=199)
    assert_as_pillow(data, max_pixels=200)
    assert_as_pillow(data, digest="0" * 64)
    assert_as_pillow(data, name="holiday.jpg", max_pixels=1)
    progressive = jpeg_of(photo(), progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    assert_as_pillow(progressive[:-2] + 300 * scan + b"\xff\xd9")


def damaged() -> Iterator[bytes]:
    """Files with changed, removed and repeated bytes, most of them in the coded pixels."""
    rng = np.random.default_rng(0)
    sound = [
        jpeg_of(photo(), subsampling=2),
        jpeg_of(photo(), progressive=True),
        jpeg_of(photo().convert("L"), restart_marker_rows=1),
    ]
    for number in range(150):
        data = bytearray(sound[number % len(sound)])
        at, stop = sorted(int(v) for v in rng.integers(2, len(data) - 2, 2))
        if number % 5 == 0:
            del data[at : at + 1 + number % 7]
        elif number % 5 == 1:
            data = data[:at] + b"\xff\xd9"
        elif number % 5 == 2:
            data[at:at] = data[at:stop]
        else:
            for place in rng.integers(at, len(data) - 2, 1 + number % 3):
                data[place] = int(rng.integers(0, 256))
        yield bytes(data)


def test_read_pixels__damaged_files_give_pillows_pixels_or_reason(decoder: Any) -> None:
    for data in damaged():
        assert_as_pillow(data)


def test_read_pixels__pillow_alone_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg_of(photo(), exif=turned_by(6))
    expected = read_pixels(data)
    monkeypatch.setattr(jpeg, "fast_decoder", lambda: None)
    np.testing.assert_array_equal(read_pixels(data), expected)


def test_fast_decoder__is_found_here() -> None:
    assert jpeg.fast_decoder.__wrapped__() is not None


def test_fast_decoder__one_that_differs_from_pillow_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = jpeg._torchvision()
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: lambda data: real(data) ^ 1)
    monkeypatch.setattr(jpeg, "_torchvision", lambda: lambda data: real(data)[..., ::-1])
    assert jpeg.fast_decoder.__wrapped__() is None


@pytest.fixture
def no_switching() -> Iterator[None]:
    """Threads get the interpreter lock only where the one that has it gives it up."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


def test_read_pixels__other_threads_run_meanwhile(decoder: Any, no_switching: None) -> None:
    data = jpeg_of(photo(1500, 1100), quality=95)
    turns, done = 0, threading.Event()

    def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            time.sleep(0.0005)  # gives the lock up

    def turns_during(work: Callable[[], object]) -> int:
        before = turns
        work()
        return turns - before

    thread = threading.Thread(target=count)
    thread.start()
    try:
        assert turns_during(lambda: sum(range(3_000_000))) == 0  # the means works
        assert turns_during(lambda: decoder(data)) > 0
    finally:
        done.set()
        thread.join()


def test_read_pixels__holds_the_lock_for_a_small_share_of_its_time(
    decoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All CPU time outside of the decoder, which the test above shows to leave the lock."""
    data = jpeg_of(photo(500, 375), quality=90)
    away = 0.0

    def timed(data: bytes) -> Any:
        nonlocal away
        started = time.thread_time()
        pixels = decoder(data)
        away += time.thread_time() - started
        return pixels

    monkeypatch.setattr(jpeg, "fast_decoder", lambda: timed)
    shares = []
    for _ in range(5):
        away, started = 0.0, time.thread_time()
        for _ in range(10):
            read_pixels(data)
        shares.append(1 - away / (time.thread_time() - started))
    assert min(shares) < 0.2
