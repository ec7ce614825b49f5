"""DICOM files (medical images) as pictures, by pydicom, an extra.

Stored values become real ones by the modality's slope or table, then grey by the file's window; without a
window, minimum..maximum becomes 0..255. MONOCHROME1 is inverted. Of several frames the first counts.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
NOT_INSTALLED = "DICOM files are read by an extra: pip install 'headstart[dicom]'"


class NotInstalled(Exception):  # noqa: N818 - a reason, as those of `decode`
    """pydicom is not installed."""


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
    NotInstalled, TooLarge
    Exception
        Whatever pydicom raises of damaged bytes, or of a compression that needs a further package.
    """
    try:
        import pydicom
        from pydicom.pixels.utils import pixel_array
    except ImportError:
        raise NotInstalled(NOT_INSTALLED) from None
    found = pydicom.dcmread(io.BytesIO(data))
    width, height = int(found.Columns), int(found.Rows)
    if width * height > max_pixels:
        raise TooLarge(width, height)
    stored = pixel_array(found, index=0)  # YCbCr becomes RGB
    kind = str(found.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        stored = apply_color_lut(stored, found)
    if stored.ndim == 3:
        shift = max(int(found.get("BitsStored", 8)) - 8, 0) if stored.dtype.itemsize > 1 else 0
        return Image.fromarray((stored[..., :3] >> shift).astype(np.uint8))
    grey = _grey(stored, found)
    return Image.fromarray(255 - grey if kind == "MONOCHROME1" else grey)


def _grey(stored: NDArray[Any], found: Dataset) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    values = np.asarray(apply_modality_lut(stored, found), dtype=np.float64)
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


def _windowed(values: NDArray[np.float64], c: float, w: float, name: str) -> NDArray[np.float64]:
    """DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3: the share of full brightness, in [0, 1]."""
    if name == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - c) / w)))
    if name == "LINEAR_EXACT":
        return np.clip((values - c) / w + 0.5, 0, 1)
    if w == 1:
        return (values > c - 0.5).astype(np.float64)
    return np.clip((values - (c - 0.5)) / (w - 1) + 0.5, 0, 1)
