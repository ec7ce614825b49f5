from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Preprocessing, to_uint8
from headstart.backbones.preprocessing import centre_window, crop_offset, resized_size
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
    at = msgspec.structs.replace(PREPROCESSING, interpolation=interpolation, crop_mode=crop_mode)
    assert difference(path, at).max() <= 1


def test_crops__a_large_photo_decoded_small_stays_near_the_reference(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    picture(1600, 1200).save(path, quality=90)
    apart = difference(path, PREPROCESSING)
    assert apart.mean() < 1
    assert apart.max() <= 6


def _between(crop: np.ndarray, whole: np.ndarray, shift: float) -> np.ndarray:
    """Columns of the picture resized whole, `shift` pixels to the right of its own centre crop."""
    left = crop_offset(whole.shape[1], crop.shape[1]) + shift
    at, share = int(np.floor(left)), left - np.floor(left)
    one = whole[: len(crop), at : at + crop.shape[1]].astype(float)
    other = whole[: len(crop), at + 1 : at + 1 + crop.shape[1]].astype(float)
    return (1 - share) * one + share * other


@pytest.mark.parametrize("size", [(3000, 40), (2501, 33), (1301, 80), (995, 7), (1777, 100)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops__of_a_thin_image_are_those_of_the_whole_one(
    tmp_path: Path, interpolation: str, size: tuple[int, int]
) -> None:
    at = msgspec.structs.replace(PREPROCESSING, interpolation=interpolation, crop_pct=1.0)
    y, x = np.mgrid[: size[1], : size[0]]
    waves = 127 + 60 * np.sin(x * 2 * np.pi / (1.7 * size[1])) + 60 * y / size[1]
    image = Image.fromarray(np.repeat(waves[..., None], 3, axis=2).astype(np.uint8))
    path = tmp_path / "wide.png"
    image.save(path)
    [crop] = crops(path, [at])
    assert (
        np.abs(crop.astype(int) - to_uint8(image, at)).max() <= 1
    )  # the reference cuts it as well
    new = resized_size(image.size, at)
    whole = np.asarray(image.resize(new, getattr(Image.Resampling, interpolation.upper())))
    apart = [np.abs(_between(crop, whole, s) - crop).max() for s in np.linspace(-1, 1, 41)]
    assert min(apart) <= 2.5  # of a slope of four grey levels a pixel
    path_of_tall = tmp_path / "tall.png"
    image.transpose(Image.Transpose.TRANSPOSE).save(path_of_tall)
    [tall] = crops(path_of_tall, [at])
    np.testing.assert_allclose(tall.swapaxes(0, 1).astype(int), crop, atol=1)


def test_crops__of_an_ordinary_image_are_those_of_earlier_versions(tmp_path: Path) -> None:
    """Features are kept for years: what an image of up to 16 : 1 gives must stay."""
    image = picture(16 * 40, 40)
    path = tmp_path / "wide.png"
    image.save(path)
    [crop] = crops(path, [PREPROCESSING])
    new = resized_size(image.size, PREPROCESSING)
    whole = image.resize(new, Image.Resampling.BICUBIC)
    left, top = crop_offset(new[0], 56), crop_offset(new[1], 56)
    reference = np.asarray(whole.crop((left, top, left + 56, top + 56)), int)
    assert np.abs(crop.astype(int) - reference).max() <= 1
    assert centre_window(image.size, PREPROCESSING) == (0, 0, 640, 40)
    assert centre_window((642, 40), PREPROCESSING) == (1, 0, 641, 40)
    assert centre_window((641, 40), PREPROCESSING) == (0, 0, 641, 40)
    squash = msgspec.structs.replace(PREPROCESSING, crop_mode="squash")
    assert centre_window((9000, 1), squash) == (0, 0, 9000, 1)


@pytest.mark.parametrize("size", [(200_000, 1), (1, 200_000), (65_500, 300)])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
def test_crops__of_a_very_thin_image_are_quick(
    tmp_path: Path, size: tuple[int, int], crop_mode: str
) -> None:
    path = tmp_path / "thin.png"
    Image.new("RGB", size, (9, 90, 200)).save(path)
    at = msgspec.structs.replace(PREPROCESSING, crop_mode=crop_mode)
    for crop in (*crops(path, [at]), to_uint8(read_rgb(path), at)):
        assert np.abs(crop.astype(int) - (9, 90, 200)).max() <= 1


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
