"""The service without a process: answers that are careful equal those of the run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headstart.runs.caution import Caution
from headstart.runs.predictor import Predictor
from headstart.runs.run import Run
from headstart.serve.app import Service
from headstart.serve.settings import ServeSettings
from headstart.serve.uploads import Upload


def test_predict__is_as_careful_as_the_run(run: Run, photos: Path, store: Path) -> None:
    caution = Caution(refuse_below=0.9999, label_sets=0.6, novelty=0.9)
    careful = run.careful(caution)
    predictor = Predictor(run.model, cache=store, reference=careful.reference)
    service = Service("light", predictor, ServeSettings(), careful)
    images = [photos / "dark" / "0.png", photos / "bright" / "1.png"]
    try:
        uploads = [Upload(name=p.name, data=p.read_bytes()) for p in images]
        answers = asyncio.run(service.predict(uploads, 2))
    finally:
        service.close()
    expected = run.predict(images, top=2, refuse_below=0.9999, label_sets=0.6, novelty=0.9)
    for answer, prediction in zip(answers, expected, strict=True):
        said = prediction.to_dict()
        assert answer["label"] == said["label"]
        assert bool(answer["refused"]) == bool(said["refused"])
        assert answer["labels"] == said["labels"]
        assert answer["novelty"] == pytest.approx(said["novelty"], abs=0.1)
        assert set(answer) == set(said)
