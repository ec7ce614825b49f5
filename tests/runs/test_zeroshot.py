"""Zero-shot heads: of a network whose texts and images are made to agree, and of one where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.backbones import Backbone, TappedModule, load
from headstart.backbones.texttowers import load_text_tower
from headstart.data import Index
from headstart.data.prompts import TEMPLATES, fill
from headstart.errors import BackboneError, DataError, InputError
from headstart.runs.run import Run
from headstart.sources.blocks import Averaged

pytest.importorskip("transformers", reason="headstart[hub] is not installed")
from tiny_clip import random_clip, write_clip


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory: pytest.TempPathFactory, indexed: Index) -> Path:
    """A CLIP whose image tower is projected onto the vectors of what the images show."""
    import torch

    from headstart.backbones import transform
    from headstart.data import picture_of

    model = random_clip()
    folder = write_clip(tmp_path_factory.mktemp("clip") / "agreeing", model)
    net = load(f"transformers:{folder}")
    tower = load_text_tower(net)
    shown = [r for r in indexed.records if r.split == "train"]
    pixels = torch.stack([transform(picture_of(r.path), net.preprocessing) for r in shown])
    X = TappedModule(net, ["blocks.1.cls"])(pixels)[0].double().numpy()
    prompts = fill(TEMPLATES, ["blue", "red"])
    means = {name: tower.vectors(texts).mean(axis=0) for name, texts in prompts.items()}
    T = np.array([means[r.label] for r in shown]) - np.mean(list(means.values()), axis=0)
    with torch.no_grad():
        projection = np.linalg.lstsq(X, T, rcond=1e-3)[0].T
        model.visual_projection.weight.copy_(torch.from_numpy(projection))
    return write_clip(folder, model)


@pytest.fixture(scope="module")
def fitted(agreeing: Path, indexed: Index, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return headstart.fit(
        indexed.root, backbone=f"transformers:{agreeing}", resolutions=(28,),
        out=tmp_path_factory.mktemp("runs") / "clip", precision="float32",
    )  # fmt: skip


def test_fit__the_zero_shot_head_is_a_candidate(fitted: Run) -> None:
    [found] = [c for c in fitted.metrics.candidates if c.tap == "zero-shot"]
    assert found.cv.accuracy.value > 0.9
    assert found.C is None
    assert "Mean of" in fitted.sentence
    assert fitted.accuracy.value > 0.9


def test_fit__the_mean_predicts_as_its_members_do(fitted: Run, indexed: Index) -> None:
    test = [r for r in indexed.records if r.split == "test"]
    kept = {p.name: p.probability for p in fitted.test_predictions()}
    for record, found in zip(test, fitted.predict([r.path for r in test]), strict=True):
        assert found.probability == pytest.approx(kept[record.name], abs=2e-3)


def test_fit__prompts_none_leaves_it_out_and_a_file_is_read(
    agreeing: Path, indexed: Index, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("blue,nothing\n")
    options: dict[str, Any] = {
        "backbone": f"transformers:{agreeing}",
        "resolutions": (28,),
        "precision": "float32",
    }
    with pytest.raises(DataError, match="no prompt for 1 class"):
        headstart.fit(indexed.root, out=tmp_path / "a", prompts=str(prompts), **options)
    prompts.write_text("a {}\n")
    with pytest.raises(BackboneError, match="embedded has no text tower"):
        headstart.fit(indexed.root, out=tmp_path / "b", prompts=str(prompts))
    run = headstart.fit(indexed.root, out=tmp_path / "c", prompts="none", **options)
    assert all(c.tap != "zero-shot" for c in run.metrics.candidates)


def test_fit__without_a_tokenizer_a_note_says_so(indexed: Index, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip", random_clip())
    (folder / "tokenizer.json").unlink()
    run = headstart.fit(
        indexed.root, out=tmp_path / "run", backbone=f"transformers:{folder}", resolutions=(28,),
        precision="float32",
    )  # fmt: skip
    [note] = [n for n in run.metrics.notes if "zero-shot" in n]
    assert "tokenizer.json" in note


def test_predict_zero_shot__without_a_training_image(agreeing: Path, indexed: Index) -> None:
    test = [r for r in indexed.records if r.split == "test"]
    name = f"transformers:{agreeing}"
    found = headstart.predict_zero_shot([r.path for r in test], ["blue", "red"], backbone=name)
    right = [p.label == r.label for p, r in zip(found, test, strict=True)]
    assert np.mean(right) > 0.9
    assert sum(p for _, p in found[0].top) == pytest.approx(1)


@pytest.mark.parametrize(
    ("classes", "prompts", "said"),
    [
        (None, None, "needs the names of the classes"),
        (["cat"], None, "two classes or more"),
        (["cat", "cat"], None, "twice"),
        (["cat", ""], None, "empty name"),
    ],
)
def test_predict_zero_shot__errors(
    classes: list[str] | None, prompts: str | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        headstart.predict_zero_shot("x.jpg", classes, backbone="embedded", prompts=prompts)


def test_predict_zero_shot__needs_a_text_tower(indexed: Index, tiny: Backbone) -> None:
    path = indexed.records[0].path
    for backbone in ("embedded", tiny):
        with pytest.raises(BackboneError, match="no text tower"):
            headstart.predict_zero_shot(path, ["cat", "dog"], backbone=backbone)


def test_averaged__names_the_zero_shot_head() -> None:
    blocks = Averaged(
        taps=("a",), resolutions=(28,), union=None, n_averaged=3, n_features=(2,), n_zero_shot=1  # type: ignore[arg-type]
    )  # fmt: skip
    assert str(blocks) == "Mean of 2 linear SVMs and a zero-shot head at 28 px"
