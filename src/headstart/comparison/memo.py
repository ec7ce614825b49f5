"""Outcomes of a comparison kept on the disk, so that it resumes where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.features.cores import n_cores
from headstart.features.engines import machine_name
from headstart.probe.memo import keep_json, memo_path, recall_json, report_damage
from headstart.training.history import Epoch

if TYPE_CHECKING:
    from headstart.comparison.arms import Arm
    from headstart.comparison.comparing import Outcome, Split

# Rooms whose code decides an outcome.
CODE = ("augment", "training", "heads", "probe", "text")


def place(root: Path, identity: Mapping[str, Any], split: Split, arm: Arm) -> Path:
    """Where an outcome is kept: the name holds everything that decides it."""
    plain = arm.to_dict()
    for name in ("name", "line", "extra_s"):
        plain.pop(name)
    facts = {
        **identity,
        "arm": plain,
        "seed": split.seed,
        "fit": [(r.digest, r.label) for r in split.fit],
        "groups": list(split.groups),
        "val": [(r.digest, r.label) for r in split.val],
    }
    return address(root / "comparisons", facts)


def address(folder: Path, facts: Mapping[str, Any]) -> Path:
    """The file in `folder` that keeps the outcome of `facts`, which are JSON-able.

    An outcome holds a time, so that the machine is one of the facts.
    """
    machine = [machine_name(), n_cores()]
    return memo_path(folder.parent, folder.name, [machine, facts], code=CODE)


def keep(path: Path, outcome: Outcome) -> None:
    """Write an outcome."""
    facts = {
        "val": _bits(outcome.val_correct),
        "test": _bits(outcome.test_correct),
        "seconds": outcome.seconds,
        "n_trained_parameters": outcome.n_trained_parameters,
        "history": [epoch.to_dict() for epoch in outcome.history],
        "best_epoch": outcome.best_epoch,
        "note": outcome.note,
    }
    keep_json(path, facts)


def recall(path: Path) -> Outcome | None:
    """Read what `keep` wrote; None where there is nothing, or it is damaged."""
    from headstart.comparison.comparing import Outcome

    facts = recall_json(path)
    if facts is None:
        return None
    try:
        return Outcome(
            val_correct=_array(facts["val"]),
            test_correct=_array(facts["test"]),
            seconds=float(facts["seconds"]),
            n_trained_parameters=int(facts["n_trained_parameters"]),
            history=tuple(Epoch.from_dict(epoch) for epoch in facts["history"]),
            best_epoch=int(facts["best_epoch"]),
            note=str(facts["note"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        report_damage(path, error)
        return None


def _bits(values: NDArray[np.bool_]) -> str:
    return "".join("1" if v else "0" for v in values)


def _array(bits: str) -> NDArray[np.bool_]:
    if set(bits) - {"0", "1"}:
        raise ValueError("neither 0 nor 1")
    return np.array([b == "1" for b in bits], dtype=bool)
