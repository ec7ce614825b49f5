"""Zero-shot heads: of a network whose texts and images are made to agree, and of one where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import headstart
from headstart.backbones import Backbone, TappedModule, load
from headstart.backbones.texttowers import load_text_tower
from headstart.backbones.zeroshot import text_head
from headstart.data import Index
from headstart.data.prompts import TEMPLATES, fill
from headstart.data.records import Example
from headstart.errors import BackboneError, DataError, InputError
from headstart.probe.judging import Scores
from headstart.runs.averaging import average_best
from headstart.runs.choose import Candidate
from headstart.runs.measure import Task
from headstart.runs.run import Run
from headstart.runs.zeroshot import kept_text_head
from headstart.sources.blocks import Averaged, Blocks, ZeroShot

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
    assert found.cv.value > 0.75
    assert found.C is None
    assert "Mean of" in fitted.sentence


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
    [note] = [n for n in run.metrics.data.notes if "without a zero-shot head" in n]
    assert "tokenizer.json" in note


def test_kept_text_head__loads_the_tower_once_for_the_same_weights_and_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_clip(tmp_path / "clip", random_clip())
    net = load(f"transformers:{folder}")
    cats, dogs = (fill(TEMPLATES, names) for names in (["a", "cat"], ["a", "dog"]))
    first = kept_text_head(net, cats, tmp_path / "cache")
    np.testing.assert_array_equal(first, text_head(net, cats))
    other = kept_text_head(net, dogs, tmp_path / "cache")
    assert not np.array_equal(first, other)

    def refuse(net: Backbone) -> None:
        raise AssertionError("the tower is loaded again")

    monkeypatch.setattr("headstart.backbones.zeroshot.load_text_tower", refuse)
    np.testing.assert_array_equal(kept_text_head(net, cats, tmp_path / "cache"), first)
    write_clip(folder, random_clip("metaclip_2"))
    with pytest.raises(AssertionError, match="loaded again"):
        kept_text_head(net, cats, tmp_path / "cache")


def test_predict_zero_shot__without_a_training_image(agreeing: Path, indexed: Index) -> None:
    test = [r for r in indexed.records if r.split == "test"]
    name = f"transformers:{agreeing}"
    found = headstart.predict_zero_shot([r.path for r in test], ["blue", "red"], backbone=name)
    right = [p.label == r.label for p, r in zip(found, test, strict=True)]
    assert np.mean(right) > 0.7
    assert sum(p for _, p in found[0].top) == pytest.approx(1)


@pytest.mark.parametrize(
    ("classes", "prompts", "said"),
    [
        (None, None, "needs the names of the classes"),
        (["cat"], None, "two classes or more"),
        (["cat", "cat"], None, "twice"),
        (["cat", ""], None, "empty name"),
        (["big_cat", "dog", "big cat"], None, "'big_cat', 'big cat' have the same prompts"),
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


class Columns:
    """A source of the same two features for every candidate."""

    def __init__(self, X: NDArray[np.float64]) -> None:
        self.X = X

    def rows(self, blocks: Blocks, examples: Any) -> NDArray[np.float64]:
        return self.X


@pytest.mark.parametrize(("is_good", "weight"), [(True, 2 / 3), (False, 0)])
def test_average_best__the_share_of_a_zero_shot_head_is_cross_validated(
    tmp_path: Path, is_good: bool, weight: float
) -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 200)
    X = 3 * np.column_stack([np.cos(angle), np.sin(angle)])  # the first is the class
    y = np.where(X[:, 0] > 0, "a", "b")
    folds = np.arange(200) % 5
    task = Task(
        source=Columns(X),  # type: ignore[arg-type]
        records=[Example(name="", label=label, digest="", split="train", group="") for label in y],
        folds=folds, Cs=[1.0], cache=tmp_path, more_folds=(folds[::-1],),
    )  # fmt: skip
    towards = [1.0, 0.0] if is_good else [0.0, 1.0]
    vectors = 20 * np.array([towards, np.negative(towards)])
    scores = task.given(ZeroShot(taps=("embedding",), resolutions=(28,), vectors=vectors))
    np.testing.assert_allclose(scores.decisions, X / 3 @ vectors.T, rtol=1e-5)
    assert scores.of_divisions is not None
    assert scores.of_divisions.shape == (2, 200, 2)
    assert (scores.correct.mean() == 1) == is_good
    truth = np.where(y == "a", 1.0, -1.0)
    noisy = (truth + rng.normal(0, 1, 200)).astype(np.float32)
    decisions = np.column_stack([noisy, -noisy])
    svm = Scores(
        n_features=2, C=1.0, accuracy_by_C=(1.0,), decisions=decisions,
        correct=(noisy > 0) == (truth > 0),
    )  # fmt: skip
    found = [
        Candidate(
            blocks=Blocks(taps=(name,), resolutions=(28,)),
            macs=1,
            scores=s,
            judged=np.ones(200, bool),
        )
        for name, s in (("prior", svm), ("zero-shot", scores))
    ]

    def union(blocks: Sequence[Blocks]) -> Averaged:
        both = Blocks(taps=("prior", "zero-shot"), resolutions=(28,))
        return Averaged(
            taps=both.taps, resolutions=(28,), union=both, n_averaged=2, n_features=(2, 2)
        )

    mean = average_best(found, 0, y, union, [folds])
    share = 0.0 if mean is None else mean.votes[1] / sum(mean.votes)
    assert share == pytest.approx(weight, abs=0.01)
