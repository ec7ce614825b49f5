"""Files of word vectors as gensim writes them, damaged ones, and vectors learnt from texts."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.text import Vocabulary
from headstart.text.embeddings import (
    Embeddings,
    average_vectors,
    cooccurrences,
    learn_embeddings,
    ppmi,
    read_embeddings,
    vectors_for,
)
from headstart.text.published import find_embeddings

WORDS = ["the", "cat", "Paris", "naïve", "don't", "café", "new_york"]


def _vectors(dim: int = 5, n: int = len(WORDS)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)


def _by_gensim(path: Path, *, binary: bool, header: bool = True, dim: int = 5) -> Path:
    """A file in the format that gensim writes."""
    gensim = pytest.importorskip("gensim.models")
    model = gensim.KeyedVectors(vector_size=dim)
    model.add_vectors(WORDS, _vectors(dim))
    model.save_word2vec_format(str(path), binary=binary, write_header=header)
    return path


@pytest.mark.parametrize(
    ("name", "binary", "header"),
    [("w2v.bin", True, True), ("w2v.txt", False, True), ("ft.vec", False, True), ("glove.txt", False, False)],
)  # fmt: skip
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_read_embeddings__reads_what_gensim_wrote(tmp_path, name, binary, header, zipped) -> None:
    path = _by_gensim(tmp_path / name, binary=binary, header=header)
    if zipped:
        packed = tmp_path / f"{name}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    found = read_embeddings(path, {"cat", "naïve", "paris", "nowhere"})
    assert found.words == ("cat", "naïve", "paris")
    np.testing.assert_array_equal(found.vectors, _vectors()[[1, 3, 2]])
    assert (found.source, found.coverage) == (path.name, 0.75)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_read_embeddings__gensim_reads_the_same_file_alike(tmp_path) -> None:
    gensim = pytest.importorskip("gensim.models")
    path = _by_gensim(tmp_path / "w2v.bin", binary=True)
    model = gensim.KeyedVectors.load_word2vec_format(str(path), binary=True)
    found = read_embeddings(path, set(WORDS))
    assert list(found.words) == list(model.index_to_key)
    np.testing.assert_array_equal(found.vectors, model.vectors)


def test_read_embeddings__binary_with_line_ends_longer_than_the_buffer(tmp_path) -> None:
    words = [f"w{i}" for i in range(3000)]
    vectors = _vectors(300, 3000)
    rows = [f"{w} ".encode() + v.tobytes() + b"\n" for w, v in zip(words, vectors, strict=True)]
    (tmp_path / "big.bin").write_bytes(b"3000 300\n" + b"".join(rows))
    found = read_embeddings(tmp_path / "big.bin", {"w0", "w1500", "w2999"})
    np.testing.assert_array_equal(found.vectors, vectors[[0, 1500, 2999]])


def test_read_embeddings__the_same_case_wins_over_another(tmp_path) -> None:
    (tmp_path / "g.txt").write_text("Apple 1 1\nAPPLE 2 2\napple 3 3\nPear 4 4\nPEAR 5 5\n")
    found = read_embeddings(tmp_path / "g.txt", {"apple", "pear"})
    assert dict(zip(found.words, found.vectors[:, 0], strict=True)) == {"apple": 3, "pear": 4}


def test_read_embeddings__words_with_spaces_as_in_glove(tmp_path) -> None:
    (tmp_path / "g.txt").write_text("a 1 2\nat name@domain.com 3 4 \nb 5 6\n")
    assert read_embeddings(tmp_path / "g.txt", {"b"}).vectors.tolist() == [[5, 6]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a 1 2 3\nb 1 2\n", "line 2 has 2 numbers and the lines before it 3"),
        (b"a 1 2 3\nb 1 2 3 4\n", "line 2 has 4 numbers"),
        (b"3 3\na 1 2 3\nb 1 2\nc 1 2 3\n", "line 3 has 2 numbers"),
        (b"2 4\na 1 2 3\nb 1 2 3\n", "line 2 has 3 numbers and the lines before it 4"),
        (b"9 3\na 1 2 3\nb 1 2 3\n", "has 2 words where its first line says 9: it is cut off"),
        (b"a 1 2 3\nb 1 x 3\n", "line 2: 'x' is not a number"),
        (b"a 1 2 3\nb 1 nan 3\n", "line 2 holds a number that is not finite"),
        (b"2 3\na 1 nan 3\nb 1 2 3\n", "line 2 holds a number that is not finite"),
        (b"x 1 2 3\ny 1 2 3\n", "has a vector for none of the 3 words"),
        (b"", "expected a word and its numbers"),
        (b"just\n", "expected a word and its numbers"),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0", "model of fastText: give its vectors, the .vec"),
        (b"5 2\na \x01\x02\x03\x04\x01\x02\x03\x04b \x01", "ends in word 2 of the 5"),
        (b"1 1\na \x00\x00\x80\x7f", "word 1 holds a number that is not finite"),
        (b"\x1f\x8bbroken", "cannot read"),
    ],
)
def test_read_embeddings__says_what_is_wrong_and_on_which_line(tmp_path, content, said) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_embeddings(tmp_path / "v.txt", {"a", "b", "c"})
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_find_embeddings__published_names_are_fetched_once(tmp_path) -> None:
    host = tmp_path / "host" / "glove-twitter-25"
    host.mkdir(parents=True)
    plain = _by_gensim(tmp_path / "v.txt", binary=False)
    (host / "glove-twitter-25.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for url in (host.parent.as_uri(), "file:///nowhere"):
        found = find_embeddings("glove-twitter-25", {"cat"}, cache=tmp_path, host=url)
        assert found.words == ("cat",)
    with pytest.raises(DataError, match=r"no such file of word vectors.*'glove-twitter-25'"):
        find_embeddings("glove-twitter-52", {"cat"}, cache=tmp_path)
    with pytest.raises(DataError, match="cannot download"):
        find_embeddings("glove-twitter-50", {"cat"}, cache=tmp_path, host="file:///nowhere")


def test_cooccurrences__are_those_that_a_plain_loop_counts() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(-1, 6, size=n) for n in (0, 1, 7, 12)]
    plain = np.zeros((6, 6))
    for text in texts:
        for i, a in enumerate(text):
            for j, b in enumerate(text):
                if 0 < abs(i - j) <= 3 and a >= 0 and b >= 0:
                    plain[a, b] += 1
    np.testing.assert_array_equal(cooccurrences(texts, 6, 3).toarray(), plain)


def test_ppmi__is_the_formula() -> None:
    texts = [np.random.default_rng(0).integers(0, 5, size=40)]
    counts = cooccurrences(texts, 5, 2)
    n = counts.toarray()
    context = n.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore"):
        plain = np.log(n / (n.sum(axis=1)[:, None] * context[None] / context.sum()))
    np.testing.assert_allclose(ppmi(counts).toarray(), np.maximum(plain, 0), atol=1e-12)


def test_learn_embeddings__are_the_truncated_svd_of_the_ppmi() -> None:
    rng = np.random.default_rng(1)
    texts = [[f"w{k}" for k in rng.integers(0, 30, size=20)] for _ in range(40)]
    found = learn_embeddings(texts, dim=8, window=3)
    known = {w: i for i, w in enumerate(found.words)}
    matrix = ppmi(cooccurrences([np.array([known[t] for t in x]) for x in texts], 30, 3)).toarray()
    U, S, _ = np.linalg.svd(matrix)
    # The vectors up to a rotation: their products are those of U sqrt(S).
    exact = (U[:, :8] * S[:8]) @ U[:, :8].T
    np.testing.assert_allclose(found.vectors @ found.vectors.T, exact, atol=0.02)
    again = learn_embeddings(texts, dim=8, window=3)
    np.testing.assert_array_equal(again.vectors, found.vectors)
    assert found.coverage == 1.0


def test_learn_embeddings__words_in_like_places_get_like_vectors() -> None:
    rng = np.random.default_rng(0)
    animals, metals = ["cat", "dog", "horse"], ["iron", "zinc", "lead"]
    texts = [
        ["the", kind[rng.integers(3)], verb, kind[rng.integers(3)]]
        for _ in range(200)
        for kind, verb in ((animals, "eats"), (metals, "rusts"))
    ]
    found = learn_embeddings(texts, dim=4)
    unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    at = {w: unit[i] for i, w in enumerate(found.words)}
    assert at["cat"] @ at["dog"] > at["cat"] @ at["iron"] + 0.5


def test_learn_embeddings__too_few_words() -> None:
    with pytest.raises(DataError, match="2 words occur 2 times or more in the 2 training texts"):
        learn_embeddings([["a", "b", "c"], ["a", "b"]])


def test_vectors_for__unknown_words_have_the_variance_of_the_known() -> None:
    known = Embeddings(words=("a", "b"), vectors=_vectors(400, 2) * 3, source="", coverage=1)
    words = ("<pad>", "<unk>", "b", *(f"w{i}" for i in range(50)), "a")
    vectors = vectors_for(Vocabulary(words), known, seed=4)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[[2, -1]], known.vectors[[1, 0]])
    assert not vectors[0].any()
    assert vectors[3:-1].var() == pytest.approx(known.vectors.var(), rel=0.02)
    np.testing.assert_array_equal(vectors, vectors_for(Vocabulary(words), known, seed=4))


def test_average_vectors__unknown_words_do_not_count() -> None:
    known = Embeddings(
        words=("a", "b"), vectors=np.array([[1, 2], [3, 6]], "f4"), source="", coverage=1
    )
    rows = average_vectors([["a", "x", "b"], ["x"], [], ["b", "b", "a", "a"]], known)
    assert rows.tolist() == [[2, 4], [0, 0], [0, 0], [2, 4]]


def test_read_embeddings__a_damaged_gzip_is_one_line(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"2 2\nfilm 1 2\ngood 3 4\n" * 20))
    data[12:30] = b"\xff" * 18
    (tmp_path / "a.gz").write_bytes(data)
    with pytest.raises(DataError, match="cannot read"):
        read_embeddings(tmp_path / "a.gz", {"film"})
