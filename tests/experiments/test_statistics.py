from __future__ import annotations

import torch

from headstart.backbones import Backbone
from headstart.data import Index
from headstart.experiments.compact import compact_backbone
from headstart.experiments.statistics import with_statistics_of
from headstart.training.batches import normalised
from headstart.training.images import load_pixels


def test_with_statistics_of__first_layer_has_the_images_mean(
    indexed: Index, tmp_path: object
) -> None:
    from pathlib import Path

    net = compact_backbone(32)
    done = with_statistics_of(net, indexed.train, what="colours")
    pixels = load_pixels(indexed.train, net.preprocessing, cache=Path(str(tmp_path)))
    inputs = net.module[0][0](normalised(pixels.float().div(255), net.preprocessing))
    torch.testing.assert_close(
        done.module[0][1].running_mean, inputs.mean((0, 2, 3)), atol=1e-4, rtol=1e-3
    )
    assert done.digest != net.digest
    assert done.name == "compact with the statistics of colours"


def test_with_statistics_of__leaves_the_backbone_and_the_weights(
    indexed: Index, tiny: Backbone
) -> None:
    before = {k: v.clone() for k, v in tiny.module.state_dict().items()}
    done = with_statistics_of(tiny, indexed.train[:8], what="some")
    for name, value in tiny.module.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in done.module.named_parameters():
        assert torch.equal(value, before[name])
        assert not value.requires_grad
    assert not done.module.training
