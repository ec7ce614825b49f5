"""Where in an image the evidence for a class lies: activation times gradient, per position.

A class score that is linear in the average of a layer's maps is a sum over the positions of the map;
the term of a position is the sum over channels of the activation times the score's gradient. This is the class activation map of Zhou et al. (2016, "Learning deep features for discriminative
localization"). For other heads the same product is used, as in HiResCAM (Draelos and Carin
2020, "Use HiResCAM instead of Grad-CAM"): unlike Grad-CAM (Selvaraju et al. 2017), which averages
the gradient over positions first, it never shows a position that the score did not use. For a head on
averages, such as those of EfficientNet and ResNet, the three agree up to scale.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from headstart.backbones.backbone import Backbone, Tap
from headstart.backbones.imagenet import check_imagenet
from headstart.backbones.preprocessing import normalise, to_uint8
from headstart.backbones.tapped import as_map, norm_of, pool
from headstart.backbones.taps import find_taps
from headstart.backbones.tracing import one_tensor
from headstart.errors import BackboneError

Floats = NDArray[np.float32]
Score = Callable[[Mapping[str, Tensor]], Tensor]

# If the last layer with positions carries no evidence (a transformer's head reads only the class
# token), earlier layers are tried, this many times.
MAX_STEPS_BACK = 3


@dataclass(frozen=True, kw_only=True)
class EvidenceMap:
    """The evidence for one class in one image."""

    crop: Image.Image  # the network's input, (S, S)
    # (S, S); positive: for the class; negative: against it. For a linear head on averages they sum
    # to `score` minus the head's intercept.
    values: Floats
    score: float  # score of the class
    layers: tuple[str, ...]  # the taps shown


def imagenet_evidence(backbone: Backbone, image: Image.Image, index: int) -> EvidenceMap:
    """The evidence for one of ImageNet's classes.

    Raises BackboneError where the backbone has no such classifier, or no layer with positions.

    `backbone`: with its ImageNet classifier. `image`: RGB. `index` (in [0, 999]): index of the
    class.
    """
    check_imagenet(backbone)
    logits = backbone.taps[-1].name
    return evidence_map(backbone, image, [logits], lambda values: values[logits][0, index])


def evidence_map(
    backbone: Backbone, image: Image.Image, taps: Sequence[str], score: Score
) -> EvidenceMap:
    """The evidence for a score of pooled features.

    Raises BackboneError where a tap is unknown, or there is no layer with positions.

    Parameters
    ----------
    backbone : Backbone
        At the resolution that the score was fitted on; not thread-safe during the call.
    image : PIL.Image.Image
        RGB; it is preprocessed for the network.
    taps : sequence of str
        Inputs of the score. Maps and patch tokens are shown as they are; for a vector, such as the
        logits, the last layer with positions before it is shown.
    score : callable
        Takes a mapping of tap name to averaged features (1, d), returns a scalar tensor.
    """
    wanted = [backbone.tap(name) for name in taps]
    if not any(
        _has_places(tap) for tap in backbone.taps
    ):  # of a trained network only the output is known
        inner = find_taps(backbone.module, backbone.preprocessing.size_px)
        mapped = [tap for tap in inner if _has_places(tap)]
        backbone = dataclasses.replace(backbone, taps=(*mapped, *backbone.taps))
    crop = to_uint8(image, backbone.preprocessing)
    pixels = normalise(torch.from_numpy(crop)[None], backbone.preprocessing)
    for places in _places(backbone, wanted):
        value, gradients = _differentiate(backbone, pixels, wanted, places, score)
        maps = [
            resized(as_map(kept * slope, tap).sum(dim=1)[0].numpy(), pixels.shape[-1])
            for tap, (kept, slope) in zip(places, gradients, strict=True)
        ]
        total: Floats = np.stack(maps).sum(axis=0, dtype=np.float32)
        if total.any():
            break
    names = tuple(tap.name for tap in places)
    return EvidenceMap(crop=Image.fromarray(crop), values=total, score=value, layers=names)


def heat_picture(found: EvidenceMap) -> Image.Image:
    """The evidence for the class over the greyed image: brighter and warmer is more.

    Lightness rises with the evidence, so it also shows without colour. Evidence against the class
    is dark. The picture is RGB, as large as the crop.
    """
    share = np.clip(found.values, 0, None)
    top = float(share.max())
    share = (share / top if top > 0 else share)[:, :, None]
    grey = np.asarray(found.crop.convert("L"), np.float32)[:, :, None] / 255
    dark = np.repeat(0.45 * grey, 3, axis=2)
    warm = np.array([1.0, 0.72, 0.2], np.float32) * (0.35 + 0.65 * grey)
    pixels = dark * (1 - share) + warm * share
    return Image.fromarray(np.rint(pixels * 255).clip(0, 255).astype(np.uint8))


def _places(backbone: Backbone, wanted: Sequence[Tap]) -> Iterator[list[Tap]]:
    """The taps to show, then alternatives with an earlier last layer in case they carry nothing."""
    names = {tap.name for tap in wanted if tap.has_places}
    if len(names) == len(wanted):
        yield [tap for tap in backbone.taps if tap.name in names]
        return
    placeless = [tap for tap in wanted if not tap.has_places]
    first = min(backbone.taps.index(tap) for tap in placeless)
    if any(tap.token == "cls" for tap in placeless):
        # Patches and class token leave a block together, so the graph is cut before it.
        names = set()
        modules = {tap.module for tap in wanted}
        first = min(i for i, tap in enumerate(backbone.taps) if tap.module in modules)
    before = [tap for tap in backbone.taps[:first] if _has_places(tap)]
    if not before:
        raise BackboneError(f"{backbone.name} has no layer with places before its last ones")
    for last in before[::-1][:MAX_STEPS_BACK]:
        yield [tap for tap in backbone.taps if tap.name in names or tap is last]


def _has_places(tap: Tap) -> bool:
    return tap.has_places and tap.side == "output"


def _differentiate(
    backbone: Backbone,
    pixels: Tensor,
    wanted: Sequence[Tap],
    places: Sequence[Tap],
    score: Score,
) -> tuple[float, list[tuple[Tensor, Tensor]]]:
    """The score, and the activations and the score's gradient at each position."""
    kept: dict[str, Tensor] = {}
    leaves: dict[str, Tensor] = {}
    with torch.enable_grad(), _cut(backbone, wanted, places, kept, leaves):
        backbone.module(pixels)
        pooled = {
            tap.name: pool(kept[tap.name], tap, norm=_later_norm(backbone, tap, places))
            for tap in wanted
        }
        value = score(pooled)
        slopes = torch.autograd.grad(value, [leaves[tap.name] for tap in places], allow_unused=True)
    pairs = [
        (leaves[tap.name].detach().float(), torch.zeros_like(leaves[tap.name]) if g is None else g)
        for tap, g in zip(places, slopes, strict=True)
    ]
    return float(value.detach()), pairs


def _later_norm(backbone: Backbone, tap: Tap, places: Sequence[Tap]) -> Any:
    """The norm of a tap, unless the tokens that are shown are those after it."""
    is_done = tap in places and tap.norm_first
    return None if is_done else norm_of(backbone.module, tap)


@contextlib.contextmanager
def _cut(
    backbone: Backbone,
    wanted: Sequence[Tap],
    places: Sequence[Tap],
    kept: dict[str, Tensor],
    leaves: dict[str, Tensor],
) -> Iterator[None]:
    """Within the context, a call of the network keeps taps and cuts the graph after each.

    So a tap's gradient is that of its direct use by the score, not of its use by later taps.
    """

    def begin_anew(tap: Tap) -> Callable[..., Tensor]:
        def hook(_: Any, __: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise BackboneError(
                    f"tap {tap.name!r} does not return a single tensor, so there is no map"
                )
            norm = norm_of(backbone.module, tap) if tap in wanted and tap.norm_first else None
            # Before a layer norm, activation times gradient would sum to nothing.
            shown = output if norm is None else norm.forward(output)
            leaf = shown.detach().clone().requires_grad_()
            leaves[tap.name] = leaf
            kept[tap.name] = leaf
            if norm is not None:
                return output.detach().clone()
            return leaf.clone()  # what a later in-place activation may write over

        return hook

    def keep_output(tap: Tap) -> Callable[..., None]:
        def hook(_: Any, __: Any, output: Any) -> None:
            kept[tap.name] = one_tensor(output, tap.output).clone()

        return hook

    def keep_input(tap: Tap) -> Callable[..., None]:
        def hook(_: Any, args: Any) -> None:
            kept[tap.name] = args[0].clone()

        return hook

    shown = {tap.name for tap in places}
    with contextlib.ExitStack() as hooks:
        for tap in [*places, *(tap for tap in wanted if tap.name not in shown)]:
            layer = backbone.module.get_submodule(tap.module)
            if tap.name in shown:
                handle = layer.register_forward_hook(begin_anew(tap))
            elif tap.side == "input":
                handle = layer.register_forward_pre_hook(keep_input(tap))
            else:
                handle = layer.register_forward_hook(keep_output(tap))
            hooks.callback(handle.remove)
        yield


def resized(values: Floats, side: int) -> Floats:
    """Resize a map (h, w) to (side, side), keeping the sum."""
    coarse = torch.from_numpy(values)[None, None]
    fine = interpolate(coarse, size=(side, side), mode="bilinear")[0, 0]
    scale = coarse.shape[-1] * coarse.shape[-2] / (side * side)
    # Bilinear weights near the edges do not sum exactly to one; the difference is spread evenly.
    rest = (float(coarse.sum()) - float(fine.sum()) * scale) / (side * side)
    result: Floats = (fine * scale + rest).numpy()
    return result
