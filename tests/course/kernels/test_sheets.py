"""Pictures of results in their own size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from headstart.course.kernels import GALLERY, correlate, parse_kernel
from headstart.course.kernels.sheets import picture_pixels, result_picture


@pytest.mark.parametrize("kernel", GALLERY, ids=lambda k: k.name)
def test_result_picture__shows_the_correlation(kernel) -> None:
    picture = np.random.default_rng(0).random((20, 30, 3)).astype(np.float32)
    shown, factor = result_picture(picture, kernel, stride=2, padding="none", dilation=1)
    result = correlate(picture, kernel.weights, stride=2, padding="none")
    assert shown.size == result.shape[1::-1]
    expected = result if factor is None else np.abs(result) * factor
    np.testing.assert_allclose(np.asarray(shown) / 255, expected.clip(0, 1), atol=0.51 / 255)
    assert (factor is None) == kernel.keeps_brightness


def test_picture_pixels__reduces_only_larger_pictures() -> None:
    wide = Image.new("RGB", (400, 100), (255, 0, 51))
    assert picture_pixels(wide, 200).shape == (50, 200, 3)
    assert picture_pixels(wide, 1000).shape == (100, 400, 3)
    np.testing.assert_allclose(picture_pixels(wide, 200)[3, 3], (1, 0, 0.2))
    assert wide.size == (400, 100)


def test_with_side__keeps_the_middle() -> None:
    small = parse_kernel("[[1,2,3],[4,5,6],[7,8,9]]")
    assert small.with_side(5).values[1] == (0, 1, 2, 3, 0)
    assert small.with_side(5).values[0] == (0,) * 5
    assert small.with_side(1).values == ((5,),)
    assert small.with_side(7).with_side(3) == small
