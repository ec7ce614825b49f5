from __future__ import annotations

import cv2
import numpy as np
import pytest

from headstart.baselines import SiftSettings, dense_sift, root_sift
from headstart.baselines.sift import _centres
from headstart.errors import InputError


@pytest.fixture
def grey() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8), np.uint8))


def test_dense_sift__lies_on_a_grid_in_the_middle(grey: np.ndarray) -> None:
    settings = SiftSettings(step_px=8, patches_px=(16, 32))
    found, places = dense_sift(grey, settings)
    n_small, n_large = 11 * 15, 9 * 13
    assert found.shape == (n_small + n_large, 128)
    assert found.dtype == np.uint8
    assert places.min() > 0
    assert places.max() < 1
    np.testing.assert_allclose(places[0], (8.5 / 128, 8.5 / 96))
    np.testing.assert_allclose(places[n_small], (16.5 / 128, 16.5 / 96))


def test_dense_sift__is_opencvs_descriptor_of_that_place(grey: np.ndarray) -> None:
    found, _ = dense_sift(grey, SiftSettings(patches_px=(24,)))
    keypoint = cv2.KeyPoint(20.0, 12.0, 4.0, 0, 0, 0, -1)
    _, expected = cv2.SIFT_create(sigma=1.0).compute(grey, [keypoint])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found[1], expected[0].astype(np.uint8))


def test_dense_sift__sees_its_patch_only(grey: np.ndarray) -> None:
    """What is changed well outside of a patch does not change its descriptor."""
    settings = SiftSettings(patches_px=(16,))
    before, places = dense_sift(grey, settings)
    grey[:, 64:] = 255 - grey[:, 64:]
    after, _ = dense_sift(grey, settings)
    left = places[:, 0] * 128 < 64 - 16
    np.testing.assert_array_equal(before[left], after[left])
    assert (before[~left] != after[~left]).any()


def test_dense_sift__of_a_picture_smaller_than_the_patch_is_empty() -> None:
    found, places = dense_sift(np.zeros((12, 40), np.uint8), SiftSettings(patches_px=(16,)))
    assert found.shape == (0, 128)
    assert places.shape == (0, 2)


@pytest.mark.parametrize(("side", "n"), [(15, 0), (16, 1), (23, 1), (24, 2), (100, 11)])
def test_centres__leaves_the_rest_on_both_sides(side: int, n: int) -> None:
    centres = _centres(side, 16, 8)
    assert len(centres) == n
    if n:
        left, right = centres[0] - 8, side - centres[-1] - 8
        assert left >= 0
        assert abs(left - right) <= 1


def test_root_sift__is_the_root_of_shares() -> None:
    rows = np.zeros((2, 128), np.uint8)
    rows[0, :4] = (1, 4, 9, 2)
    found = root_sift(rows)
    np.testing.assert_allclose(found[0, :4], np.sqrt(np.array([1, 4, 9, 2]) / 16))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), (1, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"step_px": 0}, "`step_px` must be 1 or more; got 0"),
        ({"patches_px": (16, 4)}, "`patches_px` must be 8 or more; got 4"),
        ({"n_words": (1,)}, "`n_words` must be 2 or more; got 1"),
        ({"n_levels": 0}, "`n_levels` must be 1 or more; got 0"),
        ({"n_gaussians": 0}, "`n_gaussians` must be 1 or more; got 0"),
    ],
)
def test_sift_settings__say_what_is_out_of_range(fields: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        SiftSettings(**fields)
