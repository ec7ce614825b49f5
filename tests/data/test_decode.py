"""Decoding to RGB: one way for each kind of image, one error for each kind of damage."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headstart.data.decode import is_image_name, read_pixels, read_rgb, upright
from headstart.errors import DataError
from headstart.features.store import SCHEMA

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("WEBP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("PPM", {}),
]


def _gradient(mode: str) -> Image.Image:
    return Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert(mode)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_read_rgb__reads_each_format(picture, encode, kind, options) -> None:
    image = picture(1)
    got = read_rgb(encode(image, kind, **options))
    assert (got.mode, got.size) == ("RGB", image.size)
    difference = np.abs(np.asarray(got, dtype=int) - np.asarray(image, dtype=int)).mean()
    assert difference < 10


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_read_rgb__keeps_what_pillow_would_give(encode, mode) -> None:
    image = _gradient(mode)
    got = read_rgb(encode(image))
    assert np.array_equal(np.asarray(got), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_read_rgb__composites_alpha_over_white(encode, mode) -> None:
    image = Image.new(mode, (2, 1), (0,) * len(mode))
    image.putpixel((1, 0), (0,) * (len(mode) - 1) + (255,))
    got = np.asarray(read_rgb(encode(image)))
    assert got.tolist() == [[[255, 255, 255], [0, 0, 0]]]


def test_read_rgb__shows_a_transparent_palette_entry_as_white(encode) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    got = np.asarray(read_rgb(encode(image, "PNG", transparency=0)))
    assert got.tolist() == [[[255, 255, 255], [0, 255, 0]]]


def test_read_rgb__converts_cmyk(encode) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    got = np.asarray(read_rgb(encode(image, "JPEG", quality=100)))[4, 4]
    assert got[0] > 240
    assert got[1:].max() < 15


@pytest.mark.parametrize(
    ("top", "expected"), [(65535, [0, 128, 255]), (4095, [0, 128, 255]), (255, [0, 128, 255])]
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_read_rgb__scales_16_bit_from_its_depth(encode, top, expected, kind) -> None:
    image = Image.fromarray(np.array([[0, round(top * 128 / 255), top]], dtype=np.uint16))
    got = np.asarray(read_rgb(encode(image, kind)))
    assert got[0, :, 0].tolist() == expected
    assert np.array_equal(got[..., 0], got[..., 2])


def test_read_rgb__does_not_clip_bright_16_bit_values(encode) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    got = np.asarray(read_rgb(encode(Image.fromarray(values))))[..., 0].ravel()
    assert len(np.unique(got)) == 256


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-3.0, 0.0, 3.0], [0, 128, 255]),
        ([7.0, 7.0, 7.0], [0, 0, 0]),
        ([float("nan"), 0.0, 1.0], [0, 0, 255]),
    ],
)
def test_read_rgb__scales_floating_point(encode, values, expected) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert np.asarray(read_rgb(encode(image, "TIFF")))[0, :, 0].tolist() == expected


def test_read_rgb__stretches_wide_integers(encode) -> None:
    image = Image.fromarray(np.array([[-100_000, 0, 100_000]], dtype=np.int32))
    assert np.asarray(read_rgb(encode(image, "TIFF")))[0, :, 0].tolist() == [0, 128, 255]


def test_read_rgb__takes_the_first_frame(picture, encode) -> None:
    first, second = picture(1).quantize(), picture(2).quantize()
    data = encode(first, "GIF", save_all=True, append_images=[second])
    assert np.array_equal(np.asarray(read_rgb(data)), np.asarray(first.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_rgb__applies_exif_orientation(encode, orientation) -> None:
    upright_image = _gradient("RGB").crop((0, 0, 16, 9))
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright(upright_image, inverse)
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = read_rgb(encode(stored, "PNG", exif=exif))
    assert got.size == (16, 9)
    assert np.array_equal(np.asarray(got), np.asarray(upright_image))


def test_read_rgb__passes_over_damaged_exif(picture, encode) -> None:
    data = encode(picture(1), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffrubbish")
    assert read_rgb(data).size == picture(1).size


@pytest.mark.parametrize("orientation", [1, 6])
def test_read_rgb__scaled_decode_stays_at_or_above_the_size_asked(
    picture, encode, orientation
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture(1, (640, 320)), "JPEG", exif=exif)
    full = read_rgb(data)
    small = read_rgb(data, at_least=(100, 100))
    assert min(small.size) == 160
    assert (small.width > small.height) == (full.width > full.height)
    reduced = full.resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small, dtype=int) - np.asarray(reduced, dtype=int)).mean() < 3
    assert read_rgb(data, at_least=300).size == full.size


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_read_rgb__refuses_truncated_files(picture, encode, kind, options, kept) -> None:
    data = encode(picture(1, (200, 150)), kind, **options)
    for at_least in (None, 64):
        with pytest.raises(DataError, match=r"truncated|damaged|header"):
            read_rgb(data[: int(len(data) * kept)], at_least=at_least)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"a shopping list\n", "it holds text"),
        (b"<!doctype html><html>", "web page"),
        (b"%PDF-1.7\x00\x01", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\x89PNG\r\n\x1a\n\0\0", "truncated or damaged"),
        (bytes(range(1, 64)), "not an image"),
    ],
)
def test_read_rgb__says_what_the_file_is_instead(data, reason) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        read_rgb(data)
    assert "\n" not in str(caught.value)
    assert "BytesIO" not in str(caught.value)


def test_read_rgb__refuses_a_huge_image_from_its_header(huge_png) -> None:
    with pytest.raises(DataError, match=r"too large: 900,000,000 pixels; the limit is 100,000,000"):
        read_rgb(huge_png)


def _tiff_of_one_tile(tile: int, data: bytes) -> bytes:
    """A grey TIFF of 10 x 10 pixels in one deflated tile of ``tile`` pixels squared."""
    tags = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile)]
    at = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags += [(324, at), (325, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + struct.pack("<I", 0) + data


def _webp_canvas(side: int) -> bytes:
    """An animated WebP of 90 bytes with a small frame on a canvas of ``side`` pixels squared."""
    last = (side - 1).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + 2 * last
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _gif(side: int) -> bytes:
    screen = struct.pack("<HH", side, side)
    frame = b"," + bytes(4) + screen + b"\0\2\2\x4c\1\0;"
    return b"GIF89a" + screen + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + frame


BOMBS = {
    "GIF": _gif(60_000),
    "PPM": b"P6 60000 60000 255\n",
    "WebP": _webp_canvas(60_000),
    "TIFF": _tiff_of_one_tile(30_000, zlib.compress(bytes(1_000_000))),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_read_rgb__refuses_what_would_be_huge_in_any_format(kind: str) -> None:
    assert len(BOMBS[kind]) < 2000
    with pytest.raises(DataError, match=r"too large: .* pixels; the limit is 100,000,000"):
        read_rgb(BOMBS[kind])


def test_read_rgb__takes_a_tiled_tiff() -> None:
    data = _tiff_of_one_tile(16, zlib.compress(bytes([90]) * 256))
    assert read_rgb(data).getpixel((3, 3)) == (90, 90, 90)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_read_rgb__files_that_are_refused_or_thin_take_no_memory(tmp_path: Path, encode) -> None:
    thin = {"wide": (1_000_000, 1), "tall": (1, 1_000_000)}
    files = {**BOMBS, **{n: encode(Image.new("L", size, 7)) for n, size in thin.items()}}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from headstart.backbones import Preprocessing\n"
        "from headstart.data.inspection import facts_of\n"
        "from headstart.errors import DataError\n"
        "from headstart.features.pixels import crops\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "view = Preprocessing(size_px=224, crop_pct=0.875, interpolation='bicubic', mean=(0,) * 3, std=(1,) * 3)\n"
        "before = peak()\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    facts_of(path.read_bytes())\n"
        "    try: crops(path, [view])\n"
        "    except DataError: pass\n"
        "print((peak() - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(str(tmp_path / name) for name in files)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 100, f"{done.stdout} MB"


def test_read_rgb__takes_the_limit_given(picture, encode) -> None:
    data = encode(picture(1, (20, 10)))
    assert read_rgb(data, max_pixels=200).size == (20, 10)
    with pytest.raises(DataError, match=r"too large: 20 x 10 = 200 pixels; the limit is 199"):
        read_rgb(data, max_pixels=199)


def test_read_rgb__does_not_warn_between_the_limits(encode) -> None:
    data = encode(Image.new("1", (9_700, 9_700)), "PNG")  # above Pillow's warning, below our limit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_rgb(data, at_least=64).size == (9_700, 9_700)


def test_read_rgb__names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot use '.*gone\\nfishing.jpg': no such file"):
        read_rgb(tmp_path / "gone\nfishing.jpg")
    with pytest.raises(DataError, match="not a regular file"):
        read_rgb(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_read_rgb__does_not_wait_on_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="not a regular file"):
        read_rgb(tmp_path / "pipe.jpg")


_SOUND = []
for _kind, _options in KINDS:
    _buffer = io.BytesIO()
    _gradient("RGB").save(_buffer, _kind, **_options)
    _SOUND.append(_buffer.getvalue())


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_read_rgb__gives_an_image_or_a_data_error_for_any_bytes(data: st.DataObject) -> None:
    sound = bytearray(data.draw(st.sampled_from(_SOUND)))
    changes = data.draw(
        st.lists(st.tuples(st.integers(0, len(sound) - 1), st.integers(0, 255)), max_size=8)
    )
    for at, value in changes:
        sound[at] = value
    end = data.draw(st.integers(0, len(sound)))
    outcome = ""
    try:
        assert read_rgb(bytes(sound[:end]), max_pixels=10_000_000).mode == "RGB"
    except DataError as error:
        outcome = str(error)
    assert "\n" not in outcome


@pytest.mark.parametrize(
    ("name", "expected"), [("a.JPG", True), ("b.tiff", True), ("Thumbs.db", False), ("png", False)]
)
def test_is_image_name__goes_by_suffix(name, expected) -> None:
    assert is_image_name(name) is expected


def passes(n: int, tail: bytes = b"") -> bytes:
    """A progressive JPEG of so many passes over 4000 x 4000 pixels, each of 11 bytes."""
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    at = data.index(b"\xff\xc2") + 5
    data = data[:at] + (4000).to_bytes(2, "big") * 2 + data[at + 4 :]
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (n - data.count(b"\xff\xda")) + b"\xff\xd9" + tail


def test_read_rgb__a_jpeg_of_very_many_passes_is_refused_at_once() -> None:
    """Each goes over the whole picture: this one would take minutes, a larger one hours."""
    with pytest.raises(DataError, match="drawn in 30,000 passes, and 200 are the most"):
        read_rgb(passes(30_000))
    assert read_rgb(passes(20)).size == (4000, 4000)


def test_read_rgb__what_follows_a_jpeg_is_no_pass_of_it() -> None:
    """As in photographs that carry a film at their end."""
    assert read_rgb(passes(20, tail=b"\xff\xda" * 300)).size == (4000, 4000)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "F", "I"])
def test_read_rgb__a_picture_taken_in_strips_is_the_same(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 30, 4), dtype=np.uint8), "RGBA")
    picture = picture.convert("L").convert(mode) if mode in "FI" else picture.convert(mode)
    buffer = io.BytesIO()
    options = {"transparency": 5} if mode == "P" else {}
    picture.save(buffer, "TIFF" if mode in "FI" else "PNG", **options)
    whole = read_rgb(buffer.getvalue())
    monkeypatch.setattr("headstart.data.decode._STRIP_PIXELS", 100)
    assert read_rgb(buffer.getvalue()).tobytes() == whole.tobytes()


def test_read_rgb__gives_the_pixels_that_stored_features_are_of(encode) -> None:
    """Where this fails on purpose, raise SCHEMA, so that features of other pixels are not mixed."""
    ramp = np.arange(256).reshape(16, 16)
    grey = Image.fromarray(ramp.astype(np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    files = [
        *(encode(Image.fromarray((ramp * k).astype(np.uint16))) for k in (1, 16, 257)),
        encode(Image.fromarray((ramp * 1000).astype(np.int32)), "TIFF"),
        encode(Image.fromarray((ramp - 9).astype(np.float32)), "TIFF"),
        *(encode(grey.convert(mode)) for mode in ("1", "LA", "P", "RGBA")),
        encode(grey.convert("P"), transparency=0),
        encode(grey.convert("CMYK"), "TIFF"),
        encode(grey.resize((8, 16)), exif=turned),
    ]
    pixels = b"".join(read_pixels(file).tobytes() for file in files)
    assert {SCHEMA: hashlib.sha256(pixels).hexdigest()[:16]} == {1: "9d8b925f5585106e"}
