"""A backbone: a network, the digest of its weights, its own preprocessing and its taps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.structs import replace

from headstart.errors import BackboneError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["map", "tokens", "vector"]
Token = Literal["mean", "cls"]

HUBS = ("hf-hub", "transformers")
"""Prefixes of the names of repositories of the Hugging Face hub, and of folders like them."""

CLASS_SCORES = ("logits", "fc8", "conv10")
"""Possible names of the tap of class scores."""

OUTPUTS = (*CLASS_SCORES, "embedding")
"""Possible names of the tap of the network's output."""
INTERPOLATIONS = ("bilinear", "bicubic")
CROP_MODES = ("center", "squash", "letterbox")


def _are(kind: type, *values: Any) -> bool:
    """Whether all are finite numbers of a kind; files may hold anything."""
    return all(isinstance(v, kind) for v in values) and all(map(math.isfinite, values))


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an RGB image becomes the input that the network was trained for.

    Parameters
    ----------
    size_px : int
        Side of the square input, in pixels.
    crop_pct : float in (0, 2]
        Side of the centre crop over the shorter side of the resized image; above 1, the image is
        padded with black.
    interpolation : {"bilinear", "bicubic"}
        Resampling filter; always antialiased, as PIL does it.
    mean, std : tuple of 3 floats
        Subtracted from the channels, which are then divided by std; white is 1.
    crop_mode : {"center", "squash", "letterbox"}, default "center"
        ``"squash"`` resizes both sides to `resize_px`, ignoring the aspect ratio. ``"letterbox"``
        resizes the longer side to it, and fills the rest with `mean`.
    """

    size_px: int
    crop_pct: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        if not _are(Integral, self.size_px):
            raise BackboneError(f"size_px must be a whole number, got {self.size_px!r}")
        if self.size_px < 1:
            raise BackboneError(f"size_px must be at least 1, got {self.size_px}")
        if not _are(Real, self.crop_pct) or not 0 < self.crop_pct <= 2:
            raise BackboneError(f"crop_pct must be in (0, 2], got {self.crop_pct!r}")
        if self.interpolation not in INTERPOLATIONS:
            raise BackboneError(
                f"interpolation must be one of {INTERPOLATIONS}, got {self.interpolation!r}"
            )
        if self.crop_mode not in CROP_MODES:
            raise BackboneError(f"crop_mode must be one of {CROP_MODES}, got {self.crop_mode!r}")
        if (
            not _are(Real, *self.mean, *self.std)
            or len(self.mean) != 3
            or len(self.std) != 3
            or min(self.std) <= 0
        ):
            raise BackboneError(
                f"mean and std must be 3 numbers, std above 0; got {self.mean} and {self.std}"
            )

    @property
    def resize_px(self) -> int:
        """The shorter side, in pixels, to which an image is resized before the crop."""
        # The small addend compensates for size / (size / resize) rounding to one ulp below `resize`.
        return math.floor(self.size_px / self.crop_pct + 1e-6)

    @property
    def fill(self) -> tuple[int, int, int]:
        """The colour beside an image that is smaller than the input."""
        if self.crop_mode != "letterbox":
            return 0, 0, 0
        r, g, b = (round(255 * channel) for channel in self.mean)
        return r, g, b

    def cropped(self, crop_mode: str) -> Preprocessing:
        """The same preprocessing with another crop; the whole image, unless that is the centre."""
        if crop_mode == self.crop_mode:
            return self
        crop_pct = self.crop_pct if crop_mode == "center" else 1.0
        return replace(self, crop_mode=crop_mode, crop_pct=crop_pct)

    def at(self, size_px: int) -> Preprocessing:
        """The same preprocessing with another input side; the crop fraction stays."""
        return replace(self, size_px=size_px)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return msgspec.structs.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_dict` wrote.

        Raises ValueError where a value is of another type, or a field is unknown.
        """
        return msgspec.convert(data, cls)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tap:
    """A named layer whose output is kept.

    Parameters
    ----------
    name : str
        The name that users see: ``"conv1_2"``.
    module : str
        Dotted path of the submodule whose output it is: ``"features.3"``. The non-linearity that
        follows a convolution is part of its tap.
    kind : {"map", "tokens", "vector"}
        Shape of the output: ``(B, d, H, W)``, ``(B, n_tokens, d)`` or ``(B, d)``.
    n_features : int
        `d`, the width of the pooled features.
    channels_last : bool, default False
        The map has shape ``(B, H, W, d)``, as in Swin transformers.
    n_prefix : int, default 0
        Leading class and register tokens, which the average over tokens leaves out.
    side : {"output", "input"}, default "output"
        ``"input"`` keeps the input of the submodule: the pooled token of a transformer's head.
    output : int, default 0
        Which tensor it is, if the submodule returns several.
    token : {"mean", "cls"}, default "mean"
        ``"cls"``: the features of tokens are the first one, the class token, whatever the pooling.
    norm : str, default ""
        Dotted path of the normalisation that the network's head applies to tokens; the features are
        taken after it.
    norm_first : bool, default True
        Whether `norm` is applied to the tokens, or to their average.
    """

    name: str
    module: str
    kind: Kind
    n_features: int
    channels_last: bool = False
    n_prefix: int = 0
    side: Literal["output", "input"] = "output"
    output: int = 0
    token: Token = "mean"
    norm: str = ""
    norm_first: bool = True

    @property
    def has_places(self) -> bool:
        """Whether the features are taken over positions or patches."""
        return self.kind != "vector" and self.token != "cls"

    @property
    def layer(self) -> str:
        """The name without the token: ``"blocks.7"`` of ``"blocks.7.cls"``."""
        return layer_of(self.name)

    @property
    def recipe(self) -> str:
        """The submodule and what is done to its output; part of the key of stored features."""
        parts = [self.module]
        if self.output:
            parts.append(f"output {self.output}")
        if self.norm:
            parts.append(f"{self.norm} of {'tokens' if self.norm_first else 'features'}")
        if self.token == "cls":
            parts.append("class token")
        return ", ".join(parts)


def layer_of(name: str) -> str:
    """The layer of a tap's name: ``"blocks.7"`` of ``"blocks.7.cls"`` and ``"blocks.7.mean"``."""
    return name.removesuffix(".cls").removesuffix(".mean")


def before_output(names: Sequence[str]) -> list[str]:
    """The names of taps without that of the network's output, unless there is no other.

    The last of them is what the network's own head sees.
    """
    return [*names[:-1]] if names[-1] in OUTPUTS and len(names) > 1 else [*names]


def last_layers(names: Sequence[str], n_layers: int) -> list[str]:
    """The taps of the last layers before the output; class token and patches are of one layer."""
    before = before_output(names)
    kept = list(dict.fromkeys(map(layer_of, before)))[-n_layers:]
    return [name for name in before if layer_of(name) in kept]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A pretrained network with everything needed to use and to record it.

    Attributes
    ----------
    name : str
        The name given by the user, or the file name of local weights.
    arch : str
        ``"timm:..."`` or ``"torchvision:..."``: `load` builds the same network from it.
    module : torch.nn.Module
        In evaluation mode, with gradients off.
    preprocessing : Preprocessing
        The network's own.
    taps : tuple of Tap
        In the order of the forward pass, from input to logits.
    digest : str
        SHA-256 (hex) of the weights as loaded, independent of the file format.
    source : str
        Where the weights came from, in words.
    licence : str
        Licence of the weights.
    n_parameters : int
        Number of parameters.
    """

    name: str
    arch: str
    module: nn.Module
    preprocessing: Preprocessing
    taps: tuple[Tap, ...]
    digest: str
    source: str
    licence: str
    n_parameters: int

    def tap(self, name: str) -> Tap:
        """The tap called `name`.

        Raises
        ------
        BackboneError
            If this backbone has no such tap; the message lists those it has.
        """
        for tap in self.taps:
            if tap.name == name:
                return tap
        names = [tap.name for tap in self.taps]
        raise BackboneError(
            f"{self.name} has no tap {name!r}.{did_you_mean(name, names)} "
            f"It has: {', '.join(names)}"
        )
