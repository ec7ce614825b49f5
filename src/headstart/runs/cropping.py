"""Which crop of the images a fit takes: chosen by cross-validation on the training images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.backbones.backbone import CROP_MODES
from headstart.data import training_records
from headstart.data.groups import groups_of
from headstart.heads.accuracy import is_significant, paired_gain
from headstart.probe import judge, training_folds
from headstart.progress import Progress, silent
from headstart.sources.blocks import usual_blocks

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenCrop:
    """A backbone with the crop that was chosen, and a sentence on how good each is."""

    backbone: Backbone
    note: str


def with_crop(backbone: Backbone, crop: str | None) -> Backbone:
    """The same backbone for images that become squares in another way; None: in its own."""
    if crop is None:
        return backbone
    return dataclasses.replace(backbone, preprocessing=backbone.preprocessing.cropped(crop))


def choose_crop(
    index: Index,
    backbone: Backbone,
    *,
    resolutions: Sequence[int] | None = None,
    precision: str = "float32",
    device: str | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = silent,
) -> ChosenCrop:
    """The crop whose features of the usual layer are judged best, at the network's own size.

    Where `resolutions` are given, at that of them which is the nearest to it.

    The network's own is kept unless another is significantly better (a paired test on the training
    images, which are all that is looked at).

    `precision`, `device`, `cache`, `progress`: as for :func:`headstart.features.extract`. `seed`:
    random seed of the folds.
    """
    from headstart.features import extract

    own, own_px = backbone.preprocessing.crop_mode, backbone.preprocessing.size_px
    size = min(resolutions or [own_px], key=lambda px: abs(px - own_px))
    [tap] = usual_blocks(backbone, [size]).taps
    records = training_records(index)
    correct, groups = {}, None
    for mode in (own, *(m for m in CROP_MODES if m != own)):
        done = extract(
            records,
            with_crop(backbone, mode),
            resolutions=[size],
            precision=precision,
            device=device,
            cache=cache,
            progress=progress,
        )
        kept = [r for r in records if r.digest not in done.unreadable]
        y = np.array([r.label for r in kept])
        X = done.stores[size].read([r.digest for r in kept], tap)
        correct[mode] = judge(X, y, training_folds(index, kept, seed=seed)).correct
        groups = groups_of(kept)
    best = max(correct, key=lambda mode: float(correct[mode].mean()))
    if not is_significant(paired_gain(correct[best], correct[own], groups=groups)):
        best = own
    shown = ", ".join(f"{m} {100 * float(c.mean()):.1f} %" for m, c in correct.items())
    is_own = ", the network's own, as no other is significantly better" if best == own else ""
    note = f"crop: {best} is taken{is_own} ({shown} cross-validated, layer {tap} at {size} px)"
    return ChosenCrop(backbone=with_crop(backbone, best), note=note)
