"""A network of a model, and what of its features the head takes."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.backbones.backbone import HUBS
from headstart.errors import WeightsError, one_line
from headstart.runs.regular import require_regular

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.features import FeatureKey
    from headstart.sources.blocks import Blocks
    from headstart.sources.saved import SavedBackbone


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One of the networks whose features the head of a model takes."""

    backbone: SavedBackbone
    blocks: Blocks  # its taps and resolutions
    precision: str
    folder: Path | None = None  # of the model, which holds a network that was trained

    def feature_keys(self) -> dict[int, FeatureKey]:
        """For each resolution, what decides the features; no weights are needed for it.

        Empty for runs of versions that did not keep the backbone's taps.
        """
        from headstart.features import FeatureKey

        net = self.backbone
        if net.taps is None or net.preprocessing is None:
            return {}
        return {
            size: FeatureKey(
                weights=net.digest,
                arch=net.arch,
                taps=net.taps,
                preprocessing=net.preprocessing.at(size).to_dict(),
                precision=self.precision,
            )
            for size in self.blocks.resolutions
        }

    def load(self) -> Backbone:
        """The backbone that the head was fitted on, or the network that was trained.

        Raises WeightsError where the weights are gone, or are not those of the fit.
        """
        from headstart.backbones import load

        wanted = self.backbone
        if wanted.finetuned:
            return self._load_trained()
        if wanted.weights:
            backbone = load(weights=wanted.weights, arch=wanted.arch)
        else:
            # The architecture of a local folder is its absolute path.
            is_hub = wanted.arch.partition(":")[0] in HUBS
            backbone = load(wanted.arch if is_hub else wanted.name)
        if backbone.digest != wanted.digest:
            raise WeightsError(
                f"the weights of {wanted.name} are not those that the run was made with "
                f"(digest {backbone.digest[:12]}, needed {wanted.digest[:12]}): fit again"
            )
        prepared = wanted.preprocessing
        own = backbone.preprocessing.cropped(prepared.crop_mode) if prepared else None
        if own is None or own != prepared:
            raise WeightsError(
                f"the installed timm or torchvision prepares images for {wanted.name} otherwise "
                "than when the run was made: install the versions in run.json, or fit again"
            )
        backbone = dataclasses.replace(backbone, preprocessing=own)
        self._require_taps(backbone)
        return backbone

    def _require_taps(self, backbone: Backbone) -> None:
        """Refuse layers that this version reads otherwise than the version that made the run."""
        then = dict(self.backbone.taps or ())
        now = {tap.name: tap.recipe for tap in backbone.taps}
        changed = [t for t in self.blocks.taps if now.get(t) != then.get(t, now.get(t))]
        if changed or not set(self.blocks.taps) <= set(now):
            named = ", ".join(changed or self.blocks.taps)
            raise WeightsError(
                f"this version of Headstart reads other features of {self.backbone.name} than "
                f"the version that made the run (layer {named}): install that version, or fit again"
            )

    def _load_trained(self) -> Backbone:
        from headstart.training.saving import load_network

        if self.folder is None:
            raise WeightsError("the fine-tuned network is in no folder yet: save the model first")
        # The name alone: a run folder reads nothing from outside itself.
        path = self.folder / Path(self.backbone.finetuned).name
        if os.path.lexists(path):  # else the next says what is missing
            require_regular(self.folder, path.name)
        backbone = load_network(path, digest=self.backbone.digest)
        if backbone.preprocessing != self.backbone.preprocessing:
            raise WeightsError(
                f"the fine-tuned network {one_line(str(path))} prepares images otherwise than "
                "model.json says: copy the run folder again, or fit again"
            )
        return backbone
