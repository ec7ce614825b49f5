"""Each experiment in a form of a second: figures repeat, and the sentence follows them."""

from __future__ import annotations

import json
import math

import pytest
import torch

from headstart.errors import DataError
from headstart.finetune import Epoch
from headstart.labs import (
    Samples,
    batchnorm_trial,
    bn_words,
    draw_gallery,
    dropout_trial,
    optimizer_trial,
    overfitting_trial,
)
from headstart.labs import batchnorm as bn
from headstart.labs import dropout as drop
from headstart.labs import optimizers as opt
from headstart.labs import overfitting as over
from headstart.labs.gallery import mixup_row, sample_photographs

TRIALS = {
    "optimizers": (optimizer_trial, {"rates": (0.01, 0.1), "n_epochs": 3}),
    "dropout": (dropout_trial, {"rates": (0.0, 0.5), "n_epochs": 3}),
    "batchnorm": (batchnorm_trial, {"rates": (0.03, 0.1), "n_epochs": 3, "n_layers": 2}),
    "overfitting": (overfitting_trial, {"widths": (2, 16), "sizes": (20, 60), "n_epochs": 5}),
}


def without_seconds(found: object) -> object:
    if isinstance(found, dict):
        return {k: without_seconds(v) for k, v in found.items() if k != "seconds"}
    return [without_seconds(v) for v in found] if isinstance(found, list) else found


@pytest.mark.parametrize("name", TRIALS)
def test_trials__same_seeds_same_figures(name: str, blobs: Samples) -> None:
    trial, settings = TRIALS[name]
    calls: list[tuple[int, int]] = []
    first = trial(blobs, [0, 1], **settings, progress=lambda _, n, total: calls.append((n, total)))
    torch.manual_seed(99)
    second = trial(blobs, [0, 1], **settings)
    assert without_seconds(first) == without_seconds(second)
    assert first["sentence"].endswith(".")
    json.dumps(first, allow_nan=False)
    assert calls[-1][0] == calls[-1][1]
    assert [n for n, _ in calls] == sorted(n for n, _ in calls)


def epoch(number: int, loss: float) -> Epoch:
    return Epoch(
        epoch=number, train_loss=loss, train_accuracy=0.5, val_loss=loss, val_accuracy=0.5,
        lr=0.1, seconds=0.0,
    )  # fmt: skip


def test_steps_to__lies_on_the_line_in_the_logarithm() -> None:
    history = [epoch(0, 1.0), epoch(1, 0.01)]
    assert opt.steps_to(history, 0.1, 10) == pytest.approx(5)
    assert opt.steps_to(history, 0.001, 10) == math.inf
    assert opt.steps_to(history, 2.0, 10) == 0


def optimizer_rows(quickest: list[float], next_: list[float]) -> dict:
    from headstart.heads import is_significant
    from headstart.labs.spread import differences, over_seeds, triple

    rows = []
    for name, steps in (("Adam", quickest), ("SGD", next_)):
        behind = over_seeds(differences(steps, quickest))
        rows.append(
            {
                "name": name, "steps": triple(over_seeds(steps)), "behind": triple(behind),
                "is_significant": is_significant(behind), "val_by_seed": [0.9, 0.91, 0.92],
                "val_accuracy": [0.91, 0.9, 0.92],
            }
        )  # fmt: skip
    return {"target": 0.1, "rows": rows}


@pytest.mark.parametrize(
    ("slower", "says"),
    [
        ([20.0, 21.0, 22.0], "the lead over all others is significant"),
        ([5.0, 20.0, 11.0], "no difference between the two is significant"),
    ],
)
def test_optimizer_sentence__follows_the_figures(slower: list[float], says: str) -> None:
    assert says in opt._sentence(optimizer_rows([10.0, 11.0, 12.0], slower))


def dropout_values(gap: list[float]) -> dict[str, list[float]]:
    return {"accuracy_gap": gap, "val_accuracy": [0.9, 0.91, 0.92], "loss_gap": [0.1, 0.11, 0.1]}


@pytest.mark.parametrize(
    ("gap", "says"),
    [
        ([0.01, 0.02, 0.01], "narrows the gap"),
        ([0.31, 0.32, 0.30], "widens the gap"),
        ([0.05, 0.15, 0.11], "does not change the gap"),
    ],
)
def test_dropout_sentence__follows_the_figures(gap: list[float], says: str) -> None:
    values = {0.0: dropout_values([0.1, 0.11, 0.1]), drop.COMPARED: dropout_values(gap)}
    assert says in drop._sentence(values, 200)


LESS, SAME, MORE = [0.5, 0.4, 0.6], [1.0, 0.8, 1.2], [2.0, 1.5, 2.5]
GAIN, NONE = [0.1, 0.05, 0.15], [0.0, -0.1, 0.1]


@pytest.mark.parametrize(
    ("shift", "relative", "says"),
    [
        (LESS, LESS, "falls with BatchNorm, to 0.5 [0.4, 0.6] times"),
        (LESS, SAME, "only as the gradients themselves do"),
        (MORE, MORE, "does not fall with BatchNorm but rises"),
        (SAME, SAME, "does not change significantly"),
        ([None] * 3, LESS, "could not be compared"),
    ],
)
def test_batchnorm_shift__follows_the_figures(shift, relative, says: str) -> None:
    look = {"measures": {"shift": {"ratio": shift}, "relative_shift": {"ratio": relative}}}
    for rates, where in (
        ((0.1, 0.1), "At a rate of 0.1"),
        ((0.1, 1.0), "At the best rate of each"),
    ):
        said = bn_words.say_shift({**look, "rates": dict(zip(bn.KINDS, rates, strict=False))})
        assert says in said
        assert said.startswith(where) or "could not be compared" in said


@pytest.mark.parametrize(
    ("variation", "beta", "says"),
    [
        (LESS, LESS, "The loss is smoother"),
        (LESS, SAME, "depends on the measure"),
        (SAME, MORE, "smoother did not appear"),
    ],
)
def test_batchnorm_smoother__follows_the_figures(variation, beta, says: str) -> None:
    assert says in bn_words.say_smoothness(
        {"variation": {"ratio": variation}, "beta": {"ratio": beta}}
    )


@pytest.mark.parametrize(
    ("ratio", "gain", "n_trained", "says"),
    [
        (MORE, NONE, 2, "not what lets BatchNorm train at high rates"),
        (MORE, GAIN, 0, "not what makes BatchNorm work"),
        (MORE, NONE, 0, "there is no significant gain"),
        (LESS, GAIN, 2, "whether less shift is the cause stays open"),
        ([None] * 3, GAIN, 2, "diverged"),
    ],
)
def test_batchnorm_cause__follows_the_figures(ratio, gain, n_trained: int, says: str) -> None:
    cells = [{"rate": 0.1, "n_trained": 2}, {"rate": 1.0, "n_trained": n_trained}]
    found = {
        "seeds": [0, 1],
        "grid": {"noisy": cells, "without": [{"rate": 0.1, "n_trained": 2}]},
        "looks": [
            {"measures": {"relative_shift": {"noisy_ratio": ratio}}, "gain": {"noisy": gain}}
        ],
    }
    assert says in bn_words.say_cause(found)


def test_batchnorm_watch__leaves_the_training_as_it_was(blobs: Samples) -> None:
    found = batchnorm_trial(blobs, [0, 1], rates=(0.1,), n_epochs=4, n_layers=2)
    assert found["best_rates"] == {"without": 0.1, "with": 0.1, "noisy": 0.1}
    task = bn.draw_task(blobs, bn.N_TRAIN, n_val=bn.N_VAL, seed=0)
    for norm in ("without", "with"):
        plain, watched = (bn._network(task, norm, 2, 0) for _ in range(2))
        logs = [
            bn._train(plain, task, 0.1, 4, 0),
            bn._train(watched, task, 0.1, 4, 0, bn._Watch(watched, 0.1)),
        ]
        assert logs[0].last.val_loss == logs[1].last.val_loss


def test_overfitting__grid_is_whole_and_data_close_the_gap(blobs: Samples) -> None:
    found = overfitting_trial(blobs, [0, 1], widths=(2, 16), sizes=(20, 60, 10_000), n_epochs=5)
    assert found["sizes"] == [20, 60]
    assert len(found["cells"]) == 4
    assert over.cell(found, 60, 16)["train_accuracy"][0] > 0.9
    assert all(sum(c["codes"].values()) >= 2 for c in found["cells"])


def test_mixup_row__labels_are_the_weights() -> None:
    images = torch.stack([torch.zeros(3, 20, 20), torch.full((3, 20, 20), 255.0)]).to(torch.uint8)
    picture, targets = mixup_row(images, ["dark", "light"], [1.0, 0.75, 0.0], size_px=16)
    assert targets == [[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]]
    greys = [picture.getpixel((10 + i * 26 + 8, 18))[0] for i in range(3)]
    assert greys == pytest.approx([0, 64, 255], abs=1)


def test_draw_gallery__repeats_and_tells_the_labels() -> None:
    images, names = sample_photographs(40)
    first, pictures = draw_gallery(images, names, [0, 1], data="photographs", size_px=32)
    second, _ = draw_gallery(images, names, [0, 1], data="photographs", size_px=32)
    assert first == second
    assert set(pictures) == {"basic", "augmix", "mixup"}
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    assert "0.8 temple and 0.2 flower" in first["detail"]


def test_draw_gallery__needs_two_images() -> None:
    images, names = sample_photographs(40)
    with pytest.raises(DataError, match="two images at least"):
        draw_gallery(images[:1], names[:1], [0, 1], data="d")


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        ([0.1, 7.8e-6, 2314.0], "0.1 [<0.001, 2,314] times"),
        ([150.0, 0.0013, 1e9], "150 [0.0013, >10,000] times"),
        ([2.0, None, None], "2 [∞, ∞] times"),
    ],
)
def test_times__has_no_powers_of_ten(ratio: list, said: str) -> None:
    assert bn_words._times(ratio) == said
