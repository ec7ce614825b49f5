"""DICOM files (medical images) as pictures, by pydicom, an extra.

Stored values become real ones by the modality's slope or table, then grey by the file's window; without a
window, minimum..maximum becomes 0..255. MONOCHROME1 is inverted. Of several frames the first counts.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from headstart.data.turns import turn

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
NOT_INSTALLED = "DICOM files are read by an extra: pip install 'headstart[dicom]'"


# Transfer syntaxes that are inflated as a whole, whatever their size, before anything can be checked.
_DEFLATED = (b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.4.95", b"1.2.840.10008.1.2.8.1")


class NotInstalled(Exception):  # noqa: N818 - a reason, as those of `decode`
    """pydicom, or what it needs for a compression, is not installed."""


class NotTaken(Exception):  # noqa: N818
    """A file that is not read, with the reason."""


class TooLarge(Exception):  # noqa: N818
    """More pixels than the limit."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.width, self.height = width, height


def is_dicom(data: bytes) -> bool:
    """Whether bytes are of a DICOM file, by its signature."""
    return data[128:132] == b"DICM"


def picture_of(data: bytes, max_pixels: int) -> Image.Image:
    """The first frame of a DICOM file, mode ``"L"`` or ``"RGB"``.

    Raises
    ------
    NotInstalled, NotTaken, TooLarge
    Exception
        Whatever pydicom raises of damaged bytes.
    """
    try:
        import pydicom
        from pydicom.pixels.utils import pixel_array
    except ImportError:
        raise NotInstalled(NOT_INSTALLED) from None
    if any(data.find(syntax) >= 0 for syntax in _DEFLATED):
        raise NotTaken("its transfer syntax is deflated, which is not read: save it uncompressed")
    found = pydicom.dcmread(io.BytesIO(data))
    width, height = int(found.Columns), int(found.Rows)
    if width * height > max_pixels:
        raise TooLarge(width, height)
    _check_frame(found, (width, height))
    with turn(width * height, "DICOM"):
        return _picture(found, _stored(found, pixel_array))


def _stored(found: Dataset, read: Callable[..., NDArray[Any]]) -> NDArray[Any]:
    """The first frame as stored; YCbCr becomes RGB."""
    try:
        return read(found, index=0)
    except RuntimeError as error:
        if "missing dependencies" not in str(error) and "plugins" not in str(error):
            raise
        name = found.file_meta.TransferSyntaxUID.name
        raise NotInstalled(
            f"its compression ({name}) is read by a further package: pip install 'pylibjpeg[all]'"
        ) from None


def _check_frame(found: Dataset, size: tuple[int, int]) -> None:
    """A compressed frame has its own size, which decides what is decoded."""
    if not found.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    from pydicom.encaps import get_frame

    frame = get_frame(found.PixelData, 0, number_of_frames=int(found.get("NumberOfFrames", 1) or 1))
    try:
        with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as inner:
            if inner.size != size:
                raise NotTaken(f"damaged: its frame is {inner.size[0]} x {inner.size[1]} pixels")
    except UnidentifiedImageError:  # another compression, which fills the size that is declared
        return


def _picture(found: Dataset, stored: NDArray[Any]) -> Image.Image:
    kind = str(found.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        stored = apply_color_lut(stored, found)
    if stored.ndim == 3:
        bits = 16 if kind == "PALETTE COLOR" else int(found.get("BitsStored", 8))
        shift = max(bits - 8, 0) if stored.dtype.itemsize > 1 else 0
        return Image.fromarray((stored[..., :3] >> shift).astype(np.uint8))
    grey = _grey(stored, found)
    return Image.fromarray(255 - grey if kind == "MONOCHROME1" else grey)


def _grey(stored: NDArray[Any], found: Dataset) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    values = np.asarray(apply_modality_lut(stored, found), dtype=np.float32)
    window = _window(found)
    if window is not None:
        share = _windowed(values, *window)
    else:
        if "VOILUTSequence" in found:
            values = np.asarray(apply_voi_lut(values.astype(np.int64), found), dtype=np.float64)
        low, high = values.min(), values.max()
        share = (values - low) / ((high - low) or 1.0)
    return np.rint(255 * share).astype(np.uint8)


def _window(found: Dataset) -> tuple[float, float, str] | None:
    """Centre, width and function of the first window; None where there is none of use."""
    centre, width = found.get("WindowCenter"), found.get("WindowWidth")
    if centre is None or width is None or "VOILUTSequence" in found:
        return None
    first = [v[0] if hasattr(v, "__len__") else v for v in (centre, width)]
    c, w = float(first[0]), float(first[1])
    return (c, w, str(found.get("VOILUTFunction", "LINEAR"))) if w >= 1 else None


def _windowed(values: NDArray[np.float32], c: float, w: float, name: str) -> NDArray[np.float32]:
    """DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3: the share of full brightness, in [0, 1]."""
    if name == "SIGMOID":
        share = 1 / (1 + np.exp(-4 * (values - c) / w))
    elif name == "LINEAR_EXACT":
        share = np.clip((values - c) / w + 0.5, 0, 1)
    elif w == 1:
        share = values > c - 0.5
    else:
        share = np.clip((values - (c - 0.5)) / (w - 1) + 0.5, 0, 1)
    return np.asarray(share, dtype=np.float32)
