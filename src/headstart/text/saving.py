"""A trained TextCNN in one file, and back; tensors and JSON, no pickle.

``textcnn.safetensors`` holds the weights, and as JSON in its header the settings, classes, history and
the words of the vocabulary.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from headstart.backbones.weights import read_weights
from headstart.errors import InputError, RunError, WeightsError, one_line
from headstart.files import write_atomically
from headstart.text.settings import TextTraining
from headstart.text.textcnn import CHANNELS, TextCNN
from headstart.text.training import TrainedText
from headstart.text.words import Vocabulary
from headstart.training.history import Epoch

NAME = "textcnn.safetensors"
SCHEMA = 1
_HEADER = "headstart"


def save_textcnn(folder: Path, trained: TrainedText, vocabulary: Vocabulary) -> Path:
    """Write the network and its words into `folder` as :data:`NAME`, in one rename.

    Raises
    ------
    OutputError
        The folder is read-only, or the disk is full.
    """
    from safetensors.torch import save

    header = trained.to_dict() | {"schema": SCHEMA, "words": list(vocabulary.words)}
    state = {name: v.contiguous().clone() for name, v in trained.model.state_dict().items()}
    path = folder / NAME
    write_atomically(path, save(state, metadata={_HEADER: json.dumps(header)}))
    return path


def load_textcnn(folder: Path) -> tuple[TrainedText, Vocabulary]:
    """Read what `save_textcnn` wrote.

    Raises
    ------
    RunError
        The file is missing, or was written by a newer version.
    WeightsError
        It is damaged.
    """
    path = folder / NAME
    shown = one_line(str(path))
    if not path.is_file():
        raise RunError(
            f"the text network {shown} is missing: copy the run folder whole, or fit again"
        )
    state = read_weights(path)
    header = _read_header(path, shown)
    try:
        return _build(header, state)
    # What the header says was changed: names that are none, values of another type, other shapes.
    except (InputError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _damaged(shown, str(error)) from error


def _build(header: dict[str, Any], state: dict[str, Tensor]) -> tuple[TrainedText, Vocabulary]:
    settings = TextTraining.from_dict(header["settings"])
    vocabulary = Vocabulary(tuple(header["words"]))
    classes = tuple(header["classes"])
    first = state[f"channels.{CHANNELS[settings.variant][0]}.weight"]
    if first.ndim != 2 or len(first) != len(vocabulary):
        raise ValueError(f"{len(vocabulary)} words, and vectors of shape {tuple(first.shape)}")
    model = TextCNN(
        len(vocabulary),
        first.shape[1],
        len(classes),
        variant=settings.variant,
        widths=settings.widths,
        n_maps=settings.n_maps,
        dropout=settings.dropout,
        vectors=first.numpy(),
    )
    model.load_state_dict(state)
    trained = TrainedText(
        model=model.eval().requires_grad_(False),
        classes=classes,
        history=tuple(Epoch.from_dict(epoch) for epoch in header["history"]),
        settings=settings,
        **{key: header[key] for key in ("best_epoch", "seconds", "n_trained_parameters", "device")},
    )
    return trained, vocabulary


def _read_header(path: Path, shown: str) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})[_HEADER])
        schema = header["schema"]
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, OSError) as error:
        raise WeightsError(
            f"{shown} holds no text network that Headstart trained: copy the run folder again, or "
            "fit again"
        ) from error
    if schema != SCHEMA:
        raise RunError(
            f"{shown} has format {one_line(str(schema), limit=20)} and this Headstart reads {SCHEMA}: update "
            "Headstart"
        )
    return header


def _damaged(shown: str, reason: str) -> WeightsError:
    return WeightsError(
        f"the text network {shown} is damaged ({one_line(reason, limit=120)}): copy the run folder "
        "again, or fit again"
    )
