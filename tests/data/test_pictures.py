"""Files, bytes, PIL pictures and arrays become images; everything else is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import Picture, list_sources, picture_of
from headstart.data.pictures import FetchedPicture
from headstart.errors import DataError

COLOUR = np.zeros((5, 7, 3), np.uint8)


@pytest.mark.parametrize("one", [COLOUR, COLOUR[:, :, 0], Image.fromarray(COLOUR), COLOUR[:, ::-1]])
def test_list_sources__one_picture_is_a_list_of_one(one) -> None:
    [source] = list_sources(one)
    assert isinstance(source, Picture)
    assert source.name == "image 0"
    assert picture_of(source).size == (7, 5)


def test_list_sources__takes_stacks_and_mixed_lists() -> None:
    assert len(list_sources(np.zeros((5, 6, 7), np.uint8))) == 5
    assert len(list_sources(np.zeros((4, 6, 7, 3), np.uint8))) == 4
    assert list_sources("a.png") == [Path("a.png")]
    assert list_sources(np.array([["a.png"], ["b.png"]])) == [Path("a.png"), Path("b.png")]
    path, picture = list_sources(iter([Path("a.png"), COLOUR]))
    assert path == Path("a.png")
    assert isinstance(picture, Picture)
    assert picture.name == "image 1"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (3, "got int"),
        (None, "got NoneType"),
        ({"a": COLOUR}, "got dict"),
        ([COLOUR, 3.5], "image 1 must be a path.*got float"),
        ([None], "image 0 must be a path.*got NoneType"),
        (COLOUR.astype(float), "image 0 must be a uint8 array.*got float64 of shape"),
        ([COLOUR > 0], "got bool of shape"),
        ([np.zeros((5, 7, 4), np.uint8)], r"got uint8 of shape \(5, 7, 4\)"),
        ([np.zeros((0, 7, 3), np.uint8)], r"got uint8 of shape \(0, 7, 3\)"),
        (np.zeros((5, 7, 4), np.uint8), r"\(5, 7, 4\) is neither .* leave out alpha"),
        (np.zeros((5, 7, 1), np.uint8), r"\(5, 7, 1\) is neither"),
        (np.zeros((3, 5, 7), np.uint8), r"\(3, 5, 7\) is neither .* colours last"),
        (np.zeros((2, 3, 5, 7), np.uint8), r"image 0 must be .* shape \(3, 5, 7\)"),
        (Image.new("RGB", (0, 4)), "without pixels: 0 x 4"),
        ([open], "got builtin_function_or_method"),
    ],
)
def test_list_sources__says_what_is_accepted_and_what_came(bad, said) -> None:
    with pytest.raises(DataError, match=said):
        list_sources(bad)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "P", "CMYK", "I;16", "F"])
def test_picture_of__a_pil_picture_is_what_its_file_is(picture, encode, mode) -> None:
    if mode in ("I;16", "F"):
        grey = np.asarray(picture(3, mode="L"))
        values = grey.astype(np.uint16) * 16 if mode == "I;16" else grey.astype(np.float32) / 255
        made = Image.fromarray(values)
    else:
        made = picture(3).convert(mode)
    if mode in ("LA", "RGBA"):
        made.putalpha(picture(4, mode="L"))
    kind = "TIFF" if mode in ("CMYK", "F") else "PNG"
    [from_memory, from_bytes] = list_sources([made, encode(made, kind)])
    assert picture_of(from_memory) == picture_of(from_bytes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_of__turns_an_opened_file_once(tmp_path: Path, picture, orientation) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    picture(1).save(path, exif=exif)
    [opened, file] = list_sources([Image.open(path), path])
    turned = picture_of(opened)
    assert turned == picture_of(file)
    [again] = list_sources(turned)
    assert picture_of(again) == turned


def test_picture_of__a_damaged_picture_is_named(tmp_path: Path, picture, encode) -> None:
    cut = encode(picture(0, (400, 300)), "JPEG")[:900]
    path = tmp_path / "cut.jpg"
    path.write_bytes(cut)
    with Image.open(path) as opened:
        for item in (cut, bytearray(cut), opened):
            [source] = list_sources([item])
            with pytest.raises(DataError, match=r"cannot use 'image 0': truncated"):
                picture_of(source)


def test_fetched_picture__is_fetched_once_when_it_is_read(tmp_path: Path, picture, encode) -> None:
    asked: list[str] = []

    def fetch() -> bytes:
        asked.append("yes")
        return encode(picture(0), "PNG")

    fetched = FetchedPicture("https://a.example/1.png", fetch, tmp_path / "1")
    [source] = list_sources([fetched])
    assert (source, asked) == (fetched, [])
    assert picture_of(fetched) == picture_of(fetched) == picture(0)
    assert asked == ["yes"]
    fetched.forget()
    assert list(tmp_path.iterdir()) == []


def test_fetched_picture__a_failure_is_remembered(tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch() -> bytes:
        asked.append("yes")
        raise DataError("cannot fetch it: status 404 (Not Found)")

    fetched = FetchedPicture("https://a.example/1.png", fetch, tmp_path / "1")
    for _ in range(2):
        with pytest.raises(DataError, match="status 404"):
            picture_of(fetched)
    assert asked == ["yes"]
    fetched.forget()
