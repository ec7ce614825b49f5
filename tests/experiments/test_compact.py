from __future__ import annotations

import pytest
import torch

from headstart.backbones import tapped_forward
from headstart.errors import InputError
from headstart.experiments.compact import compact_backbone


@pytest.mark.parametrize("size", [16, 32, 64])
def test_compact_backbone__taps_are_the_stages(size: int) -> None:
    net = compact_backbone(size)
    assert [t.name for t in net.taps] == ["conv1", "conv2", "conv3", "conv4", "conv5", "logits"]
    kept = tapped_forward(net, torch.zeros(2, 3, size, size))
    assert [v.shape[1] for v in kept.values()] == [t.n_features for t in net.taps]
    assert kept["conv1"].shape[-1] == size // 2
    assert kept["conv5"].shape[-1] == size // 8


def test_compact_backbone__seed_decides_the_weights() -> None:
    state = torch.get_rng_state()
    assert compact_backbone(seed=1).digest == compact_backbone(seed=1).digest
    assert compact_backbone(seed=1).digest != compact_backbone(seed=2).digest
    assert torch.equal(torch.get_rng_state(), state)


def test_compact_backbone__refuses_images_too_small() -> None:
    with pytest.raises(InputError, match="16 px or more; `size_px` is 8"):
        compact_backbone(8)
