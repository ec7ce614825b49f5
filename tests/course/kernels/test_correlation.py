from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from headstart.course.kernels import GALLERY, correlate, explain_formula, explain_size, output_size
from headstart.course.kernels.correlation import VARIANTS, formula, variants
from headstart.errors import InputError

# What scipy calls the same borders.
SCIPY_MODES = {"zeros": "constant", "reflect": "mirror"}


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).random((23, 31, 3)).astype(np.float32)


@pytest.mark.parametrize("kernel", GALLERY, ids=lambda k: k.name)
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_correlate__is_scipys_correlation(picture: np.ndarray, kernel, padding: str) -> None:
    found = correlate(picture, kernel.weights, padding=padding)
    for channel in range(3):
        expected = ndimage.correlate(
            picture[:, :, channel].astype(np.float64),
            np.array(kernel.weights),
            mode=SCIPY_MODES[padding],
        )
        np.testing.assert_allclose(found[:, :, channel], expected, atol=1e-5)


def test_correlate__is_not_scipys_convolution_but_of_the_turned_kernel(
    picture: np.ndarray,
) -> None:
    kernel = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 10]])
    found = correlate(picture, kernel.tolist())[:, :, 0]
    turned = ndimage.convolve(picture[:, :, 0], kernel[::-1, ::-1], mode="constant")
    np.testing.assert_allclose(found, turned, atol=1e-4)
    assert np.abs(found - ndimage.convolve(picture[:, :, 0], kernel, mode="constant")).max() > 0.1


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize(("stride", "padding", "dilation"), VARIANTS)
def test_correlate__stride_and_dilation_pick_from_scipys_result(
    picture: np.ndarray, side: int, stride: int, padding: str, dilation: int
) -> None:
    kernel = np.random.default_rng(side).normal(size=(side, side))
    spread = np.zeros((dilation * (side - 1) + 1,) * 2)
    spread[::dilation, ::dilation] = kernel
    full = ndimage.correlate(
        picture[:, :, 1].astype(np.float64), spread, mode=SCIPY_MODES.get(padding, "constant")
    )
    inside = len(spread) // 2 if padding == "none" else 0
    expected = full[inside : 23 - inside : stride, inside : 31 - inside : stride]
    found = correlate(picture, kernel.tolist(), stride=stride, padding=padding, dilation=dilation)
    np.testing.assert_allclose(found[:, :, 1], expected, atol=1e-4)
    for n, got in ((23, found.shape[0]), (31, found.shape[1])):
        assert got == output_size(n, side, stride=stride, padding=padding, dilation=dilation)


def test_correlate__refuses_a_picture_smaller_than_the_kernel() -> None:
    small = np.zeros((2, 5, 3), np.float32)
    with pytest.raises(InputError, match="5 x 2 px, smaller than the kernel, which spans 3 x 3 px"):
        correlate(small, GALLERY[0].weights)
    with pytest.raises(InputError, match="spans 9 x 9 px with dilation 4"):
        correlate(np.zeros((8, 8, 3), np.float32), GALLERY[0].weights, dilation=4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stride": 0}, "`stride` must be 1 or more; got 0"),
        ({"dilation": -1}, "`dilation` must be 1 or more; got -1"),
        ({"padding": "zero"}, "`padding` must be zeros, reflect or none; got 'zero'"),
    ],
)
def test_correlate__refuses_settings_out_of_range(
    picture: np.ndarray, settings: dict, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        correlate(picture, GALLERY[0].weights, **settings)


def test_explain_size__puts_the_numbers_into_the_formula() -> None:
    said = explain_size(224, 100, 7, stride=2, padding="zeros", dilation=1)
    assert "turns 224 × 100 pixels into 112 × 50." in said
    formula_said = explain_formula(224, 7, stride=2, padding="zeros", dilation=1)
    assert formula_said.endswith("⌊(224 + 2·3 − 1·(7 − 1) − 1) / 2⌋ + 1 = 112.")
    assert formula(32, 3, stride=1, padding="none", dilation=2).endswith("= 28")


def test_variants__are_those_that_fit_with_their_sizes() -> None:
    found = variants(32, 16, 3)
    assert [(v.stride, v.padding, v.dilation) for v in found] == list(VARIANTS)
    halved = next(v for v in found if v.stride == 2)
    assert (halved.width, halved.height) == (16, 8)
    assert halved.formula.endswith("= 16")
    assert max(v.dilation for v in variants(32, 8, 3)) == 2
