"""The peers of bench/forward.py: other ways to run the same network on the CPU.

Each takes the module and a batch (16, 3, H, W), and gives a function that runs the batch once and
returns the logits as an array.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

Forward = Callable[[], np.ndarray]


def eager(module: nn.Module, images: torch.Tensor) -> Forward:
    """PyTorch as it is: what timm's and torchvision's own evaluation loops do."""

    @torch.inference_mode()
    def forward() -> np.ndarray:
        return module(images).numpy()

    return forward


def channels_last(module: nn.Module, images: torch.Tensor) -> Forward:
    """PyTorch with the channels innermost."""
    moved = copy.deepcopy(module).to(memory_format=torch.channels_last)
    return eager(moved, images.contiguous(memory_format=torch.channels_last))


def openvino(module: nn.Module, images: torch.Tensor, precision: str = "f32") -> Forward:
    """OpenVINO as its tutorial has it: convert, compile, call."""
    sys.modules.setdefault("openvino_telemetry", None)  # it would report over the network
    import openvino as ov

    model = ov.convert_model(module, example_input=images, input=list(images.shape))
    compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    batch = images.numpy()
    return lambda: compiled(batch)[0]


def openvino_bf16(module: nn.Module, images: torch.Tensor) -> Forward:
    """OpenVINO in bfloat16."""
    return openvino(module, images, "bf16")


def channels_last_bf16(module: nn.Module, images: torch.Tensor) -> Forward:
    """PyTorch with the channels innermost and everything in bfloat16."""
    moved = copy.deepcopy(module).to(torch.bfloat16).to(memory_format=torch.channels_last)
    batch = images.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    return _as_float(moved, batch)


def onnxruntime(module: nn.Module, images: torch.Tensor) -> Forward:
    """ONNX Runtime on the exported network."""
    import io

    import onnxruntime as ort

    buffer = io.BytesIO()
    torch.onnx.export(module, (images,), buffer, input_names=["images"], dynamo=False)
    session = ort.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    batch = images.numpy()
    return lambda: session.run(None, {"images": batch})[0]


def compile_bf16(module: nn.Module, images: torch.Tensor) -> Forward:
    """torch.compile with its freezing, channels-last, in bfloat16."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    moved = copy.deepcopy(module).to(torch.bfloat16).to(memory_format=torch.channels_last)
    batch = images.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    return _as_float(torch.compile(moved), batch)


def _as_float(module: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor) -> Forward:
    """Run a bfloat16 network and turn its logits into float32, which NumPy has."""

    @torch.inference_mode()
    def forward() -> np.ndarray:
        return module(batch).float().numpy()

    return forward


RUNTIMES: dict[str, Callable[[nn.Module, torch.Tensor], Forward]] = {
    "eager": eager,
    "channels-last": channels_last,
    "channels-last bf16": channels_last_bf16,
    "OpenVINO": openvino,
    "OpenVINO bf16": openvino_bf16,
    "ONNX Runtime": onnxruntime,
    "torch.compile bf16": compile_bf16,
}
