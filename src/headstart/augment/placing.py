"""Drawn numbers on the device of the images."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def placed(values: NDArray[Any], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """An array on the device of `like`, by default in its dtype; nothing waits for a GPU."""
    here = torch.as_tensor(values, dtype=dtype or like.dtype)
    return here.to(like.device, non_blocking=like.device.type == "cuda")
