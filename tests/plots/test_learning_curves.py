"""Learning curves: complete, in the right place, and whole where figures are missing."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from headstart import plots

SVG = "{http://www.w3.org/2000/svg}"
NAN = math.nan
WORDS = {"name": "f", "title": "<t>", "description": "d & d"}
EPOCHS = [1, 2, 3, 4]
TRAIN_LOSS, VAL_LOSS = [2.0, 1.0, 0.5, 0.25], [2.1, 1.2, 0.8, 0.9]
TRAIN, VAL = [0.3, 0.6, 0.9, 1.0], [0.25, 0.5, 0.7, 0.65]


def draw(**more: object) -> ElementTree.Element:
    values = {
        "epochs": EPOCHS,
        "train_loss": TRAIN_LOSS,
        "val_loss": VAL_LOSS,
        "train_accuracy": TRAIN,
        "val_accuracy": VAL,
        "best": 3,
        **WORDS,
        **more,
    }
    epochs = values.pop("epochs")
    figure = plots.learning_curves(epochs, **values)  # type: ignore[arg-type]
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|nan|inf", figure.replace("style", ""))
    return ElementTree.fromstring(figure)


def lines(root: ElementTree.Element, class_: str) -> list[list[tuple[float, float]]]:
    """The points of each drawn curve of a class."""
    return [
        [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", e.get("d", ""))]
        for e in root.iter(f"{SVG}path")
        if e.get("class") == class_ and e.get("transform") is None
    ]


def tips(root: ElementTree.Element) -> list[str]:
    return [e[0].text or "" for e in root.iter(f"{SVG}rect")]


def test_learning_curves__title_and_description_are_told_and_every_class_has_a_style() -> None:
    root = draw()
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert (title.text, description.text) == ("<t>", "d & d")
    used = {c for e in root.iter() for c in (e.get("class") or "").split()}
    assert all(f".{c}" in plots.stylesheet() for c in used)


def test_learning_curves__two_panels_share_a_scale_within_and_not_between() -> None:
    root = draw()
    train_loss, train = lines(root, "axis")
    val_loss, val = lines(root, "curve")
    assert [len(c) for c in (train_loss, val_loss, train, val)] == [4] * 4
    assert train_loss[-1][0] < train[0][0]
    for curve, values, other, others in (
        (train_loss, TRAIN_LOSS, val_loss, VAL_LOSS),
        (train, TRAIN, val, VAL),
    ):
        scale = (curve[0][1] - curve[-1][1]) / (values[-1] - values[0])
        assert scale > 0
        for (_, y), value in zip(other, others, strict=True):
            assert y == pytest.approx(curve[0][1] - scale * (value - values[0]), abs=0.2)
        assert [x for x, _ in curve] == [x for x, _ in other]


def test_learning_curves__star_stands_over_the_best_epoch_in_both_panels() -> None:
    root = draw()
    marks = [e.get("transform", "") for e in root.iter(f"{SVG}path") if e.get("class") == "mark"]
    at = [float(x) for x in re.findall(r"translate\(([\d.]+) ", " ".join(marks[1:]))]
    assert at == pytest.approx([lines(root, "curve")[i][2][0] for i in (0, 1)], abs=0.1)
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert "best epoch: 3" in texts
    assert {"loss", "accuracy, %", "training", "validation"} <= set(texts)


def test_learning_curves__every_epoch_tells_its_figures() -> None:
    told = tips(draw())
    assert told[2] == "epoch 3: training 0.5, validation 0.8"
    assert told[6] == "epoch 3: training 90.0 %, validation 70.0 %"
    assert len(told) == 8


def test_learning_curves__without_validation_has_training_only() -> None:
    root = draw(val_loss=[NAN] * 4, val_accuracy=[NAN] * 4)
    assert lines(root, "curve") == []
    assert "validation" not in [t.text for t in root.iter(f"{SVG}text")]
    assert tips(root)[0] == "epoch 1: training 2"


def test_learning_curves__a_gap_breaks_the_line_and_leaves_a_dot() -> None:
    root = draw(val_loss=[2.0, NAN, math.inf, 1.0], best=None)
    assert len(lines(root, "curve")) == 1  # the accuracy's
    dots = [e for e in root.iter(f"{SVG}circle") if e.get("class") == "accent"]
    assert len(dots) == 2
    assert "epoch 2: training 1" in tips(root)


def test_learning_curves__training_that_blew_up_at_once_still_draws() -> None:
    nothing = [NAN] * 4
    root = draw(train_loss=nothing, val_loss=nothing, train_accuracy=nothing, val_accuracy=nothing)
    assert "epoch 1: no figures" in tips(root)


def test_learning_curves__one_epoch_is_told_in_words() -> None:
    figure = plots.learning_curves(
        [1],
        train_loss=[0.4],
        val_loss=[NAN],
        train_accuracy=[0.9],
        val_accuracy=[NAN],
        name="a",
        title="b",
        description="c",
    )
    assert figure == "<p>Epoch 1: loss 0.4, accuracy 90.0 %.</p>"


@pytest.mark.parametrize("n", [2, 7, 200])
def test_learning_curves__stay_inside_the_figure_for_any_length(n: int) -> None:
    falling = [1 / (i + 1) for i in range(n)]
    root = draw(
        epochs=list(range(1, n + 1)),
        train_loss=falling,
        val_loss=falling,
        train_accuracy=falling,
        val_accuracy=falling,
        best=n,
    )
    for curve in lines(root, "axis") + lines(root, "curve"):
        assert all(0 < x < 640 and 0 < y < 250 for x, y in curve)
    numbers = [t for t in root.iter(f"{SVG}text") if t.get("text-anchor") == "middle"]
    xs = [float(t.get("x", 0)) for t in numbers if (t.text or "").isdigit()]
    assert all(b - a > 14 for a, b in pairwise(xs) if b > a)
