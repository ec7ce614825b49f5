"""Decoded squares: what they are, where they lie, and that they are made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from headstart.backbones import Backbone, Preprocessing
from headstart.data import Record
from headstart.errors import DataError, OutputError
from headstart.features.pixels import crops
from headstart.training import images as images_module
from headstart.training.batches import centre
from headstart.training.images import load_pixels, stored_side

PREPROCESSING = Preprocessing(
    size_px=28, crop_pct=0.875, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)


def test_load_pixels__are_a_little_larger_than_the_crops(
    records: list[Record], tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int]] = []
    found = load_pixels(
        records[:3], PREPROCESSING, cache=tmp_path, progress=lambda *stage: seen.append(stage)
    )
    assert seen == [("decode images", 0, 3), ("decode images", 3, 3)]
    assert found.shape == (3, 3, 32, 32)
    assert found.dtype == torch.uint8
    assert stored_side(PREPROCESSING) == 32


def test_load_pixels__centre_is_the_crop_of_the_features(
    records: list[Record], tmp_path: Path
) -> None:
    found = centre(load_pixels(records[:8], PREPROCESSING, cache=tmp_path), 28)
    for square, record in zip(found, records, strict=False):
        expected = crops(record.path, [PREPROCESSING])[0]
        assert np.abs(square.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1


def test_load_pixels__decodes_once(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_pixels(records[:4], PREPROCESSING, cache=tmp_path)
    monkeypatch.setattr(images_module, "crops", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(load_pixels(records[:4], PREPROCESSING, cache=tmp_path), first)
    mapped = load_pixels(records[:4], PREPROCESSING, cache=tmp_path, in_memory_bytes=0)
    assert torch.equal(mapped, first)


def test_load_pixels__of_a_set_that_changed_decodes_what_is_new(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []

    def counted(path: Path, *args: object, **options: object) -> object:
        decoded.append(path)
        return crops(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(images_module, "crops", counted)
    cache = tmp_path / "grown"
    load_pixels(records[:4], PREPROCESSING, cache=cache)
    assert decoded == [r.path for r in records[:4]]
    decoded.clear()
    wider = [records[6], *records[1:5][::-1]]
    squares = load_pixels(wider, PREPROCESSING, cache=cache)
    assert sorted(decoded) == sorted(r.path for r in (records[4], records[6]))
    assert torch.equal(squares, load_pixels(wider, PREPROCESSING, cache=tmp_path / "anew"))
    decoded.clear()
    load_pixels(wider[1:3], PREPROCESSING, cache=cache)
    assert not decoded
    larger = msgspec.structs.replace(PREPROCESSING, size_px=30)
    load_pixels(wider[1:3], larger, cache=cache)
    assert len(decoded) == 2


def test_load_pixels__a_file_cut_short_is_made_anew(records: list[Record], tmp_path: Path) -> None:
    first = load_pixels(records[:4], PREPROCESSING, cache=tmp_path)
    (path,) = (tmp_path / "pixels").iterdir()
    os.truncate(path, 100)
    assert torch.equal(load_pixels(records[:4], PREPROCESSING, cache=tmp_path), first)


def test_load_pixels__an_image_that_cannot_be_decoded_leaves_nothing(
    make_images: object, tmp_path: Path
) -> None:
    (record,) = make_images(tmp_path / "bad", 1)
    record.path.write_bytes(b"no image")
    with pytest.raises(DataError):
        load_pixels([record], PREPROCESSING, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "pixels").iterdir())


def test_load_pixels__without_room_says_how_much_is_needed(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"2 decoded images of 32x32 px take .* GiB free"):
        load_pixels(records[:2], PREPROCESSING, cache=tmp_path)


def test_load_pixels__of_no_images(tiny: Backbone, tmp_path: Path) -> None:
    assert len(load_pixels([], PREPROCESSING, cache=tmp_path)) == 0
