"""A task that small networks learn in a few steps."""

from __future__ import annotations

import pytest
import torch

from headstart.course.labs.samples import Samples


@pytest.fixture(scope="session")
def blobs() -> Samples:
    """Two classes of 120 images of 4 x 4 pixels: the upper half bright, or the lower."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(240, 1, 4, 4, generator=generator) * 0.5
    labels = torch.arange(240) % 2
    images[labels == 0, :, :2] += 0.3
    images[labels == 1, :, 2:] += 0.3
    return Samples(name="blobs", images=images, labels=labels, classes=("up", "down"))
