"""Run folders that version 0.1.0 wrote open, and predict what they did."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

import headstart

TEXTS = ["the film is not dull", "a brilliant ending", "the plot is cold"]
# Of the class "positive", as 0.1.0 predicted: a head on TF-IDF of words, one on average word vectors.
POSITIVE = {
    "text": [0.9813749658693425, 0.9833650138505832, 0.004691116903096474],
    "avg": [0.3240516176801115, 0.9837294576167301, 0.4251674638571224],
}


@pytest.fixture(scope="module")
def older_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("older")
    with zipfile.ZipFile(Path(__file__).with_name("runs_of_0_1.zip")) as packed:
        packed.extractall(folder)
    return folder


@pytest.mark.parametrize("name", POSITIVE)
def test_load__a_run_on_texts_of_0_1_predicts_the_same(older_runs: Path, name: str) -> None:
    run = headstart.load(older_runs / name)
    assert run.is_texts
    np.testing.assert_allclose(run.predict_proba(TEXTS)[:, 1], POSITIVE[name], atol=1e-6)
    assert len(run.test_predictions()) == run.metrics.test.n


def test_load__a_run_on_images_of_0_1_predicts_the_same(older_runs: Path) -> None:
    run = headstart.load(older_runs / "image")
    assert not run.is_texts
    for k, slope in enumerate((60, -60)):  # it was fitted on faint gradients
        row = (128 + np.linspace(-slope, slope, 64)).astype(np.uint8)
        picture = np.repeat(np.tile(row, (64, 1))[:, :, None], 3, 2)
        [[*p]] = run.predict_proba(picture)
        assert p[k] > 0.99
