from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from headstart.comparison import memo
from headstart.comparison.arms import SVM, SVM_JOINED
from headstart.comparison.comparing import Outcome, make_split
from headstart.comparison.memo import keep, place, recall
from headstart.data import Index
from headstart.training import Epoch

EPOCH = Epoch(
    epoch=1,
    train_loss=0.5,
    train_accuracy=0.8,
    val_loss=float("nan"),
    val_accuracy=float("nan"),
    lr=1e-3,
    seconds=2.0,
)


def test_recall__gives_what_was_kept(tmp_path: Path) -> None:
    outcome = Outcome(
        val_correct=np.array([True, False]),
        test_correct=np.empty(0, dtype=bool),
        seconds=1.5,
        n_trained_parameters=7,
        history=(EPOCH,),
        best_epoch=1,
        note="C = 3",
    )
    path = tmp_path / "deep" / "outcome.json"
    assert recall(path) is None
    keep(path, outcome)
    again = recall(path)
    assert again is not None
    np.testing.assert_array_equal(again.val_correct, outcome.val_correct)
    assert again.test_correct.shape == (0,)
    assert msgspec.json.encode(again.history) == msgspec.json.encode((EPOCH,))
    assert (again.seconds, again.n_trained_parameters, again.note) == (1.5, 7, "C = 3")


OTHER = '{"val": "2", "test": "", "seconds": 1, "note": "", "history": [], "best_epoch": 1,'


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"val": "01"}', f'{OTHER} "n_trained_parameters": 1}}']
)
def test_recall__a_damaged_file_counts_as_missing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "outcome.json"
    path.write_text(text)
    assert recall(path) is None


def test_place__differs_where_the_outcome_would(indexed: Index, tmp_path: Path) -> None:
    splits = [make_split(indexed, seed) for seed in (0, 1)]
    places = {
        place(tmp_path, identity, split, arm)
        for identity in ({"weights": "a"}, {"weights": "b"})
        for split in splits
        for arm in (SVM, SVM_JOINED)
    }
    assert len(places) == 8


def test_place__differs_with_the_weights_of_examples(indexed: Index, tmp_path: Path) -> None:
    split = make_split(indexed, 0)
    first, *others = split.fit
    heavy = replace(split, fit=(replace(first, weight=9.0), *others))
    assert place(tmp_path, {}, heavy, SVM) != place(tmp_path, {}, split, SVM)


def test_place__differs_with_the_code_that_makes_an_outcome() -> None:
    for file in (
        "comparison/fitting.py",
        "data/decode.py",
        "features/engines.py",
        "backbones/taps.py",
    ):
        assert {file, file.split("/")[0]} & set(memo.CODE), file
