"""Decode the bytes of an image file to RGB, the same way everywhere.

How each kind of image becomes 8-bit RGB:

========================  ==========================================================================
greyscale, 1-bit          the value is repeated in the three channels
palette                   looked up
alpha, transparent colour composited over white
CMYK, YCCK                Pillow's plain formula (Adobe's inverted JPEGs are recognised); no profile
16-bit greyscale          scaled from the smallest of 8, 12 or 16 bits that holds the brightest pixel
32-bit integer            as 16-bit where 0 <= v <= 65535, else minimum..maximum to 0..255
floating point            0..1 to 0..255 where all lie there, else minimum..maximum; NaN is black
animation, pages          the first frame
DICOM                     by its window, see :mod:`headstart.data.dicom`
========================  ==========================================================================

EXIF orientation is applied; a damaged EXIF block is ignored. Colour profiles are not applied.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from headstart.data import dicom, jpeg
from headstart.data.turns import turn
from headstart.errors import DataError, one_line

MAX_PIXELS = 100_000_000
"""Images with more pixels (400 MB decoded) are refused by their header."""

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Files larger than this are not read into memory."""

MAX_PASSES = 200
"""Progressive JPEG files with more scans are refused; typical files have about ten."""

_STRIP_PIXELS = 4_000_000

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".avif",
        ".jp2",
        ".j2k",
        ".mpo",
        ".heic",
        ".heif",
        *dicom.DICOM_SUFFIXES,
    ]
)
"""Suffixes (lower case) of files that count as images."""

# Pillow opens many more formats; some run other programs (EPS) or have no signature (TGA).
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "AVIF", "JPEG2000", "MPO")
_ORIENTATION = 0x0112
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Undecodable(Exception):  # noqa: N818 - a reason for the quarantine list, not a failure
    """Bytes are not a usable image; the text is the reason shown to the user."""


def is_image_name(name: str) -> bool:
    """Whether the suffix of ``name`` is that of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def read_rgb(
    source: Path | str | bytes | Image.Image,
    *,
    max_pixels: int = MAX_PIXELS,
    at_least: int | tuple[int, int] | None = None,
    digest: str | None = None,
    name: str | None = None,
) -> Image.Image:
    """Decode an image to 8-bit RGB, upright.

    Parameters
    ----------
    source
        A path, the bytes of an image file, or a PIL image of any mode, which is rotated by its EXIF
        orientation and converted like a file.
    max_pixels
        Images with more pixels are refused before decoding. Pillow's own limit is 178,956,970.
    at_least
        ``(width, height)`` in pixels, or one number for both sides: allows decoding at a reduced size
        that is at least this. Only JPEG uses it, with 1/2, 1/4 or 1/8 of the size, up to ten times
        faster; values differ slightly from a full decode and a later reduction.
    digest
        Required SHA-256 of the bytes, in hexadecimal, so that nothing is stored under the digest of
        a file that has changed since it was indexed.
    name
        Name of the image in errors; default: its path.

    Returns
    -------
    PIL.Image.Image
        Mode ``"RGB"``, loaded, without metadata.

    Raises
    ------
    DataError
        The file cannot be read or decoded; the message has the reason.
    """
    with _named(source, name):
        if isinstance(source, Image.Image):
            return _rgb_of(source, max_pixels)
        return _decoded(_bytes_of(source, digest), max_pixels, at_least)


def read_pixels(
    source: Path | str | bytes | Image.Image,
    *,
    max_pixels: int = MAX_PIXELS,
    at_least: int | tuple[int, int] | None = None,
    digest: str | None = None,
    name: str | None = None,
) -> NDArray[np.uint8]:
    """The pixels of :func:`read_rgb`, bit for bit, from the fastest decoder.

    An ordinary JPEG file that is not decoded at a reduced size is decoded without Pillow
    (:mod:`headstart.data.jpeg`), which leaves the interpreter lock to other threads.

    Parameters
    ----------
    source, max_pixels, at_least, digest, name
        As for :func:`read_rgb`.

    Returns
    -------
    uint8 array (height, width, 3)

    Raises
    ------
    DataError
        The file cannot be read or decoded; the message has the reason.
    """
    with _named(source, name):
        if isinstance(source, Image.Image):
            return _to_array(_rgb_of(source, max_pixels))
        data = _bytes_of(source, digest)
        pixels = _fast_pixels(data, max_pixels, at_least)
        return _pillow_pixels(data, max_pixels, at_least) if pixels is None else pixels


@contextmanager
def _named(source: Path | str | bytes | Image.Image, name: str | None) -> Iterator[None]:
    """Turn a reason into an error that names the image."""
    try:
        yield
    except Undecodable as reason:
        where = f"'{one_line(str(source))}'" if name is None else f"'{one_line(name)}'"
        if name is None and not isinstance(source, Path | str):
            where = "the bytes given" if isinstance(source, bytes) else "the picture given"
        raise DataError(f"cannot use {where}: {reason}") from None


def _bytes_of(source: Path | str | bytes, digest: str | None) -> bytes:
    data = source if isinstance(source, bytes) else read_bytes(Path(source))
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise Undecodable("it was changed after it was indexed: run the command again")
    return data


def _decoded(data: bytes, max_pixels: int, at_least: int | tuple[int, int] | None) -> Image.Image:
    with opened(data, max_pixels=max_pixels, at_least=at_least) as image:
        rgb, exif = to_rgb(image), orientation(image)
    del image  # before rotating, which would hold three copies of a large image in memory
    return _finished(rgb, exif)


def _pillow_pixels(
    data: bytes, max_pixels: int, at_least: int | tuple[int, int] | None
) -> NDArray[np.uint8]:
    with opened(data, max_pixels=max_pixels, at_least=at_least) as image:
        is_rgb = image.mode == "RGB" and "transparency" not in image.info
        pixels, exif = _to_array(image if is_rgb else to_rgb(image)), orientation(image)
    return jpeg.turned(pixels, exif)


def _fast_pixels(
    data: bytes, max_pixels: int, at_least: int | tuple[int, int] | None
) -> NDArray[np.uint8] | None:
    """The pixels of an ordinary JPEG file at its full size; None if Pillow is to read it."""
    header = jpeg.header_of(data)
    if header is None or header.width * header.height > max_pixels:
        return None
    exif_orientation = _orientation_of(header.exif)
    if at_least is not None and jpeg.is_reduced(header, _stored_size(at_least, exif_orientation)):
        return None
    _check_passes(data)
    with turn(header.width * header.height, "JPEG"):
        pixels = jpeg.decode(data, header)
        return None if pixels is None else jpeg.turned(pixels, exif_orientation)


def _rgb_of(picture: Image.Image, max_pixels: int) -> Image.Image:
    """Convert a PIL image, possibly of an opened file that is not read yet."""
    if picture.width * picture.height > max_pixels:
        n_pixels = picture.width * picture.height
        raise Undecodable(_too_large(n_pixels, max_pixels, picture.size))
    with _pillow_quiet():
        try:
            picture.load()
            return _finished(to_rgb(picture), orientation(picture))
        except Exception as error:  # as in `opened`
            raise Undecodable(_reason(error, b"", max_pixels)) from None


def _finished(rgb: Image.Image, exif_orientation: int) -> Image.Image:
    """Rotate upright and remove metadata, so that it is not rotated again."""
    turned = upright(rgb, exif_orientation)
    turned.info = {}
    return turned


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file of sane size, or `Undecodable` with the reason."""
    try:
        if not path.is_file():  # a pipe or a device could block forever
            raise Undecodable("no such file" if not path.exists() else "not a regular file")
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise Undecodable(
                f"the file has {n_bytes:,} bytes; the limit is {MAX_FILE_BYTES:,}: "
                "save it smaller or compressed"
            )
        return path.read_bytes()
    except OSError as error:
        raise Undecodable(f"cannot be read: {error.strerror or error}") from None
    except ValueError:  # a NUL in a name, which tables may contain
        raise Undecodable("not a possible file name") from None


@contextmanager
def opened(
    data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | tuple[int, int] | None = None
) -> Iterator[Image.Image]:
    """Open and load the first frame of ``data``; every failure becomes `Undecodable`.

    The frame is neither rotated nor converted. ``image.info["full_size"]`` is the size in the header,
    also for a reduced decode (``at_least``). Threads take turns with large images
    (:mod:`headstart.data.turns`).
    """
    if not data:
        raise Undecodable("empty file (0 bytes)")
    with _pillow_quiet():
        try:
            if dicom.is_dicom(data):
                yield _dicom_picture(data, max_pixels)
                return
            _check_canvas(data, max_pixels)
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise Undecodable(_too_large(width * height, max_pixels, (width, height)))
                if image.format == "TIFF":
                    _check_tiles(image, max_pixels)
                if image.format in ("JPEG", "MPO"):
                    _check_passes(data)
                if at_least is not None and image.format == "JPEG":
                    image.draft(None, _stored_size(at_least, orientation(image)))
                # A progressive JPEG is decoded as a whole, even for a reduced decode.
                is_scaled = image.format == "JPEG" and "progressive" not in image.info
                size = image.size if is_scaled else (width, height)
                with turn(size[0] * size[1], image.format):
                    image.load()
                    image.info["full_size"] = (width, height)
                    yield image
        except Undecodable:
            raise
        # Decoders raise almost anything for damaged bytes (struct.error, SyntaxError,
        # ZeroDivisionError, MemoryError, ...): for users all of it means that the file is damaged.
        except Exception as error:
            raise Undecodable(_reason(error, data, max_pixels)) from None


def _dicom_picture(data: bytes, max_pixels: int) -> Image.Image:
    try:
        image = dicom.picture_of(data, max_pixels)
    except (dicom.NotInstalled, dicom.NotTaken) as reason:
        raise Undecodable(str(reason)) from None
    except dicom.TooLarge as size:
        n_pixels = size.width * size.height
        raise Undecodable(_too_large(n_pixels, max_pixels, (size.width, size.height))) from None
    image.info["full_size"] = image.size
    return image


def _check_canvas(data: bytes, max_pixels: int) -> None:
    # Pillow creates the decoder of a WebP file, with two canvases, before the size is known.
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and len(data) >= 30:
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        if width * height > max_pixels:
            raise Undecodable(_too_large(width * height, max_pixels, (width, height)))


def _check_tiles(image: Image.Image, max_pixels: int) -> None:
    # A tile is decoded as a whole, even if the image is smaller.
    tags = getattr(image, "tag_v2", {})
    width, height = (int(tags.get(tag, 0)) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    if width * height > max_pixels:
        raise Undecodable(
            f"its tiles are {_too_large(width * height, max_pixels, (width, height))}"
        )


def _check_passes(data: bytes) -> None:
    # Each pass processes the whole image, even with a dozen bytes: a small file could take hours.
    # NumPy counts five times as fast as `bytes.count`, and leaves the interpreter lock.
    values = np.frombuffer(data, np.uint8)
    n_marks = np.count_nonzero((values[:-1] == 0xFF) & (values[1:] == 0xDA))
    if n_marks > MAX_PASSES and (n := _n_passes(data)) > MAX_PASSES:
        raise Undecodable(
            f"damaged: it is drawn in {n:,} passes, and {MAX_PASSES} are the most that are taken"
        )


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; 1 if it is missing or damaged."""
    return _orientation_in(image.getexif)


def _orientation_of(block: bytes) -> int:
    """`orientation` of an EXIF block."""
    if not block:
        return 1

    def load() -> Image.Exif:
        exif = Image.Exif()
        exif.load(block)
        return exif

    with _pillow_quiet():
        return _orientation_in(load)


def _orientation_in(load: Callable[[], Image.Exif]) -> int:
    try:
        value = load().get(_ORIENTATION, 1)
    except Exception:  # the EXIF block of a valid image may be damaged; see `opened`
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(image: Image.Image, exif_orientation: int) -> Image.Image:
    """``image`` rotated and flipped by its EXIF orientation (1 to 8)."""
    method = _TRANSPOSE.get(exif_orientation)
    return image if method is None else image.transpose(method)


def upright_size(size: tuple[int, int], exif_orientation: int) -> tuple[int, int]:
    """``(width, height)`` after `upright`."""
    return (size[1], size[0]) if exif_orientation >= 5 else size


def _to_array(rgb: Image.Image) -> NDArray[np.uint8]:
    """The pixels (height, width, 3) of an RGB image, without an intermediate copy."""
    pixels = np.empty((rgb.height, rgb.width, 3), np.uint8)
    for top, strip in _strips(rgb):
        pixels[top : top + strip.height] = np.asarray(strip)
    return pixels


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image to 8-bit RGB, as in the table at the top of this module."""
    if image.mode.startswith("I") or image.mode == "F":
        start, factor = _scale_of(image)
        return _by_strips(image, lambda strip: _from_deep(strip, start, factor))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _by_strips(image, _over_white)
    if image.mode == "RGB":
        return image.copy()  # the file closes with its context
    return image.convert("RGB")


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Horizontal strips of an image, so that intermediates of a large one stay small."""
    rows = max(1, _STRIP_PIXELS // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    whole = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        whole.paste(convert(strip), (0, top))
    return whole


def _over_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _values(image: Image.Image) -> NDArray[np.float32]:
    return np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)


def _scale_of(image: Image.Image) -> tuple[float, float]:
    """Offset and factor for the values of a deep image."""
    ends = [(float(v.min()), float(v.max())) for v in (_values(s) for _, s in _strips(image))]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if image.mode == "F":
        start, span = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high - low)
    elif low >= 0 and high <= 65535:
        start, span = 0.0, next(top for top in (255.0, 4095.0, 65535.0) if high <= top)
    else:
        start, span = low, high - low
    return start, 255.0 / span if span > 0 else 0.0


def _from_deep(image: Image.Image, start: float, factor: float) -> Image.Image:
    with np.errstate(over="ignore", invalid="ignore"):  # the range of float32
        scaled = np.nan_to_num((_values(image) - start) * factor, nan=0.0)
    grey = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _n_passes(data: bytes) -> int:
    """The number of scans of a JPEG file, up to its end marker."""
    n, at = 0, 2
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        mark = data[at + 1]
        if mark == 0xD9:
            break
        if mark == 0xFF:
            at += 1
        elif mark in (0x00, 0x01) or 0xD0 <= mark <= 0xD8:  # markers without payload
            at += 2
        else:
            n += mark == 0xDA
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return n


def _stored_size(at_least: int | tuple[int, int], exif_orientation: int) -> tuple[int, int]:
    size = (at_least, at_least) if isinstance(at_least, int) else at_least
    return upright_size(size, exif_orientation)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(f for f in _FORMATS if f in Image.OPEN)


_quiet_lock = threading.Lock()
_quiet: dict[str, Any] = {"depth": 0, "saved": None}


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Switch off Pillow's and pydicom's warnings (corrupt EXIF, odd tags) while any thread decodes.

    ``warnings.catch_warnings`` replaces a global list, so threads share it: the first thread enters
    the context and the last one leaves it.
    """
    with _quiet_lock:
        if _quiet["depth"] == 0:
            _quiet["saved"] = warnings.catch_warnings()
            _quiet["saved"].__enter__()
            warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\.")
        _quiet["depth"] += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet["depth"] -= 1
            if _quiet["depth"] == 0:
                _quiet["saved"].__exit__(None, None, None)


def _too_large(n_pixels: int, limit: int, size: tuple[int, int] | None = None) -> str:
    shape = f"{size[0]} x {size[1]} = " if size else ""
    return f"too large: {shape}{n_pixels:,} pixels; the limit is {limit:,}: save it smaller"


def _reason(error: Exception, data: bytes, max_pixels: int) -> str:
    text = str(error)
    if isinstance(error, Image.DecompressionBombError):
        pixels = re.search(r"\((\d+) pixels\)", text)
        return _too_large(int(pixels[1]), max_pixels) if pixels else "too large to decode"
    if isinstance(error, MemoryError):
        return "too large: decoding it ran out of memory"
    if isinstance(error, UnidentifiedImageError):
        return _what_it_is_instead(data)
    if "truncated" in text.lower() or "broken data stream" in text or isinstance(error, EOFError):
        return "truncated: the file ends before the picture does"
    detail = one_line(text, limit=100) or type(error).__name__
    return f"damaged: it cannot be decoded ({detail})"


def _what_it_is_instead(data: bytes) -> str:
    head = data[:512]
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"hevc", b"msf1"):
        return "HEIC photographs are not supported: save it as JPEG"
    if head.lstrip()[:1] == b"<":
        return "not an image: it holds a web page or other markup (HTML, XML, SVG)"
    if head.startswith(b"%PDF"):
        return "not an image: it holds a PDF document"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "not an image: it holds text"
    if head.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")):
        return "truncated or damaged: its header cannot be read"
    return "not an image that can be read here (unknown or damaged header)"
