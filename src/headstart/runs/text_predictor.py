"""A run on texts held ready for a service: probabilities of texts, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data.delimited import MOST_CHARACTERS
from headstart.errors import DataError

if TYPE_CHECKING:
    from headstart.runs.model import Model


class TextPredictor:
    """Probabilities of texts by a run's model; :class:`headstart.runs.predictor.Predictor` for texts.

    Raises RunError where the sentence encoder of the run is not there.

    Attributes
    ----------
    noun : str
        What it takes.
    classes : tuple of str, length K
    batch_size : int
        How many texts one call may hold.
    n_streams : int
        How many calls run at the same time.
    """

    noun = "text"
    batch_size = 64
    n_streams = 1
    engine = "texts, cpu"

    def __init__(self, model: Model) -> None:
        self.model, self.classes = model, model.classes
        self.compared(["ready"])  # what is missing is told now, and the network is loaded

    def cut(self, source: bytes) -> str:
        """One text of a request.

        Raises DataError where it is not UTF-8, empty, or too long.
        """
        try:
            text = source.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"it is not UTF-8: byte {error.start} cannot be read") from None
        if not text:
            raise DataError("the text is empty")
        if len(text) > MOST_CHARACTERS:
            raise DataError(f"it has {len(text):,} characters; the most is {MOST_CHARACTERS:,}")
        return text

    def compared(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated class probabilities (n, K)."""
        return self.model.of_texts(texts)
