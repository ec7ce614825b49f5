"""Short texts: words, word vectors, TextCNN; the questions of images, asked of sentences.

Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.text.settings import VARIANTS, TextTraining
from headstart.text.words import Vocabulary, tokenize

if TYPE_CHECKING:
    from headstart.text.ngrams import Ngram, telling_ngrams
    from headstart.text.predicting import extract_taps, predict_proba
    from headstart.text.saving import load_textcnn, save_textcnn
    from headstart.text.textcnn import TextCNN
    from headstart.text.training import TrainedText, train_textcnn

__all__ = [
    "VARIANTS",
    "Ngram",
    "TextCNN",
    "TextTraining",
    "TrainedText",
    "Vocabulary",
    "extract_taps",
    "load_textcnn",
    "predict_proba",
    "save_textcnn",
    "telling_ngrams",
    "tokenize",
    "train_textcnn",
]

_HOMES = {
    "Ngram": "ngrams",
    "TextCNN": "textcnn",
    "TrainedText": "training",
    "extract_taps": "predicting",
    "load_textcnn": "saving",
    "predict_proba": "predicting",
    "save_textcnn": "saving",
    "telling_ngrams": "ngrams",
    "train_textcnn": "training",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
