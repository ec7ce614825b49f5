"""Variants of TextCNN beside linear SVMs."""

from __future__ import annotations

from typing import Any

import pytest

from headstart.data.texts import index_texts
from headstart.errors import InputError
from headstart.runs.compare_texts import compare_texts, text_arms
from headstart.runs.report.comparison import markdown, render
from headstart.text.settings import VARIANTS, TextTraining


def test_compare_texts__measures_every_variant_with_every_seed(reviews, tmp_path) -> None:
    arms = text_arms(TextTraining(epochs=2), tuple(VARIANTS))
    index = index_texts(reviews)
    found = compare_texts(index, arms, seeds=(0, 1), cache=tmp_path)
    asked: dict[str, Any] = {"title": "t", "backbone": found.word_vectors, "size_px": None}
    figures = found.comparison.result(index, **asked)
    assert [a.name for a in figures.arms] == ["TF-IDF", "embedding average", *VARIANTS]
    assert figures.n_fit + figures.n_val == len(index.train)
    assert all(len(a.histories) == 2 for a in figures.arms)
    assert "texts to fit on" in markdown(figures)
    assert "px" not in markdown(figures)
    assert "Learning curves" in render(figures)
    parameters = {a.name: a.n_trained_parameters for a in figures.arms}
    assert parameters["static"] < parameters["non-static"]
    told = []
    again = compare_texts(
        index,
        arms,
        seeds=(0, 1),
        cache=tmp_path,
        on_outcome=lambda arm, seed, o: told.append(o.seconds),
    )
    assert again.comparison.result(index, **asked) == figures  # kept, seconds included
    assert len(told) == 12


def test_text_arms__bad_variant() -> None:
    with pytest.raises(InputError, match="`variant` cannot be 'sttic'"):
        text_arms(TextTraining(), ("sttic",))


def test_compare_texts__sentence_encoder_beside_the_others(reviews, tiny_encoder, tmp_path) -> None:
    arms = text_arms(TextTraining(), (), encoder=str(tiny_encoder))
    assert [arm.name for arm in arms] == ["TF-IDF", "embedding average", "sentence encoder"]
    found = compare_texts(
        index_texts(reviews), arms[1:], seeds=(0,), encoder=str(tiny_encoder), cache=tmp_path
    )
    [outcome] = found.comparison.outcomes["sentence encoder"]
    assert outcome.note.startswith("C = ")
    assert outcome.n_trained_parameters == 2 * (4 * 16 + 1)
