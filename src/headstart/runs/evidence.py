"""Where in a picture a run's model sees the evidence for a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import RunError, did_you_mean

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from headstart.backbones import Preprocessing
    from headstart.backbones.evidence_map import EvidenceMap
    from headstart.runs.model import Model
    from headstart.runs.run import Run


def mean_note(run: Run) -> str:
    """What to know of evidence and nearest images where a run averages two models; else empty."""
    if run.model.partner is None:
        return ""
    return (
        "the run averages two models, the fine-tuned network and the SVM on frozen features: this "
        "is of the fine-tuned network alone"
    )


def run_evidence(run: Run, image: Image.Image, label: str) -> EvidenceMap:
    """The evidence for a class of a run, at all the layers and resolutions that its head takes.

    The lengths that rows of features are divided by count as constants. Then the map adds up to
    the class's score less the head's intercept wherever the head takes averages over places. Of
    a run that averages two models, the first one's evidence is shown: see :func:`mean_note`.

    Raises RunError where the run has no such class; BackboneError where the network has no layer
    with places. The map is at the largest resolution of the network that sees the most of the
    picture.

    `image`: RGB. `label`: one of the run's classes.
    """
    from headstart.backbones import at_size
    from headstart.backbones.evidence_map import EvidenceMap, evidence_map, resized

    model = run.model
    if label not in model.classes:
        raise RunError(f"the run has no class {label!r}.{did_you_mean(label, model.classes)}")
    k = model.classes.index(label)
    norms = _joined_norm(model)
    found: list[tuple[Preprocessing, EvidenceMap]] = []
    column = 0
    for backbone, blocks in zip(run.backbones, model.blocks.members, strict=True):
        for size in blocks.resolutions:
            taps = blocks.taps_at(size)
            width = sum(backbone.tap(tap).n_features for tap in taps)
            w = model.coef[k, column : column + width] / norms
            column += width
            score = _BlockScore(model=model, taps=taps, weights=w)
            net = at_size(backbone, size)
            one = evidence_map(net, image, taps, score)
            found.append((net.preprocessing, one))
    # The widest part of the picture that any network sees, at the largest resolution of these.
    view, widest = max(found, key=lambda f: (f[0].crop_pct, f[0].size_px))
    side = widest.values.shape[0]
    values = np.zeros_like(widest.values)
    for own, one in found:
        inner = round(side * own.crop_pct / view.crop_pct)
        start = (side - inner) // 2
        values[start : start + inner, start : start + inner] += resized(one.values, inner)
    layers = tuple(dict.fromkeys(name for _, m in found for name in m.layers))
    total = sum(m.score for _, m in found) + float(model.intercept[k])
    return EvidenceMap(crop=widest.crop, values=values, score=total, layers=layers)


class _BlockScore:
    """A class's score from the pooled features of one resolution, less the intercept."""

    def __init__(
        self,
        *,
        model: Model,
        taps: Sequence[str],
        weights: np.ndarray[tuple[int], np.dtype[np.float64]],
    ):
        import torch

        self.taps = taps
        self.unit = model.normalize == "l2"
        self.weights = torch.from_numpy(weights.astype(np.float32))

    def __call__(self, pooled: Mapping[str, Tensor]) -> Tensor:
        import torch

        parts = [pooled[tap][0] for tap in self.taps]
        if self.unit:
            parts = [part / part.norm().detach().clamp_min(1e-30) for part in parts]
        return torch.cat(parts) @ self.weights


def _joined_norm(model: Model) -> float:
    """Length of a joined row: every block is of length one before it is joined to the others."""
    return float(np.sqrt(len(model.blocks.pairs))) if model.normalize == "l2" else 1.0
