from __future__ import annotations

import pytest

from headstart.course.labs import dropout as drop


def measures(gap: list[float]) -> drop.Measures:
    same = [0.9, 0.91, 0.92]
    return drop.Measures(
        train_accuracy=same,
        val_accuracy=same,
        accuracy_gap=gap,
        val_loss=same,
        loss_gap=[0.1, 0.11, 0.1],
    )


@pytest.mark.parametrize(
    ("gap", "says"),
    [
        ([0.01, 0.02, 0.01], "narrows the gap"),
        ([0.31, 0.32, 0.30], "widens the gap"),
        ([0.05, 0.15, 0.11], "does not change the gap"),
    ],
)
def test_sentence__follows_the_figures(gap: list[float], says: str) -> None:
    assert says in drop._sentence(measures([0.1, 0.11, 0.1]), measures(gap), 200)
