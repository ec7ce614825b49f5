"""A fit with several backbones: candidates of each and of all, and everything that a run can do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from headstart import fit
from headstart.backbones import load
from headstart.cli.tables import layer_tables
from headstart.data import index, read_rgb
from headstart.errors import BackboneError, InputError, RunError
from headstart.features import extract
from headstart.heads.examples import join_rows
from headstart.runs.classify import classify
from headstart.runs.evidence import run_evidence
from headstart.runs.folder import read_json, write_json
from headstart.runs.predictor import Predictor
from headstart.runs.retrieval import similar
from headstart.runs.run import Run
from headstart.runs.settings import TextSettings
from headstart.runs.sums import write_sums

ARCHS = {
    "first.safetensors": "timm:test_efficientnet",
    "second.safetensors": "timm:test_efficientnet_gn",
}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two small convolutional networks of random weights in files."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, (name, arch) in enumerate(ARCHS.items()):
        save_file(load(arch, pretrained=False, seed=seed).module.state_dict(), folder / name)
    return [f"{folder / name}@{arch}" for name, arch in ARCHS.items()]


SETTINGS: dict[str, Any] = {
    "resolutions": (64, 96),
    "Cs": (1.0, 10.0),
    "n_folds": 3,
    "seed": 3,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def several(
    shapes: Path, store: Path, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    out = tmp_path_factory.mktemp("runs") / "several"
    return fit(shapes, out=out, cache=store, backbone=names, prefer="single", **SETTINGS)


@pytest.fixture(scope="module")
def mean(
    several: Run, shapes: Path, store: Path, names: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:  # fmt: skip
    """The same candidates, averaged."""
    out = tmp_path_factory.mktemp("runs") / "mean"
    return fit(shapes, out=out, cache=store, backbone=names, **SETTINGS)


def test_fit__of_several_backbones_has_candidates_of_each_and_a_join(several: Run) -> None:
    rows = several.metrics.candidates
    of = [row.backbones for row in rows]
    assert {len(names) for names in of} == {1, 2}
    assert set(of) == {(name,) for name in ARCHS} | {tuple(ARCHS)}
    join = rows[-1]
    assert join.backbones == tuple(ARCHS)
    alone = [r for r in rows if len(r.backbones) == 1 and r.tap.endswith("joined")]
    both = [max(r.n_features for r in alone if r.backbones == (name,)) for name in ARCHS]
    assert join.n_features == sum(both)
    macs = [max(r.macs or 0 for r in alone if r.backbones == (name,)) for name in ARCHS]
    assert join.macs == sum(macs)
    assert [net.name for net in several.provenance.backbones] == list(ARCHS)
    assert several.settings.backbone.count(",") == 1
    assert join.chosen
    for name in ARCHS:
        assert name in several.sentence
    n_images = several.metrics.data.n_examples - 1  # two files are the same picture
    assert (
        several.metrics.extraction.n_forward + several.metrics.extraction.n_cached
        == 2 * 2 * n_images
    )


def test_fit__of_several_backbones_predicts_with_all_of_them(
    several: Run, shapes: Path, store: Path
) -> None:
    records = index(shapes, seed=3).records[:6]
    parts = []
    for net, encoder in zip(several.backbones, several.model.encoders, strict=True):
        sizes = encoder.blocks.resolutions
        stores = extract(records, net, resolutions=sizes, precision="float32", cache=store).stores
        digests = [r.digest for r in records]
        parts += [stores[s].read(digests, tap) for tap, s in encoder.blocks.pairs]
    expected = several.model.probabilities(join_rows(parts))
    files = [r.path for r in records]
    found = np.array([p for _, p, _ in classify(several.model, files, cache=store)])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    ready = Predictor(several.model, cache=store)
    np.testing.assert_allclose(
        ready.probabilities([ready.cut(f) for f in files]), expected, atol=1e-4
    )
    assert several.predict(files[:1])[0].top[0][1] == pytest.approx(expected[0].max(), abs=1e-4)


def test_fit__of_several_backbones_reports_a_broken_picture_once(
    several: Run, shapes: Path
) -> None:
    broken, good = sorted((shapes / "bars").iterdir())[:2]
    given = several.predict([good, next((shapes / "bars").glob("*script*"))])
    assert given[0].error is None
    assert given[1].error
    assert broken.exists()


def test_run_evidence__of_several_backbones_adds_up(several: Run, shapes: Path) -> None:
    path = shapes / "bars" / "01.png"
    found = run_evidence(several, read_rgb(path), "bars")
    k = several.model.classes.index("bars")
    assert float(found.values.sum()) == pytest.approx(
        found.score - several.model.intercept[k], abs=1e-3
    )
    [(_, p, _)] = classify(several.model, [path])
    assert p is not None
    assert (found.score > 0) == (p[k] > 0.5)


def test_similar__of_several_backbones(several: Run, shapes: Path, store: Path) -> None:
    found = similar(several, shapes / "dots" / "03.png", k=3, cache=store)
    assert len(found.neighbours) == 3
    assert found.measured is not None


def test_layer_tables__one_for_each_backbone_and_one_for_their_joins(several: Run) -> None:
    tables = layer_tables(several.metrics)
    assert [str(t.title) for t in tables][:2] == list(ARCHS)
    assert len(tables) == 3
    assert [len(t.rows) for t in tables][2] == 1
    page = several.report().read_text(encoding="utf-8")
    assert page.count('<h3 class="name">') == 3
    assert page.count("digest of the weights") == 2


def test_fit__again_with_one_of_them_judges_nothing_twice(
    several: Run, shapes: Path, store: Path, names: list[str], tmp_path: Path
) -> None:
    kept = set((store / "heads").rglob("*.safetensors"))
    settings = SETTINGS | {"prefer": "single"}
    alone = fit(shapes, out=tmp_path / "one", cache=store, backbone=names[1], **settings)
    assert set((store / "heads").rglob("*.safetensors")) == kept
    assert alone.metrics.extraction.n_forward == 0
    own = {r.tap: r.cv for r in alone.metrics.candidates}
    both = {r.tap: r.cv for r in several.metrics.candidates}
    assert all(both[f"second.safetensors {tap}"] == cv for tap, cv in own.items())
    assert alone.provenance.backbones == ()
    assert alone.model.beside == ()


def test_model__a_part_of_several_that_is_damaged_is_refused(several: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(several.folder, tmp_path / "copy")
    facts = read_json(copy / "model", "model.json", dict[str, Any])
    facts["beside"][0]["taps"] = ["no such layer"]
    write_json(copy / "model" / "model.json", facts)
    write_sums(copy)
    with pytest.raises(RunError, match="no such layer"):
        Run(copy)


def test_fit__of_a_mean_predicts_what_was_tested(mean: Run, shapes: Path) -> None:
    chosen = mean.metrics.chosen
    assert chosen.n_averaged > 1
    assert mean.sentence.startswith(f"Mean of {chosen.n_averaged} linear SVMs")
    assert mean.model.coef.shape[1] == chosen.n_features
    assert "averaged" in mean.metrics.selection.rule
    tested = mean.test_predictions()
    again = mean.predict([shapes / p.name for p in tested])
    for p, found in zip(tested, again, strict=True):
        assert found.label == p.predicted
        assert found.top[0][1] == pytest.approx(p.probability, abs=1e-4)
    assert len(layer_tables(mean.metrics)) == 4


def test_run_evidence__of_a_mean_adds_up(mean: Run, shapes: Path) -> None:
    found = run_evidence(mean, read_rgb(shapes / "dots" / "02.png"), "dots")
    k = mean.model.classes.index("dots")
    expected = found.score - mean.model.intercept[k]
    assert float(found.values.sum()) == pytest.approx(expected, abs=1e-2)


def test_similar__of_a_mean(mean: Run, shapes: Path, store: Path) -> None:
    assert len(similar(mean, shapes / "dots" / "05.png", k=2, cache=store).neighbours) == 2


def test_model__of_a_mean_with_a_layer_that_is_not_there_is_refused(
    mean: Run, tmp_path: Path
) -> None:
    copy = shutil.copytree(mean.folder, tmp_path / "copy")
    facts = read_json(copy / "model", "model.json", dict[str, Any])
    facts["only"][0]["size_px"] = 65
    write_json(copy / "model" / "model.json", facts)
    write_sums(copy)
    with pytest.raises(RunError, match="at 65 px is not one of its layers"):
        Run(copy)


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"backbone": "embedded,embedded"}, InputError, "embedded twice"),
        ({"backbone": ["embedded", ""]}, InputError, "empty name"),
        ({"backbone": "embedded,renset50"}, BackboneError, "renset50"),
        ({"backbone": "embedded,net.pth"}, BackboneError, "net.pth@ARCH"),
        ({"backbone": "embedded,resnet18", "arch": "resnet18"}, InputError, "FILE@ARCH"),
        ({"backbone": "a,b", "weights": "x.pth", "arch": "resnet18"}, InputError, "FILE@ARCH"),
    ],
)
def test_fit__refuses_wrong_lists(
    shapes: Path, tmp_path: Path, settings: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        fit(shapes, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_fit__of_texts_has_no_mean() -> None:
    with pytest.raises(InputError, match="must be accurate or cheap; got 'single'"):
        TextSettings(data="x", prefer="single")
