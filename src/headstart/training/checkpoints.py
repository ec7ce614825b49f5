"""Checkpoints: one file, replaced atomically, with the whole state of a training run.

``checkpoint.safetensors`` contains the tensors that training may change (weights, running statistics,
the optimizer's moments, the average, the best epoch's weights) and, as JSON in its header, the
position and the identity of the run. Frozen weights are not included: they are those of the backbone,
which is identified by digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import Tensor

from headstart.errors import RunError, one_line
from headstart.files import write_atomically
from headstart.training.history import Epoch

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.training.processes import Processes

NAME = "checkpoint.safetensors"
SCHEMA = 1
_HEADER = "headstart"


class Position(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The position of a run."""

    epoch: int = 1  # the current epoch, from 1; ``epochs + 1`` when all are done
    step: int = 0  # finished steps of this epoch
    # n_seen, loss_sum, n_right: totals over these steps
    n_seen: int = 0
    loss_sum: float = 0.0
    n_right: int = 0
    seconds: float = 0.0  # time of these steps
    # best_epoch, best_value: by the watched figure; 0 if there is none yet
    best_epoch: int = 0
    best_value: float = 0.0
    is_done: bool = False
    history: list[Epoch] = []


class _Header(msgspec.Struct, kw_only=True):
    """What the file says besides its tensors."""

    schema: int
    identity: dict[str, Any]
    position: Position
    numbers: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state from which a run resumes."""

    identity: Mapping[str, Any]  # identity of the run; see `identify`
    position: Position
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]  # further JSON values: the optimizer's and the average's counters


def identify(
    *,
    arch: str,
    weights: str,
    settings: Mapping[str, Any],
    classes: Sequence[str],
    train: Sequence[Record],
    val: Sequence[Record],
    head: Sequence[Tensor],
) -> dict[str, Any]:
    """Everything that decides a run's result; runs with the same identity have equal results."""
    return {
        "architecture": arch,
        "weights": weights,
        "settings": dict(settings),
        "classes": list(classes),
        "training images": _digest([_described(r) for r in train]),
        "validation images": _digest([_described(r) for r in val]),
        "initial output layer": _digest([v.detach().cpu().numpy().tobytes().hex() for v in head]),
    }


def _described(record: Record) -> str:
    text = f"{record.digest} {record.label}"
    return text if record.weight == 1 else f"{text} {record.weight!r}"


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the file atomically.

    Raises OutputError where the folder is read-only, or the disk is full.
    """
    from safetensors.torch import save

    header = _Header(
        schema=SCHEMA,
        identity=dict(checkpoint.identity),
        position=checkpoint.position,
        numbers=dict(checkpoint.numbers),
    )
    # The format requires contiguous tensors without shared memory.
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in checkpoint.tensors.items()
    }
    path = folder / NAME
    write_atomically(
        path, save(tensors, metadata={_HEADER: json.dumps(msgspec.to_builtins(header))})
    )
    return path


def load_checkpoint(folder: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint in a folder, or None.

    Raises RunError where it is damaged, or belongs to another run; the message gives the
    differences.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    path = folder / NAME
    try:
        with safe_open(path, framework="pt") as file:
            # json, since a best value that is not there is NaN.
            kept = json.loads((file.metadata() or {})[_HEADER])
        tensors = load_file(path)
        if (schema := kept["schema"]) != SCHEMA:
            raise RunError(
                f"{one_line(str(path))} has format {one_line(str(schema), limit=20)} and this Headstart "
                f"reads {SCHEMA}: update Headstart, or delete that file to start again"
            )
        header = msgspec.convert(kept, _Header)
        if not isinstance(header.identity.get("settings", {}), dict):
            raise TypeError("the settings are no settings")
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{one_line(str(path))} is damaged or not a checkpoint of Headstart: delete it to start again"
        ) from error
    found = header.identity
    differing = [what for what in identity if found.get(what) != identity[what]]
    if differing:
        raise RunError(
            f"{one_line(str(path))} is of another run: {_differences(found, identity, differing)}. "
            "Give another folder, or delete that file to start again"
        )
    return Checkpoint(
        identity=found, position=header.position, tensors=tensors, numbers=header.numbers
    )


def find_checkpoint(
    folder: Path | None, identity: Mapping[str, Any], processes: Processes
) -> Checkpoint | None:
    """The checkpoint from which all processes resume, after checking that they train the same.

    Raises RunError as `load_checkpoint`; or processes train different things, or see different
    checkpoints.
    """

    def find() -> Checkpoint | None:
        return load_checkpoint(folder, identity) if folder is not None else None

    said = [json.loads(text) for text in processes.texts(json.dumps(identity))]
    for rank, theirs in enumerate(said):
        if differing := [what for what in identity if theirs[what] != said[0][what]]:
            error = RunError(
                f"the processes train different things: {_differences(theirs, said[0], differing)} "
                f"(there: process {rank}, here: process 0). Start all with the same command, data "
                "and version"
            )
            error.is_shared = True
            raise error
    checkpoint = processes.together(find)
    where = f"{checkpoint.position.epoch}, {checkpoint.position.step}" if checkpoint else "nothing"
    if len(set(processes.texts(where))) > 1:
        error = RunError(
            f"the processes see different checkpoints in {one_line(str(folder))}: with several "
            "machines it must be a folder that all of them share"
        )
        error.is_shared = True
        raise error
    return checkpoint


def _differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], differing: Sequence[str]
) -> str:
    """Describe the differences: settings one by one, long digests only by name."""
    parts = []
    for what in differing:
        if what == "settings":
            theirs, ours = found.get(what) or {}, wanted[what]
            names = [n for n in {**theirs, **ours} if theirs.get(n) != ours.get(n)]
            parts += [f"{n} {theirs.get(n)!r} there and {ours.get(n)!r} here" for n in names]
        elif what == "architecture":
            parts.append(f"{what} {found.get(what)!r} there and {wanted[what]!r} here")
        else:
            parts.append(f"other {what}")
    return one_line("; ".join(parts))
