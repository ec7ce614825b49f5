from __future__ import annotations

import math
from typing import Any

from msgspec.structs import replace

from headstart.cli.tables import finetuning_lines
from headstart.results import Interval
from headstart.runs.result import Diagnosis, FinetuningResult, ValidationResult
from headstart.training import Epoch


def tuned(**changes: Any) -> FinetuningResult:
    epochs = [
        Epoch(
            epoch=i, train_loss=1 / i, val_loss=math.nan, train_accuracy=0.5, val_accuracy=0.4,
            lr=0.1, seconds=1.0,
        )
        for i in (1, 2)
    ]  # fmt: skip
    share = Interval(0.5, 0.4, 0.6)
    found = FinetuningResult(
        sentence="Fine-tuned: it wins and is taken.",
        validation=ValidationResult(n=3, finetuned=share, balanced=share),
        history=tuple(epochs),
        diagnosis=(Diagnosis(sentence="all is well"),),
    )
    return replace(found, **changes)


def test_finetuning_lines__are_curves_what_they_say_and_the_outcome() -> None:
    lines = list(finetuning_lines(tuned()))
    assert lines[0].startswith("loss     train")
    assert "curves: all is well" in lines
    assert lines[-1] == "Fine-tuned: it wins and is taken."
    assert max(map(len, lines)) <= 80


def test_finetuning_lines__a_reason_follows_where_the_sentence_does_not_have_it() -> None:
    assert list(finetuning_lines(tuned(reason="no time was left\n")))[-1] == (
        "note: no time was left\\n"
    )
    skipped = tuned(reason="no time", history=(), validation=None, sentence="Skipped: no time.")
    assert list(finetuning_lines(skipped)) == ["Skipped: no time."]


def test_finetuning_lines__nothing_where_it_was_not_asked_for() -> None:
    assert list(finetuning_lines(None)) == []
