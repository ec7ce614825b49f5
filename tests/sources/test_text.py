"""Texts as a source: the candidates with a sentence encoder, and their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.texts import TextRecord
from headstart.probe import memo
from headstart.progress import silent
from headstart.runs.measure import Task
from headstart.sources.text import BOTH, TextSource, beside_counts, encoder_blocks, join_kinds
from headstart.text.sentences import encode, text_digest
from tiny_encoder import WIDTH, write_encoder

pytest.importorskip("tokenizers", reason="headstart[text] is not installed")
TEXTS = ["the film", "not the film", "a zebra", "the cat is not the film", "sea, sun", "a b c"]


def records(texts: list[str]) -> list[TextRecord]:
    return [
        TextRecord(name=t, label=t[0], digest=text_digest(t), split="train", group=t, text=t)
        for t in texts
    ]


def source_of(encoder: Path | None, cache: Path) -> Any:
    return TextSource(
        train=records(TEXTS), embeddings=None, encoder=str(encoder) if encoder else None, cache=cache,
        device="cpu", progress=silent,
    )  # fmt: skip


def test_candidates__layers_then_the_last_joined_then_beside_tfidf(tiny_encoder, tmp_path) -> None:
    source = source_of(tiny_encoder, tmp_path)
    added = source.candidates()[len(source_of(None, tmp_path).candidates()) :]
    assert [b.tap_label for b in added] == [
        "encoder layer 1", "encoder layer 2", "encoder layer 3", "encoder layer 4",
        "encoder layer 5", "encoder layers 2 to 5 joined",
        "TF-IDF and encoder layers 2 to 5",
    ]  # fmt: skip
    assert [b.is_sparse for b in added] == [False] * 6 + [True]
    assert source.prior == added[-1]
    assert source_of(None, tmp_path).prior is None
    macs = [source.macs(b, 2) for b in added]
    assert macs == sorted(macs)
    assert len({source.identity(b) for b in added}) == len(added)


def test_kept_at__differs_with_the_code_that_counts(tmp_path, monkeypatch) -> None:
    source = source_of(None, tmp_path)
    task = Task(
        source=source, records=source.train, folds=np.arange(6) % 3, Cs=[1.0], cache=tmp_path
    )
    before = task.kept_at(BOTH)
    monkeypatch.setattr(memo, "code_digest", lambda *parts: "changed" if "text" in parts else "")
    changed = task.kept_at(BOTH)
    monkeypatch.setattr(memo, "code_digest", lambda *parts: "")
    assert len({before, changed, task.kept_at(BOTH)}) == 3


def test_candidates__own_pooling_is_what_is_joined(tmp_path) -> None:
    source = source_of(write_encoder(tmp_path / "e", pooling="cls"), tmp_path)
    *_, joined, _ = source.candidates()
    assert joined.layers == tuple(f"layer {i} class token" for i in (2, 3, 4, 5))
    assert joined.tap_label == "encoder layers 2 to 5 class token joined"


def test_rows__of_the_same_texts_in_another_sequence_are_counted_once(tmp_path) -> None:
    source = source_of(None, tmp_path)
    words = source.first
    assert source.rows(words, tuple(source.train)) is source.rows(words, source.train)
    assert source.rows(words, source.train[:2]).shape[0] == 2


def test_rows__are_those_of_the_reader_that_predicts(tiny_encoder, tmp_path) -> None:
    source = source_of(tiny_encoder, tmp_path)
    for blocks in source.candidates()[-3:]:
        rows = source.rows(blocks, source.train)
        again = source.reader(blocks).rows(TEXTS)
        dense, there = (x.toarray() if hasattr(x, "nnz") else x for x in (rows, again))
        np.testing.assert_allclose(dense, there, atol=3e-3)


def test_rows__joined_layers_are_of_unit_length_each(tiny_encoder, tmp_path) -> None:
    source = source_of(tiny_encoder, tmp_path)
    joined = encoder_blocks(source.encoder_files)[-1]
    rows = source.rows(joined, source.train)
    assert rows.shape == (len(TEXTS), 4 * WIDTH)
    each = rows.reshape(len(TEXTS), 4, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(each, axis=2), 1, atol=1e-5)
    [last] = encode(source.encoder_files, TEXTS, ["layer 5"])
    unit = last / np.linalg.norm(last, axis=1, keepdims=True)
    np.testing.assert_allclose(each[:, 3], unit, atol=2e-3)


def test_join_kinds__tfidf_and_layers_have_the_same_weight(tiny_encoder, tmp_path) -> None:
    source = source_of(tiny_encoder, tmp_path)
    joined = encoder_blocks(source.encoder_files)[-1]
    rows = source.rows(beside_counts(joined), source.train)
    n_terms = source.rows(BOTH, source.train).shape[1]
    counted, layers = rows[:, :n_terms].toarray(), rows[:, n_terms:].toarray()
    for part in (counted, layers):
        np.testing.assert_allclose((part**2).sum(axis=1), 2, atol=1e-5)
    assert layers.shape[1] == 4 * WIDTH


def test_join_kinds__a_text_without_a_known_term_has_its_layers(tiny_encoder, tmp_path) -> None:
    source = source_of(tiny_encoder, tmp_path)
    blocks = beside_counts(encoder_blocks(source.encoder_files)[-1])
    rows = source.rows(blocks, records(["qqq"]))
    assert np.isfinite(rows.data).all()
    assert rows.nnz >= 4 * WIDTH - 1
    empty = join_kinds([], np.empty((0, 3), np.float32), 1)
    assert empty.shape == (0, 3)
