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

from headstart.data.sources import shown
from headstart.errors import InputError, argument, one_line
from headstart.heads.examples import join_rows
from headstart.heads.sparse import MOST_SPARSE_ROWS
from headstart.progress import Progress, silent
from headstart.sources.blocks import N_JOINED, Blocks, JoinedRows
from headstart.sources.saved import TEXT, SavedBackbone
from headstart.text.embeddings import (
    Embeddings,
    average_vectors,
    learn_embeddings,
    vectors_for,
)
from headstart.text.encoders import Encoder, encoder_macs, obtain_encoder, read_encoder
from headstart.text.published import find_embeddings
from headstart.text.sentences import (
    encode,
    encoder_key,
    estimate_seconds,
    fill_store,
    open_store,
    text_digest,
)
from headstart.text.tfidf import Tfidf, join_sparse
from headstart.text.tokens import tokenize
from headstart.text.words import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from headstart.data.texts import TextRecord
    from headstart.features import FeatureStore
    from headstart.text import TrainedText

# To be increased when the same texts give different features.
VERSION = 1
VECTOR_SEED = 0
# Suffix of the name of several layers side by side.
JOINED = " joined"
# The parts that are TF-IDF.
COUNTED = frozenset({"words", "characters"})
# A probability of zero has no logarithm.
SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class TextBlocks(Blocks):
    """The features of a candidate on texts; one row of a table with a single column."""

    resolutions: tuple[int, ...] = ()
    # of ``words``, ``characters``, ``average``; or the variant of a TextCNN
    parts: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()  # taps of a sentence encoder, beside the parts: ``"layer 6"``
    is_network: bool = False

    @property
    def is_sparse(self) -> bool:
        """Whether TF-IDF is among the features."""
        return not COUNTED.isdisjoint(self.parts)

    def __str__(self) -> str:
        name = self.taps[0]
        return name if self.is_network else f"Linear SVM on {name}"


def _features(name: str, *parts: str) -> TextBlocks:
    return TextBlocks(taps=(name,), parts=parts)


WORDS = _features("TF-IDF of words", "words")
CHARACTERS = _features("TF-IDF of characters", "characters")
BOTH = _features("TF-IDF of words and characters", "words", "characters")
AVERAGE = _features("embedding average", "average")


def encoder_blocks(encoder: Encoder) -> list[TextBlocks]:
    """The layers of a sentence encoder, each alone, then the last ones joined."""
    last = encoder.own_taps[-N_JOINED:]
    alone = [layer_blocks(tap) for tap in encoder.taps]
    return alone if len(last) == 1 else [*alone, layer_blocks(*last)]


def beside_counts(encoded: TextBlocks) -> TextBlocks:
    """Layers of an encoder beside TF-IDF of words and characters."""
    name = f"TF-IDF and {encoded.taps[0].removesuffix(JOINED)}"
    return TextBlocks(taps=(name,), parts=BOTH.parts, layers=encoded.layers)


def layer_blocks(*taps: str) -> TextBlocks:
    """``"encoder layer 6"``, or ``"encoder layers 3 to 6 joined"``."""
    first, last = taps[0].removeprefix("layer "), taps[-1].removeprefix("layer ")
    number, _, pooling = last.partition(" ")
    name = f"encoder layer {last}"
    if len(taps) > 1:
        of = f" {pooling}" if pooling else ""
        name = f"encoder layers {first.partition(' ')[0]} to {number}{of}{JOINED}"
    return TextBlocks(taps=(name,), layers=taps)


def network_blocks(variant: str) -> TextBlocks:
    """The place of a TextCNN in the table."""
    return TextBlocks(taps=(f"TextCNN {variant}",), parts=(variant,), is_network=True)


@dataclass(frozen=True, kw_only=True)
class TextReader:
    """What turns texts into the rows that a head was fitted on; a saved model keeps it."""

    parts: tuple[str, ...]  # as of `TextBlocks`
    tfidf: tuple[Tfidf, ...] = ()
    embeddings: Embeddings | None = None
    layers: tuple[str, ...] = ()  # as of `TextBlocks`
    encoder: Path | None = None  # folder of the sentence encoder
    # what it was called when the head was fitted: a folder, a package, or a name on the hub
    encoder_name: str | None = None
    encoder_digest: str | None = None  # of its contents then
    # (TrainedText, Vocabulary); its log-probabilities are the features
    network: tuple[TrainedText, Vocabulary] | None = None

    def rows(
        self,
        texts: Sequence[str],
        *,
        cache: Path | None = None,
        device: str | None = None,
        progress: Progress = silent,
    ) -> Any:
        """Features of texts, (n, d), all parts side by side: a sparse array, or dense.

        With `cache`, those of a sentence encoder are kept in the store.
        """
        if self.network is not None:
            return network_scores(*self.network, texts)
        counted = [made.transform(texts) for made in self.tfidf]
        if self.embeddings is not None:
            return average_vectors([tokenize(text) for text in texts], self.embeddings)
        if not self.layers:
            return join_sparse(counted)
        if self.encoder is None:
            raise InputError(
                f"features of {', '.join(self.layers)} need a sentence encoder: give "
                f"{argument('encoder')}"
            )
        encoder = read_encoder(self.encoder)
        if unknown := set(self.layers).difference(encoder.taps):
            raise InputError(
                f"the sentence encoder {shown(self.encoder)} has no {one_line(min(unknown))}: it has "
                f"{encoder.n_layers} layers"
            )
        if cache is None:
            layers = join_rows(encode(encoder, texts, self.layers, device=device))
        else:
            store = open_store(encoder, cache)
            fill_store(store, encoder, texts, device=device, progress=progress)
            layers = stored_layers(store, texts, self.layers)
        return join_kinds(counted, layers, len(self.layers)) if counted else layers


@dataclass(kw_only=True)
class TextSource:
    """Texts, with everything that was learnt from the training ones without their labels."""

    noun: ClassVar[str] = "text"
    usual_name: ClassVar[str] = "the usual baseline"
    code: ClassVar[tuple[str, ...]] = ("sources/text.py", "text")

    train: Sequence[TextRecord]
    embeddings: str | None  # a file or a published name; default: learnt from the texts
    encoder: str | None  # a folder or a name, as `find_encoder` takes it
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
        """TF-IDF of words, the cheapest candidate."""
        return WORDS

    @property
    def prior(self) -> Blocks | None:
        """Layers of the sentence encoder beside TF-IDF, where there is one."""
        return self._beside(self.encoder_files) if self.encoder_files else None

    def candidates(self) -> list[Blocks]:
        """The kinds of features, from the cheapest to the most expensive; TextCNNs are judged elsewhere."""
        counted, found = [WORDS, CHARACTERS, BOTH, AVERAGE], self.encoder_files
        if found is None:
            return [*counted]
        return [*counted, *encoder_blocks(found), self._beside(found)]

    def _beside(self, encoder: Encoder) -> TextBlocks:
        """TF-IDF and the encoder: its last layers joined, or of very many texts the last one."""
        layers = encoder_blocks(encoder)
        is_small = len(self.train) <= MOST_SPARSE_ROWS
        return beside_counts(layers[-1] if is_small else layers[encoder.own_last])

    def rows(self, blocks: Blocks, examples: Sequence[TextRecord]) -> Any:
        """Features of texts, (n, d): a sparse array, or float32. Counts of `train` are kept."""
        assert isinstance(blocks, TextBlocks)
        counted = [self._counts(kind, examples) for kind in blocks.parts if kind in COUNTED]
        if blocks.layers:
            layers = self._encoded(blocks.layers, examples)
            return join_kinds(counted, layers, len(blocks.layers)) if counted else layers
        if counted:
            return join_sparse(counted)
        return self.reader(blocks).rows([r.text for r in examples])

    def macs(self, blocks: Blocks, n_classes: int) -> int:
        """Of the mean text: one per nonzero feature and class, plus those of the encoder."""
        assert isinstance(blocks, TextBlocks)
        rows = self.rows(blocks, self.train)
        n_numbers = float(rows.nnz / rows.shape[0] if hasattr(rows, "nnz") else rows.shape[1])
        own, found = 0, self.encoder_files
        if blocks.layers and found is not None:
            # One pass gives all layers up to the last one needed.
            last = max(found.layer_of(tap) for tap in blocks.layers)
            own = encoder_macs(found, self.n_words, last)
        return own + round(n_numbers * n_classes)

    def identity(self, blocks: Blocks) -> str:
        """Digest of everything but the training texts that decides their features."""
        assert isinstance(blocks, TextBlocks)
        told = [str(VERSION), *blocks.parts]
        if blocks.is_network or "average" in blocks.parts:
            told += [*self.known.words, hashlib.sha256(self.known.vectors.tobytes()).hexdigest()]
        if blocks.layers and self.encoder_files is not None:
            told += [*blocks.layers, encoder_key(self.encoder_files).digest]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()

    def encoding(self, blocks: Blocks) -> dict[str, Any]:
        """The terms, the vectors or the encoder that make rows of texts."""
        assert isinstance(blocks, TextBlocks)
        needs_vectors = blocks.is_network or "average" in blocks.parts
        return {
            "precision": "float32",
            "backbone": SavedBackbone(
                kind=TEXT,
                name=str(blocks),
                digest=self.identity(blocks),
                word_vectors=self.known.source if needs_vectors else None,
                encoder=self.encoder if blocks.layers else None,
                licence=self.encoder_files.licence
                if blocks.layers and self.encoder_files
                else None,
            ),
            "texts": self.reader(blocks),
        }

    def compared(self, usual: Blocks, chosen: Blocks) -> tuple[str, str]:
        """With the name of the head, and without."""
        return str(usual).replace("Linear SVM", "a linear SVM", 1), usual.tap_label

    def reader(self, blocks: TextBlocks) -> TextReader:
        """The reader of a candidate's rows; a network is added once it is trained."""
        found = self.encoder_files if blocks.layers else None
        return TextReader(
            parts=blocks.parts,
            tfidf=tuple(self.tfidf(p) for p in blocks.parts if p in COUNTED),
            embeddings=self.known if "average" in blocks.parts else None,
            layers=blocks.layers,
            encoder=found.root if found else None,
            encoder_name=self.encoder if found else None,
            encoder_digest=found.digest if found else None,
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
        """In the order of the vocabulary; random for unknown words."""
        return vectors_for(self.vocabulary, self.known, VECTOR_SEED)

    @cached_property
    def encoder_files(self) -> Encoder | None:
        """The sentence encoder that was asked for."""
        return None if self.encoder is None else read_encoder(obtain_encoder(self.encoder))

    def encoder_seconds(self, texts: Sequence[str]) -> float:
        """Seconds that the sentence encoder would take for the texts that are not stored yet."""
        assert self.encoder_files is not None
        return estimate_seconds(self._store, self.encoder_files, texts, device=self.device)

    @cached_property
    def _store(self) -> FeatureStore:
        """Features by the sentence encoder."""
        assert self.encoder_files is not None
        return open_store(self.encoder_files, self.cache)

    def tfidf(self, kind: str) -> Tfidf:
        """The terms of the training texts, learnt on first use."""
        self._counts(kind, self.train)
        return self._tfidf[kind]

    def _encoded(
        self, layers: Sequence[str], examples: Sequence[TextRecord]
    ) -> NDArray[np.float32]:
        """Layers of the encoder side by side, each of unit length."""
        found = self.encoder_files
        assert found is not None
        texts = [r.text for r in examples]
        fill_store(self._store, found, texts, device=self.device, progress=self.progress)
        return stored_layers(self._store, texts, layers)

    def _counts(self, kind: str, examples: Sequence[TextRecord]) -> csr_array:
        """TF-IDF of one kind."""
        if tuple(examples) != tuple(self.train):
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


def stored_layers(
    store: FeatureStore, texts: Sequence[str], layers: Sequence[str]
) -> NDArray[np.float32]:
    """Layers of an encoder side by side, (n, d), each of unit length."""
    return JoinedRows(store.rows([text_digest(text) for text in texts], layers))[:]


def join_kinds(
    counted: Sequence[csr_array], layers: NDArray[np.float32], n_layers: int
) -> csr_array:
    """TF-IDF and layers of an encoder side by side, a sparse array (n, d); both kinds count the same.

    Parameters
    ----------
    counted : sequence of sparse array (n, d_i)
        Each of unit length in every row.
    layers : float32 array (n, d)
        So many layers side by side, each of unit length.
    """
    from scipy.sparse import csr_array

    n, d = layers.shape
    values = layers.astype(np.float64).ravel() * np.sqrt(len(counted) / n_layers)
    columns = np.tile(np.arange(d, dtype=np.int32), n)
    dense = csr_array((values, columns, np.arange(0, n * d + 1, d)), shape=(n, d))
    return join_sparse([*counted, dense])
