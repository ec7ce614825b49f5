"""Profile and learning curve of a table of texts, on a small random encoder."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import headstart
from headstart import results
from headstart.data.texts import TextIndex, index_texts
from headstart.errors import InputError
from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.profile.page import depth_sentence, sentence
from headstart.experiments.profile.result import ProfileResult
from headstart.experiments.size.result import SizeResult
from headstart.results import Difference
from headstart.sources.text import BOTH, TextSource, layer_blocks
from headstart.text.encoders import read_encoder


def words_of(found: ExperimentResult) -> str:
    """All text of a page."""
    parts = [found.title, found.sentence, found.detail]
    for section in found.sections():
        parts += [section.heading, *section.text, section.caption, section.figure or ""]
        for row in [section.table.header, *section.table.rows] if section.table else []:
            parts += row
    return " ".join(parts).lower()


WORDS = {"good": ["warm", "funny", "bright"], "bad": ["dull", "slow", "cold"]}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    rows = [
        (f"the {noun} is {word} {i}", label)
        for label, own in WORDS.items()
        for i in range(5)
        for word in own
        for noun in ("film", "plot")
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def profile(table: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> ProfileResult:
    pytest.importorskip("tokenizers", reason="headstart[text] is not installed")
    from tiny_encoder import write_encoder

    encoder = write_encoder(tmp_path_factory.mktemp("encoder") / "cls", pooling="cls")
    found: ProfileResult = headstart.transfer.profile(
        str(table), encoder=str(encoder), cache=store, device="cpu", max_blocks=2
    )
    return found


def test_profile__judges_every_layer_of_an_encoder_in_each_pooling(
    profile: ProfileResult,
) -> None:
    encoder = read_encoder(Path(profile.backbone))
    assert profile.taps == tuple(f"layer {i + 1}" for i in range(encoder.n_layers))
    assert profile.views == ("mean", "class token")
    assert len(profile.cells) == 2 * encoder.n_layers
    assert profile.best.cv.value == max(c.cv.value for c in profile.cells)
    assert [c.tap for c in profile.beside] == [BOTH.taps[0]]
    # The usual layer is the last one, pooled as the encoder itself does.
    assert profile.models[0].blocks == (f"layer {encoder.n_layers} class token",)


def test_profile__test_accuracy_is_that_of_the_features_by_another_solver(
    profile: ProfileResult, table: Path, store: Path
) -> None:
    from sklearn.svm import LinearSVC

    index: TextIndex = index_texts(table)
    source = TextSource(
        train=index.train,
        embeddings=None,
        encoder=profile.backbone,
        cache=store,
        device="cpu",
        progress=lambda *_: None,
    )
    usual = profile.models[0]
    blocks = layer_blocks(usual.blocks[0])
    X, X_test = (source.rows(blocks, part) for part in (index.train, index.test))
    y, truth = (np.array([r.label for r in part]) for part in (index.train, index.test))
    svm = LinearSVC(C=usual.C, tol=1e-6, max_iter=100_000).fit(X, y)
    assert usual.test is not None
    assert usual.test.value == pytest.approx((svm.predict(X_test) == truth).mean(), abs=0.1)


def test_profile__the_page_speaks_of_texts_and_follows_from_the_result_read_back(
    profile: ProfileResult, tmp_path: Path
) -> None:
    results.write(tmp_path / "profile.json", profile)
    again = results.read(tmp_path / "profile.json", ProfileResult)
    assert again == profile
    assert again.sections() == profile.sections()
    said = words_of(profile)
    assert "text" in said
    assert "image" not in said
    assert "at mean" not in said
    assert " px" not in re.sub(r"<style.*?</style>", "", said, flags=re.DOTALL)


def test_profile__the_first_step_is_the_best_block(profile: ProfileResult) -> None:
    best = max((*profile.cells, *profile.beside), key=lambda cell: cell.cv.value)
    assert profile.steps[0].block == profile.models[1].blocks[0]
    assert profile.steps[0].block.startswith(best.tap)


def test_profile__too_few_texts_are_called_texts(profile: ProfileResult) -> None:
    joined = msgspec.structs.replace(
        profile.models[2],
        blocks=("layer 1",),
        cv_gain=Difference(0.0, -0.3, 0.3),
        test_gain=Difference(0.0, -0.3, 0.3),
    )
    cells = [msgspec.structs.replace(c, is_best=c is profile.cells[0]) for c in profile.cells]
    cells[-2] = msgspec.structs.replace(cells[-2], behind=Difference(0.0, -0.3, 0.3))
    made = msgspec.structs.replace(
        profile, models=(*profile.models[:2], joined), cells=tuple(cells)
    )
    assert "texts are too few" in sentence(made)
    assert "texts are too few" in depth_sentence(made)


def test_depth_sentence__of_a_first_layer_that_is_best_goes_nowhere(profile: ProfileResult) -> None:
    cells = [msgspec.structs.replace(c, is_best=c is profile.cells[0]) for c in profile.cells]
    said = depth_sentence(msgspec.structs.replace(profile, cells=tuple(cells)))
    assert "accuracy is highest in layer 1 " in said
    assert " goes from " not in said


def test_layers__are_taken_by_the_names_of_fit_and_of_the_profile(
    profile: ProfileResult, table: Path, store: Path
) -> None:
    given: dict[str, Any] = {"encoder": profile.backbone, "cache": store, "device": "cpu"}
    short: ProfileResult = headstart.transfer.profile(
        str(table), taps=("encoder layer 2", "layer 1"), max_blocks=1, **given
    )
    assert short.taps == ("layer 1", "layer 2")
    for name in ("layer 2", "encoder layer 2"):
        found: SizeResult = headstart.transfer.size(str(table), tap=name, seeds=2, **given)
        assert found.tap == "encoder layer 2"


def test_size__draws_the_curve_of_texts(table: Path, store: Path) -> None:
    found: SizeResult = headstart.transfer.size(
        str(table), encoder="none", cache=store, device="cpu", seeds=2, more=10, accuracy=0.99
    )
    assert (found.tap, found.size_px, found.backbone) == (BOTH.taps[0], None, "")
    assert [p.n for p in found.points] == [1, 2, 3, 5, 7, 10, 20, 24]
    assert found.points[-1].accuracy.value > 0.9
    said = words_of(found)
    assert "texts per class" in said
    assert "image" not in said


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("profile", {"mirror": True}, "`mirror` is for images, and .* holds texts"),
        ("profile", {"encoder": "none"}, "needs a sentence encoder"),
        ("size", {"backbone": "resnet18"}, "`backbone` is for images"),
        ("size", {"scratch": True}, "`scratch` is for images"),
        ("size", {"tap": "TF-IDF of word", "encoder": "none"}, "Did you mean 'TF-IDF of words'"),
        ("scores", {}, "is a table of texts, and the scores rank pretrained networks for images"),
        (
            "advice",
            {},
            "the textbook rule is on networks for images.* For texts, use headstart fit",
        ),
        # Before --halves or a target is asked for.
        ("layers", {}, "the layers are those of networks for images"),
        ("shift", {}, "adaptation are for networks for images"),
    ],
)
def test_transfer__says_what_a_table_of_texts_cannot_be_asked(
    name: str, given: dict[str, Any], said: str, table: Path, store: Path
) -> None:
    with pytest.raises(InputError, match=said):
        getattr(headstart.transfer, name)(str(table), cache=store, **given)


def test_transfer__options_of_texts_are_refused_for_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`encoder` is for texts, and .* holds images"):
        headstart.transfer.size(str(tmp_path), encoder="none")
