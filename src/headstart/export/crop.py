"""Preprocessing from a whole image to a network's input, as a graph for any runtime.

The arithmetic is that of :func:`headstart.backbones.preprocessing.resize_and_crop`: the shorter side
to ``resize_px`` with antialiasing, then a centre crop, padded with black if the image is smaller. An
image whose sides differ by more than a factor of ``MAX_ASPECT`` is cropped to its centre before that.
It is written again in torch and in ONNX, because neither can call Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from headstart.backbones.preprocessing import MAX_ASPECT
from headstart.errors import InputError, argument

if TYPE_CHECKING:
    from headstart.backbones import Preprocessing


class Crop(nn.Module):
    """Resize, crop and normalise uint8 images in torch.

    Parameters
    ----------
    cut : callable
        :func:`cut_out`, or its compiled form if a tracer must not fix the sizes.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, preprocessing: Preprocessing, cut: Callable[..., Tensor] | None = None
    ) -> None:
        super().__init__()
        _require_crop(preprocessing)
        self._cut = cut or cut_out
        self._sizes = (
            preprocessing.resize_px,
            preprocessing.size_px,
            preprocessing.crop_mode == "squash",
            preprocessing.interpolation,
            MAX_ASPECT,
        )
        scale, shift = constants(preprocessing)
        self.register_buffer("scale", torch.tensor(scale).reshape(1, 3, 1, 1))
        self.register_buffer("shift", torch.tensor(shift).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Network input (n, 3, size_px, size_px), float32, of images (n, height, width, 3)."""
        return self._cut(images, *self._sizes).float() * self.scale + self.shift


def _require_crop(view: Preprocessing) -> None:
    if view.crop_mode == "letterbox":
        raise InputError(
            f"the run was made with {argument('crop', 'letterbox')}, which an exported file cannot do yet: "
            f"fit again with {argument('crop', 'squash')}"
        )


def cut_out(
    images: Tensor, resize_px: int, size_px: int, squash: bool, mode: str, max_aspect: int
) -> Tensor:
    """Centres (n, 3, size_px, size_px) of images (n, height, width, 3), uint8.

    TorchScript compiles it; its integers behave as in Python.
    """
    height, width = images.shape[1], images.shape[2]
    shorter = min(height, width)
    if not squash:
        ends = [
            max(height - max_aspect * shorter, 0) // 2,
            max(width - max_aspect * shorter, 0) // 2,
        ]
        images = images[:, ends[0] : height - ends[0], ends[1] : width - ends[1]]
        height, width = images.shape[1], images.shape[2]
    new_height, new_width = resize_px, resize_px
    if not squash:
        new_height, new_width = resize_px * height // shorter, resize_px * width // shorter
    x = images.permute(0, 3, 1, 2)
    if new_height != height or new_width != width:
        x = torch.nn.functional.interpolate(x, [new_height, new_width], mode=mode, antialias=True)
    border = max(0, size_px - resize_px)
    if border > 0:
        x = torch.nn.functional.pad(x, [border, border, border, border])
    starts: list[int] = []
    for length in (new_height, new_width):
        spare = length - size_px
        half = -((-spare) // 2) if spare < 0 else spare // 2
        odd = max(spare, 0) % 2  # halves are rounded to even, as in Python
        starts.append(half + odd * (half % 2) + border)
    top, left = starts[0], starts[1]
    return x[:, :, top : top + size_px, left : left + size_px]


def constants(preprocessing: Preprocessing) -> tuple[list[float], list[float]]:
    """Factor and offset of each channel, from 0..255 to the normalised input."""
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    return [1 / (255 * std) for _, std in pairs], [-mean / std for mean, std in pairs]


def onnx_text(
    views: Sequence[Preprocessing], names: Sequence[str], *, opset: int, ir_version: int
) -> str:
    """A model in ONNX's textual form: one input ``images``, and one output per view.

    `names`: names of the outputs. `opset`, `ir_version`: those of the model that follows; `opset`
    is at least 18, the first whose Resize has antialiasing.
    """
    for view in views:
        _require_crop(view)
    outputs = ", ".join(
        f"float[n, 3, {view.size_px}, {view.size_px}] {name}"
        for view, name in zip(views, names, strict=True)
    )
    steps = "\n".join(_steps(view, name) for view, name in zip(views, names, strict=True))
    return f"""<ir_version: {ir_version}, opset_import: ["" : {opset}]>
crop (uint8[n, height, width, 3] images) => ({outputs}) {{
    pixels = Transpose <perm = [0, 3, 1, 2]> (images)
    two = Constant <value = int64[1] {{2}}> ()
    none = Constant <value = int64[1] {{0}}> ()
    both_axes = Constant <value = int64[2] {{2, 3}}> ()
    whole_size = Shape <start = 2, end = 4> (pixels)
    batch_and_channels = Shape <start = 0, end = 2> (pixels)
    shorter = ReduceMin <keepdims = 1> (whole_size)
    max_aspect = Constant <value = int64[1] {{{MAX_ASPECT}}}> ()
    longest = Mul(max_aspect, shorter)
    over = Sub(whole_size, longest)
    surplus = Max(over, none)
    ends = Div(surplus, two)
    ends_to = Sub(whole_size, ends)
    window = Slice(pixels, ends, ends_to, both_axes)
    size = Sub(ends_to, ends)
{steps}
}}"""


def _steps(view: Preprocessing, name: str) -> str:
    """The nodes of one view; every name starts with that of the view.

    None is the view's name with ``_scale``: quantisation gives that name to a constant of its own.
    """
    scale, shift = (", ".join(f"{v:.9g}" for v in values) for values in constants(view))
    resize, side = view.resize_px, view.size_px
    border = max(0, side - resize)
    mode = {"bilinear": "linear", "bicubic": "cubic"}[view.interpolation]
    v = name
    source = "pixels" if view.crop_mode == "squash" else "window"
    if view.crop_mode == "squash":
        sized = f"{v}_new = Constant <value = int64[2] {{{resize}, {resize}}}> ()"
    else:
        sized = f"""{v}_target = Constant <value = int64[1] {{{resize}}}> ()
    {v}_long = Mul({v}_target, size)
    {v}_new = Div({v}_long, shorter)"""
    padded = f"{v}_padded = Identity({v}_resized)"
    if border:
        padded = f"""{v}_pads = Constant <value = int64[8] {{0, 0, {border}, {border}, 0, 0, {border}, {border}}}> ()
    {v}_padded = Pad({v}_resized, {v}_pads)"""
    # Integer Div truncates towards zero, and an odd spare pixel goes to the even side.
    return f"""    {sized}
    {v}_sizes = Concat <axis = 0> (batch_and_channels, {v}_new)
    {v}_resized = Resize <mode = "{mode}", antialias = 1, cubic_coeff_a = -0.5, exclude_outside = {int(mode == "cubic")}, coordinate_transformation_mode = "half_pixel"> ({source}, , , {v}_sizes)
    {padded}
    {v}_side = Constant <value = int64[1] {{{side}}}> ()
    {v}_border = Constant <value = int64[1] {{{border}}}> ()
    {v}_spare = Sub({v}_new, {v}_side)
    {v}_half = Div({v}_spare, two)
    {v}_positive = Max({v}_spare, none)
    {v}_odd = Mod({v}_positive, two)
    {v}_half_odd = Mod({v}_half, two)
    {v}_up = Mul({v}_odd, {v}_half_odd)
    {v}_start = Add({v}_half, {v}_up)
    {v}_from = Add({v}_start, {v}_border)
    {v}_to = Add({v}_from, {v}_side)
    {v}_cut = Slice({v}_padded, {v}_from, {v}_to, both_axes)
    {v}_float = Cast <to = 1> ({v}_cut)
    {v}_factor = Constant <value = float[1, 3, 1, 1] {{{scale}}}> ()
    {v}_offset = Constant <value = float[1, 3, 1, 1] {{{shift}}}> ()
    {v}_scaled = Mul({v}_float, {v}_factor)
    {v} = Add({v}_scaled, {v}_offset)"""
