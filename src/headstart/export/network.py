"""A run's model as one PyTorch module from prepared images to calibrated probabilities.

The NumPy computations of `Model` are written in torch here, so that network, head and calibration
are one graph. Two small differences from ``run.predict``: features are not rounded to float16, and
the head computes in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from headstart.backbones import TappedModule, at_size
from headstart.export.crop import Crop

if TYPE_CHECKING:
    from headstart.backbones import Backbone, Preprocessing
    from headstart.export.caution import CautiousClassifier
    from headstart.runs.model import Model


class Part(nn.Module):
    """Networks, head and temperature of one model, without its partner.

    Parameters
    ----------
    model : Model
    backbones : sequence of Backbone
        Its networks, those of `Model.encoders`.

    Attributes
    ----------
    views : tuple of Preprocessing
        The preprocessing of each input, one per network and resolution.
    """

    coef: Tensor
    intercept: Tensor

    def __init__(self, model: Model, backbones: Sequence[Backbone]) -> None:
        super().__init__()
        each = zip(model.blocks.members, backbones, strict=True)
        at = [
            (at_size(net, size), blocks.taps_at(size))
            for blocks, net in each
            for size in blocks.resolutions
        ]
        self.views = tuple(net.preprocessing for net, _ in at)
        self.taps = nn.ModuleList(TappedModule(net, taps) for net, taps in at)
        self.register_buffer("coef", torch.from_numpy(model.coef).float())
        # A number may have an offset, such as that of a date, which float32 would round.
        self.is_number = model.target == "numbers"
        intercept = torch.from_numpy(model.intercept)
        self.register_buffer("intercept", intercept if self.is_number else intercept.float())
        self.scale = model.temperature.scale
        self.how, self.is_softmax = model.normalize, model.target == "classes"

    def rows(self, images: Sequence[Tensor]) -> Tensor:
        """Features (n, d) of one normalised batch (n, 3, side, side) per view, as `Model.join` has them."""
        pairs = zip(self.taps, images, strict=True)
        parts = [features for tapped, batch in pairs for features in tapped(batch)]
        if self.how == "l2":
            parts = [normalize(part) for part in parts]
        return torch.cat(parts, dim=1)

    def forward(self, rows: Tensor) -> Tensor:
        """Log-probabilities (n, K) of features (n, d); of labels and numbers, the scores."""
        if self.how == "power":
            rows = torch.sign(rows) * rows.abs().sqrt()
        if self.how != "none":
            rows = normalize(rows)
        if self.is_number:
            return nn.functional.linear(rows, self.coef).double() + self.intercept
        scores = nn.functional.linear(rows, self.coef, self.intercept)
        return log_softmax(self.scale * scores, dim=1) if self.is_softmax else scores


class Classifier(nn.Module):
    """The whole model: its own part and its partner.

    Parameters
    ----------
    model : Model
    backbones : sequence of Backbone
        The networks of the model, then those of its partner, if any.

    Attributes
    ----------
    views : tuple of Preprocessing
        One per input, without duplicates: both parts may share inputs.
    inputs : tuple of str
        Names of the inputs: ``"images_224"``.
    """

    def __init__(self, model: Model, backbones: Sequence[Backbone]) -> None:
        super().__init__()
        left = iter(backbones)
        parts = [Part(m, list(islice(left, len(m.blocks.members)))) for m in parts_of(model)]
        self.parts = nn.ModuleList(parts)
        self.views = tuple(dict.fromkeys(view for part in parts for view in part.views))
        self.inputs = input_names(self.views)
        self._reads = [[self.views.index(view) for view in part.views] for part in parts]
        self.pool, self.target = model.pool, model.target
        self.eval().requires_grad_(False)

    def forward(self, *images: Tensor) -> Tensor:
        """Class probabilities of images; of labels a probability each, of a number the number.

        Parameters
        ----------
        *images : Tensor of shape (n, 3, side, side), float32
            One normalised batch for each of `views`.

        Returns
        -------
        Tensor of shape (n, K), float32, of a number float64
            Rows sum to 1 where an image has one class.
        """
        return self.probabilities(self.rows(images))

    def rows(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Features (n, d) for the head of each part."""
        found = []
        for part, reads in zip(self.parts, self._reads, strict=True):
            assert isinstance(part, Part)
            found.append(part.rows([images[i] for i in reads]))
        return found

    def probabilities(self, rows: Sequence[Tensor]) -> Tensor:
        """Class probabilities (n, K) of the features of each part."""
        logs: list[Tensor] = [part(X) for part, X in zip(self.parts, rows, strict=True)]
        if self.target == "numbers":
            return logs[0]
        if self.target == "labels":
            return logs[0].sigmoid()
        if len(logs) == 1:
            return logs[0].exp()
        own, other = self.pool.weight, 1 - self.pool.weight
        return (self.pool.scale * (own * logs[0] + other * logs[1])).softmax(dim=1)


class FromPictures(nn.Module):
    """A `Classifier` or `CautiousClassifier` with its preprocessing, for whole images."""

    def __init__(self, classifier: Classifier | CautiousClassifier) -> None:
        super().__init__()
        self.crops = nn.ModuleList(Crop(view) for view in classifier.views)
        self.classifier = classifier
        self.eval()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the classifier gives for RGB images of one size, uint8 (n, height, width, 3)."""
        found: Tensor | tuple[Tensor, ...] = self.classifier(*[crop(images) for crop in self.crops])
        return found


def parts_of(model: Model) -> list[Model]:
    """The model, and its partner if it has one."""
    return [model] if model.partner is None else [model, model.partner]


def load_backbones(model: Model) -> list[Backbone]:
    """The networks of `parts_of`, with the weights that the run was made with.

    Raises WeightsError where they are missing, or are not those of the run.
    """
    return [encoder.load() for part in parts_of(model) for encoder in part.encoders]


def input_names(views: Sequence[Preprocessing]) -> tuple[str, ...]:
    """``images_224`` for each view, with a number if two views have the same size."""
    names: list[str] = []
    for view in views:
        name, number = f"images_{view.size_px}", 1
        while name in names:
            number += 1
            name = f"images_{view.size_px}_{number}"
        names.append(name)
    return tuple(names)
