"""Texts: counts of terms, averages of word vectors, sentence encoders, and TextCNNs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from headstart.errors import InputError, argument
from headstart.heads.examples import join_rows
from headstart.progress import Progress, silent
from headstart.sources.blocks import Blocks
from headstart.text.embeddings import (
    Embeddings,
    average_vectors,
    learn_embeddings,
    vectors_for,
)
from headstart.text.published import find_embeddings
from headstart.text.sentences import (
    encode_sentences,
    encoder_digest,
    encoder_macs,
    find_encoder,
)
from headstart.text.tfidf import Tfidf, join_sparse
from headstart.text.words import Vocabulary, tokenize

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from headstart.data.texts import TextRecord
    from headstart.text import TrainedText

KIND = "text"
# To be raised when the same texts give other features.
VERSION = 1
VECTOR_SEED = 0
# A probability of zero has no logarithm.
SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class TextBlocks(Blocks):
    """What a candidate on texts is made of; it stands in one row of a table of one column.

    Attributes
    ----------
    parts : tuple of str
        Of ``words``, ``characters``, ``average``, ``sentences``; or the variant of a TextCNN.
    is_network : bool
    """

    resolutions: tuple[int, ...] = ()
    parts: tuple[str, ...] = ()
    is_network: bool = False

    def __str__(self) -> str:
        name = self.taps[0]
        return name if self.is_network else f"Linear SVM on {name}"


def _features(name: str, *parts: str) -> TextBlocks:
    return TextBlocks(taps=(name,), parts=parts)


WORDS = _features("TF-IDF of words", "words")
CHARACTERS = _features("TF-IDF of characters", "characters")
BOTH = _features("TF-IDF of words and characters", "words", "characters")
AVERAGE = _features("embedding average", "average")
SENTENCES = _features("sentence encoder", "sentences")


def network_blocks(variant: str) -> TextBlocks:
    """The place of a TextCNN in the table."""
    return TextBlocks(taps=(f"TextCNN {variant}",), parts=(variant,), is_network=True)


@dataclass(frozen=True, kw_only=True)
class TextReader:
    """What turns texts into the rows that a head was fitted on; a saved model keeps it.

    Attributes
    ----------
    parts : tuple of str
        As of `TextBlocks`.
    tfidf : tuple of Tfidf
    embeddings : Embeddings, optional
    encoder : Path, optional
        Folder of the sentence encoder.
    encoder_digest : str, optional
        Of its contents when the head was fitted.
    network : (TrainedText, Vocabulary), optional
        Its log-probabilities are the features.
    """

    parts: tuple[str, ...]
    tfidf: tuple[Tfidf, ...] = ()
    embeddings: Embeddings | None = None
    encoder: Path | None = None
    encoder_digest: str | None = None
    network: tuple[TrainedText, Vocabulary] | None = None

    def rows(
        self,
        texts: Sequence[str],
        *,
        cache: Path | None = None,
        device: str | None = None,
        progress: Progress = silent,
    ) -> Any:
        """Features of texts, (n, d), all parts side by side: a sparse array, or dense."""
        if self.network is not None:
            return network_scores(*self.network, texts)
        if self.tfidf:
            return join_sparse([made.transform(texts) for made in self.tfidf])
        if self.embeddings is not None:
            return average_vectors([tokenize(text) for text in texts], self.embeddings)
        if self.encoder is None:
            raise InputError(
                f"features of {', '.join(self.parts)} need a sentence encoder: give "
                f"{argument('encoder')}"
            )
        rows = encode_sentences(self.encoder, texts, cache=cache, device=device, progress=progress)
        return join_rows([rows])


@dataclass(kw_only=True)
class TextSource:
    """Texts, with everything that was learnt from the training ones without their labels.

    Parameters
    ----------
    train : sequence of TextRecord
    embeddings : str, optional
        A file or a published name; default: learnt from the texts.
    encoder : str, optional
        A folder or a name, as `find_encoder` takes it.
    cache : Path
    device : str, optional
    progress : Progress
    """

    noun: ClassVar[str] = "text"
    usual_name: ClassVar[str] = "the usual baseline"

    train: Sequence[TextRecord]
    embeddings: str | None
    encoder: str | None
    cache: Path
    device: str | None
    progress: Progress
    _tfidf: dict[str, Tfidf] = field(default_factory=dict)
    _kept: dict[str, csr_array] = field(default_factory=dict)

    @property
    def usual(self) -> Blocks:
        """Counts of words and of characters."""
        return BOTH

    @property
    def first(self) -> Blocks:
        """Counts of words, which cost least."""
        return WORDS

    @property
    def prior(self) -> Blocks | None:
        """None: no kind of features is the best as a rule."""
        return None

    def candidates(self) -> list[Blocks]:
        """The kinds of features, from cheap to dear; TextCNNs are judged elsewhere."""
        return [WORDS, CHARACTERS, BOTH, AVERAGE, *([SENTENCES] if self.encoder else [])]

    def rows(self, blocks: Blocks, examples: Sequence[TextRecord]) -> Any:
        """Features of texts, (n, d): a sparse array, or float32. Counts of `train` are kept."""
        assert isinstance(blocks, TextBlocks)
        if set(blocks.parts) <= {"words", "characters"}:
            return join_sparse([self._counts(kind, examples) for kind in blocks.parts])
        return self.reader(blocks).rows(
            [r.text for r in examples],
            cache=self.cache,
            device=self.device,
            progress=self.progress,
        )

    def macs(self, blocks: Blocks, n_classes: int) -> int:
        """Of the mean text: each number that is not zero, once a class; and an encoder's own."""
        assert isinstance(blocks, TextBlocks)
        rows = self.rows(blocks, self.train)
        n_numbers = float(rows.nnz / rows.shape[0] if hasattr(rows, "nnz") else rows.shape[1])
        own = 0
        if "sentences" in blocks.parts and self.encoder_folder is not None:
            own = encoder_macs(self.encoder_folder, self.n_words)
        return own + round(n_numbers * n_classes)

    def identity(self, blocks: Blocks) -> str:
        """Digest of what decides the features of the training texts besides themselves."""
        assert isinstance(blocks, TextBlocks)
        told = [str(VERSION), *blocks.parts]
        if blocks.is_network or "average" in blocks.parts:
            told += [*self.known.words, hashlib.sha256(self.known.vectors.tobytes()).hexdigest()]
        if "sentences" in blocks.parts:
            told.append(self.encoder_digest or "")
        return hashlib.sha256("\0".join(told).encode()).hexdigest()

    def encoding(self, blocks: Blocks) -> dict[str, Any]:
        """The terms, the vectors or the encoder that make rows of texts."""
        assert isinstance(blocks, TextBlocks)
        needs_vectors = blocks.is_network or "average" in blocks.parts
        return {
            "precision": "float32",
            "backbone": {
                "kind": KIND,
                "name": str(blocks),
                "digest": self.identity(blocks),
                "word vectors": self.known.source if needs_vectors else None,
                "encoder": self.encoder if "sentences" in blocks.parts else None,
            },
            "texts": self.reader(blocks),
        }

    def compared(self, usual: Blocks, chosen: Blocks) -> tuple[str, str]:
        """With the head on it, and without."""
        return str(usual).replace("Linear SVM", "a linear SVM", 1), usual.tap_label

    def reader(self, blocks: TextBlocks) -> TextReader:
        """What makes the rows of a candidate; a network is put in when it is trained."""
        has_sentences = "sentences" in blocks.parts
        return TextReader(
            parts=blocks.parts,
            tfidf=tuple(self.tfidf(p) for p in blocks.parts if p in ("words", "characters")),
            embeddings=self.known if "average" in blocks.parts else None,
            encoder=self.encoder_folder if has_sentences else None,
            encoder_digest=self.encoder_digest if has_sentences else None,
        )

    @property
    def texts(self) -> list[str]:
        """The training texts."""
        return [r.text for r in self.train]

    @cached_property
    def tokens(self) -> list[list[str]]:
        """The words of each training text."""
        return [tokenize(text) for text in self.texts]

    @property
    def n_words(self) -> float:
        """Of the mean training text."""
        return float(np.mean([len(tokens) for tokens in self.tokens]))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the training texts."""
        return Vocabulary.build(self.tokens)

    @cached_property
    def known(self) -> Embeddings:
        """Vectors of the words of the training texts."""
        if self.embeddings is None:
            self.progress("learn word vectors", 0, 1)
            learnt = learn_embeddings(self.tokens)
            self.progress("learn word vectors", 1, 1)
            return learnt
        wanted = set(self.vocabulary.words[2:])
        return find_embeddings(self.embeddings, wanted, cache=self.cache, progress=self.progress)

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """In the order of the vocabulary, unknown words at random."""
        return vectors_for(self.vocabulary, self.known, VECTOR_SEED)

    @cached_property
    def encoder_folder(self) -> Path | None:
        """Where the sentence encoder lies."""
        return None if self.encoder is None else find_encoder(self.encoder)

    @cached_property
    def encoder_digest(self) -> str | None:
        """The contents of the sentence encoder."""
        return None if self.encoder_folder is None else encoder_digest(self.encoder_folder)

    def tfidf(self, kind: str) -> Tfidf:
        """The terms of the training texts, learnt when first asked for."""
        self._counts(kind, self.train)
        return self._tfidf[kind]

    def _counts(self, kind: str, examples: Sequence[TextRecord]) -> csr_array:
        """TF-IDF of one kind."""
        if examples is not self.train:
            return self.tfidf(kind).transform([r.text for r in examples])
        if kind not in self._kept:
            self.progress(f"count {kind}", 0, 1)
            self._tfidf[kind], self._kept[kind] = Tfidf.learn_rows(self.texts, kind)
            self.progress(f"count {kind}", 1, 1)
        return self._kept[kind]


def network_scores(
    trained: TrainedText, vocabulary: Vocabulary, texts: Sequence[str]
) -> NDArray[np.float64]:
    """Log-probabilities (n, K) by a network."""
    rows = [vocabulary.encode(tokenize(text)) for text in texts]
    return np.asarray(np.log(np.maximum(trained.proba(rows), SMALLEST)))
