"""What a run keeps of examples that its model had not seen, so that predictions can be careful.

RUN/model/reliability.safetensors   probabilities, and what training images look like
RUN/model/reliability.json          which images these are
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.errors import RunError, one_line
from headstart.files import write_atomically
from headstart.heads.examples import normalize_rows
from headstart.reliability.novelty import FEWEST_ROWS, Novelty, choose_rows
from headstart.results import write
from headstart.runs.folder import SCHEMA, read_json
from headstart.runs.regular import read_regular

if TYPE_CHECKING:
    from headstart.runs.metrics import Results
    from headstart.runs.model import Model

FILES = ("reliability.safetensors", "reliability.json")
_PREFIX = "novelty."
# How many of the nearest training images a prediction names.
N_NEAREST = 3


class HeldOutFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The training images that novelty compares with, as ``reliability.json`` names them."""

    schema: int
    # Where one of these is missing, as in early versions, there is nothing to compare with.
    features: str | None = None
    names: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingReference:
    """What the training images look like to a model's frozen network."""

    novelty: Novelty
    # names, labels: length n; of the rows kept
    names: tuple[str, ...]
    labels: tuple[str, ...]
    features: str  # what features they are: see :func:`features_of_model`

    def is_of(self, model: Model) -> bool:
        """Whether a model's features can be compared with these."""
        return features_of_model(model) == self.features

    def compare(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Novelty without bounds, then the places of the nearest rows, (q, 1 + `N_NEAREST`).

        `features` (q, d): as the model's head takes them.
        """
        X = normalize_rows(features, "l2")
        near = self.novelty.nearest(X, N_NEAREST)
        return np.column_stack([self.novelty.score(X), near])


def features_of_model(model: Model) -> str:
    """A digest of what features a model's head takes: networks, layers and resolutions."""
    facts = [
        [e.backbone.digest, list(e.blocks.taps), list(e.blocks.resolutions), *e.blocks.only]
        for e in model.encoders
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Calibrated probabilities of examples that the model had not seen."""

    # own, top: (n,); of the true class, and of the predicted one
    own: NDArray[np.float32]
    top: NDArray[np.float32]
    correct: NDArray[np.bool_]  # (n,)
    reference: TrainingReference | None = None  # of runs on images with a frozen network

    @classmethod
    def of(cls, P: NDArray[np.float64], labels: Sequence[str], model: Model) -> HeldOut:
        """From probabilities (n, K), true labels, and the model that predicts by them."""
        column = {c: k for k, c in enumerate(model.classes)}
        at, predicted = np.arange(len(P)), model.decide(P)
        member = np.array([column[label] for label in labels], dtype=np.intp)
        return cls(
            own=P[at, member].astype(np.float32),
            top=P[at, predicted].astype(np.float32),
            correct=predicted == member,
        )

    def save(self, folder: Path) -> None:
        """Write both files into a model's folder."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {
            "own": self.own,
            "top": self.top,
            "correct": self.correct.astype(np.uint8),
        }
        facts = HeldOutFile(schema=SCHEMA)
        if (known := self.reference) is not None:
            tensors |= {_PREFIX + n: a for n, a in known.novelty.tensors().items()}
            facts = HeldOutFile(
                schema=SCHEMA, features=known.features, names=known.names, labels=known.labels
            )
        write_atomically(folder / FILES[0], save(tensors))
        write(folder / FILES[1], facts)

    @classmethod
    def read(cls, folder: Path) -> HeldOut | None:
        """What :meth:`save` wrote; None of a run that has none.

        Raises RunError where a file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if not (folder / FILES[0]).exists():
            return None
        facts = read_json(folder, FILES[1], HeldOutFile)
        try:
            tensors = load(read_regular(folder, FILES[0]))
            own, top, correct = (tensors[name] for name in ("own", "top", "correct"))
            if not own.shape == top.shape == correct.shape or own.ndim != 1 or not len(own):
                raise ValueError(f"shapes {own.shape}, {top.shape} and {correct.shape}")
            for values in (own, top):
                if values.dtype.kind != "f" or not ((values >= 0) & (values <= 1)).all():
                    raise ValueError("a probability lies outside 0 and 1")
            reference = _reference(tensors, facts)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = one_line(str(error), limit=120)
            raise RunError(
                f"{FILES[0]} in {one_line(str(folder))} is damaged ({reason}): fit again"
            ) from error
        return cls(own=own, top=top, correct=correct.astype(bool), reference=reference)


def _reference(tensors: dict[str, NDArray[Any]], facts: HeldOutFile) -> TrainingReference | None:
    if facts.names is None or facts.labels is None or facts.features is None:
        return None
    arrays = {
        n.removeprefix(_PREFIX): array for n, array in tensors.items() if n.startswith(_PREFIX)
    }
    novelty = Novelty.of_tensors(arrays, len(arrays["mean"]))
    if not len(facts.names) == len(facts.labels) == len(novelty.rows):
        raise ValueError(f"{len(facts.names)} names for {len(novelty.rows)} rows")
    return TrainingReference(
        novelty=novelty, names=facts.names, labels=facts.labels, features=facts.features
    )


def held_out_of(results: Results, folds: NDArray[np.int64]) -> HeldOut | None:
    """What a fit leaves for careful predictions; None where no example could be judged."""
    import dataclasses

    examples, P = judged_probabilities(results)
    if not len(examples):
        return None
    found = HeldOut.of(P, [r.label for r in examples], results.final.model)
    return dataclasses.replace(found, reference=_training_reference(results, folds))


def judged_probabilities(results: Results) -> tuple[Sequence[Any], NDArray[np.float64]]:
    """Examples that the run's model had not seen, other than test ones, with their probabilities."""
    tuned = results.finetuning
    if tuned is not None and tuned.tested is not None:
        if tuned.comparison is None:
            return (), np.empty((0, len(results.final.model.classes)))
        return tuned.comparison.records, tuned.comparison.probabilities
    judged = results.judged
    kept = [r for r, is_judged in zip(results.train, judged, strict=True) if is_judged]
    return kept, results.final.out_of_fold[judged]


def _training_reference(results: Results, folds: NDArray[np.int64]) -> TrainingReference | None:
    """Of the frozen features that the run's model takes."""
    model = results.final.model
    frozen = [m for m in (model, model.partner) if m is not None and not m.is_finetuned]
    if results.noun != "image" or not frozen or len(results.train) < FEWEST_ROWS:
        return None
    [model, *_] = frozen
    labels = np.array([r.label for r in results.train])
    kept = choose_rows(np.unique(labels, return_inverse=True)[1])
    if len(np.unique(folds[kept])) < 2:
        return None
    records = [results.train[i] for i in kept]
    X = np.asarray(results.source.rows(model.blocks, records)[:], dtype=np.float32)
    member = np.unique(labels[kept], return_inverse=True)[1]
    return TrainingReference(
        novelty=Novelty.fit(normalize_rows(X, "l2"), member, folds[kept]),
        names=tuple(r.name for r in records),
        labels=tuple(r.label for r in records),
        features=features_of_model(model),
    )
