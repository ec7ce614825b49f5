"""TF-IDF of words and of characters: the features that a linear SVM had before word vectors.

Term frequencies are ``1 + log(count)``, each times ``log((1 + n) / (1 + df)) + 1``; rows have unit
length. The terms are learnt from training texts without their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import InputError
from headstart.text.tokens import tokenize

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# The terms of each kind.
KINDS: dict[str, dict[str, Any]] = {
    "words": {"tokenizer": tokenize, "token_pattern": None, "ngram_range": (1, 2)},
    # Within words, with a space at their ends.
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}
# In a large data set most terms occur in one text only, and these carry little information.
MANY_TEXTS = 5000
MOST_TERMS = 200_000


@dataclass(frozen=True, kw_only=True)
class Tfidf:
    """A learnt list of terms with their weights.

    Attributes
    ----------
    kind : {"words", "characters"}
        Words and pairs of them, or 2 to 5 characters of a word.
    terms : tuple of str, length d
    idf : float64 array (d,)
    """

    kind: str
    terms: tuple[str, ...]
    idf: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        if self.idf.shape != (len(self.terms),) or not self.terms:
            raise InputError(f"{len(self.terms)} terms have {self.idf.size} weights")
        if len(set(self.terms)) < len(self.terms):
            raise InputError("a term stands twice among the terms")

    @classmethod
    def learn(cls, texts: Sequence[str], kind: str) -> Tfidf:
        """The terms of some texts, as of `learn_rows`."""
        return cls.learn_rows(texts, kind)[0]

    @classmethod
    def learn_rows(cls, texts: Sequence[str], kind: str) -> tuple[Tfidf, csr_array]:
        """The terms of some texts, and the features (n, d) of these.

        All terms; from 5,000 texts on those that occur in two texts or more. At most the 200,000 most
        frequent are kept.

        Raises
        ------
        InputError
            The texts hold no word at all.
        """
        from scipy.sparse import csr_array

        min_df = 2 if len(texts) >= MANY_TEXTS else 1
        made = _vectorizer(kind, min_df=min_df, max_features=MOST_TERMS)
        try:
            rows = made.fit_transform(texts)
        except ValueError:  # an empty vocabulary
            raise InputError(f"the {len(texts):,} training texts share no {kind}") from None
        terms = tuple(made.get_feature_names_out())
        return cls(kind=kind, terms=terms, idf=made.idf_), csr_array(rows)

    def transform(self, texts: Sequence[str]) -> csr_array:
        """Features of texts, (n, d) float64; a row of zeros where a text has none of the terms."""
        from scipy.sparse import csr_array

        return csr_array(self._made.transform(texts))

    @cached_property
    def _made(self) -> Any:
        made = _vectorizer(self.kind, vocabulary=list(self.terms))
        made.idf_ = self.idf
        return made


def _vectorizer(kind: str, **options: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, dtype=np.float64, **KINDS[kind], **options)


def join_sparse(parts: Sequence[csr_array]) -> csr_array:
    """Sparse features side by side; each part has unit length, so that all count the same."""
    from scipy.sparse import csr_array, hstack

    return parts[0] if len(parts) == 1 else csr_array(hstack(parts))
