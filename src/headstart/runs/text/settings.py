"""The settings of a fit of texts: checked when made, kept in run.json, mirrored by the options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headstart.errors import argument
from headstart.runs.settings import Settings, require


@dataclass(frozen=True, kw_only=True)
class TextSettings(Settings):
    """What :func:`headstart.fit` was asked for with a table of texts.

    Parameters
    ----------
    text, label : str, optional
        Columns, where their names are not among the usual ones.
    embeddings : str, optional
        A file of word vectors, or a published name; default: learnt from the training texts.
    encoder : str, optional
        Folder of a sentence encoder, an installed package that carries one, or a hub name in the cache.
    epochs : int >= 1, default 10
        Of each TextCNN.

    Raises
    ------
    InputError
        A value is outside its legal set.
    """

    examples: ClassVar[str] = "texts"

    text: str | None = None
    label: str | None = None
    embeddings: str | None = None
    encoder: str | None = None
    epochs: int = 10

    def __post_init__(self) -> None:
        Settings.__post_init__(self)
        require(self.epochs >= 1, argument("epochs"), "1 or more", self.epochs)
