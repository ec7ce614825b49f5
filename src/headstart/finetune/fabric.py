"""Lightning Fabric as the training loop wants it: one device, one precision, no announcements."""

from __future__ import annotations

import logging
from typing import Any

import torch


def make_fabric(device: torch.device, precision: str) -> Any:
    """A Fabric for one device; `precision` as in `TrainSettings`."""
    # It announces its precision on the standard error, at level INFO.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    from lightning_fabric import Fabric

    kind = {"cuda": "gpu"}.get(device.type, device.type)
    devices = [device.index or 0] if device.type == "cuda" else 1
    chosen: Any = {"float32": "32-true", "bf16-mixed": "bf16-mixed"}[precision]
    return Fabric(accelerator=kind, devices=devices, precision=chosen)
