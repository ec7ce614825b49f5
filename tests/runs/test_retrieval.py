"""Nearest training images against distances computed from the run's own model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from headstart.data import index
from headstart.errors import DataError
from headstart.features import extract
from headstart.heads.examples import normalize_rows
from headstart.runs.report.retrieval import contact_sheet, retrieval_sections
from headstart.runs.retrieval import reliability, similar
from headstart.runs.run import Run
from headstart.sources.blocks import read_blocks


def test_similar__distances_are_of_the_models_features(run: Run, shapes: Path, store: Path) -> None:
    s = run.settings
    records = index(shapes, seed=s.seed, test_size=s.test_size).records
    test = next(r for r in records if r.split == "test")
    train = [r for r in records if r.split == "train"]
    found = similar(run, test.path, k=4, cache=store)
    blocks = run.model.blocks
    done = extract(records, run.backbone, resolutions=blocks.resolutions,
                   precision=run.model.precision, cache=store)  # fmt: skip
    X = normalize_rows(read_blocks(done.stores, [r.digest for r in [test, *train]], blocks), "l2")
    expected = np.sort(np.linalg.norm(X[1:] - X[0], axis=1))[:4]
    assert [n.distance for n in found.neighbours] == pytest.approx(expected, abs=2e-3)
    assert found.measured is not None
    assert found.measured.n_queries == sum(r.split == "test" for r in records)
    assert found.measured.n_gallery == len(train)


def test_similar__without_test_images_nothing_is_measured(
    run: Run, shapes: Path, store: Path
) -> None:
    found = similar(run, shapes / "bars" / "00.png", k=1, cache=store)
    alone = replace(found, measured=None)
    assert alone.sentence.startswith("The nearest training image is of class bars.")
    assert "no test images" in reliability(None)
    assert len(retrieval_sections(alone, None)) == 1


def test_similar__of_a_mean_of_two_models_says_of_which(
    run: Run, shapes: Path, store: Path
) -> None:
    picture = next((shapes / "dots").iterdir())
    assert not any("averages" in n for n in similar(run, picture, k=1, cache=store).notes)
    mean = Run(run.folder)
    mean.model = dataclasses.replace(run.model, partner=run.model)
    assert any("averages two models" in n for n in similar(mean, picture, k=1, cache=store).notes)


def test_similar__the_images_are_gone(run: Run, shapes: Path, store: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        similar(run, shapes / "bars" / "00.png", data=str(tmp_path / "gone"), cache=store)


def test_contact_sheet__shows_the_picture_and_every_neighbour(
    run: Run, shapes: Path, store: Path, tmp_path: Path
) -> None:
    found = similar(run, shapes / "bars" / "00.png", k=5, cache=store)
    (tmp_path / "sheet.png").write_bytes(contact_sheet(found))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    # Two rows: four pictures, then two; the fifth place is white.
    assert sheet.shape[1] > 4 * 150
    assert sheet[-60:, -150:].min() == 255
    assert sheet[20:140, 20:140].std() > 5
