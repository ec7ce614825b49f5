from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import Index, read_rgb
from headstart.errors import InputError
from headstart.experiments.shift.corruption import CORRUPTIONS, corrupt, corrupted_copy


def picture(width: int = 40, height: int = 30) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corrupt__changes_pixels_and_keeps_the_size(kind: str) -> None:
    image = picture(200, 150)
    done = corrupt(image, kind, seed=1)
    assert done.size == image.size
    assert done.mode == "RGB"
    assert not np.array_equal(np.asarray(done), np.asarray(image))
    np.testing.assert_array_equal(done, corrupt(image, kind, seed=1))


def test_corrupt__does_what_it_says() -> None:
    pixels = np.asarray(picture()).astype(int)
    np.testing.assert_array_equal(np.asarray(corrupt(picture(), "invert")), 255 - pixels)
    grey = np.asarray(corrupt(picture(), "grey"))
    assert (grey[..., 0] == grey[..., 2]).all()
    assert np.asarray(corrupt(picture(), "dark")).max() <= 0.35 * 255


def test_corrupt__a_wrong_kind_is_one_line() -> None:
    with pytest.raises(InputError, match=r"`corrupt` must be invert, .* Did you mean 'blur'"):
        corrupt(picture(), "blurr")


def test_corrupted_copy__keeps_names_labels_and_sides(indexed: Index, tmp_path: Path) -> None:
    copy = corrupted_copy(indexed, "invert", cache=tmp_path)
    assert [(r.name, r.label, r.split) for r in copy.records] == [
        (r.name, r.label, r.split) for r in indexed.records
    ]
    assert not {r.digest for r in copy.records} & {r.digest for r in indexed.records}
    before, after = indexed.records[0], copy.records[0]
    np.testing.assert_array_equal(
        np.asarray(read_rgb(after.path)), 255 - np.asarray(read_rgb(before.path))
    )
    stamp = after.path.stat().st_mtime_ns
    assert corrupted_copy(indexed, "invert", cache=tmp_path) == copy
    assert after.path.stat().st_mtime_ns == stamp
