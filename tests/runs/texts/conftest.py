"""Sentences of a documented generator, and a run made from them once."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart import fit
from headstart.runs.run import Run

SUBJECTS = ["film", "story", "actor", "scene", "plot", "ending", "music", "dialogue"]
GOOD = ["moving", "bright", "funny", "brilliant", "warm"]
BAD = ["dull", "slow", "tired", "clumsy", "cold"]


def sentences(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """``the SUBJECT is [not] ADJECTIVE ...``: not turns the class round, so pairs of words decide."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        is_good, has_not = bool(i % 2), bool(rng.random() < 0.4)
        word = rng.choice(GOOD if is_good != has_not else BAD)
        subject, other = rng.choice(SUBJECTS, 2, replace=False)
        text = f"the {subject} is {'not ' * has_not}{word}, with the {other} number {i}"
        rows.append((text, "positive" if is_good else "negative"))
    return rows


def write_reviews(path: Path, n: int = 120, seed: int = 0) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "sentiment"])
        writer.writerows(sentences(n, seed))
    return path


@pytest.fixture(scope="session")
def make_reviews() -> Callable[..., Path]:
    return write_reviews


@pytest.fixture(scope="session")
def text_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text-store")


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("texts") / "reviews.csv")


@pytest.fixture(scope="session")
def text_run(reviews: Path, text_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All candidates but a sentence encoder, the networks for two epochs."""
    out = tmp_path_factory.mktemp("runs") / "reviews"
    run = fit(
        reviews, out=out, cache=text_store, n_folds=3, epochs=2, Cs=(0.3, 3.0), encoder="none"
    )
    assert run.is_texts
    return run
