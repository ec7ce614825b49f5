"""Reference sets: seeded, of the right shape and spectrum, with labels where there are some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Preprocessing
from headstart.data import Index
from headstart.errors import DataError, InputError
from headstart.experiments.similarity.references import (
    ImageSet,
    indexed_set,
    made_sets,
    parse_reference,
    pixel_rows,
    read_reference,
)

SMALL = Preprocessing(
    size_px=32, crop_pct=0.9, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
)


@pytest.fixture(scope="module")
def made(cache: Path) -> dict[str, ImageSet]:
    return {s.name: s for s in made_sets(cache=cache)}


def test_made_sets__give_the_same_crops_each_time(made: dict[str, ImageSet]) -> None:
    assert list(made) == ["photographs (2)", "digits", "noise 1/f", "noise uniform"]
    for images in made.values():
        first, again = list(images.crops(SMALL, 4)), list(images.crops(SMALL, 4))
        assert len(first) == 4
        assert all(c.shape == (32, 32, 3) and c.dtype == np.uint8 for c in first)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first[0], first[2])


def test_made_sets__digits_carry_labels_and_are_written_once(
    made: dict[str, ImageSet], cache: Path
) -> None:
    digits = made["digits"].indexed
    assert digits is not None
    assert digits.classes == tuple("0123456789")
    assert len(digits) == 500
    written = sorted((cache / "references" / "digits").rglob("*.png"))
    before = [p.stat().st_mtime_ns for p in written]
    made_sets(cache=cache)
    assert [p.stat().st_mtime_ns for p in written] == before


def slope(crops: list[np.ndarray]) -> float:
    """Of log amplitude over log frequency."""
    side = 64
    spectrum = np.mean([np.abs(np.fft.fft2(c[..., 0].astype(float))) for c in crops], axis=0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    used = (frequency > 0.05) & (frequency < 0.4)
    return float(np.polyfit(np.log(frequency[used]), np.log(spectrum[used]), 1)[0])


def test_made_sets__spectra_are_as_named(made: dict[str, ImageSet]) -> None:
    at = SMALL.at(64)
    assert slope(list(made["noise 1/f"].crops(at, 20))) == pytest.approx(-1, abs=0.15)
    assert slope(list(made["noise uniform"].crops(at, 20))) == pytest.approx(0, abs=0.05)


def test_indexed_set__takes_training_images_only(indexed: Index, tmp_path: Path) -> None:
    images = indexed_set("own", indexed)
    assert images.indexed is indexed
    n_train = len(indexed.train) + len(indexed.val)
    assert len(list(images.crops(SMALL, 10_000))) == n_train
    assert len(list(images.crops(SMALL, 5))) == 5


def test_read_reference__with_labels_without_and_gone(
    indexed: Index, cache: Path, tmp_path: Path
) -> None:
    labelled = read_reference("colours", str(indexed.root), cache=cache)
    assert labelled.name == "colours"
    assert labelled.indexed is not None
    for i in range(3):
        Image.new("RGB", (40, 40), (i, 9, 9)).save(tmp_path / f"{i}.png")
    plain = read_reference("flat", str(tmp_path), cache=cache)
    assert plain.indexed is None
    assert plain.note == "3 images without labels"
    assert len(list(plain.crops(SMALL, 200))) == 3
    with pytest.raises(DataError):
        read_reference("gone", str(tmp_path / "gone"), cache=cache)


def test_parse_reference__name_and_path() -> None:
    assert parse_reference("a = b=c/") == ("a", "b=c/")
    for text in ("photos/", "=photos/", "a="):
        with pytest.raises(InputError, match="NAME=PATH"):
            parse_reference(text)


def test_pixel_rows__are_the_small_image_around_zero(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("RGB", (50, 50), (0, 51, 255)).save(path)
    rows = pixel_rows([path, path], 8, SMALL)
    assert rows.shape == (2, 192)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[0].reshape(8, 8, 3)[3, 3], [-0.5, -0.3, 0.5], atol=1e-6)
