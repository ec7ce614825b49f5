"""Where in a picture a run's model sees the evidence for a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import RunError, did_you_mean

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

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

    Parameters
    ----------
    run : Run
    image : PIL.Image.Image
        RGB.
    label : str
        One of the run's classes.

    Returns
    -------
    EvidenceMap
        At the largest resolution.

    Raises
    ------
    RunError
        The run has no such class.
    BackboneError
        The network has no layer with places.
    """
    from headstart.backbones import at_size
    from headstart.backbones.evidence_map import EvidenceMap, evidence_map, resized

    model = run.model
    if label not in model.classes:
        raise RunError(f"the run has no class {label!r}.{did_you_mean(label, model.classes)}")
    k = model.classes.index(label)
    norms = _joined_norm(model)
    found = []
    column = 0
    for size in model.blocks.resolutions:
        width = sum(_width(run, tap) for tap in model.blocks.taps)
        w = model.coef[k, column : column + width] / norms
        column += width
        score = _BlockScore(model=model, weights=w)
        found.append(evidence_map(at_size(run.backbone, size), image, model.blocks.taps, score))
    values = sum(
        (resized(m.values, found[-1].values.shape[0]) for m in found),
        np.zeros_like(found[-1].values),
    )
    layers = tuple(dict.fromkeys(name for m in found for name in m.layers))
    total = sum(m.score for m in found) + float(model.intercept[k])
    return EvidenceMap(crop=found[-1].crop, values=values, score=total, layers=layers)


class _BlockScore:
    """A class's score from the pooled features of one resolution, less the intercept."""

    def __init__(self, *, model: Model, weights: np.ndarray[tuple[int], np.dtype[np.float64]]):
        import torch

        self.taps = model.blocks.taps
        self.unit = model.normalize == "l2"
        self.weights = torch.from_numpy(weights.astype(np.float32))

    def __call__(self, pooled: Mapping[str, Tensor]) -> Tensor:
        import torch

        parts = [pooled[tap][0] for tap in self.taps]
        if self.unit:
            parts = [part / part.norm().detach().clamp_min(1e-30) for part in parts]
        return torch.cat(parts) @ self.weights


def _joined_norm(model: Model) -> float:
    """Length of a joined row: every block is of length one before it is set beside the others."""
    return float(np.sqrt(len(model.blocks.pairs))) if model.normalize == "l2" else 1.0


def _width(run: Run, tap: str) -> int:
    return run.backbone.tap(tap).n_features
