"""Word vectors: read from published files, learnt from one's own texts, put in a vocabulary's order.

Files are read in one pass and only the words that are wanted are kept, so that the three million of
word2vec's news vectors need no memory. They are distinguished by their first bytes:

    word2vec, binary    "3000000 300\\n", then each word, a space and 300 float32
    word2vec, text      "3000000 300", then a line for each word; fastText's .vec is the same
    GloVe               a line for each word, and no first line
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from headstart.data.sources import missing_path, shown
from headstart.errors import DataError, argument, one_line

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from headstart.text.words import Vocabulary

Vectors = NDArray[np.float32]

# Of context counts: it keeps rare contexts from dominating (Levy, Goldberg and Dagan 2015).
SMOOTHING = 0.75
_CHUNK_BYTES = 1 << 20
_LONGEST_WORD_BYTES = 4096
# The first bytes of a model of fastText, which is not a table of vectors.
_FASTTEXT_MODEL = b"\xba\x16\x4f\x2f"


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Vectors of some words.

    Attributes
    ----------
    words : tuple of str, length n
    vectors : float32 array (n, d)
    source : str
        Where they are from, in words.
    coverage : float
        Share of the words wanted that have a vector.
    """

    words: tuple[str, ...]
    vectors: Vectors
    source: str
    coverage: float

    @property
    def n_features(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])


def read_embeddings(path: Path, wanted: Collection[str]) -> Embeddings:
    """Read the vectors of the words that are wanted.

    Parameters
    ----------
    path : Path
        Vectors of word2vec (binary or text), GloVe (text) or fastText (.vec); may be gzipped.
    wanted : collection of str
        A word that the file has in another case only (``Paris`` for ``paris``) is found too; the
        same case wins, then the first.

    Returns
    -------
    Embeddings
        In the order of the file.

    Raises
    ------
    DataError
        There is no such file, it is of another kind or damaged (the message names the line), or it
        has none of the words.
    """
    path = Path(path)
    if not path.is_file():
        raise missing_path(path, what="file of word vectors")
    needed = set(wanted)
    exact: dict[str, Vectors] = {}
    folded: dict[str, Vectors] = {}
    try:
        with _open(path) as file:
            for word, vector in _read_words(path, file, needed):
                into = exact if word in needed else folded
                into.setdefault(word if word in needed else word.lower(), vector)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {shown(path)}: {one_line(str(error))}") from None
    found = exact | {word: v for word, v in folded.items() if word not in exact}
    if not found:
        raise DataError(
            f"{shown(path)} has a vector for none of the {len(needed):,} words of the texts: is it "
            "of their language, and in the text format of word2vec, GloVe or fastText?"
        )
    return Embeddings(
        words=tuple(found),
        vectors=np.stack(list(found.values())),
        source=path.name,
        coverage=len(found) / max(len(needed), 1),
    )


def learn_embeddings(
    token_lists: Sequence[Sequence[str]],
    dim: int = 100,
    window: int = 5,
    seed: int = 0,
    *,
    min_count: int = 2,
    most: int = 50_000,
) -> Embeddings:
    """Word vectors from unlabelled texts: positive pointwise mutual information, truncated SVD.

    Two words at most `window` apart in a text co-occur. The vectors are ``U sqrt(S)`` of the SVD of
    ``max(0, log(n(w, c) N / (n(w) n'(c))))`` (Levy and Goldberg 2014, "Neural word embedding as
    implicit matrix factorization"), with the counts of contexts ``n'`` raised to 0.75 (Levy et al.
    2015), by a randomised SVD with four power iterations.

    Parameters
    ----------
    token_lists : sequence of sequence of str
        Training texts: a label is not looked at.
    dim : int
        Length of the vectors; fewer where there are not as many words.
    window : int
    seed : int
        Of the SVD.
    min_count : int
        Rarer words get no vector.
    most : int
        The most frequent words that get one.

    Returns
    -------
    Embeddings
        The most frequent word first.

    Raises
    ------
    DataError
        Fewer than three words are frequent enough.
    """
    from sklearn.utils.extmath import randomized_svd

    from headstart.text.words import Vocabulary

    known = Vocabulary.build(token_lists, min_count=min_count, most=most).words[2:]
    if len(known) < 3:
        raise DataError(
            f"word vectors cannot be learnt: {len(known)} words occur {min_count} times or more in "
            f"the {len(token_lists):,} training texts; give more texts, or a file with {argument('embeddings')}"
        )
    numbers = {word: i for i, word in enumerate(known)}
    ids = [np.array([numbers.get(t, -1) for t in tokens], dtype=np.int64) for tokens in token_lists]
    matrix = ppmi(cooccurrences(ids, len(known), window))
    U, S, _ = randomized_svd(
        matrix,
        min(dim, len(known) - 1),
        n_iter=4,
        random_state=seed,
        power_iteration_normalizer="QR",
    )
    n_all = len({token for tokens in token_lists for token in tokens})
    return Embeddings(
        words=tuple(known),
        vectors=(U * np.sqrt(S)).astype(np.float32),
        source=f"learnt from {len(token_lists):,} training texts (PPMI and SVD)",
        coverage=len(known) / n_all,
    )


def cooccurrences(ids: Sequence[NDArray[np.int64]], n_words: int, window: int) -> csr_array:
    """How often two words stand at most `window` places apart, (n_words, n_words), symmetric.

    Negative ids are words that are not counted; they keep their place.
    """
    from scipy.sparse import coo_array

    # Between texts a gap as long as the window, which no pair can cross.
    gap = np.full(window, -1, dtype=np.int64)
    row = np.concatenate([part for text in ids for part in (text, gap)] or [gap])
    total = coo_array((n_words, n_words), dtype=np.float64).tocsr()
    for distance in range(1, window + 1):
        left, right = row[:-distance], row[distance:]
        both = (left >= 0) & (right >= 0)
        places = (left[both], right[both])
        total = total + coo_array((np.ones(both.sum()), places), shape=total.shape).tocsr()
    return total + total.T


def ppmi(counts: csr_array, smoothing: float = SMOOTHING) -> csr_array:
    """Positive pointwise mutual information of co-occurrence counts, of their shape."""
    of_word = np.asarray(counts.sum(axis=1)).ravel()
    of_context = of_word**smoothing
    pairs = counts.tocoo()
    expected = of_word[pairs.row] * of_context[pairs.col] / of_context.sum()
    pairs.data = np.maximum(0.0, np.log(pairs.data / expected))
    found = pairs.tocsr()
    found.eliminate_zeros()
    return found


def vectors_for(vocabulary: Vocabulary, embeddings: Embeddings, seed: int = 0) -> Vectors:
    """The vectors of a vocabulary's words, (V, d), in its order.

    A word without one gets numbers uniform in ``[-a, a]``, with ``a`` such that their variance is
    that of the known vectors (Kim 2014); padding is zero.
    """
    rng = np.random.default_rng(seed)
    end = math.sqrt(3 * float(embeddings.vectors.var()))
    shape = (len(vocabulary), embeddings.n_features)
    vectors = rng.uniform(-end, end, size=shape).astype(np.float32)
    at = {word: i for i, word in enumerate(embeddings.words)}
    known = [(i, at[word]) for i, word in enumerate(vocabulary.words) if word in at]
    if known:
        rows, sources = zip(*known, strict=True)
        vectors[list(rows)] = embeddings.vectors[list(sources)]
    vectors[0] = 0
    return vectors


def average_vectors(token_lists: Sequence[Sequence[str]], embeddings: Embeddings) -> Vectors:
    """Mean of the vectors of each text's words, (n, d); zero where none has one."""
    at = {word: i for i, word in enumerate(embeddings.words)}
    averages = np.zeros((len(token_lists), embeddings.n_features), dtype=np.float32)
    for row, tokens in enumerate(token_lists):
        rows = [at[token] for token in tokens if token in at]
        if rows:
            averages[row] = embeddings.vectors[rows].mean(axis=0)
    return averages


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    # The caller closes it.
    return cast("IO[bytes]", gzip.open(path, "rb") if is_gzip else path.open("rb"))


def _read_words(path: Path, file: IO[bytes], needed: set[str]) -> Iterator[tuple[str, Vectors]]:
    first = file.readline(_CHUNK_BYTES)
    if first.startswith(_FASTTEXT_MODEL):
        raise DataError(f"{shown(path)} is a model of fastText: give its vectors, the .vec file")
    numbers = first.split()
    if len(numbers) == 2 and all(n.isdigit() for n in numbers):
        n_words, dim = int(numbers[0]), int(numbers[1])
        rest = file.read(_CHUNK_BYTES)
        if _is_binary(rest):
            yield from _read_binary(path, file, rest, n_words, dim, needed)
        else:
            yield from _read_lines(path, _lines(file, rest), 2, dim, needed, n_words)
        return
    yield from _read_lines(path, _lines(file, first), 1, len(numbers) - 1, needed, None)


def _is_binary(start: bytes) -> bool:
    """Whether the numbers after the first word are bytes and not digits (or ``nan``, ``inf``)."""
    numbers = start.partition(b" ")[2].split(b"\n", 1)[0]
    return not numbers.strip() or bool(set(numbers) - set(b"0123456789+-.eE \t\rnaif"))


def _lines(file: IO[bytes], start: bytes) -> Iterator[bytes]:
    """The lines of `start` and of what follows it."""
    *whole, last = start.split(b"\n")
    yield from whole
    yield last + file.readline()
    yield from file


def _read_lines(
    path: Path,
    lines: Iterator[bytes],
    first: int,
    dim: int,
    needed: set[str],
    n_words: int | None,
) -> Iterator[tuple[str, Vectors]]:
    n_read = 0
    if dim < 1:
        raise DataError(
            f"{shown(path)}, line {first}: expected a word and its numbers with spaces between"
        )
    for number, raw in enumerate(lines, start=first):
        line = raw.rstrip()
        if not line:
            continue
        n_read += 1
        parts = line.split(b" ")
        n_found = len(parts) - 1
        if n_found < dim or (n_found > dim and _is_number(parts[-dim - 1])):
            raise DataError(
                f"{shown(path)}, line {number} has {n_found} numbers and the lines before it {dim}: "
                "the file is damaged, or of another kind"
            )
        # GloVe's largest file has words with spaces in them.
        word = b" ".join(parts[:-dim]).decode("utf-8", errors="replace")
        if word in needed or word.lower() in needed:
            yield word, _parse(path, number, parts[-dim:])
    if n_words is not None and n_read != n_words:
        raise DataError(
            f"{shown(path)} has {n_read:,} words where its first line says {n_words:,}: it is cut "
            "off or damaged; fetch it again"
        )


def _parse(path: Path, number: int, parts: Sequence[bytes]) -> Vectors:
    try:
        vector = np.array([float(part) for part in parts], dtype=np.float32)
    except ValueError:
        bad = next(p for p in parts if not _is_number(p)).decode("utf-8", errors="replace")
        raise DataError(
            f"{shown(path)}, line {number}: {one_line(bad, limit=40)!r} is not a number"
        ) from None
    return _finite(path, f"line {number}", vector)


def _finite(path: Path, where: str, vector: Vectors) -> Vectors:
    if not np.isfinite(vector).all():
        raise DataError(f"{shown(path)}, {where} holds a number that is not finite")
    return vector


def _is_number(part: bytes) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _read_binary(
    path: Path, file: IO[bytes], start: bytes, n_words: int, dim: int, needed: set[str]
) -> Iterator[tuple[str, Vectors]]:
    buffer, at, size = start, 0, 4 * dim
    for number in range(1, n_words + 1):
        # The longest word and its numbers must lie in the buffer, or the file must have ended.
        if len(buffer) - at < size + _LONGEST_WORD_BYTES:
            buffer, at = buffer[at:] + file.read(_CHUNK_BYTES + size), 0
        end = buffer.find(b" ", at, at + _LONGEST_WORD_BYTES)
        if end < 0 or end + 1 + size > len(buffer):
            raise DataError(
                f"{shown(path)} ends in word {number:,} of the {n_words:,} that its first line says: "
                "it is cut off or damaged; fetch it again"
            )
        # word2vec itself ends each vector with a line end, other writers do not.
        word = buffer[at:end].lstrip(b"\n").decode("utf-8", errors="replace")
        at = end + 1 + size
        if word in needed or word.lower() in needed:
            vector = np.frombuffer(buffer, dtype="<f4", count=dim, offset=end + 1)
            yield word, _finite(path, f"word {number:,}", vector.astype(np.float32))
