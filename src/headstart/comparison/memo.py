"""Outcomes of a comparison kept on the disk, so that it resumes where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.features.cores import n_cores
from headstart.features.engines import machine_name
from headstart.probe.memo import keep_json, memo_path, recall_json
from headstart.training.history import Epoch

if TYPE_CHECKING:
    from headstart.comparison.arms import Arm
    from headstart.comparison.comparing import Outcome, Split

# Rooms whose code decides an outcome.
CODE = (
    "augment",
    "backbones",
    "comparison",
    "data",
    "features",
    "heads",
    "probe",
    "text",
    "training",
)
Bits = Annotated[str, msgspec.Meta(pattern="^[01]*$")]


def place(root: Path, identity: Mapping[str, Any], split: Split, arm: Arm) -> Path:
    """Where an outcome is kept: the name holds everything that decides it."""
    plain = arm.to_dict()
    for name in ("name", "line", "extra_s"):
        plain.pop(name)
    facts = {
        **identity,
        "arm": plain,
        "seed": split.seed,
        "fit": [(r.digest, r.label, r.weight) for r in split.fit],
        "groups": list(split.groups),
        "val": [(r.digest, r.label, r.weight) for r in split.val],
    }
    return address(root / "comparisons", facts)


def address(folder: Path, facts: Mapping[str, Any]) -> Path:
    """The file in `folder` that keeps the outcome of `facts`, which are JSON-able.

    An outcome holds a time, so that the machine is one of the facts.
    """
    machine = [machine_name(), n_cores()]
    return memo_path(folder.parent, folder.name, [machine, facts], code=CODE)


class _Kept(msgspec.Struct, kw_only=True):
    """An outcome as its file has it."""

    val: Bits
    test: Bits
    seconds: float
    n_trained_parameters: int
    history: tuple[Epoch, ...]
    best_epoch: int
    note: str


def keep(path: Path, outcome: Outcome) -> None:
    """Write an outcome."""
    facts = _Kept(
        val=_bits(outcome.val_correct),
        test=_bits(outcome.test_correct),
        seconds=outcome.seconds,
        n_trained_parameters=outcome.n_trained_parameters,
        history=outcome.history,
        best_epoch=outcome.best_epoch,
        note=outcome.note,
    )
    keep_json(path, facts)


def recall(path: Path) -> Outcome | None:
    """Read what `keep` wrote; None where there is nothing, or it is damaged."""
    from headstart.comparison.comparing import Outcome

    if (kept := recall_json(path, _Kept)) is None:
        return None
    return Outcome(
        val_correct=_array(kept.val),
        test_correct=_array(kept.test),
        seconds=kept.seconds,
        n_trained_parameters=kept.n_trained_parameters,
        history=kept.history,
        best_epoch=kept.best_epoch,
        note=kept.note,
    )


def _bits(values: NDArray[np.bool_]) -> str:
    return "".join("1" if v else "0" for v in values)


def _array(bits: str) -> NDArray[np.bool_]:
    return np.array([b == "1" for b in bits], dtype=bool)
