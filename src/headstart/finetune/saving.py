"""A trained network in a file of its own, and back as a backbone with the one tap ``logits``.

The file is what `Trained.save` writes: the weights, and as JSON in the header what the network is
built from (architecture, preprocessing, classes, settings). The pretrained weights that training
began with are not needed to read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from headstart.errors import InputError, WeightsError, one_line
from headstart.finetune.trained import load_trained

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.finetune.trained import Trained

NAME = "network.safetensors"


def save_network(folder: Path, trained: Trained) -> str:
    """Write the network into `folder` as :data:`NAME`, in one rename.

    Returns
    -------
    str
        The digest of its weights, which `load_network` asks for.

    Raises
    ------
    OutputError
        The folder is read-only, or the disk is full.
    """
    trained.save(folder / NAME)
    return trained.backbone.digest


def load_network(path: Path, *, digest: str) -> Backbone:
    """The network in a file as a backbone, ready to run.

    Parameters
    ----------
    path : Path
        What `save_network` wrote.
    digest : str
        Of the weights, as the run recorded it.

    Raises
    ------
    WeightsError
        The file is missing or damaged, or holds other weights.
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
    # What the header says was changed: names that are none, values of another type.
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
    # As training leaves it: another layout sums in another order, and the last bits would differ.
    backbone.module.to(memory_format=torch.channels_last)
    return backbone
