"""When not to answer, as further outputs of an exported file.

The computations of :class:`headstart.runs.caution.Careful` and :class:`headstart.reliability.novelty.Novelty`
are written in torch here, in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from headstart.errors import HeadstartError, InputError, RunError, argument
from headstart.export.facts import CautionFacts, ExportFacts, Port
from headstart.export.network import Classifier, parts_of

if TYPE_CHECKING:
    from headstart.reliability.novelty import Novelty
    from headstart.runs.caution import Careful, Caution
    from headstart.runs.predictions import Prediction

# Tolerance of the mean novelty of the file, a share, beyond one training image; and how far that of one image may
# be moved by a file that resizes: a grey level or two suffices.
TOLERANCE, SPREAD = 0.05, 0.5


def output_names(caution: Caution) -> tuple[str, ...]:
    """The outputs of a file beside the probabilities."""
    found = ["answered"] if caution.refuses else []
    found += ["label_set"] if caution.label_sets is not None else []
    return (*found, "novelty") if caution.novelty is not None else tuple(found)


def with_caution(facts: ExportFacts, careful: Careful) -> ExportFacts:
    """The description of a file with further outputs; as it is where none was asked for."""
    caution, n_classes = careful.caution, len(facts.classes)
    if not caution.asked:
        return facts
    ports = {
        "answered": Port(name="answered", dtype="bool", shape=("n",)),
        "label_set": Port(name="label_set", dtype="bool", shape=("n", n_classes)),
        "novelty": Port(name="novelty", dtype="float32", shape=("n",)),
    }
    has_threshold = caution.refuse_below is not None or caution.target_accuracy is not None
    said = CautionFacts(
        **caution.asked,
        answer_from=careful.answer_from if has_threshold else None,
        set_from=careful.set_from if caution.label_sets is not None else None,
    )
    outputs = tuple(ports[name] for name in output_names(caution))
    return replace(facts, caution=said, more_outputs=outputs)


def check_format(to: str, caution: Caution) -> None:
    """Raise InputError where a format has no place for further outputs."""
    if to == "safetensors" and caution.asked:
        raise InputError(
            f"{argument(next(iter(caution.asked)))} adds outputs, and a safetensors file has weights only: "
            f"take {argument('to', 'onnx')} or {argument('to', 'torchscript')}"
        )


class NoveltyShare(nn.Module):
    """`Novelty.score` and `Novelty.share` of features (n, d) in torch."""

    mean: Tensor
    basis: Tensor
    centres: Tensor
    within: Tensor
    background: Tensor
    outside: Tensor
    rows: Tensor
    rests: Tensor
    scales: Tensor
    held_out: Tensor

    def __init__(self, novelty: Novelty) -> None:
        super().__init__()
        for name, array in novelty.tensors().items():
            self.register_buffer(name, torch.from_numpy(array).float())

    def forward(self, features: Tensor) -> Tensor:
        """The share of held-out training examples that are less novel, (n,)."""
        centred = normalize(features) - self.mean
        Z = centred @ self.basis
        rests = ((centred**2).sum(dim=1) - (Z**2).sum(dim=1)).clamp(min=0)
        to_class = _squares(Z @ self.within, self.centres[:-1] @ self.within).amin(dim=1)
        to_all = (((Z - self.centres[-1]) @ self.background) ** 2).sum(dim=1)
        relative = to_class - to_all + rests * (self.outside[0] - self.outside[1])
        beyond = rests[:, None] + self.rests
        nearest = (_squares(Z, self.rows) + beyond).amin(dim=1).sqrt()
        scores = torch.stack([relative, nearest], dim=1)
        total = ((scores - self.scales[:, 0]) / self.scales[:, 1]).sum(dim=1)
        return (self.held_out < total[:, None]).float().mean(dim=1)


def _squares(A: Tensor, B: Tensor) -> Tensor:
    """Squared distances (n, m) of rows."""
    both = (A**2).sum(dim=1)[:, None] + (B**2).sum(dim=1)
    return (both - 2 * A @ B.T).clamp(min=0)


class CautiousClassifier(nn.Module):
    """A `Classifier` that also says when not to answer.

    Parameters
    ----------
    careful : Careful
        Of the same run.

    Attributes
    ----------
    views, inputs
        Those of the classifier.
    """

    def __init__(self, classifier: Classifier, careful: Careful) -> None:
        super().__init__()
        self.views, self.inputs = classifier.views, classifier.inputs
        self.classifier, self.caution = classifier, careful.caution
        self.answer_from, self.set_from = careful.answer_from, careful.set_from
        self.costs = None if careful.model.costs is None else torch.tensor(careful.model.costs)
        self.share, self.compared = None, 0
        if self.caution.novelty is not None:
            assert careful.reference is not None  # `Careful` has raised otherwise
            self.share = NoveltyShare(careful.reference.novelty)
            of = [careful.reference.is_of(part) for part in parts_of(careful.model)]
            if not any(of):
                raise RunError(
                    f"{careful.where} keeps features of its training images that its model does not take: "
                    "fit again"
                )
            self.compared = of.index(True)
        self.eval().requires_grad_(False)

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Probabilities (n, K), then the outputs of `output_names`."""
        rows = self.classifier.rows(images)
        p = self.classifier.probabilities(rows)
        found = [p]
        share = None if self.share is None else self.share(rows[self.compared])
        if self.caution.refuses:
            chosen = p.argmax(dim=1) if self.costs is None else (p @ self.costs).argmin(dim=1)
            answered = p.gather(1, chosen[:, None])[:, 0] >= self.answer_from
            if share is not None:
                answered = answered & (share < self.caution.novelty)
            found.append(answered)
        if self.caution.label_sets is not None:
            found.append((p >= self.set_from) | (p >= p.amax(dim=1, keepdim=True)))
        return tuple(found) if share is None else (*found, share)


def check_caution(
    careful: Careful,
    found: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[Any]],
    said: Sequence[Prediction],
) -> None:
    """Compare a file's further outputs with its own probabilities, and its novelty with torch's and `predict`'s.

    Raises HeadstartError where they differ.

    Parameters
    ----------
    found, expected : mapping of output to array (n, ...)
        By the file, and by torch on the same input.
    said : sequence of Prediction, length n
        By the run on the same images.
    """
    wrong = []
    p = found["probabilities"].astype(np.float64)
    if "novelty" in found and careful.reference is not None:
        # In files that resize, the share of one image may move much, as those of many training images are close:
        # the more images, the nearer the mean.
        allowed = TOLERANCE + 1 / len(careful.reference.novelty.held_out) + SPREAD / len(p) ** 0.5
        ours = [np.nan if each.novelty is None else each.novelty for each in said]
        differences = {
            "torch's": np.abs(found["novelty"] - expected["novelty"]).mean(),
            "predict's": abs((found["novelty"] - np.array(ours)).mean()),
        }
        for of, difference in differences.items():
            wrong += [] if difference <= allowed else [f"novelty from {of} by {difference:.2g}"]
    if "answered" in found:
        top = p[np.arange(len(p)), careful.model.decide(p)]
        answered = top >= np.float32(careful.answer_from)
        if "novelty" in found:
            answered &= found["novelty"] < np.float32(careful.caution.novelty or 1)
        wrong += [] if (answered == found["answered"]).all() else ["answered"]
    if "label_set" in found:
        held = (p >= np.float32(careful.set_from)) | (p >= p.max(axis=1, keepdims=True))
        wrong += [] if (held == found["label_set"]).all() else ["label_set"]
    if wrong:
        raise HeadstartError(
            f"the exported file is wrong and was not kept (differs in {', '.join(wrong)}): please report it"
        )


def count_same(
    careful: Careful, found: Mapping[str, NDArray[Any]], said: Sequence[Prediction]
) -> int:
    """How many images are answered, and have the label set, as ``run.predict`` says."""
    classes, n_same = careful.model.classes, 0
    for i, prediction in enumerate(said):
        is_same = "answered" not in found or bool(found["answered"][i]) != bool(prediction.refused)
        if prediction.labels is not None:
            held = {c for c, is_in in zip(classes, found["label_set"][i], strict=True) if is_in}
            is_same &= held == set(prediction.labels)
        n_same += is_same
    return n_same
