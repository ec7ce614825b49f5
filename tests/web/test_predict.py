"""The tab Predict: when a run is not sure, and when a picture is unlike those that it was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image

import headstart
from headstart.results import Interval
from headstart.runs.reliance import Refusal
from headstart.runs.run import Run
from headstart.web.tabs.predict import IMAGENET, RANKS, _predictor, _sure_from
from headstart.web.workspace import Workspace

ONE = Interval(1.0, 0.9, 1.0)


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
    above = 100 * said.probability + 0.001
    unsure = predict("stripes", [str(plain)], None, RANKS[0], above, 100)
    assert "<b>Not sure.</b>" in unsure
    assert f"probability {above:g} %" not in unsure, "what is below is not shown as the threshold"
    assert "Unlike the training images" not in unsure
    emptied = predict("stripes", [known], None, RANKS[0], None, None)
    assert emptied == predict("stripes", [known], None, RANKS[0]), "the usual thresholds"


def test_predictor__a_threshold_needs_no_network(
    work: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, known = _predictor(work), str(photos / "lying" / "3.png")
    at_ease = predict("stripes", [known], None, RANKS[0], 0, 100)
    monkeypatch.setattr(Run, "predict", lambda *_, **__: pytest.fail("it ran again"))
    assert "<b>Not sure.</b>" in predict("stripes", [known], None, RANKS[0], 100, 100)
    assert predict("stripes", [known], None, RANKS[0], 0, 100) == at_ease


def test_sure_from__is_the_runs_own_threshold(work: Workspace) -> None:
    run = work.run("stripes")
    kept = run.metrics.reliability
    assert kept is not None
    refusal = Refusal(target=0.95, threshold=0.87312, coverage=ONE, accuracy=ONE)
    with pytest.MonkeyPatch.context() as patch:
        known = replace(run.metrics, reliability=replace(kept, refusals=(refusal,)))
        patch.setattr(run, "metrics", known)
        assert _sure_from(work, "stripes") == 87.4
        patch.setattr(run, "metrics", replace(run.metrics, reliability=None))
        assert _sure_from(work, "stripes") == 50
    assert _sure_from(work, IMAGENET) == 50
    assert _sure_from(work, "gone") == 50


def test_predictor__a_run_without_features_of_its_images_says_so(
    work: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = work.run("stripes")
    monkeypatch.setitem(run.__dict__, "held_out", None)  # as of a run that keeps nothing
    said = _predictor(work)("stripes", [str(photos / "lying" / "3.png")], None, RANKS[0], 0, 99)
    assert "is not known: the run keeps no features" in said
