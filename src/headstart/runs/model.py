"""The reusable classifier of a run: which backbone, taps and resolutions, and the linear head.

    model/model.json         backbone, digest, taps, resolutions, classes
    model/head.safetensors   coef (K, d), intercept (K,), scale (1,) of the temperature

Nothing is pickled. The backbone's weights stay where they are and are told by their digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones import Preprocessing
from headstart.errors import RunError, WeightsError
from headstart.files import write_atomically
from headstart.heads import Temperature
from headstart.heads.task import normalize_rows
from headstart.runs.blocks import Blocks
from headstart.runs.folder import SCHEMA, read_json, write_json

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.features import FeatureKey


@dataclass(frozen=True, kw_only=True)
class Model:
    """A linear SVM on features of a frozen backbone.

    Attributes
    ----------
    classes : tuple of str, length K
    blocks : Blocks
        The taps and resolutions whose features it takes.
    precision : str
        Of the network's arithmetic; features for predictions are made in the same.
    backbone : dict
        ``name``, ``arch``, ``weights`` (path of a local file, or None), ``digest``,
        ``preprocessing`` and all ``taps`` as pairs of name and module.
    coef : float64 array (K, d)
        Two classes have the rows ``-w`` and ``w``.
    intercept : float64 array (K,)
    temperature : Temperature
        From scores to probabilities.
    """

    classes: tuple[str, ...]
    blocks: Blocks
    precision: str
    backbone: dict[str, Any]
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    temperature: Temperature

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """One-vs-rest scores (n, K) of features (n, d)."""
        return normalize_rows(X, "l2").astype(np.float64) @ self.coef.T + self.intercept

    def probabilities(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated class probabilities (n, K) of features (n, d)."""
        return self.temperature.probabilities(self.scores(X))

    def feature_keys(self) -> dict[int, FeatureKey]:
        """For each resolution, what decides the features; no weights are needed for it.

        Empty for runs of versions that did not keep the backbone's taps.
        """
        from headstart.features import FeatureKey

        net = self.backbone
        if "taps" not in net:
            return {}
        own = Preprocessing.from_dict(net["preprocessing"])
        return {
            size: FeatureKey(
                weights=net["digest"],
                arch=net["arch"],
                taps=tuple((name, module) for name, module in net["taps"]),
                preprocessing=own.at(size).to_dict(),
                pooling="average",
                precision=self.precision,
            )
            for size in self.blocks.resolutions
        }

    def load_backbone(self) -> Backbone:
        """The backbone that the head was fitted on.

        Raises
        ------
        WeightsError
            The weights are gone, or are not those of the fit.
        """
        from headstart.backbones import load

        wanted = self.backbone
        if wanted["weights"]:
            backbone = load(weights=wanted["weights"], arch=wanted["arch"])
        else:
            backbone = load(wanted["name"])
        if backbone.digest != wanted["digest"]:
            raise WeightsError(
                f"the weights of {wanted['name']} are not those that the run was made with "
                f"(digest {backbone.digest[:12]}, needed {wanted['digest'][:12]}): fit again"
            )
        if backbone.preprocessing != Preprocessing.from_dict(wanted["preprocessing"]):
            raise WeightsError(
                f"the installed timm or torchvision prepares images for {wanted['name']} otherwise "
                "than when the run was made: install the versions in run.json, or fit again"
            )
        return backbone

    def save(self, folder: Path) -> None:
        """Write the model's two files into ``folder``."""
        from safetensors.numpy import save

        folder.mkdir(parents=True, exist_ok=True)
        scale = np.array([self.temperature.scale])
        tensors = {"coef": self.coef, "intercept": self.intercept, "scale": scale}
        payload = save({k: np.ascontiguousarray(v) for k, v in tensors.items()})
        write_atomically(folder / FILES[0], payload)
        facts = {
            "schema": SCHEMA,
            "classes": list(self.classes),
            "taps": list(self.blocks.taps),
            "resolutions_px": list(self.blocks.resolutions),
            "precision": self.precision,
            "backbone": self.backbone,
        }
        write_json(folder / FILES[1], facts)

    @classmethod
    def read(cls, folder: Path) -> Model:
        """Read what :meth:`save` wrote.

        Raises
        ------
        RunError
            A file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        facts = read_json(folder, FILES[1])
        try:
            tensors = load_file(folder / FILES[0])
            return cls(
                classes=tuple(facts["classes"]),
                blocks=Blocks(
                    taps=tuple(facts["taps"]), resolutions=tuple(facts["resolutions_px"])
                ),
                precision=facts["precision"],
                backbone=facts["backbone"],
                coef=tensors["coef"],
                intercept=tensors["intercept"],
                temperature=Temperature(float(tensors["scale"][0])),
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"the model in {folder} is damaged ({error}): fit again") from error


FILES = ("head.safetensors", "model.json")
