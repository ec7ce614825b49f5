"""What a head sees of a text: counts of terms, an average of word vectors, or a sentence's code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

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
from headstart.text.sentences import encode_sentences, encoder_digest, find_encoder
from headstart.text.tfidf import Tfidf, join_sparse
from headstart.text.words import Vocabulary, tokenize

# To be raised when the same texts give other features.
VERSION = 1
VECTOR_SEED = 0


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


@dataclass(kw_only=True)
class TextFeatures:
    """Everything that was learnt from training texts without their labels.

    Parameters
    ----------
    texts : sequence of str
        Training texts.
    embeddings : str, optional
        A file or a published name; default: learnt from the texts.
    encoder : str, optional
        A folder or a name, as `find_encoder` takes it.
    cache : Path
    progress : Progress
    """

    texts: Sequence[str]
    embeddings: str | None
    encoder: str | None
    cache: Path
    device: str | None
    progress: Progress
    _tfidf: dict[str, Tfidf] = field(default_factory=dict)

    @cached_property
    def tokens(self) -> list[list[str]]:
        """The words of each training text."""
        return [tokenize(text) for text in self.texts]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the training texts."""
        return Vocabulary.build(self.tokens)

    @cached_property
    def known(self) -> Embeddings:
        """Vectors of the words of the training texts."""
        if self.embeddings is None:
            return learn_embeddings(self.tokens)
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
        if kind not in self._tfidf:
            self._tfidf[kind] = Tfidf.learn(self.texts, kind)
        return self._tfidf[kind]

    def digest(self, blocks: TextBlocks) -> str:
        """What decides the features of the training texts besides themselves."""
        told = [str(VERSION), *blocks.parts]
        if blocks.is_network or "average" in blocks.parts:
            told += [*self.known.words, hashlib.sha256(self.known.vectors.tobytes()).hexdigest()]
        if "sentences" in blocks.parts:
            told.append(self.encoder_digest or "")
        return hashlib.sha256("\0".join(told).encode()).hexdigest()

    def rows(self, blocks: TextBlocks, texts: Sequence[str]) -> Any:
        """Features of texts, (n, d): a sparse array, or float32."""
        return make_rows(
            blocks.parts,
            texts,
            tfidf=[self.tfidf(p) for p in blocks.parts if p in ("words", "characters")],
            embeddings=self.known if "average" in blocks.parts else None,
            encoder=self.encoder_folder,
            cache=self.cache,
            device=self.device,
            progress=self.progress,
        )


def make_rows(
    parts: Sequence[str],
    texts: Sequence[str],
    *,
    tfidf: Sequence[Tfidf],
    embeddings: Embeddings | None,
    encoder: Path | None,
    cache: Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> Any:
    """Features of texts, (n, d), of all `parts` side by side: a sparse array, or float32."""
    if tfidf:
        return join_sparse([made.transform(texts) for made in tfidf])
    if embeddings is not None:
        return average_vectors([tokenize(text) for text in texts], embeddings)
    if encoder is None:
        raise InputError(
            f"features of {', '.join(parts)} need a sentence encoder: give {argument('encoder')}"
        )
    rows = encode_sentences(encoder, texts, cache=cache, device=device, progress=progress)
    return join_rows([rows])
