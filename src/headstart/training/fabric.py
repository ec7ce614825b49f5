"""Lightning Fabric for the training loop: one device per process, without log output."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import torch
from torch import nn

from headstart.training.processes import ALONE, Processes

# Name of the option since torch 2.15, and before.
_NEW = "forward_sync_buffers"
_HAS_NEW = _NEW in inspect.signature(nn.parallel.DistributedDataParallel).parameters
_SYNCS_BUFFERS = _NEW if _HAS_NEW else "broadcast_buffers"


def make_fabric(
    device: torch.device,
    precision: str,
    processes: Processes = ALONE,
    *,
    leaves_unused: bool = False,
) -> Any:
    """A Fabric for this process.

    Parameters
    ----------
    device : torch.device
        Device of this process.
    precision : str
        As in `TrainSettings`.
    processes : Processes
        With several, DistributedDataParallel averages the gradients.
    leaves_unused : bool
        Whether some trained parameters have no gradient in some steps.
    """
    # It logs its precision to standard error at level INFO.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    from lightning_fabric import Fabric

    kind = {"cuda": "gpu"}.get(device.type, device.type)
    chosen: Any = {"float32": "32-true", "bf16-mixed": "bf16-mixed"}[precision]
    if not processes.is_several:
        devices = [device.index or 0] if device.type == "cuda" else 1
        return Fabric(accelerator=kind, devices=devices, precision=chosen)
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    # Statistics are already equal in all, and numbers of validation batches may differ.
    options: dict[str, Any] = {_SYNCS_BUFFERS: False, "find_unused_parameters": leaves_unused}
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), **options)
    fabric = Fabric(
        accelerator=kind,
        devices=processes.local_size,
        num_nodes=processes.size // processes.local_size,
        strategy=strategy,
        precision=chosen,
    )
    fabric.launch()
    return fabric
