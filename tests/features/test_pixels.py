from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Preprocessing, to_uint8
from headstart.data import read_rgb
from headstart.errors import DataError
from headstart.features.pixels import crops

PREPROCESSING = Preprocessing(
    size_px=56,
    crop_pct=0.875,
    interpolation="bicubic",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)


def picture(width: int = 150, height: int = 100) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    red = 127 + 120 * np.sin(9 * x / width)
    rgb = np.stack([red, 255 * y / height, 255 * x / width], axis=-1)
    return Image.fromarray(rgb.astype(np.uint8))


def difference(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    """Grey levels between the crop and the reference, pixel by pixel."""
    [crop] = crops(path, [preprocessing])
    reference = to_uint8(read_rgb(path), preprocessing)
    assert crop.shape == reference.shape == (56, 56, 3)
    return np.abs(crop.astype(int) - reference.astype(int))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_crops__lie_within_one_grey_level_of_the_reference(
    tmp_path: Path, interpolation: str, crop_mode: str, mode: str
) -> None:
    path = tmp_path / "picture.jpg"
    picture().convert(mode).save(path, quality=95)
    at = dataclasses.replace(PREPROCESSING, interpolation=interpolation, crop_mode=crop_mode)
    assert difference(path, at).max() <= 1


def test_crops__a_large_photo_decoded_small_stays_near_the_reference(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    picture(1600, 1200).save(path, quality=90)
    apart = difference(path, PREPROCESSING)
    assert apart.mean() < 1
    assert apart.max() <= 6


def test_crops__turn_a_photo_as_its_exif_says(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.jpg"
        picture().save(path, exif=exif, quality=95)
        assert difference(path, PREPROCESSING).max() <= 1


def test_crops__one_decode_serves_several_resolutions(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    picture().save(path)
    small, large = crops(path, [PREPROCESSING.at(32), PREPROCESSING.at(64)])
    assert small.shape == (32, 32, 3)
    assert large.shape == (64, 64, 3)


def test_crops__do_not_depend_on_which_others_are_cut_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    picture(3200, 2400).save(path, quality=90)
    together = crops(path, [PREPROCESSING.at(s) for s in (160, 320, 512)])
    for size, crop in zip((160, 320, 512), together, strict=True):
        [alone] = crops(path, [PREPROCESSING.at(size)])
        np.testing.assert_array_equal(crop, alone)


def test_crops__bad_files_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        crops(tmp_path / "gone.jpg", [PREPROCESSING])
    bad = tmp_path / "text.jpg"
    bad.write_text("not an image")
    with pytest.raises(DataError, match=r"text\.jpg"):
        crops(bad, [PREPROCESSING])
