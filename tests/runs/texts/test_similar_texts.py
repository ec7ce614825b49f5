"""Nearest training texts, by the features of the run's own model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.data.texts import index_texts
from headstart.errors import DataError
from headstart.runs.report.retrieval import retrieval_sections
from headstart.runs.retrieval_texts import similar_texts


def test_similar_texts__distances_are_of_the_model_s_features(
    text_run, reviews, text_store
) -> None:
    records = index_texts(reviews).records
    train = [r for r in records if r.split == "train"]
    query = "the film is brilliant"
    found = similar_texts(text_run, query, k=3, cache=text_store)
    rows = text_run.model.text_rows([query, *(r.text for r in train)])
    X = np.asarray(rows.toarray() if hasattr(rows, "nnz") else rows)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    distances = np.linalg.norm(X[1:] - X[0], axis=1)
    assert [n.distance for n in found.neighbours] == pytest.approx(np.sort(distances)[:3], abs=1e-6)
    assert found.neighbours[0].name == train[int(distances.argmin())].name
    assert found.measured is not None
    assert found.measured.n_queries == sum(r.split == "test" for r in records)
    assert "nearest training text" in found.sentence
    assert "image" not in f"{found.sentence} {found.detail}"
    sections = retrieval_sections(found, 0.9)
    assert not any("image" in word for s in sections for word in (s.heading, *s.text, s.caption))


def test_similar_texts__a_training_text_is_not_its_own_neighbour(
    text_run, reviews, text_store
) -> None:
    own = next(r for r in index_texts(reviews).records if r.split == "train")
    found = similar_texts(text_run, own.text.upper(), k=1, cache=text_store)
    assert found.neighbours[0].name != own.name
    assert "itself among the training texts" in found.notes[0]


def test_similar_texts__reads_a_file_and_refuses_what_is_not_one_text(
    text_run, reviews, text_store, tmp_path
) -> None:
    (tmp_path / "letter.txt").write_text("the film is brilliant\n")
    found = similar_texts(text_run, str(tmp_path / "letter.txt"), k=1, cache=text_store)
    assert found.query == "the film is brilliant"
    for given, said in [(str(reviews), "is a table"), ("  ", "is empty")]:
        with pytest.raises(DataError, match=said):
            similar_texts(text_run, given, cache=text_store)


def test_similar_texts__run_of_another_machine_needs_its_table(
    text_run, reviews, text_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "other"))
    run: Any = headstart.load(shutil.copytree(text_run.folder, tmp_path / "run"))
    with pytest.raises(DataError, match="was not made here"):
        similar_texts(run, "a film", cache=text_store)
    assert similar_texts(run, "a film", k=2, data=str(reviews), cache=text_store).neighbours


def test_similar__on_texts_from_the_command_line(text_run, tmp_path: Path, capsys) -> None:
    from headstart.cli.app import run

    words = ["similar", str(text_run.folder), "the film is brilliant", "--k", "2"]
    assert run([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "nearest training texts" in said
    assert "the film is brilliant" in (tmp_path / "out" / "similar.html").read_text()
