"""Forward passes that keep the outputs of taps."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from headstart.backbones.backbone import Tap
from headstart.backbones.tracing import one_tensor
from headstart.errors import BackboneError, argument

if TYPE_CHECKING:
    from headstart.backbones.backbone import Backbone


Pooling = Literal["average", "max", "pyramid"]
POOLINGS: dict[str, str] = {
    "average": "the mean over all positions",
    "max": "the largest over all positions",
    "pyramid": "the mean over all positions, then over each quarter of the image",
}


class _AllKept(Exception):  # noqa: N818 - a signal, not an error
    """Raised once the last tap is kept, since the rest of the network need not run."""


def pool(
    value: Tensor, tap: Tap, pooling: Pooling = "average", *, norm: nn.Module | None = None
) -> Tensor:
    """A tap's output as one feature vector per image.

    Parameters
    ----------
    value : Tensor
        Output of the tapped layer: ``(B, d, H, W)``, ``(B, H, W, d)``, ``(B, n_tokens, d)`` or
        ``(B, d)``, depending on `tap`.
    tap : Tap
    pooling : {"average", "max", "pyramid"}
        Over positions, or over patch tokens; a vector is returned unchanged. ``"pyramid"``
        concatenates the averages of the whole and of its four quarters (Lazebnik et al. 2006).
    norm : Module, optional
        That of `tap`, from `norm_of`.

    Returns
    -------
    Tensor of shape (B, d), float32
        ``(B, 5 d)`` for a pyramid.

    Raises
    ------
    BackboneError
        A pyramid is requested for tokens that do not form a square.
    """
    # `forward`: a norm's own hooks belong to the network's pass.
    if norm is not None and tap.norm_first:
        value = norm.forward(_as_in(norm, value))
    pooled = _pool(value.float(), tap, pooling)
    if norm is not None and not tap.norm_first:
        rows = _as_in(norm, pooled.reshape(-1, tap.n_features))
        pooled = norm.forward(rows).reshape(pooled.shape).float()
    return pooled


def _as_in(norm: nn.Module, value: Tensor) -> Tensor:
    """The value in the precision of a normalisation's weights."""
    weight = next(norm.parameters(), None)
    return value if weight is None or weight.dtype == value.dtype else value.to(weight.dtype)


def norm_of(module: nn.Module, tap: Tap) -> nn.Module | None:
    """The normalisation in `module` that the features of `tap` are taken after, if any."""
    return module.get_submodule(tap.norm) if tap.norm else None


def _pool(value: Tensor, tap: Tap, pooling: Pooling) -> Tensor:
    if tap.kind == "vector":
        return value
    if tap.token == "cls":
        return value[:, 0]
    if pooling == "pyramid":
        return _pyramid(as_map(value, tap))
    if tap.kind == "tokens":
        value = value[:, tap.n_prefix :]
    positions = 1 if tap.kind == "tokens" else (1, 2) if tap.channels_last else (2, 3)
    return value.mean(dim=positions) if pooling == "average" else value.amax(dim=positions)


def as_map(value: Tensor, tap: Tap) -> Tensor:
    """Maps or patch tokens as (B, d, H, W)."""
    if tap.kind == "map":
        return value.permute(0, 3, 1, 2) if tap.channels_last else value
    patches = value[:, tap.n_prefix :]
    side = math.isqrt(patches.shape[1])
    if side * side != patches.shape[1]:
        raise BackboneError(
            f"tap {tap.name!r} gives {patches.shape[1]} tokens, which do not form a square: "
            f"take {argument('pooling')} average or max"
        )
    return patches.transpose(1, 2).reshape(len(patches), -1, side, side)


def _pyramid(maps: Tensor) -> Tensor:
    return torch.cat([maps.mean(dim=(2, 3)), adaptive_avg_pool2d(maps, 2).flatten(1)], dim=1)


@contextlib.contextmanager
def _keep(
    module: nn.Module, taps: Sequence[Tap], keep: Callable[[Tensor, Tap], Tensor], stop: bool
) -> Iterator[dict[str, Tensor]]:
    """Within the context, a call of `module` fills the dictionary with ``keep(output, tap)``.

    `keep` runs inside the hook, before a later in-place activation can overwrite the output.
    """
    kept: dict[str, Tensor] = {}

    def note(value: Any, tap: Tap) -> None:
        kept[tap.name] = keep(one_tensor(value, tap.output), tap)
        if stop and len(kept) == len(taps):
            raise _AllKept

    def on_output(tap: Tap) -> Callable[[Any, Any, Any], None]:
        return lambda _, __, output: note(output, tap)

    def on_input(tap: Tap) -> Callable[[Any, Any], None]:
        return lambda _, args: note(args[0], tap)

    with contextlib.ExitStack() as hooks:
        for tap in taps:
            layer = module.get_submodule(tap.module)
            if tap.side == "input":
                handle = layer.register_forward_pre_hook(on_input(tap))
            else:
                handle = layer.register_forward_hook(on_output(tap))
            hooks.callback(handle.remove)
        yield kept


def tapped_forward(
    backbone: Backbone, images: Tensor, taps: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """The outputs of taps as the network computes them: not normalised and not pooled.

    Parameters
    ----------
    backbone : Backbone
        Not thread-safe during the call, which adds hooks to its layers.
    images : Tensor of shape (B, 3, H, W), float32
        Normalised.
    taps : sequence of str, optional
        Names; default all. Layers after the last one do not run.

    Returns
    -------
    dict of str to Tensor
        In the order of `taps`; copies that later layers cannot overwrite.

    Raises
    ------
    BackboneError
        If the backbone has no such tap.
    """
    wanted = backbone.taps if taps is None else tuple(backbone.tap(name) for name in taps)
    if not wanted:
        return {}
    with (
        torch.no_grad(),
        _keep(backbone.module, wanted, lambda value, _: value.clone(), True) as kept,
        contextlib.suppress(_AllKept),
    ):
        backbone.module(images)
    return {tap.name: kept[tap.name] for tap in wanted}


class TappedModule(nn.Module):
    """A network whose outputs are the pooled features of taps.

    It can be traced (`torch.jit.trace`), exported (`torch.export.export`) and converted
    (``openvino.convert_model``).

    Parameters
    ----------
    backbone : Backbone
        Its module is shared, not copied.
    taps : sequence of str, optional
        Names; default all. Layers after the last one do not run.
    pooling : {"average", "max", "pyramid"}
        As for `pool`.

    Raises
    ------
    BackboneError
        If the backbone has no such tap, or `taps` is empty or has duplicates.
    """

    def __init__(
        self,
        backbone: Backbone,
        taps: Sequence[str] | None = None,
        pooling: Pooling = "average",
    ) -> None:
        super().__init__()
        self.pooling = pooling
        names = [tap.name for tap in backbone.taps] if taps is None else list(taps)
        self.taps = tuple(backbone.tap(name) for name in names)
        if not names or len(set(names)) < len(names):
            raise BackboneError(f"taps must be one or more different names, got {names}")
        self.module = backbone.module
        # A dictionary, so that they are not registered twice.
        self._norms = {tap.name: norm_of(self.module, tap) for tap in self.taps}

    def lower(self, dtype: torch.dtype) -> None:
        """Convert the network's weights; BatchNorm, the norms of taps and pooling stay float32."""
        self._norms = {name: copy.deepcopy(norm) for name, norm in self._norms.items()}
        self.module.to(dtype)
        for layer in self.module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.float()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pooled features of each tap.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            Normalised.

        Returns
        -------
        tuple of Tensor of shape (B, d), float32
            One per tap, in order.
        """
        # Tracers do not follow exceptions; they drop what runs after the last tap themselves.
        is_traced = bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
        stop = not (is_traced or torch.compiler.is_compiling())
        keep = self._features
        with _keep(self.module, self.taps, keep, stop) as kept, contextlib.suppress(_AllKept):
            self.module(images)
        return tuple(kept[tap.name] for tap in self.taps)

    def _features(self, value: Tensor, tap: Tap) -> Tensor:
        return pool(value, tap, self.pooling, norm=self._norms[tap.name])
