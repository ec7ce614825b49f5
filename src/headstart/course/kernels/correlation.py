"""Correlation of an image with a kernel, with stride, padding and dilation, and its output size.

Networks correlate: the kernel is applied as it is written. Convolution in mathematics rotates it by
180 degrees first, which makes no difference for a symmetric kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.errors import InputError, argument, did_you_mean

Padding = Literal["zeros", "reflect", "none"]
PADDINGS: tuple[Padding, ...] = ("zeros", "reflect", "none")

# (stride, padding, dilation): each but the last differs from the first in one setting.
VARIANTS: tuple[tuple[int, Padding, int], ...] = (
    (1, "zeros", 1),
    (1, "reflect", 1),
    (1, "none", 1),
    (2, "zeros", 1),
    (4, "zeros", 1),
    (1, "zeros", 2),
    (1, "zeros", 4),
    (1, "none", 4),
)

Floats = NDArray[np.float32]


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """Settings, and the size that they give with the formula for the width."""

    stride: int
    padding: str
    dilation: int
    width: int
    height: int
    formula: str


def correlate(
    picture: Floats,
    weights: Sequence[Sequence[float]],
    *,
    stride: int = 1,
    padding: str = "zeros",
    dilation: int = 1,
) -> Floats:
    """Correlate each channel of an image with a kernel, as a depthwise convolutional layer does.

    Raises InputError where a setting is out of range, or the image is smaller than the kernel.

    Parameters
    ----------
    picture : float32 array (H, W, C)
    weights : (k, k) floats, k odd
    stride : int >= 1, default 1
        Pixels from one result to the next.
    padding : {"zeros", "reflect", "none"}, default "zeros"
        Pixels around the image: zeros, the image mirrored about its outermost pixels, or none, so
        that the kernel stays inside. With padding and stride 1 the size does not change.
    dilation : int >= 1, default 1
        Pixels from one weight to the next.

    Returns
    -------
    float32 array (H', W', C)
        The size is that of `output_size`.
    """
    import torch
    from torch.nn import functional

    kernel = torch.tensor(weights, dtype=torch.float32)
    _check(picture.shape[:2], len(weights), stride, padding, dilation)
    images = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[:, None]
    around = padding_px(len(weights), padding, dilation)
    if around:
        mode = "reflect" if padding == "reflect" else "constant"
        images = functional.pad(images, (around,) * 4, mode=mode)
    out = functional.conv2d(images, kernel[None, None], stride=stride, dilation=dilation)
    result: Floats = out[:, 0].permute(1, 2, 0).numpy()
    return result


def padding_px(side: int, padding: str, dilation: int = 1) -> int:
    """Pixels added on each side."""
    return 0 if padding == "none" else dilation * (side - 1) // 2


def output_size(n: int, side: int, *, stride: int, padding: str, dilation: int) -> int:
    """Output size for ``n`` pixels: ``floor((n + 2 p - d (k - 1) - 1) / s) + 1``."""
    span = dilation * (side - 1)
    return (n + 2 * padding_px(side, padding, dilation) - span - 1) // stride + 1


def formula(n: int, side: int, *, stride: int, padding: str, dilation: int) -> str:
    """The formula of `output_size` with numbers."""
    p = padding_px(side, padding, dilation)
    out = output_size(n, side, stride=stride, padding=padding, dilation=dilation)
    return f"⌊({n} + 2·{p} − {dilation}·({side} − 1) − 1) / {stride}⌋ + 1 = {out}"


def explain_size(
    width: int, height: int, side: int, *, stride: int, padding: str, dilation: int
) -> str:
    """Input and output size, as a headline."""
    out_width, out_height = (
        output_size(n, side, stride=stride, padding=padding, dilation=dilation)
        for n in (width, height)
    )
    return (
        f"A {side} × {side} kernel (stride {stride}, padding {padding}, dilation {dilation}) turns "
        f"{width} × {height} pixels into {out_width} × {out_height}."
    )


def explain_formula(width: int, side: int, *, stride: int, padding: str, dilation: int) -> str:
    """The formula with numbers, as a sentence."""
    p = padding_px(side, padding, dilation)
    numbers = formula(width, side, stride=stride, padding=padding, dilation=dilation)
    return f"With {p} px of padding on each side the width is {numbers}."


def fits(width: int, height: int, side: int, dilation: int) -> bool:
    """Whether an image is at least as large as the kernel's span."""
    return min(width, height) >= dilation * (side - 1) + 1


def variants(width: int, height: int, side: int) -> list[Variant]:
    """Those of `VARIANTS` for which an image is large enough."""
    return [
        Variant(
            stride=stride,
            padding=padding,
            dilation=dilation,
            width=output_size(width, side, stride=stride, padding=padding, dilation=dilation),
            height=output_size(height, side, stride=stride, padding=padding, dilation=dilation),
            formula=formula(width, side, stride=stride, padding=padding, dilation=dilation),
        )
        for stride, padding, dilation in VARIANTS
        if fits(width, height, side, dilation)
    ]


def _check(size: tuple[int, ...], side: int, stride: int, padding: str, dilation: int) -> None:
    if padding not in PADDINGS:
        raise InputError(
            f"{argument('padding')} must be {', '.join(PADDINGS[:-1])} or {PADDINGS[-1]}; got {padding!r}."
            f"{did_you_mean(padding, PADDINGS)}"
        )
    for option, value in ((argument("stride"), stride), (argument("dilation"), dilation)):
        if value < 1:
            raise InputError(f"{option} must be 1 or more; got {value}")
    span = dilation * (side - 1) + 1
    if not fits(size[1], size[0], side, dilation):
        dilated = f" with dilation {dilation}" if dilation > 1 else ""
        raise InputError(
            f"the image is {size[1]} x {size[0]} px, smaller than the kernel, which spans "
            f"{span} x {span} px{dilated}: take a larger image or a smaller kernel"
        )
