"""Careful predictions of a real run: refusing, label sets, novelty, and what cannot be asked for."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from headstart.errors import InputError, RunError
from headstart.runs.caution import Careful, Caution
from headstart.runs.heldout import FILES, HeldOut
from headstart.runs.predictions import predictions_csv
from headstart.runs.reliability import _map
from headstart.runs.report import render
from headstart.runs.run import Run


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of another kind, 24 of them."""
    folder = tmp_path_factory.mktemp("strange")
    for i in range(24):
        colour = tuple(int(c) for c in np.random.default_rng(i).integers(60, 255, 3))
        Image.new("RGB", (80, 80), colour).save(folder / f"{i:02d}.png")
    return folder


def test_predict__is_as_before_where_nothing_is_asked(run: Run, shapes: Path) -> None:
    [found] = run.predict([shapes / "dots" / "03.png"])
    assert found.label == "dots"
    assert found.refused is None
    assert set(found.to_dict()) == {"name", "label", "top", "error"}
    assert predictions_csv([found]).startswith("name,label,probability,error\n")


def test_predict__an_unreadable_file_has_the_fields_that_were_asked_for(
    run: Run, shapes: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"torn")
    for asked in ({}, {"refuse_below": 0.5}, {"label_sets": 0.9}, {"novelty": 0.9}):
        caution = Caution(**asked)
        read, unread = run.iter_predict([shapes / "dots" / "03.png", torn], caution=caution)
        assert unread.error
        assert list(unread.to_dict()) == list(read.to_dict())
        assert [unread.to_dict()[name] for name in unread.more()] == [None] * len(unread.more())
        lines = predictions_csv([unread, read]).splitlines()
        assert lines[0] == predictions_csv([read]).splitlines()[0]


def test_predict__refuses_below_a_probability(run: Run, shapes: Path) -> None:
    image = shapes / "dots" / "03.png"
    [plain] = run.predict([image])
    assert plain.probability is not None
    [kept] = run.predict([image], refuse_below=plain.probability - 0.01)
    assert kept.label == "dots"
    assert kept.refused == ""
    [refused] = run.predict([image], refuse_below=(1 + plain.probability) / 2)
    assert refused.label is None
    assert refused.probability == plain.probability
    assert refused.refused is not None
    assert "below" in refused.refused
    assert refused.to_dict()["label"] is None


def test_predict__novelty_refuses_what_is_like_no_training_image(
    run: Run, shapes: Path, strange: Path
) -> None:
    found = run.predict([strange], novelty=0.9)
    assert all(p.label is None and p.novelty is not None and p.novelty >= 0.9 for p in found)
    usual = run.predict([shapes / "bars"], novelty=0.9)
    assert sum(p.label is not None for p in usual) > len(usual) / 2
    assert len(usual[0].nearest) == 3
    [own] = run.predict([shapes / "bars" / "00.png"], novelty=0.9)
    names = {r for r in own.nearest if r.startswith("bars/")}
    assert len(names) >= 2


def test_predict__label_sets_hold_the_class(run: Run, shapes: Path) -> None:
    found = run.predict([shapes / "dots"], label_sets=0.8)
    assert all(p.labels and p.labels[0] == p.label for p in found)
    assert np.mean(["dots" in (p.labels or ()) for p in found]) >= 0.8
    row = next(csv.DictReader(io.StringIO(predictions_csv(found))))
    assert json.loads(row["labels"])[0] == row["label"]


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"label_sets": 1.0}, "between 0 and 1"),
        ({"novelty": 0.0}, "between 0 and 1"),
        ({"refuse_below": 1.2}, "between 0 and 1"),
        ({"label_sets": 0.999}, "at least 999"),
        ({"target_accuracy": 0.9999}, "out of reach"),
        ({"refuse_below": 0.5, "target_accuracy": 0.5}, "exclude each other"),
    ],
)
def test_predict__says_what_cannot_be_asked_for(
    run: Run, shapes: Path, asked: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        run.predict([shapes / "dots" / "03.png"], **asked)


def test_predict__an_older_run_says_what_it_lacks(
    run: Run, shapes: Path, tmp_path: Path, older: Callable[[Path], Path]
) -> None:
    copy = older(Path(shutil.copytree(run.folder, tmp_path / "run")))
    for name in FILES:
        (copy / "model" / name).unlink()
    old = Run(copy)
    assert old.predict([shapes / "dots" / "03.png"])[0].label == "dots"
    with pytest.raises(RunError, match=r"label_sets.*older version"):
        old.predict([shapes / "dots" / "03.png"], label_sets=0.8)


def test_iter_predict__warns_of_a_batch_of_other_pictures(
    run: Run, shapes: Path, strange: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run.predict([shapes])
    assert not caplog.records
    run.predict([strange])
    [record] = caplog.records
    assert "differ from the training images" in record.message


def test_held_out__reads_what_it_wrote_and_refuses_what_is_damaged(
    run: Run, tmp_path: Path
) -> None:
    kept = run.held_out
    assert kept is not None
    assert kept.reference is not None
    assert len(kept.top) == run.metrics.n_judged
    kept.save(tmp_path)
    again = HeldOut.read(tmp_path)
    assert again is not None
    assert np.array_equal(again.top, kept.top)
    facts = json.loads((tmp_path / FILES[1]).read_text(encoding="utf-8"))
    (tmp_path / FILES[1]).write_text(json.dumps(facts | {"names": ["a"]}), encoding="utf-8")
    with pytest.raises(RunError, match=r"damaged.*1 names"):
        HeldOut.read(tmp_path)
    older = {key: value for key, value in facts.items() if key != "features"}
    (tmp_path / FILES[1]).write_text(json.dumps(older), encoding="utf-8")
    nothing = HeldOut.read(tmp_path)
    assert nothing is not None
    assert nothing.reference is None, "of which model they are is not known"
    with pytest.raises(RunError, match="keeps no features of its training images"):
        Careful(model=run.model, caution=Caution(novelty=0.9), held_out=nothing, where="runs/x")
    (tmp_path / FILES[0]).write_bytes(b"no tensors")
    with pytest.raises(RunError, match="damaged"):
        HeldOut.read(tmp_path)


def test_careful__without_features_novelty_has_nothing_to_compare_with(run: Run) -> None:
    kept = HeldOut.of(np.array([[0.9, 0.1]] * 5), ["bars"] * 5, run.model)
    with pytest.raises(RunError, match="keeps no features"):
        Careful(model=run.model, caution=Caution(novelty=0.9), held_out=kept, where="runs/x")


def test_careful__by_costs_the_predicted_class_is_the_one_that_is_refused(run: Run) -> None:
    # Bars taken for dots cost ten times as much as dots taken for bars.
    model = dataclasses.replace(run.model, costs=((0.0, 10.0), (1.0, 0.0)))
    P = np.array([[0.2, 0.8], [0.05, 0.95]])
    kept = HeldOut.of(P, ["dots", "dots"], model)
    assert kept.correct.tolist() == [False, True]
    assert kept.top == pytest.approx([0.2, 0.95])
    careful = Careful(model=model, caution=Caution(refuse_below=0.5), held_out=kept, where="x")
    first, second = (careful.prediction("x", p, None) for p in P)
    assert first.refused
    assert (first.label, second.label) == (None, "dots")


def test_report__shows_when_to_answer(run: Run) -> None:
    found = run.metrics.reliability
    assert found is not None
    assert found.n == run.metrics.n_judged
    provenance = msgspec.to_builtins(run.provenance)
    page = render(provenance, run.metrics, {})
    headings = ("When to answer", "A map of the training images", "Parts of the data", "Shortcuts")
    assert all(heading in page for heading in headings)
    without = msgspec.structs.replace(run.metrics, reliability=None, checks=None)
    older = render(provenance, without, {})
    assert not any(heading in older for heading in headings)


def test_report__maps_the_training_images(run: Run) -> None:
    assert run.metrics.reliability is not None
    found = run.metrics.reliability.map
    assert found is not None
    n = run.metrics.data.n_train
    assert found.n == len(found.x) == len(found.y) == len(found.labels) == len(found.is_wrong) == n
    assert 0 < found.variance <= 1
    assert all(0 <= v <= 1 for v in (*found.x, *found.y))
    assert set(found.labels) == set(range(len(run.metrics.classes)))
    # Of the judged images; the others are not counted as mistakes.
    assert sum(found.is_wrong) <= n - round(run.metrics.cv.accuracy.value * run.metrics.n_judged)


def test_training_map__says_of_how_many_training_images_it_shows_some(run: Run) -> None:
    assert run.held_out is not None
    reference = run.held_out.reference
    assert reference is not None
    n = 2 * len(reference.names)  # features of half of them are kept
    K = len(run.model.classes)
    results: Any = SimpleNamespace(
        finetuning=None,
        train=[SimpleNamespace(name=str(i), label="dots") for i in range(n)],
        judged=np.zeros(n, dtype=bool),
        final=SimpleNamespace(model=run.model, out_of_fold=np.zeros((n, K))),
    )
    found = _map(results, reference)
    assert found is not None
    assert (found.n, len(found.x)) == (n, len(reference.names))
