from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.backbones.tracing import trace_calls
from headstart.errors import BackboneError


class Twice(nn.Module):
    """Calls one layer once and another one twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.relu(self.conv(images)))
        return self.head(x.mean((2, 3)))


def test_trace_calls__order_shapes_and_work_by_hand() -> None:
    calls = trace_calls(Twice(), 10, count_macs=True)
    assert [(c.module, c.output_shape, c.macs) for c in calls] == [
        ("conv", (2, 4, 10, 10), 4 * 3 * 9 * 100),
        ("head", (2, 2), 4 * 3 * 9 * 100 + 8),
        ("", (2, 2), 4 * 3 * 9 * 100 + 8),
    ]


def test_trace_calls__leaves_the_network_as_it_was() -> None:
    module = Twice()
    before = module.conv.weight.clone()
    trace_calls(module, 10)
    assert module.conv.weight.device.type == "cpu"
    assert torch.equal(module.conv.weight, before)
    assert not module.conv._forward_hooks


def test_trace_calls__unfit_size_is_one_line() -> None:
    with pytest.raises(BackboneError, match=r"^Sequential cannot take an input of 8x8 px") as error:
        trace_calls(nn.Sequential(nn.Flatten(), nn.Linear(10, 2)), 8)
    assert "\n" not in str(error.value)
