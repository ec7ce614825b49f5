from __future__ import annotations

import pytest
import torch

from headstart.course.labs import augmentation
from headstart.course.labs.augmentation import mixup_row, mixup_target
from headstart.errors import DataError
from headstart.results import encode


def test_mixup_row__labels_are_the_weights() -> None:
    images = torch.stack([torch.zeros(3, 20, 20), torch.full((3, 20, 20), 255.0)]).to(torch.uint8)
    weights = [1.0, 0.75, 0.0]
    picture = mixup_row(images, ["dark", "light"], weights, size_px=16)
    assert [mixup_target(w) for w in weights] == [[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]]
    greys = [picture.getpixel((10 + i * 26 + 8, 18))[0] for i in range(3)]
    assert greys == pytest.approx([0, 64, 255], abs=1)


def test_measure__repeats_and_tells_the_labels() -> None:
    photographs = augmentation.read(None, size_px=32, seed=0)
    first = augmentation.measure(photographs, [0, 1])
    assert encode(first) == encode(augmentation.measure(photographs, [0, 1]))
    assert "0.8 temple and 0.2 flower" in first.detail
    assert len(first.sentence.split()) <= 25
    images = [section.image for section in augmentation.page(first, photographs)]
    assert all(image.startswith(b"\x89PNG") for image in images[:3])


def test_measure__needs_two_images() -> None:
    two = augmentation.read(None, size_px=32, seed=0)
    one = augmentation.Photographs(
        images=two.images[:1], classes=two.classes[:1], name="d", size_px=32
    )
    with pytest.raises(DataError, match="at least two images"):
        augmentation.measure(one, [0, 1])
