"""Duplicates: real copies are found, look-alikes are not, and it scales."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from headstart.data.duplicates import (
    MAX_HASH_DISTANCE,
    _hash_neighbours,
    _spanning,
    components,
    feature_pairs,
    merge_groups,
    near_pairs,
)
from headstart.data.inspection import Facts, facts_of

COPIES = {
    "smaller": lambda im: im.resize((100, 75), Image.Resampling.LANCZOS),
    "larger": lambda im: im.resize((500, 375), Image.Resampling.BICUBIC),
    "brighter": lambda im: ImageEnhance.Brightness(im).enhance(1.1),
    "softer": lambda im: ImageEnhance.Contrast(im).enhance(0.8),
    "noisy": lambda im: Image.fromarray(
        np.clip(
            np.asarray(im) + np.random.default_rng(0).normal(0, 8, (im.height, im.width, 3)), 0, 255
        ).astype(np.uint8)
    ),
}
OTHERS = {
    "mirrored": lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda im: im.transpose(Image.Transpose.ROTATE_180),
    "cropped to half": lambda im: im.crop((0, 0, im.width // 2, im.height // 2)),
    "squeezed": lambda im: im.resize((im.width // 2, im.height)),
    "other colours": lambda im: Image.merge("RGB", im.split()[::-1]),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_near_pairs__finds_copies(picture, encode, change) -> None:
    images = [picture(seed, (320, 240)) for seed in range(6)]
    facts = [facts_of(encode(im)) for im in images]
    facts += [facts_of(encode(change(im), "JPEG", quality=70)) for im in images]
    assert near_pairs(facts).tolist() == [[i, i + 6] for i in range(6)]


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_near_pairs__leaves_other_pictures_alone(picture, encode, change) -> None:
    images = [picture(seed, (320, 240)) for seed in range(6)]
    facts = [facts_of(encode(im)) for im in [*images, *map(change, images)]]
    assert len(near_pairs(facts)) == 0


def test_near_pairs__does_not_call_blank_pictures_copies(encode) -> None:
    rng = np.random.default_rng(0)
    skies = [
        np.clip(200 + rng.normal(0, 1, (64, 64, 3)), 0, 255).astype(np.uint8) for _ in range(20)
    ]
    assert len(near_pairs([facts_of(encode(Image.fromarray(sky))) for sky in skies])) == 0


@pytest.mark.parametrize("size", [8, 64])
def test_near_pairs__tells_handwritten_digits_apart(encode, size) -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits().images
    facts = [
        facts_of(
            encode(
                Image.fromarray((d * 255 / 16).astype(np.uint8)).resize(
                    (size, size), Image.Resampling.BICUBIC
                )
            )
        )
        for d in digits
    ]
    assert len(near_pairs(facts)) <= 2


def test_near_pairs__gives_nothing_for_fewer_than_two() -> None:
    assert near_pairs([]).shape == (0, 2)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 80))
def test_hash_neighbours__finds_every_close_pair(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**63, n, dtype=np.uint64)
    for i in range(
        1, n, 2
    ):  # neighbours of the one before, at distances on both sides of the bound
        flips = rng.choice(63, size=rng.integers(0, 10), replace=False)
        hashes[i] = hashes[i - 1] ^ np.uint64(sum(1 << int(b) for b in flips))
    found = {tuple(p) for block in _hash_neighbours(hashes) for p in block.tolist()}
    close = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= MAX_HASH_DISTANCE
    assert found == {(i, j) for i, j in np.argwhere(close).tolist() if i < j}


def test_near_pairs__takes_seconds_for_fifty_thousand() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 50_000)
    hashes[1::2] = hashes[::2]
    thumbs = rng.integers(0, 256, (25_000, 768), dtype=np.uint8)
    facts = [Facts(9, 9, int(h), thumbs[i // 2].tobytes()) for i, h in enumerate(hashes)]
    start = time.perf_counter()
    assert len(near_pairs(facts)) == 25_000
    assert time.perf_counter() - start < 30


def test_near_pairs__holds_up_when_everything_is_alike() -> None:
    thumb = np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes()
    facts = [Facts(9, 9, 12345, thumb)] * 2000  # two million pairs: thinned on the way
    assert components(near_pairs(facts), 2000) == [list(range(2000))]


def test_spanning__keeps_the_components() -> None:
    pairs = np.array([[1, 2], [2, 5], [1, 5], [3, 4]])
    assert components(_spanning(pairs, 7), 7) == components(pairs, 7) == [[1, 2, 5], [3, 4]]


def test_merge_groups__merges_what_shares_a_member() -> None:
    groups = merge_groups([("a", "b"), ("c", "b"), ("d", "e")], list("abcdef"))
    assert groups == [["a", "b", "c"], ["d", "e"], ["f"]]


def test_feature_pairs__is_the_plain_cosine() -> None:
    X = np.array([[1, 0], [2, 0.01], [0, 1], [0, 0], [-1, 0]], dtype=np.float16)
    assert feature_pairs(X, min_cosine=0.99).tolist() == [[0, 1]]
    assert feature_pairs(X[:0]).shape == (0, 2)
