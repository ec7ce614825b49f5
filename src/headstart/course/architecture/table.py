"""The rows of an architecture table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from headstart.backbones import architectures
from headstart.backbones.taps import find_taps

if TYPE_CHECKING:
    from headstart.course.architecture.layers import Operation


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A layer."""

    name: str  # name of the tap if the layer is one, else the path of its module
    tap: str = ""  # the tap that ends with this layer, or ""
    # ``"image"``, ``"conv"``, ``"depthwise conv"``, ``"grouped conv"``, ``"max pool"``, ``"average
    # pool"``, ``"fc"``, ``"attention"`` or ``"other"`` (parameters outside layers)
    kind: str
    n_maps: int  # number of feature maps, or length of a vector or a token
    size: tuple[int, ...]  # (height, width) of the maps; (n_tokens,); empty for a vector
    # kernel, stride: empty if there is no window
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    activation: str = ""
    n_parameters: int = 0  # including those of a following normalisation
    macs: int = 0  # multiply-accumulates for one image
    # side of the square of input pixels that one value can depend on, ignoring borders; None if
    # unknown
    receptive_px: int | None = None
    sees_all: bool = False  # whether a value depends on the whole image by construction
    memory_bytes: int = 0  # size of the output for one image in float32


class ArchitectureTable(msgspec.Struct, frozen=True, kw_only=True):
    """A network's layers in the order of the forward pass."""

    name: str
    arch: str
    size_px: int  # side of the input
    rows: tuple[Row, ...]  # the input image first
    # n_parameters, macs, memory_bytes: totals over the rows
    n_parameters: int
    macs: int
    memory_bytes: int


def describe(name: str, size_px: int | None = None) -> ArchitectureTable:
    """The table of a backbone by name; no weights are read.

    Raises BackboneError where the name is unknown, or the network cannot take an input of this
    side.

    Parameters
    ----------
    name : str
        As `headstart.backbones.load` takes it.
    size_px : int, optional
        Side of the input; default: the network's own.

    Examples
    --------
    >>> table = describe("vgg16")
    >>> table.n_parameters, table.rows[1].name, table.rows[1].size
    (138357544, 'conv1_1', (224, 224))
    """
    from headstart.course.architecture.layers import follow

    arch = architectures.resolve(name)
    size_px = size_px or architectures.own_preprocessing(arch).size_px
    module = architectures.build_empty(arch, size_px)
    architectures.drop_auxiliary_heads(module)
    taps = {tap.module: tap for tap in find_taps(module, size_px) if tap.side == "output"}
    found = follow(module, size_px, lambda path: taps[path].layer if path in taps else "")
    parts = {tap.layer: f"{path}." for path, tap in taps.items()}
    n_parameters = sum(p.numel() for p in module.parameters())
    rows = [_picture(size_px), *(_row(operation, parts) for operation in found)]
    if rest := n_parameters - sum(row.n_parameters for row in rows):
        rows.append(_rest(rest))
    return ArchitectureTable(
        name=name,
        arch=arch.full_name,
        size_px=size_px,
        rows=tuple(rows),
        n_parameters=n_parameters,
        macs=sum(row.macs for row in rows),
        memory_bytes=sum(row.memory_bytes for row in rows),
    )


def _picture(size_px: int) -> Row:
    return Row(
        name="input",
        kind="image",
        n_maps=3,
        size=(size_px, size_px),
        receptive_px=1,
        memory_bytes=3 * size_px * size_px * 4,
    )


def _rest(n_parameters: int) -> Row:
    """Class tokens, position embeddings and similar."""
    return Row(name="other", kind="other", n_maps=0, size=(), n_parameters=n_parameters)


def _row(operation: Operation, parts: Mapping[str, str]) -> Row:
    """One row; `parts` has the path prefix of each tap, since a block is more than its last layer."""
    from headstart.course.architecture.layers import WHOLE

    shape = operation.shape
    n_maps, size = (shape[0], shape[1:]) if len(shape) == 3 else (shape[-1], shape[:-1])
    if operation.kind == "fc" and len(shape) == 3:  # (H, W, d), as Swin has it
        n_maps, size = shape[2], shape[:2]
    sees_all = operation.receptive_px == WHOLE
    is_part = not operation.tap or operation.module.startswith(parts[operation.tap])
    return Row(
        name=(operation.module if is_part else operation.tap) or operation.kind,
        tap=operation.tap,
        kind=operation.kind,
        n_maps=n_maps,
        size=tuple(size),
        kernel=operation.kernel,
        stride=operation.stride,
        activation=operation.activation,
        n_parameters=operation.n_parameters,
        macs=operation.macs,
        receptive_px=None if sees_all else operation.receptive_px,
        sees_all=sees_all,
        memory_bytes=operation.memory_bytes,
    )
