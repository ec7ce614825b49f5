"""Save a trained network to a file, and load it as a backbone with the tap ``logits``.

The file is that of `Trained.save`: the weights, and a description of the network as JSON in the header
(architecture, preprocessing, classes, settings). Loading does not need the pretrained weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from headstart.errors import InputError, WeightsError, one_line
from headstart.training.trained import load_trained

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.training.trained import Trained

NAME = "network.safetensors"


def save_network(folder: Path, trained: Trained) -> str:
    """Write the network into `folder` as :data:`NAME`, atomically.

    Raises OutputError where the folder is read-only, or the disk is full. Returns the digest of its
    weights, for `load_network`.
    """
    trained.save(folder / NAME)
    return trained.backbone.digest


def load_network(path: Path, *, digest: str) -> Backbone:
    """Load a network as a backbone, ready to run.

    Raises WeightsError where the file is missing or damaged, or contains other weights.

    `path`: written by `save_network`. `digest`: digest of the weights, as recorded by the run.
    """
    shown = one_line(str(path))
    if not path.is_file():
        raise WeightsError(
            f"the fine-tuned network {shown} is missing: copy the run folder whole, or fit again"
        )
    try:
        backbone = load_trained(path).backbone
    except WeightsError:
        raise
    # The header was modified: unknown names, or values of other types.
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"the fine-tuned network {shown} is damaged ({one_line(str(error), limit=120)}): copy "
            "the run folder again, or fit again"
        ) from error
    if backbone.digest != digest:
        raise WeightsError(
            f"the fine-tuned network {shown} is not the one that the run was made with (digest "
            f"{backbone.digest[:12]}, needed {one_line(digest)[:12]}): copy the run folder again, or "
            "fit again"
        )
    # Keep the memory layout of training: another one sums in another order.
    backbone.module.to(memory_format=torch.channels_last)
    return backbone
