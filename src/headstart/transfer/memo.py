"""Outcomes kept on the disk by content, so that a comparison goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.files import mark_used, write_atomically
from headstart.finetune.history import Epoch

if TYPE_CHECKING:
    from headstart.transfer.arms import Arm
    from headstart.transfer.comparison import Outcome, Split

logger = logging.getLogger(__name__)

# Raise it when training or the SVM changes what it gives.
_VERSION = 1


def place(root: Path, identity: Mapping[str, Any], split: Split, arm: Arm) -> Path:
    """Where an outcome is kept: the name holds everything that decides it."""
    plain = arm.to_dict()
    for name in ("name", "line", "extra_s"):
        plain.pop(name)
    facts = {
        "version": _VERSION,
        **identity,
        "arm": plain,
        "seed": split.seed,
        "fit": [(r.digest, r.label) for r in split.fit],
        "val": [(r.digest, r.label) for r in split.val],
    }
    return address(root / "comparisons", facts)


def address(folder: Path, facts: Mapping[str, Any]) -> Path:
    """The file in `folder` whose name is a digest of `facts`, which are JSON-able."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


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
    write_atomically(path, json.dumps(facts).encode())


def recall(path: Path) -> Outcome | None:
    """Read what `keep` wrote; None where there is nothing, or it is damaged."""
    from headstart.transfer.comparison import Outcome

    if not path.exists():
        return None
    mark_used(path)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(
            val_correct=_array(facts["val"]),
            test_correct=_array(facts["test"]),
            seconds=float(facts["seconds"]),
            n_trained_parameters=int(facts["n_trained_parameters"]),
            history=tuple(Epoch.from_dict(epoch) for epoch in facts["history"]),
            best_epoch=int(facts["best_epoch"]),
            note=str(facts["note"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        logger.warning("damaged file %s: it is computed anew", path)
        return None


def _bits(values: NDArray[np.bool_]) -> str:
    return "".join("1" if v else "0" for v in values)


def _array(bits: str) -> NDArray[np.bool_]:
    if set(bits) - {"0", "1"}:
        raise ValueError("neither 0 nor 1")
    return np.array([b == "1" for b in bits], dtype=bool)
