from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.course.kernels import GALLERY, Kernel, parse_kernel
from headstart.errors import InputError


def test_gallery__holds_the_kernels_of_the_lecture() -> None:
    values = {k.name: [list(row) for row in k.values] for k in GALLERY}
    assert values["identity"] == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert values["edges, diagonal"] == [[1, 0, -1], [0, 0, 0], [-1, 0, 1]]
    assert values["edges, 4 neighbours"] == [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]
    assert values["edges, 8 neighbours"] == [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
    assert values["sharpen"] == [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    assert len(values) == len(GALLERY) == 10


def test_keeps_brightness__where_the_weights_sum_to_one() -> None:
    keeping = {k.name for k in GALLERY if k.keeps_brightness}
    assert keeping == {"identity", "sharpen", "box blur", "Gaussian blur", "emboss"}


def test_printed__has_the_divisor_before_the_middle_row() -> None:
    blur = next(k for k in GALLERY if k.name == "Gaussian blur")
    assert blur.printed() == [["", "1", "2", "1"], ["1/16 x", "2", "4", "2"], ["", "1", "2", "1"]]
    assert GALLERY[0].printed() == [["0", "0", "0"], ["0", "1", "0"], ["0", "0", "0"]]


def test_parse_kernel__reads_what_typed_writes() -> None:
    kernel = parse_kernel("[[0, -1, 0], [-1, 5.5, -1], [0, -1, 0]]")
    assert kernel.values == ((0, -1, 0), (-1, 5.5, -1), (0, -1, 0))
    assert parse_kernel(kernel.typed()) == kernel


@pytest.mark.parametrize("kernel", GALLERY, ids=lambda k: k.name)
def test_parse_kernel__reads_every_kernel_as_the_page_writes_it(kernel: Kernel) -> None:
    assert parse_kernel(kernel.typed()).weights == kernel.weights


def test_parse_kernel__takes_a_divisor_with_any_sign() -> None:
    for text in ("1/9 × [[3]]", "1/9*[[3]]", " 1 / 9 x [[3]]"):
        assert parse_kernel(text).weights == ((3 / 9,),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[1,2],[3,4]]", "odd side, so that it has a middle; got 2 x 2"),
        ("[[1,2,3],[4,5,6]]", "must be square; got 2 rows of 3 numbers"),
        ("[[1,2,3],[4,5],[6,7,8]]", "must be square; got 3 rows of 2 or 3 numbers"),
        ('[["a",2,3],[4,5,6],[7,8,9]]', "takes finite numbers"),
        ("[[true]]", "takes finite numbers"),
        ("[[NaN]]", "takes finite numbers"),
        ("[[1e999]]", "takes finite numbers"),
        ("sobel", "takes rows of numbers in brackets"),
        ("[]", "takes rows of numbers in brackets"),
        ("[[]]", "takes rows of numbers in brackets"),
        ("[1,2,3]", "takes rows of numbers in brackets"),
        ("3", "takes rows of numbers in brackets"),
        ("1/0 × [[3]]", "divided by zero"),
        ("1/9 × 3", "takes rows of numbers in brackets"),
        ("2/9 × [[3]]", "takes rows of numbers in brackets"),
    ],
)
def test_parse_kernel__says_in_one_line_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_kernel(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_parse_kernel__never_fails_otherwise(text: str) -> None:
    with contextlib.suppress(InputError):
        assert parse_kernel(text).side % 2 == 1
