"""A run of a tiny network, and models of every kind put in its place."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import headstart
from headstart.backbones import load
from headstart.backbones.weights import digest_weights
from headstart.heads import Pool, Temperature
from headstart.runs.model import Model
from headstart.runs.run import Run
from headstart.runs.trained_model import logits_model
from headstart.sources.blocks import Blocks, side_by_side
from headstart.sources.image import ImageSource
from headstart.training import TrainSettings
from headstart.training.history import Epoch
from headstart.training.network import prepare
from headstart.training.saving import save_network
from headstart.training.trained import Trained, as_backbone

ARCH = "timm:test_efficientnet"
EPOCH = Epoch(
    epoch=1, train_loss=1, train_accuracy=0.5, val_loss=1, val_accuracy=0.5, lr=1e-3, seconds=1
)


def write_photos(root: Path) -> Path:
    """Three classes of pictures of three shapes; noise over a colour."""
    rng = np.random.default_rng(0)
    shapes = ((60, 90), (90, 60), (100, 71))
    for k, name in enumerate(("dawn", "dusk", "noon")):
        (root / name).mkdir(parents=True)
        for i in range(9):
            height, width = shapes[i % 3]
            small = rng.normal(60 + 70 * k, 40, (height // 5, width // 5, 3)).clip(0, 255)
            picture = Image.fromarray(small.astype(np.uint8)).resize((width, height))
            picture.save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("data") / "light")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def run(photos: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A frozen network with weights in a local file."""
    weights = tmp_path_factory.mktemp("secret-place") / "tiny.safetensors"
    save_file(load(ARCH, pretrained=False, seed=1).module.state_dict(), weights)
    return headstart.fit(
        photos,
        out=tmp_path_factory.mktemp("runs") / "light",
        cache=store,
        weights=str(weights),
        arch=ARCH,
        resolutions=(64,),
        Cs=(1.0, 100.0),
        n_folds=3,
        precision="float32",
    )


def svm(run: Run, blocks: Blocks, normalize: Any = "l2", seed: int = 0) -> Model:
    """A made-up head on the run's network."""
    backbone = run.model.load_backbone()
    d = sum(backbone.tap(tap).n_features for tap, _ in blocks.pairs)
    rng = np.random.default_rng(seed)
    n_classes = len(run.model.classes)
    return dataclasses.replace(
        run.model,
        blocks=blocks,
        coef=rng.normal(size=(n_classes, d)),
        intercept=rng.normal(size=n_classes) / 10,
        temperature=Temperature(1.7),
        normalize=normalize,
    )


def finetuned(run: Run, folder: Path) -> Model:
    """A network of the run's own, as a fine-tuning leaves it; its weights are random."""
    backbone = run.model.load_backbone()
    settings = TrainSettings(size_px=80, seed=5)
    prepared = prepare(backbone, len(run.model.classes), settings)
    digest = digest_weights(prepared.network)
    net = as_backbone(prepared.backbone, prepared.network, run.model.classes, digest)
    trained = Trained(
        settings=settings,
        classes=run.model.classes,
        history=(EPOCH,),
        best_epoch=1,
        network=prepared.network,
        backbone=net,
        seconds=1.0,
        n_trained_parameters=1,
        device="cpu",
        is_cached=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_network(folder, trained)
    return logits_model(trained, run.model.classes, Temperature(25.0))


def of_two_networks(run: Run, folder: Path) -> Model:
    """A made-up head on two layers of the run's network and one of another, at other sizes."""
    arch = "timm:test_resnet"
    other = load(arch, pretrained=False, seed=2)
    path = folder.parent / "other.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(other.module.state_dict(), path)
    own = run.model.load_backbone()
    taps = [tap.name for tap in own.taps][1:3]
    blocks = side_by_side(
        [
            Blocks(taps=tuple(taps), resolutions=(64, 96), backbone="tiny"),
            Blocks(taps=(other.taps[1].name,), resolutions=(96,), backbone="other"),
        ]
    )
    d = 2 * sum(own.tap(tap).n_features for tap in taps) + other.taps[1].n_features
    rng = np.random.default_rng(4)
    n_classes = len(run.model.classes)
    facts = ImageSource(backbone=other, stores={}, weights=str(path)).encoding(blocks)
    return dataclasses.replace(
        run.model,
        blocks=blocks,
        coef=rng.normal(size=(n_classes, d)),
        temperature=Temperature(1.7),
        beside=(facts["backbone"],),
    )


KINDS = ("frozen", "joined", "power", "finetuned", "mean", "several")


@pytest.fixture(scope="session", params=KINDS)
def any_run(request: pytest.FixtureRequest, run: Run, tmp_path_factory: Any) -> Run:
    """The run with each kind of model that a run may have, read back from its folder."""
    taps = [tap.name for tap in run.model.load_backbone().taps]
    joined = Blocks(taps=tuple(taps[1:3]), resolutions=(64, 96))
    other = Run(run.folder)
    other.folder = tmp_path_factory.mktemp("runs") / request.param
    kind, folder = request.param, other.folder / "model"
    if kind == "finetuned":
        model = finetuned(run, folder)
    elif kind == "mean":
        partner = svm(run, joined, seed=3)
        model = dataclasses.replace(finetuned(run, folder), partner=partner, pool=Pool(1.4, 0.3))
    elif kind == "several":
        model = of_two_networks(run, folder)
    elif kind == "joined":
        model = svm(run, joined)
    elif kind == "power":
        model = svm(run, Blocks(taps=(taps[2],), resolutions=(96,)), "power")
    else:
        model = run.model
    model.save(folder)
    other.model = Model.read(folder)
    return other
