"""DICOM files: windows against pydicom's own, photometric kinds, frames, and files that cannot be read."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data import index, read_rgb
from headstart.data.decode import read_pixels
from headstart.data.dicom import NOT_INSTALLED
from headstart.errors import DataError

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
from pydicom.dataset import FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)


def make(pixels: np.ndarray, kind: str = "MONOCHROME2", n_frames: int = 1, **more: Any) -> Any:
    """A data set of 8 or 16 bits a value."""
    found = pydicom.Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    found.SOPClassUID, found.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    shape = pixels.shape[1:] if n_frames > 1 else pixels.shape
    found.Rows, found.Columns = shape[:2]
    bits = 8 * pixels.dtype.itemsize
    found.BitsAllocated, found.BitsStored, found.HighBit = bits, bits, bits - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    found.SamplesPerPixel = 3 if len(shape) == 3 else 1
    if len(shape) == 3:
        found.PlanarConfiguration = 0
    found.PhotometricInterpretation = kind
    if n_frames > 1:
        found.NumberOfFrames = n_frames
    for name, value in more.items():
        setattr(found, name, value)
    found.PixelData = pixels.tobytes()
    return found


def encoded(found: Any) -> bytes:
    buffer = io.BytesIO()
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


CT = np.random.default_rng(0).integers(-1000, 2000, size=(20, 30)).astype(np.int16)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("window", [(40, 400), ([50, 900], [1500, 2])])
def test_read_rgb__applies_slope_and_window_as_pydicom_does(function: str, window: Any) -> None:
    found = make(
        CT,
        RescaleSlope="0.5",
        RescaleIntercept="-24",
        WindowCenter=window[0],
        WindowWidth=window[1],
        VOILUTFunction=function,
    )
    values = apply_voi_lut(apply_modality_lut(CT, found), found)
    # Its range is that of the values that may be stored.
    low, high = -32768 * 0.5 - 24, 32767 * 0.5 - 24
    wanted = 255 * (values - low) / (high - low)
    got = np.asarray(read_rgb(encoded(found)))
    assert got.shape == (20, 30, 3)
    np.testing.assert_allclose(got[..., 0], wanted, atol=0.51)
    np.testing.assert_array_equal(got[..., 0], got[..., 2])


def test_read_rgb__without_a_window_uses_the_whole_range_and_inverts_monochrome1() -> None:
    pixels = np.array([[100, 300], [200, 100]], dtype=np.uint16)
    plain = np.asarray(read_rgb(encoded(make(pixels))))[..., 0]
    np.testing.assert_array_equal(plain, [[0, 255], [128, 0]])
    inverted = np.asarray(read_rgb(encoded(make(pixels, "MONOCHROME1"))))[..., 0]
    np.testing.assert_array_equal(inverted, 255 - plain)
    flat = np.asarray(read_rgb(encoded(make(np.full((4, 4), 7, dtype=np.uint16)))))
    np.testing.assert_array_equal(flat, 0)


def test_read_rgb__colours_stay_and_the_first_frame_counts() -> None:
    colours = np.random.default_rng(1).integers(0, 256, size=(5, 6, 3)).astype(np.uint8)
    data = encoded(make(colours, "RGB"))
    np.testing.assert_array_equal(np.asarray(read_rgb(data)), colours)
    np.testing.assert_array_equal(read_pixels(data), colours)
    frames = np.stack([np.eye(4, dtype=np.uint8) * 9, np.ones((4, 4), dtype=np.uint8)])
    first = np.asarray(read_rgb(encoded(make(frames, n_frames=2))))[..., 0]
    np.testing.assert_array_equal(first, 255 * np.eye(4))


def test_read_rgb__a_palette_is_looked_up_whatever_its_depth() -> None:
    indices = np.array([[0, 1], [2, 0]], dtype=np.uint8)
    deep = np.array([0x80FF, 0xFF00, 0x1234], dtype=np.uint16)
    found = make(indices, "PALETTE COLOR")
    for i, colour in enumerate(("Red", "Green", "Blue")):
        setattr(found, f"{colour}PaletteColorLookupTableDescriptor", [3, 0, 16])
        table = np.roll(deep, i).tobytes()
        setattr(found, f"{colour}PaletteColorLookupTableData", table)
    got = np.asarray(read_rgb(encoded(found)))
    np.testing.assert_array_equal(got[..., 0], (deep >> 8)[indices])
    np.testing.assert_array_equal(got[..., 1], (np.roll(deep, 1) >> 8)[indices])


def test_read_rgb__never_unpacks_more_than_the_header_declares() -> None:
    deflated = make(np.zeros((100, 100), dtype=np.uint16))
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with pytest.raises(DataError, match="deflated"):
        read_rgb(encoded(deflated))
    picture = io.BytesIO()
    Image.new("L", (64, 48), 90).save(picture, "JPEG")
    for size, is_honest in (((48, 64), True), ((8, 8), False)):
        found = make(np.zeros((8, 8), dtype=np.uint8))
        found.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        found.Rows, found.Columns = size
        found.PixelData = encapsulate([picture.getvalue()])
        found["PixelData"].VR = "OB"
        if is_honest:
            assert read_rgb(encoded(found)).size == (64, 48)
        else:
            with pytest.raises(DataError, match="its frame is 64 x 48"):
                read_rgb(encoded(found))


def test_read_rgb__refuses_large_and_damaged_files_with_the_reason() -> None:
    data = encoded(make(CT))
    with pytest.raises(DataError, match="too large: 30 x 20 = 600 pixels"):
        read_rgb(data, max_pixels=100)
    for n in (133, 200, len(data) - 1):
        with pytest.raises(DataError, match=r"^cannot use the bytes given: (damaged|truncated)"):
            read_rgb(data[:n])


def test_index__reads_a_folder_and_tells_the_extra_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    for label, level in (("dark", 100), ("light", 900)):
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(level, level + 90, size=(16, 16)).astype(np.uint16)
            data = encoded(make(pixels, WindowCenter=500, WindowWidth=1000))
            (tmp_path / "set" / label / f"{i}.dcm").write_bytes(data)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pydicom", None)
        with pytest.raises(DataError, match=r"headstart\[dicom\]"):
            index(tmp_path / "set", cache=tmp_path / "cache")
    found = index(tmp_path / "set", cache=tmp_path / "cache")
    assert NOT_INSTALLED not in {q.reason for q in found.quarantine}
    assert [(r.label, r.width) for r in found.records] == [("dark", 16)] * 3 + [("light", 16)] * 3
