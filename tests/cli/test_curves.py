from __future__ import annotations

import math

import pytest

from headstart.cli.curves import learning_curves

NAN = math.nan


def draw(n: int = 4, best: int | None = None, **more: list[float]) -> list[str]:
    falling = [2.0 * 0.5**i for i in range(n)]
    rising = [1 - 0.8 * 0.5**i for i in range(n)]
    values = {
        "train_loss": falling,
        "val_loss": falling,
        "train_accuracy": rising,
        "val_accuracy": rising,
        **more,
    }
    return learning_curves(list(range(1, n + 1)), best=best, **values).splitlines()


def test_learning_curves__exact_text() -> None:
    lines = draw(
        train_loss=[2.0, 1.0, 0.5, 0.0],
        val_loss=[2.0, 1.0, 0.8, 1.0],
        train_accuracy=[0.0, 0.5, 0.9, 1.0],
        val_accuracy=[0.1, 0.5, 0.6, 0.55],
        best=3,
    )
    assert lines == [
        "loss     train ████▅▅▅▅▃▃▃▃▁▁▁▁  2 → 0",
        "         val   ████▅▅▅▅▄▄▄▄▅▅▅▅  2 → 1  (min 0.8)",
        "accuracy train ▁▁▁▁▅▅▅▅████████  0.0 % → 100.0 %",
        "         val   ▁▁▁▁▅▅▅▅▅▅▅▅▅▅▅▅  10.0 % → 55.0 %  (max 60.0 %)",
        "epoch          1         ▲    4  ▲ best: 3",
    ]


def test_learning_curves__one_epoch_is_told_in_words() -> None:
    train, none = ([0.409], [1.0]), [NAN]
    [line] = draw(
        1, 1, train_loss=train[0], train_accuracy=train[1], val_loss=[0.0836], val_accuracy=[0.95]
    )
    assert line == "epoch 1: loss 0.409, accuracy 100.0 %; validation loss 0.0836, accuracy 95.0 %"
    [line] = draw(1, train_loss=train[0], train_accuracy=train[1], val_loss=none, val_accuracy=none)
    assert line == "epoch 1: loss 0.409, accuracy 100.0 %"


@pytest.mark.parametrize("n", [2, 3, 5, 12, 31, 32, 33, 100, 5000])
def test_learning_curves__fit_eighty_columns_and_line_up(n: int) -> None:
    for best in (None, 1, (n + 1) // 2, n):
        lines = draw(n, best, train_loss=[12345678.9] * n)
        assert max(map(len, lines)) <= 80
        assert all(line == line.rstrip() for line in lines)
        sparks = [line[15:].split("  ")[0] for line in lines[:4]]
        assert len({len(s) for s in sparks}) == 1
        assert len(sparks[0]) <= 32


def test_learning_curves__arrow_stands_under_its_epoch() -> None:
    for best in range(3, 18):
        last = draw(20, best)[-1]
        assert last.index("▲") == 15 + best - 1
        assert last.endswith(f"▲ best: {best}")


def test_learning_curves__best_at_an_end_is_told_in_words() -> None:
    assert draw(20, 1)[-1].endswith("20  best: 1")
    assert draw(20, 20)[-1].endswith("20  best: 20")
    assert "best" not in draw(20, None)[-1]


def test_learning_curves__without_validation_has_no_such_lines() -> None:
    lines = draw(val_loss=[NAN] * 4, val_accuracy=[NAN] * 4)
    assert [line.split()[:2] for line in lines[:2]] == [["loss", "train"], ["accuracy", "train"]]


def test_learning_curves__missing_figures_are_points() -> None:
    lines = draw(train_loss=[2.0, 1.0, NAN, math.inf])
    assert "········" in lines[0]
    assert lines[0].endswith("2 → inf")


def test_learning_curves__no_epochs_no_text() -> None:
    assert draw(0) == []
