from __future__ import annotations

import numpy as np
import pytest

from headstart.augment import Policy, jittered_views
from headstart.errors import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)


def test_jittered_views__begin_with_the_centre_crop() -> None:
    views = jittered_views(IMAGE, 4, size_px=32)
    assert views.shape == (4, 32, 32, 3)
    assert views.dtype == np.uint8
    assert (views[0] == IMAGE[4:36, 4:36]).all()
    assert not (views[1] == views[2]).all()


def test_jittered_views__are_the_same_every_time_and_grow() -> None:
    four, six = jittered_views(IMAGE, 4, size_px=32), jittered_views(IMAGE.copy(), 6, size_px=32)
    assert (four == six[:4]).all()


def test_jittered_views__depend_on_image_and_seed() -> None:
    one = jittered_views(IMAGE, 2, size_px=32)
    assert not (one[1] == jittered_views(IMAGE, 2, size_px=32, seed=1)[1]).all()
    brighter = (IMAGE // 2 + 60).astype(np.uint8)
    still = Policy(name="basic", jitter=0, hue=0)
    a = jittered_views(IMAGE, 2, size_px=32, policy=still)[1]
    b = jittered_views(brighter, 2, size_px=32, policy=still)[1]
    assert np.abs(a / 2 + 60 - b).mean() > 5  # another crop


@pytest.mark.parametrize(
    ("image", "n", "policy", "says"),
    [
        (IMAGE, 0, Policy(name="basic"), "1 or more; got 0"),
        (IMAGE[:20], 1, Policy(name="basic"), "at least 32"),
        (IMAGE[:, :, 0], 1, Policy(name="basic"), "must be (R, R, 3)"),
        (IMAGE, 1, Policy(name="mixup"), "got 'mixup'"),
    ],
)
def test_jittered_views__refuses(image: np.ndarray, n: int, policy: Policy, says: str) -> None:
    with pytest.raises(InputError) as raised:
        jittered_views(image, n, size_px=32, policy=policy)
    assert says in str(raised.value)
