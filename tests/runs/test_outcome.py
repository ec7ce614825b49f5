"""When fine-tuning is taken: clearly more accurate, or as accurate and clearly surer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.heads import PairedDifference, paired_difference
from headstart.runs.outcome import Comparison, Finetuning

N = 300


def compared(
    finetuned: NDArray[np.bool_], svm: NDArray[np.bool_], less: float, scatter: float
) -> Comparison:
    """Losses that are smaller than the SVM's by `less`, give or take `scatter` an image."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=N)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    svm_losses = np.full(N, 2.0)
    return Comparison(
        records=(),
        probabilities=np.empty((N, 2)),
        finetuned=finetuned,
        svm=svm,
        alone=finetuned,
        difference=paired_difference(finetuned, svm),
        losses=svm_losses - less - scatter * noise,
        svm_losses=svm_losses,
        is_mean=True,
    )


def right(*wrong: int) -> NDArray[np.bool_]:
    rows = np.ones(N, dtype=bool)
    rows[list(wrong)] = False
    return rows


def test_comparison__its_loss_gain_is_the_paired_mean_with_its_standard_error() -> None:
    gain, error = compared(right(), right(), 0.1, 0.5).loss_gain
    assert gain == pytest.approx(0.1)
    assert error == pytest.approx(0.5 / np.sqrt(N))


@pytest.mark.parametrize(("less", "is_taken"), [(0.1, True), (0.05, False), (-0.1, False)])
def test_comparison__where_accuracies_tie_the_log_loss_decides(less: float, is_taken: bool) -> None:
    # One standard error of the losses is 0.029.
    told = compared(right(1), right(2), less, 0.5)
    assert told.difference.is_tie
    assert (told.wins, told.wins_by_loss) == (is_taken, is_taken)


def test_comparison__a_clear_loss_in_accuracy_is_not_made_good_by_the_log_loss() -> None:
    told = compared(right(*range(10)), right(), 0.5, 0.1)
    assert not told.wins


def test_comparison__a_clear_gain_in_accuracy_wins_whatever_the_log_loss() -> None:
    told = compared(right(), right(*range(10)), -0.5, 0.1)
    assert told.wins
    assert not told.wins_by_loss


def test_comparison__another_metric_takes_the_place_of_accuracy() -> None:
    told = compared(right(1), right(2), 0.0, 0.5)
    better = PairedDifference(0.05, 0.03, 0.07, 0.01, 0.001)
    other = dataclasses.replace(told, gain=better, metric="macro F1")
    assert other.wins
    assert not told.wins
    worse = PairedDifference(-0.05, -0.07, -0.03, 0.01, 0.001)
    clear = dataclasses.replace(compared(right(), right(*range(20)), 0.0, 0.5), gain=worse)
    assert clear.difference.value > 0
    assert not clear.wins
    said = Finetuning(state="won", comparison=other, refitted=True).sentence
    assert "better in macro F1 by +0.050 [+0.030, +0.070] (significant)" in said
    assert "macro F1" not in Finetuning(state="won", comparison=told).sentence


@pytest.mark.parametrize("is_better", [True, False])
def test_finetuning__what_was_asked_for_is_what_predicts(is_better: bool) -> None:
    worse, better = right(*range(20)), right()
    pair = (better, worse) if is_better else (worse, better)
    told = Finetuning(state="won", comparison=compared(*pair, 0.0, 0.5), is_asked=True)
    assert "This run predicts with the network" in told.sentence
    assert ("would keep that" in told.sentence) is not is_better
