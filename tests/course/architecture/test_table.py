from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from headstart.backbones import load, measure_complexity
from headstart.course.architecture.layers import WHOLE, follow
from headstart.course.architecture.table import describe
from headstart.errors import BackboneError

# The lecture's table: layer, feature maps, side, kernel, stride, activation.
VGG16 = [
    ("input", 3, 224, 0, 0, ""),
    ("conv1_1", 64, 224, 3, 1, "relu"),
    ("conv1_2", 64, 224, 3, 1, "relu"),
    ("pool1", 64, 112, 2, 2, ""),
    ("conv2_1", 128, 112, 3, 1, "relu"),
    ("conv2_2", 128, 112, 3, 1, "relu"),
    ("pool2", 128, 56, 2, 2, ""),
    ("conv3_1", 256, 56, 3, 1, "relu"),
    ("conv3_2", 256, 56, 3, 1, "relu"),
    ("conv3_3", 256, 56, 3, 1, "relu"),
    ("pool3", 256, 28, 2, 2, ""),
    ("conv4_1", 512, 28, 3, 1, "relu"),
    ("conv4_2", 512, 28, 3, 1, "relu"),
    ("conv4_3", 512, 28, 3, 1, "relu"),
    ("pool4", 512, 14, 2, 2, ""),
    ("conv5_1", 512, 14, 3, 1, "relu"),
    ("conv5_2", 512, 14, 3, 1, "relu"),
    ("conv5_3", 512, 14, 3, 1, "relu"),
    ("pool5", 512, 7, 2, 2, ""),
    ("fc6", 4096, 0, 0, 0, "relu"),
    ("fc7", 4096, 0, 0, 0, "relu"),
    ("fc8", 1000, 0, 0, 0, "softmax"),
]


def test_describe__vgg16_is_the_lectures_table() -> None:
    table = describe("vgg16")
    found = [
        (r.name, r.n_maps, *_side(r.size), *_side(r.kernel), *_side(r.stride), r.activation)
        for r in table.rows
    ]
    assert found == VGG16
    assert table.n_parameters == sum(r.n_parameters for r in table.rows) == 138_357_544
    assert table.macs == 15_470_264_320
    by_name = {r.name: r for r in table.rows}
    assert by_name["conv1_1"].n_parameters == 3 * 64 * 9 + 64
    assert by_name["fc6"].n_parameters == 25088 * 4096 + 4096
    assert by_name["pool5"].memory_bytes == 512 * 7 * 7 * 4


def _side(pair: tuple[int, ...]) -> tuple[int]:
    assert len(set(pair)) <= 1
    return (pair[0] if pair else 0,)


def test_describe__vgg16_sees_what_the_formula_says() -> None:
    reach, jump = 1, 1
    for row in describe("vgg16").rows[1:19]:
        reach += (row.kernel[0] - 1) * jump
        jump *= row.stride[0]
        assert row.receptive_px == reach
    assert reach == 212
    assert [r.sees_all for r in describe("vgg16").rows[18:]] == [False, True, True, True]


@pytest.mark.parametrize(
    "name",
    [
        *("embedded", "resnet50", "googlenet", "densenet121", "mobilenet_v3_small", "vit_b_16"),
        *("convnext_tiny", "swin_t", "timm:vit_tiny_patch16_224", "timm:mobilenetv4_conv_small"),
    ],
)
def test_describe__rows_add_up_to_what_the_whole_network_costs(name: str) -> None:
    table = describe(name)
    cost = measure_complexity(load(name, pretrained=False) if name != "embedded" else load())
    assert table.n_parameters == cost.n_parameters
    assert sum(row.n_parameters for row in table.rows) == cost.n_parameters
    assert table.macs == cost.macs
    assert table.rows[-1].kind in ("fc", "other")
    assert {"softmax"} == {r.activation for r in table.rows if r.n_maps == 1000}


def test_describe__names_blocks_by_their_layers_and_says_where_taps_end() -> None:
    rows = {r.name: r for r in describe("resnet18").rows}
    assert rows["layer2.0.downsample.0"].tap == "layer2.0"
    assert rows["conv1"].activation == "relu"
    assert rows["layer4.1.conv2"].receptive_px == 435


def test_describe__takes_another_side() -> None:
    table = describe("vgg16", 320)
    assert table.rows[1].size == (320, 320)
    assert table.n_parameters == 138_357_544


def test_describe__says_in_one_line_what_is_wrong() -> None:
    with pytest.raises(BackboneError, match="unknown backbone 'vgg61'"):
        describe("vgg61")
    with pytest.raises(BackboneError, match="cannot take an input of 4x4 px"):
        describe("alexnet", 4)


class _Branches(nn.Module):
    """A narrow and a wide branch, a sum, and the gate of squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(8, 8, 1)
        self.wide = nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8)
        self.gate = nn.Conv2d(8, 8, 1)
        self.after = nn.Conv2d(8, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.stem(images))
        x = nn.functional.gelu(self.narrow(x) + self.wide(x))
        return self.after(x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid())


def test_follow__takes_the_widest_view_where_branches_meet() -> None:
    rows = {r.module: r for r in follow(_Branches().eval(), 32, lambda _: "")}
    assert rows["stem"].receptive_px == 3
    assert rows["narrow"].receptive_px == 3
    assert rows["wide"].receptive_px == 3 + 2 * 4 * 2
    assert (rows["wide"].kind, rows["wide"].activation) == ("depthwise conv", "gelu")
    assert rows["gate"].receptive_px == rows["after"].receptive_px == WHOLE
    assert rows["gate"].activation == "sigmoid"
    assert rows["after"].shape == (4, 14, 14)
    assert rows["wide"].macs == 8 * 25 * 16 * 16


def test_follow__its_view_is_that_of_gradients() -> None:
    """The oracle: which input pixels one value of a sequence of layers has a gradient of."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2), nn.MaxPool2d(3, 2), nn.Conv2d(4, 4, 3, dilation=2),
        nn.AvgPool2d(2), nn.Conv2d(4, 2, 3),
    ).eval()  # fmt: skip
    rows = follow(net, 96, lambda _: "")
    images = torch.rand(1, 3, 96, 96, requires_grad=True)
    # Of an average, as a maximum has a gradient of one place only.
    net[1] = nn.AvgPool2d(3, 2)
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1.0)
    out = net(images)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    touched = images.grad.abs().sum(dim=(0, 1)).sum(dim=0).nonzero().flatten()
    assert rows[-1].receptive_px == int(touched.max() - touched.min()) + 1
