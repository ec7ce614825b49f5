"""Texts of many scripts to words, and vocabularies that are refused."""

from __future__ import annotations

import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import InputError
from headstart.text.tokens import tokenize
from headstart.text.words import UNK, Vocabulary


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("can't won't they'll", ["ca", "n't", "wo", "n't", "they", "'ll"]),
        ("I'd've", ["i", "'d", "'ve"]),
        ("DON’T", ["do", "n't"]),
        ("rock'n'roll", ["rock", "'", "n", "'", "roll"]),
        ("n'tx", ["n", "'", "tx"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("cafe\u0301", ["caf\u00e9"]),
        ("我喜欢!", ["我", "喜", "欢", "!"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zerowidth"]),
        ("I ❤️ it", ["i", "❤️", "it"]),
        ("a-b_c 3.5%", ["a", "-", "b_c", "3", ".", "5", "%"]),
    ],
)
def test_tokenize__scripts_and_contractions(text: str, expected: list[str]) -> None:
    assert tokenize(text) == expected


@given(st.text(max_size=60))
def test_tokenize__of_any_text_gives_tokens_without_white_space(text: str) -> None:
    tokens = tokenize(text)
    assert all(token and not any(c.isspace() for c in token) for token in tokens)
    # Letters and digits are all there: what is left out shows nothing.
    lowered = unicodedata.normalize("NFC", text.lower())
    assert [c for c in "".join(tokens) if c.isalnum()] == [c for c in lowered if c.isalnum()]


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=80))
def test_tokenize__of_ascii_keeps_every_character(text: str) -> None:
    assert "".join(tokenize(text)) == "".join(text.lower().split())


def test_tokenize__takes_time_in_proportion() -> None:
    started = time.perf_counter()
    for text in ("a" * 1_000_000, "don't " * 160_000, "é́" * 300_000):
        tokenize(text)
    assert time.perf_counter() - started < 20


def test_vocabulary__build_leaves_rare_words_out_and_orders_ties() -> None:
    made = Vocabulary.build([["b", "b", "c", "a", "<unk>", "<pad>"], ["a"]], min_count=2)
    assert made.words == ("<pad>", "<unk>", "a", "b")
    assert len(made) == 4
    assert made.index("c") == UNK
    encoded = made.encode(["b", "?", "a"])
    assert encoded.dtype == np.int64
    assert encoded.tolist() == [3, 1, 2]
    assert made.encode([]).shape == (0,)


@pytest.mark.parametrize("words", [(), ("a", "b"), ("<pad>", "<unk>", "a", "a")])
def test_vocabulary__refuses_words_that_have_no_clear_number(words: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        Vocabulary(words)


@pytest.mark.parametrize("limits", [{"min_count": 0}, {"most": 0}])
def test_vocabulary__refuses_limits_below_one(limits: dict[str, int]) -> None:
    with pytest.raises(InputError, match="must be at least 1"):
        Vocabulary.build([["a"]], **limits)
