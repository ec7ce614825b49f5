"""Features of any PyTorch network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.backbones import Backbone, Preprocessing, Tap, TappedModule
from headstart.backbones import transform as prepare
from headstart.backbones.backbone import OUTPUTS
from headstart.backbones.preprocessing import from_timm
from headstart.backbones.tapped import POOLINGS, Pooling
from headstart.backbones.taps import find_taps, tap_at
from headstart.data import list_sources, picture_of
from headstart.errors import BackboneError, DataError, InputError

if TYPE_CHECKING:
    from PIL import Image

Transform = Preprocessing | Callable[["Image.Image"], Tensor]


def extract_features(
    model: nn.Module,
    images: Any,
    *,
    layer: str | None = None,
    transform: Transform | None = None,
    pooling: Pooling = "average",
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Pooled features of images by any network.

    Parameters
    ----------
    model : torch.nn.Module
        On any device. It runs in eval mode and is not changed.
    images : Tensor, or paths, bytes of image files, PIL images or uint8 arrays
        A tensor (n, 3, height, width) is the preprocessed input of the network.
    layer : str, optional
        A tap's name or the dotted path of a submodule; default: the classifier's input.
    transform : callable or Preprocessing, optional
        From an RGB image to its tensor (3, height, width), such as ``weights.transforms()``. Not
        needed for timm's networks, which have their own; it is never guessed.
    pooling : {"average", "max", "pyramid"}
        Over positions of a map, or over tokens.
    batch_size : int >= 1

    Returns
    -------
    float32 array (n, d)

    Raises
    ------
    BackboneError
        There is no such layer, or the network does not take such inputs.
    DataError
        An image cannot be read.
    InputError
        The preprocessing of this network is unknown.
    """
    if not isinstance(model, nn.Module):
        raise InputError(
            f"model must be a torch.nn.Module; got {type(model).__name__}. For a network by its name, "
            "take headstart.Features"
        )
    if pooling not in POOLINGS or batch_size < 1:
        raise InputError(
            f"pooling must be one of {', '.join(POOLINGS)}, and batch_size at least 1; got {pooling!r} "
            f"and {batch_size}"
        )
    how = None if isinstance(images, Tensor) else _transform_of(model, transform)
    with _evaluating(model):
        batches = _batches(images, how, batch_size)
        first = next(batches, None)
        if first is None:
            raise DataError("images is empty: without an image there is nothing to run")
        tapped = TappedModule(_as_backbone(model, layer, first.shape[-1]), pooling=pooling)
        like = next(model.parameters(), torch.zeros(0))
        found = []
        for batch in _chain(first, batches):
            with torch.inference_mode(), _too_small(model, first):
                [rows] = tapped(batch.to(device=like.device, dtype=like.dtype))
            found.append(rows.float().cpu().numpy())
    return np.concatenate(found)


def _transform_of(model: nn.Module, given: Transform | None) -> Callable[[Image.Image], Tensor]:
    if given is None:
        cfg = getattr(model, "pretrained_cfg", None)
        if not isinstance(cfg, dict) or "mean" not in cfg:
            raise InputError(
                f"how pictures are prepared for {type(model).__name__} is not known: give transform="
                "weights.transforms() or a headstart.backbones.Preprocessing, or prepared tensors"
            )
        named = SimpleNamespace(**({"crop_mode": "center"} | cfg))
        given = from_timm(named, type(model).__name__)
    if isinstance(given, Preprocessing):
        own = given
        return lambda picture: prepare(picture, own)
    if not callable(given):
        raise InputError(f"transform must be callable; got {type(given).__name__}")
    return given


def _batches(
    images: Any, transform: Callable[[Image.Image], Tensor] | None, batch_size: int
) -> Iterator[Tensor]:
    """Batches of the network's inputs; images are read when they are needed."""
    if transform is None:
        if images.ndim != 4:
            raise DataError(
                f"a tensor of images must be (n, 3, height, width); got {tuple(images.shape)}"
            )
        yield from (b for b in images.split(batch_size) if len(b))
        return
    sources = list_sources(images)
    for start in range(0, len(sources), batch_size):
        made = [transform(picture_of(s)) for s in sources[start : start + batch_size]]
        yield torch.stack(made)


def _chain(first: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield first
    yield from rest


def _as_backbone(model: nn.Module, layer: str | None, size_px: int) -> Backbone:
    return Backbone(
        name=type(model).__name__,
        arch="",
        module=model,
        preprocessing=Preprocessing(
            size_px=size_px, crop_pct=1, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1)
        ),
        taps=(_find(model, layer, size_px),),
        digest="",
        source="",
        licence="",
        n_parameters=0,
    )


def _find(model: nn.Module, layer: str | None, size_px: int) -> Tap:
    try:
        taps = find_taps(model, size_px)
    except BackboneError:
        if layer is None:
            return tap_at(model, "", size_px)
        taps = ()
    if layer is None:
        # If no linear layer produces the network's output, it has no classifier: take the output itself.
        has_classifier = taps[-1].name in OUTPUTS and taps[-1].module != ""
        return taps[-2] if has_classifier else taps[-1]
    named = {tap.name: tap for tap in taps}
    return named[layer] if layer in named else tap_at(model, layer, size_px)


@contextlib.contextmanager
def _too_small(model: nn.Module, batch: Tensor) -> Iterator[None]:
    """Name the input that the network cannot take; torch 2.6 does not find that out by shapes alone."""
    try:
        yield
    except RuntimeError as error:
        if "greater than actual input size" not in str(error):
            raise
        height, width = batch.shape[-2:]
        reason = str(error).splitlines()[0]
        raise BackboneError(
            f"{type(model).__name__} cannot take an input of {height}x{width} px ({reason})"
        ) from error


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode within the context; afterwards every module has its own mode again."""
    was_training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in was_training:
            part.training = True
