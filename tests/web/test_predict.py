"""The tab Predict: when a run is not sure, and when a picture is unlike those that it was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import headstart
from headstart.web.tabs.predict import RANKS, _predictor
from headstart.web.workspace import Workspace


@pytest.fixture(scope="module")
def work(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    runs = tmp_path_factory.mktemp("runs")
    headstart.fit(photos, out=runs / "stripes", resolutions=(64,), Cs=(1.0,))
    return Workspace(runs)


def test_predictor__says_not_sure_and_unlike_by_the_visitors_thresholds(
    work: Workspace, photos: Path, tmp_path: Path
) -> None:
    predict, known = _predictor(work), str(photos / "lying" / "3.png")
    plain = tmp_path / "plain.png"
    Image.new("RGB", (64, 64), (250, 10, 200)).save(plain)
    at_ease = predict("stripes", [known], None, RANKS[0], 0, 100)
    assert "hs-bars" in at_ease
    assert "hs-verdict" not in at_ease
    unlike = predict("stripes", [str(plain)], None, RANKS[0], 0, 90)
    assert "<b>Unlike the training images.</b>" in unlike
    assert "Not sure" not in unlike
    assert "hs-bars" in unlike, "the probabilities stay"
    run = work.run("stripes")
    [said] = run.predict([plain])
    assert said.probability is not None
    unsure = predict("stripes", [str(plain)], None, RANKS[0], 100 * said.probability + 0.5, 100)
    assert "<b>Not sure.</b>" in unsure
    assert "Unlike the training images" not in unsure


def test_predictor__a_run_without_features_of_its_images_says_so(
    work: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = work.run("stripes")
    monkeypatch.setitem(run.__dict__, "held_out", None)  # as of a run that keeps nothing
    said = _predictor(work)("stripes", [str(photos / "lying" / "3.png")], None, RANKS[0], 0, 99)
    assert "is not known: the run keeps no features" in said
