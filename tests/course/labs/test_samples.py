from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.course.labs.samples import Samples, digits, draw_task, read_samples
from headstart.errors import DataError, InputError


def test_digits__are_all_there() -> None:
    samples = digits()
    assert samples.images.shape == (1797, 1, 8, 8)
    assert (float(samples.images.min()), float(samples.images.max())) == (0, 1)
    assert samples.classes == tuple("0123456789")


def test_draw_task__validation_does_not_train(blobs: Samples) -> None:
    marked = torch.arange(len(blobs)).float().view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    samples = Samples(name="n", images=marked, labels=blobs.labels, classes=blobs.classes)
    task = draw_task(samples, 100, n_val=50, seed=3)
    train, val = (set(images[:, 0, 0, 0].tolist()) for images in (task.images, task.val_images))
    assert len(train) == 100
    assert len(val) == 50
    assert not train & val


def test_draw_task__larger_sets_contain_the_smaller_and_share_validation(blobs: Samples) -> None:
    few, many = (draw_task(blobs, n, n_val=60, seed=1) for n in (10, 100))
    assert torch.equal(few.labels, many.labels[:10])
    assert torch.equal(few.val_labels[:60], many.val_labels[:60])


def test_draw_task__normalises_by_the_training_images(blobs: Samples) -> None:
    task = draw_task(blobs, 80, seed=0)
    assert float(task.images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(task.images.std()) == pytest.approx(1, abs=1e-4)


def test_draw_task__of_too_few_images_keeps_some_for_validation(blobs: Samples) -> None:
    task = draw_task(blobs, 10_000, seed=0)
    assert len(task.val_labels) == 72
    assert len(task.labels) == 168


def test_draw_task__same_seed_same_task(blobs: Samples) -> None:
    one, same, other = (draw_task(blobs, 50, seed=s) for s in (5, 5, 6))
    assert torch.equal(one.images, same.images)
    assert not torch.equal(one.labels, other.labels)


def test_draw_task__refuses_a_single_image(blobs: Samples) -> None:
    with pytest.raises(InputError, match="at least 2"):
        draw_task(blobs, 1, seed=0)


def write_images(root: Path, n: int) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def test_read_samples__of_a_folder(tmp_path: Path) -> None:
    samples = read_samples(write_images(tmp_path / "photos", 12), size_px=8)
    assert samples.images.shape == (24, 3, 8, 8)
    assert samples.name == "photos"
    assert samples.labels.bincount().tolist() == [12, 12]


def test_read_samples__too_few_images_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs 20 images; .* has 6"):
        read_samples(write_images(tmp_path / "photos", 3))
