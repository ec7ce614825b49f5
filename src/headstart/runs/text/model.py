"""The reusable classifier of a run on texts.

    model/model.json              classes, what the features are
    model/head.safetensors        coef (K, d), intercept (K,), scale
    model/text.json               terms of TF-IDF, words with a vector
    model/text.safetensors        idf of each list of terms, vectors
    model/textcnn.safetensors     of a network: all of it

Nothing is pickled. A network is a model whose one feature is its log-probabilities; the linear head
on it passes them through.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from headstart.data.sources import shown
from headstart.errors import InputError, RunError, WeightsError, argument, one_line
from headstart.files import write_atomically
from headstart.runs.folder import SCHEMA, read_json, write_json
from headstart.runs.model import Model
from headstart.runs.origin import require_encoder
from headstart.runs.regular import read_regular, require_regular
from headstart.runs.shape import TEXT_MODEL
from headstart.runs.text.features import TextBlocks, make_rows
from headstart.text.embeddings import Embeddings
from headstart.text.tfidf import Tfidf

if TYPE_CHECKING:
    from headstart.features import FeatureKey
    from headstart.text import TrainedText
    from headstart.text.words import Vocabulary

KIND = "text"
FILES = ("text.safetensors", "text.json")
# A probability of zero has no logarithm.
SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class TextModel(Model):
    """A linear head on features of texts, or a TextCNN.

    Attributes
    ----------
    tfidf : tuple of Tfidf
    embeddings : Embeddings, optional
    encoder : Path, optional
        Folder of the sentence encoder.
    encoder_digest : str, optional
        Of its contents when the head was fitted.
    network : (TrainedText, Vocabulary), optional
    """

    tfidf: tuple[Tfidf, ...] = ()
    embeddings: Embeddings | None = None
    encoder: Path | None = None
    encoder_digest: str | None = None
    network: tuple[TrainedText, Vocabulary] | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """What the features are."""
        assert isinstance(self.blocks, TextBlocks)
        return self.blocks.parts

    def of_texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated class probabilities (n, K) of texts."""
        if not len(texts):
            return np.empty((0, len(self.classes)))
        return self.temperature.probabilities(self.text_scores(texts))

    def text_scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One-vs-rest scores (n, K), or a network's log-probabilities."""
        from scipy.sparse import issparse
        from sklearn.preprocessing import normalize

        if self.network is not None:
            return network_scores(*self.network, texts)
        X = make_rows(
            self.parts,
            texts,
            tfidf=self.tfidf,
            embeddings=self.embeddings,
            encoder=self._find_encoder(),
        )
        if issparse(X):
            self.need_width(X.shape[1])
            return np.asarray(normalize(X) @ self.coef.T + self.intercept)
        return self.scores(X)

    def _find_encoder(self) -> Path | None:
        """The folder of the encoder that the head was fitted with; it is not part of the run."""
        from headstart.text.sentences import encoder_digest

        folder = self.encoder
        if folder is not None and self.folder is not None:
            folder = require_encoder(self.folder.parent, folder)
        if folder is not None and not folder.is_dir():
            raise RunError(
                f"the run needs the sentence encoder in {shown(folder)}, which is not there: "
                f"put it back, or fit again with {argument('encoder')}"
            )
        if folder is not None and self.encoder_digest not in (None, encoder_digest(folder)):
            raise RunError(
                f"the sentence encoder in {shown(folder)} is not the one that the run was fitted "
                "with: put that one back, or fit again"
            )
        return folder

    def feature_keys(self) -> dict[int, FeatureKey]:
        """Texts have none."""
        self._refuse()

    def load_backbone(self) -> NoReturn:
        """Texts have none.

        Raises
        ------
        RunError
            Always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        where = one_line(str(self.folder.parent)) if self.folder else "the run"
        raise RunError(f"{where} is a run on texts, and this works on images: give a run on images")

    def save(self, folder: Path) -> None:
        """Write the model's files into ``folder``."""
        from safetensors.numpy import save

        super().save(folder)
        tensors: dict[str, NDArray[Any]] = {
            f"idf.{i}": made.idf for i, made in enumerate(self.tfidf)
        }
        facts: dict[str, Any] = {
            "schema": SCHEMA,
            "name": self.blocks.taps[0],
            "parts": list(self.parts),
            "tfidf": [{"kind": t.kind, "terms": list(t.terms)} for t in self.tfidf],
            "encoder": None if self.encoder is None else str(self.encoder),
            "encoder_digest": self.encoder_digest,
            "is_network": self.network is not None,
            "embeddings": None,
        }
        if self.embeddings is not None and self.network is None:
            tensors["vectors"] = self.embeddings.vectors
            facts["embeddings"] = {
                "words": list(self.embeddings.words),
                "source": self.embeddings.source,
                "coverage": self.embeddings.coverage,
            }
        write_json(folder / FILES[1], facts)
        if tensors:
            payload = save({k: np.ascontiguousarray(v) for k, v in tensors.items()})
            write_atomically(folder / FILES[0], payload)
        if self.network is not None:
            from headstart.text import save_textcnn

            save_textcnn(folder, *self.network)


def is_text_model(folder: Path) -> bool:
    """Whether the model in ``folder`` is one of texts."""
    backbone = read_json(folder, "model.json").get("backbone")
    return isinstance(backbone, dict) and backbone.get("kind") == KIND


def read_text_model(folder: Path) -> TextModel:
    """Read what :meth:`TextModel.save` wrote.

    Raises
    ------
    RunError, WeightsError
        A file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    head = Model.read(folder)
    facts = read_json(folder, FILES[1], TEXT_MODEL)
    try:
        needs = bool(facts["tfidf"] or facts["embeddings"])
        tensors = load(read_regular(folder, FILES[0])) if needs else {}
        own = {f: getattr(head, f) for f in ("classes", "precision", "backbone", "coef",
               "intercept", "temperature", "normalize")}  # fmt: skip
        network = None
        if facts["is_network"]:
            from headstart.text import load_textcnn
            from headstart.text.saving import NAME

            if os.path.lexists(folder / NAME):  # else the next says what is missing
                require_regular(folder, NAME)
            network = load_textcnn(folder)
        return TextModel(
            **own,
            blocks=TextBlocks(
                taps=(facts["name"],), parts=tuple(facts["parts"]), is_network=facts["is_network"]
            ),
            tfidf=tuple(
                Tfidf(kind=t["kind"], terms=tuple(t["terms"]), idf=tensors[f"idf.{i}"])
                for i, t in enumerate(facts["tfidf"])
            ),
            embeddings=_embeddings(facts["embeddings"], tensors),
            encoder=None if facts["encoder"] is None else Path(facts["encoder"]),
            encoder_digest=facts.get("encoder_digest"),
            network=network,
            folder=folder,
        )
    except (RunError, WeightsError):
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, InputError) as error:
        reason = one_line(str(error), limit=120)
        raise RunError(
            f"the model in {one_line(str(folder))} is damaged ({reason}): fit again"
        ) from error


def _embeddings(facts: Any, tensors: dict[str, NDArray[Any]]) -> Embeddings | None:
    if facts is None:
        return None
    if len(facts["words"]) != len(tensors["vectors"]):
        raise ValueError(f"{len(facts['words'])} words have {len(tensors['vectors'])} vectors")
    return Embeddings(
        words=tuple(facts["words"]),
        vectors=tensors["vectors"],
        source=facts["source"],
        coverage=facts["coverage"],
    )


def network_scores(
    trained: TrainedText, vocabulary: Vocabulary, texts: Sequence[str]
) -> NDArray[np.float64]:
    """Log-probabilities (n, K) by a network."""
    from headstart.text.words import tokenize

    rows = [vocabulary.encode(tokenize(text)) for text in texts]
    return np.asarray(np.log(np.maximum(trained.proba(rows), SMALLEST)))
