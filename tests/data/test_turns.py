"""Threads that decode large images wait for each other; small ones never wait."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from headstart.data.turns import MAX_AT_ONCE, turn

_LARGE = MAX_AT_ONCE // 8


def _most_at_once(n_pixels: int, image_format: str, n_threads: int = 6) -> int:
    lock, now, most = threading.Lock(), 0, 0

    def decode(_: int) -> None:
        nonlocal now, most
        with turn(n_pixels, image_format):
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.03)
            with lock:
                now -= 1

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(decode, range(2 * n_threads)))
    return most


@pytest.mark.parametrize(
    ("n_pixels", "image_format", "most"),
    [
        (_LARGE, "PNG", 1),
        (2 * _LARGE, "PNG", 1),
        (_LARGE // 3, "PNG", 3),
        (_LARGE // 3, "WEBP", 1),
        (1000, "PNG", 6),
    ],
)
def test_turn__bounds_what_threads_decode_at_once(n_pixels, image_format, most) -> None:
    assert _most_at_once(n_pixels, image_format) == most


def test_turn__is_given_back_where_decoding_fails() -> None:
    for _ in range(3):
        with pytest.raises(ValueError, match="damaged"), turn(_LARGE, "PNG"):
            raise ValueError("damaged")


def test_turn__small_images_pass_large_ones() -> None:
    def decode(n_pixels: int) -> bool:
        with turn(n_pixels, "PNG"):
            return True

    with ThreadPoolExecutor(2) as pool:
        with turn(_LARGE, "PNG"):
            waits = pool.submit(decode, _LARGE)
            assert pool.submit(decode, 1000).result(timeout=10)
            assert not waits.done()
        assert waits.result(timeout=10)
