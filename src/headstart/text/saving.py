"""A trained TextCNN in one file, and back; tensors and JSON, no pickle.

``textcnn.safetensors`` holds the weights, and as JSON in its header the settings, classes, history and
the words of the vocabulary.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from torch import Tensor

from headstart.backbones.weights import DESCRIPTION, read_description, read_weights
from headstart.errors import InputError, RunError, WeightsError, one_line
from headstart.files import write_atomically
from headstart.text.settings import TextTraining
from headstart.text.textcnn import CHANNELS, TextCNN
from headstart.text.training import TrainedText
from headstart.text.words import Vocabulary
from headstart.training.trained import SCHEMA, TrainingFile

NAME = "textcnn.safetensors"


class TextNetworkFile(TrainingFile, frozen=True, kw_only=True):
    """What the file tells, the weights apart."""

    words: tuple[str, ...]  # of the vocabulary


def save_textcnn(folder: Path, trained: TrainedText, vocabulary: Vocabulary) -> Path:
    """Write the network and its words into `folder` as :data:`NAME`, in one rename.

    Raises
    ------
    OutputError
        The folder is read-only, or the disk is full.
    """
    from safetensors.torch import save

    header = TextNetworkFile(words=vocabulary.words, **trained.facts(trained.settings.to_dict()))
    state = {name: v.contiguous().clone() for name, v in trained.model.state_dict().items()}
    path = folder / NAME
    write_atomically(
        path, save(state, metadata={DESCRIPTION: msgspec.json.encode(header).decode()})
    )
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
    try:
        text, schema = read_description(path)
    except ValueError as error:
        raise WeightsError(
            f"{shown} holds no text network that Headstart trained: copy the run folder again, or "
            "fit again"
        ) from error
    if schema != SCHEMA:
        raise RunError(
            f"{shown} has format {one_line(str(schema), limit=20)} and this Headstart reads {SCHEMA}: update "
            "Headstart"
        )
    try:
        return _build(msgspec.json.decode(text, type=TextNetworkFile), state)
    # What the header says was changed: names that are none, values of another type, other shapes.
    except (InputError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _damaged(shown, str(error)) from error


def _build(header: TextNetworkFile, state: dict[str, Tensor]) -> tuple[TrainedText, Vocabulary]:
    settings = TextTraining.from_dict(header.settings)
    vocabulary = Vocabulary(header.words)
    first = state[f"channels.{CHANNELS[settings.variant][0]}.weight"]
    if first.ndim != 2 or len(first) != len(vocabulary):
        raise ValueError(f"{len(vocabulary)} words, and vectors of shape {tuple(first.shape)}")
    model = TextCNN(
        len(vocabulary),
        first.shape[1],
        len(header.classes),
        variant=settings.variant,
        widths=settings.widths,
        n_maps=settings.n_maps,
        dropout=settings.dropout,
        vectors=first.numpy(),
    )
    model.load_state_dict(state)
    trained = TrainedText(
        model=model.eval().requires_grad_(False),
        classes=header.classes,
        history=header.history,
        settings=settings,
        best_epoch=header.best_epoch,
        seconds=header.seconds,
        n_trained_parameters=header.n_trained_parameters,
        device=header.device,
    )
    return trained, vocabulary


def _damaged(shown: str, reason: str) -> WeightsError:
    return WeightsError(
        f"the text network {shown} is damaged ({one_line(reason, limit=120)}): copy the run folder "
        "again, or fit again"
    )
