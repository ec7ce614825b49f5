"""Cross-validation results kept by content, so that a repeated or resumed fit solves nothing twice.

    <cache>/heads/<key>.safetensors

The key is the digest of all that decides the result: the stores' keys, taps and resolutions, every
image's digest, label and fold, the values of C, and the version of the solver.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.files import mark_used, write_atomically

if TYPE_CHECKING:
    from headstart.features import FeatureStore
    from headstart.runs.blocks import Blocks

logger = logging.getLogger(__name__)

# To be raised when the solver, its tolerance or the choice of C changes what comes out.
SOLVER = 1


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What cross-validation of one candidate gave; see :class:`headstart.runs.choose.Candidate`."""

    n_features: int
    C: float
    accuracy_by_C: tuple[float, ...]
    decisions: NDArray[np.float32]
    correct: NDArray[np.bool_]


def task_digest(
    digests: Sequence[str], labels: Sequence[str], folds: NDArray[np.int64], Cs: Sequence[float]
) -> str:
    """Digest of the images, their labels and folds, and the values of C."""
    lines = json.dumps([list(digests), list(labels), folds.tolist(), list(Cs)])
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def memo_path(cache: Path, task: str, stores: Mapping[int, FeatureStore], blocks: Blocks) -> Path:
    """Where the scores of one candidate are kept."""
    keys = [stores[size].key.digest for size in blocks.resolutions]
    return memo_file(cache, task, [keys, blocks.pairs])


def memo_file(cache: Path, task: str, what: Sequence[Any]) -> Path:
    """The same for features or a training that ``what`` tells, JSON-able."""
    text = json.dumps([SOLVER, task, *what])
    return cache / "heads" / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"


def recall(path: Path) -> Scores | None:
    """The scores kept at ``path``; None where there are none or the file is damaged.

    Those of the images stay on the disk, memory-mapped: there are as many candidates as cells in the
    table.
    """
    from safetensors import SafetensorError, safe_open

    try:
        mark_used(path)
        with safe_open(path, framework="np") as kept:
            return Scores(
                n_features=int(kept.get_tensor("n_features")[0]),
                C=float(kept.get_tensor("C")[0]),
                accuracy_by_C=tuple(kept.get_tensor("accuracy_by_C").tolist()),
                decisions=_mapped(path, "decisions"),
                correct=kept.get_tensor("correct"),
            )
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        logger.warning("damaged file %s (%s): its scores are computed anew", path, error)
        return None


def _mapped(path: Path, name: str) -> NDArray[np.float32]:
    """A float32 tensor of a safetensors file that has been checked, left on the disk.

    The file begins with the length of its header, which tells where each tensor lies after it.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
    if entry["dtype"] != "F32":
        raise ValueError(f"{name} is {entry['dtype']}")
    begin = 8 + length + entry["data_offsets"][0]
    return np.memmap(path, np.float32, mode="r", offset=begin, shape=tuple(entry["shape"]))


def keep(path: Path, scores: Scores) -> None:
    """Write the scores; they are whole or not there."""
    from safetensors.numpy import save

    tensors = {
        "n_features": np.array([scores.n_features]),
        "C": np.array([scores.C]),
        "accuracy_by_C": np.array(scores.accuracy_by_C),
        "decisions": np.ascontiguousarray(scores.decisions),
        "correct": np.ascontiguousarray(scores.correct),
    }
    write_atomically(path, save(tensors))
