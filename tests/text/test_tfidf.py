"""TF-IDF against the formula, and what is kept of it."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.text.tfidf import Tfidf, join_sparse
from headstart.text.tokens import tokenize

TEXTS = ["A cat sat.", "a cat, a dog!", "Dogs don't sit", "cat"]


def test_tfidf__words_are_the_plain_formula() -> None:
    found = Tfidf.learn(TEXTS, "words")
    counts = []
    for text in TEXTS:
        tokens = tokenize(text)
        pairs = [" ".join(p) for p in itertools.pairwise(tokens)]
        counts.append(Counter([*tokens, *pairs]))
    df = Counter(term for c in counts for term in c)
    assert set(found.terms) == set(df)
    plain = np.array(
        [[(1 + np.log(c[t])) * (np.log(5 / (1 + df[t])) + 1) if c[t] else 0 for t in found.terms] for c in counts]
    )  # fmt: skip
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(found.transform(TEXTS).toarray(), plain, atol=1e-12)


def test_tfidf__characters_stay_within_words() -> None:
    found = Tfidf.learn(["Ab cd"], "characters")
    assert " ab " in found.terms
    assert not any("b c" in term for term in found.terms)


def test_tfidf__a_copy_made_of_its_terms_gives_the_same() -> None:
    found = Tfidf.learn(TEXTS, "characters")
    again = Tfidf(kind=found.kind, terms=found.terms, idf=found.idf.copy())
    new = ["a new cat", "", "zzz"]
    assert (found.transform(new) != again.transform(new)).nnz == 0
    assert found.transform(new).toarray()[1:].sum() == 0


def test_tfidf__many_texts_keep_terms_that_two_have() -> None:
    found = Tfidf.learn([f"same words {i}" for i in range(5000)], "words")
    assert found.terms == ("same", "same words", "words")


def test_tfidf__bad_input() -> None:
    with pytest.raises(InputError, match="share no words"):
        Tfidf.learn(["", "  "], "words")
    with pytest.raises(InputError, match="kind must be one of words, characters; got 'x'"):
        Tfidf(kind="x", terms=("a",), idf=np.ones(1))
    with pytest.raises(InputError, match="1 terms have 2 weights"):
        Tfidf(kind="words", terms=("a",), idf=np.ones(2))
    with pytest.raises(InputError, match="a term stands twice"):
        Tfidf(kind="words", terms=("a", "b", "a"), idf=np.ones(3))


def test_join_sparse__side_by_side() -> None:
    parts = [Tfidf.learn(TEXTS, kind).transform(TEXTS) for kind in ("words", "characters")]
    joined = join_sparse(parts).toarray()
    np.testing.assert_array_equal(joined, np.hstack([p.toarray() for p in parts]))
    assert join_sparse(parts[:1]) is parts[0]
