"""Runs with one to four images or texts per class, and with classes of very different sizes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.cli.tables import accuracy_line, data_lines, layer_caption
from headstart.errors import DataError
from headstart.runs.fit import train
from headstart.runs.result import CandidateResult
from headstart.runs.run import Run
from headstart.runs.training_plan import Asked

SETTINGS: dict[str, Any] = {"resolutions": (64, 96), "seed": 3, "Cs": (0.1, 1.0, 10.0)}
CLASSES = ("bars", "dots", "rings")
Sizes = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def make_run(
    make_shapes: Callable[..., Path], store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Run]:
    """``make_run({"bars": (1, 4)})``: a fit of classes with so many training and test images."""

    def make(sizes: Sizes, **more: Any) -> Run:
        root = tmp_path_factory.mktemp("few") / "shapes"
        whole = make_shapes(root.parent / "all", n=50, classes=CLASSES)
        for name, (n_train, n_test) in sizes.items():
            for i in range(n_train + n_test):
                target = root / ("train" if i < n_train else "test") / name / f"{i:02d}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((whole / name / f"{i:02d}.png").read_bytes())
        return headstart.fit(root, out=root.parent / "run", cache=store, **SETTINGS, **more)

    return make


@pytest.fixture(scope="module")
def lone(make_run: Callable[..., Run]) -> Run:
    return make_run(dict.fromkeys(CLASSES, (1, 6)), prefer="cheap")


def chosen(run: Run) -> CandidateResult:
    return next(c for c in run.metrics.candidates if c.chosen)


def test_fit__one_image_a_class_takes_the_usual_layer_and_says_why(lone: Run) -> None:
    assert chosen(lone).baseline
    assert lone.metrics.selection.n_judged == 0
    assert "cross-validation cannot decide" in lone.sentence
    assert "cross-validation cannot tell the candidates apart" in lone.metrics.detail
    said = "\n".join(data_lines(lone.metrics))
    assert "cross-validation cannot judge" in said
    assert "widen them" not in said
    assert "cross-validation" not in layer_caption(lone.metrics)[1]


def test_fit__one_image_a_class_takes_the_last_layers_joined_for_accuracy(
    make_run: Callable[..., Run],
) -> None:
    run = make_run(dict.fromkeys(CLASSES, (1, 6)))
    found = chosen(run)
    assert (found.tap, found.resolution) == ("last 4 joined", "64+96")
    assert run.metrics.selection.prefer == "accurate"
    assert "cross-validation cannot judge" in "\n".join(data_lines(run.metrics))
    assert run.metrics.test.log_loss < np.log(3)


def test_fit__one_image_a_class_is_predicted_better_than_by_guessing(lone: Run) -> None:
    assert lone.metrics.test.log_loss < np.log(3)
    assert lone.metrics.chosen.C == 1.0
    assert lone.metrics.suspicious == ()


def test_report__shows_no_accuracy_that_was_not_measured(lone: Run) -> None:
    html = (lone.folder / "report.html").read_text(encoding="utf-8")
    assert "cross-validation cannot judge any of" in html
    assert "figure-map" not in html
    assert "highest" not in html.split('id="choice"')[1].split("</table>")[0].split("<tbody>")[1]


def test_fit__a_class_of_one_image_beside_larger_ones_is_left_out_of_cross_validation(
    make_run: Callable[..., Run],
) -> None:
    run = make_run({"bars": (8, 3), "dots": (8, 3), "rings": (1, 3)})
    assert run.metrics.selection.n_judged == 16
    assert not run.metrics.selection.is_default
    assert "16 of 17" in layer_caption(run.metrics)[0]
    assert run.metrics.suspicious == ()
    assert any("16 of 17" in note for note in run.metrics.notes)


def test_fit__uneven_classes_are_answered_with_balanced_accuracy(
    make_run: Callable[..., Run],
) -> None:
    run = make_run({"bars": (40, 10), "dots": (6, 2)})
    assert run.metrics.leads == "balanced_accuracy"
    balanced, plain = (
        i.value for i in (run.metrics.test.balanced_accuracy, run.metrics.test.accuracy)
    )
    lead = f"balanced accuracy {100 * balanced:.1f} %"
    assert run.sentence.index(lead) < run.sentence.index(f", accuracy {100 * plain:.1f} %")
    assert accuracy_line(run.metrics).startswith(lead)
    html = (run.folder / "report.html").read_text(encoding="utf-8")
    assert f'<p class="big">{100 * balanced:.1f}' in html
    assert "<dt>Accuracy</dt>" in html


def test_accuracy_line__has_balanced_accuracy_of_even_classes_too(run: Run) -> None:
    line = accuracy_line(run.metrics)
    assert line.startswith("accuracy ")
    assert "balanced accuracy" in line
    assert run.metrics.leads == "accuracy"
    assert "balanced" not in run.sentence


@pytest.mark.slow
def test_train__the_only_image_of_a_class_is_never_held_out(
    make_run: Callable[..., Run], lone: Run, store: Path, tmp_path: Path
) -> None:
    from headstart.training import TrainSettings

    asked = Asked(
        settings=TrainSettings(regime="output", epochs=1, size_px=64), starts_from_svm=True
    )
    with pytest.raises(DataError, match="every class has too few training images"):
        train(lone.settings.data, asked, out=tmp_path / "no", cache=store, **SETTINGS)
    mixed = make_run({"bars": (6, 2), "dots": (6, 2), "rings": (1, 2)})
    data = mixed.settings.data
    for seed in range(2):
        tuned = train(
            data, asked, out=tmp_path / str(seed), cache=store, **{**SETTINGS, "seed": seed}
        )
        assert tuned.metrics.finetuning.won


def texts(path: Path, n: int) -> Path:
    """``n`` training and six test texts of three classes with words of their own."""
    rng = np.random.default_rng(5)
    own = {"good": "great fine lovely nice", "bad": "awful poor ugly sad", "odd": "table door lamp"}
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "split"])
        for label, words in own.items():
            for i in range(n + 6):
                said = rng.choice([*words.split(), "the", "film", "it", "was"], 12)
                rows.writerow([" ".join(said), label, "train" if i < n else "test"])
    return path


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fit_texts__few_texts_a_class_take_tfidf_of_words_and_characters(
    n: int, tmp_path: Path
) -> None:
    table, cache = texts(tmp_path / "few.csv", n), tmp_path / "cache"
    run = headstart.fit(table, out=tmp_path / "run", cache=cache, finetune=False, encoder="none")
    assert run.metrics.chosen.tap == "TF-IDF of words and characters"
    assert run.metrics.selection.is_default
    assert "cross-validation cannot decide" in run.sentence
