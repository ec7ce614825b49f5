"""The evidence of a run's model adds up to its scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import at_size, normalise, pool, tapped_forward, to_uint8
from headstart.data import read_rgb
from headstart.errors import RunError
from headstart.runs.evidence import run_evidence
from headstart.runs.run import Run
from headstart.sources.blocks import Blocks


def _score(run: Run, path: Path, label: str) -> float:
    """By the plain way: pooled features of every block, joined, through the head."""
    import torch

    model, parts = run.model, []
    for tap, size in model.blocks.pairs:
        net = at_size(run.backbone, size)
        pixels = normalise(
            torch.from_numpy(to_uint8(read_rgb(path), net.preprocessing))[None], net.preprocessing
        )
        parts.append(pool(tapped_forward(net, pixels, [tap])[tap], net.tap(tap)).numpy())
    return float(model.scores(model.join(parts))[0, model.classes.index(label)])


@pytest.mark.parametrize("label", ["bars", "dots"])
def test_run_evidence__adds_up_to_the_score(run: Run, shapes: Path, label: str) -> None:
    path = shapes / label / "00.png"
    found = run_evidence(run, read_rgb(path), label)
    assert found.score == pytest.approx(_score(run, path, label), abs=1e-3)
    k = run.model.classes.index(label)
    assert found.values.sum() == pytest.approx(found.score - run.model.intercept[k], abs=1e-3)
    assert found.crop.size == (max(run.model.blocks.resolutions),) * 2


def test_run_evidence__of_the_other_of_two_classes_is_the_opposite(run: Run, shapes: Path) -> None:
    picture = read_rgb(shapes / "dots" / "01.png")
    here, there = (run_evidence(run, picture, label).values for label in ("bars", "dots"))
    np.testing.assert_allclose(here, -there, atol=1e-5)


def test_run_evidence__of_joined_layers_and_resolutions_adds_up_too(run: Run, shapes: Path) -> None:
    taps, path = ("blocks.2", "blocks.4"), shapes / "bars" / "02.png"
    joined = Run(run.folder)
    blocks = Blocks(taps=taps, resolutions=(64, 96))
    width = 2 * sum(run.backbone.tap(tap).n_features for tap in taps)
    coef = np.random.default_rng(0).normal(size=(2, width))
    joined.model = dataclasses.replace(run.model, blocks=blocks, coef=coef)
    found = run_evidence(joined, read_rgb(path), "dots")
    assert found.score == pytest.approx(_score(joined, path, "dots"), abs=1e-3)
    assert found.values.sum() == pytest.approx(found.score - run.model.intercept[1], abs=1e-3)
    assert found.layers == taps


def test_run_evidence__says_which_classes_there_are(run: Run, shapes: Path) -> None:
    with pytest.raises(RunError, match=r"no class 'dot'\. Did you mean 'dots'"):
        run_evidence(run, read_rgb(shapes / "dots" / "01.png"), "dot")
