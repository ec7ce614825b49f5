"""`label-next` on a real run: the replay, the choice, and folders that cannot be used."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.cli.app import run as command
from headstart.data import index
from headstart.experiments.experiment import Inputs
from headstart.experiments.label_next.page import files, sentence
from headstart.experiments.label_next.result import Labelled, LabelNextResult
from headstart.experiments.onrun import OnRun, training_images
from headstart.reliability.unlabelled import Use, UseReplay, replay_uses
from headstart.results import Difference
from headstart.runs.retrieval import TrainingImages, index_of
from headstart.runs.run import Run

MEASURE = "headstart.experiments.label_next.measure"


@pytest.fixture
def gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay in which propagation gains, of few labels."""
    use = Use(
        name="propagation",
        accuracy=0.9,
        gain=Difference(0.1, 0.05, 0.15),
        is_better=True,
        right=0.9,
    )
    found = UseReplay(n_known=12, n_hidden=12, n_judged=6, labelled=0.8, uses=(use,))
    monkeypatch.setattr(f"{MEASURE}.replay_uses", lambda *_, **__: found)
    monkeypatch.setattr(f"{MEASURE}.FEWEST_USED", 20)


@pytest.fixture(scope="module")
def unlabelled(odd_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve new pictures, one of them twice, two files that the run has seen, and a damaged one."""
    root = tmp_path_factory.mktemp("new")
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:64, :64]
    for i in range(12):
        wave = np.sin((x + i) / 3) * (1 if i % 2 else np.sin(y / 3))
        pixels = np.clip(128 + 70 * wave + rng.normal(0, 30, (64, 64)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(root / f"{i:02d}.png")
    (root / "again.png").write_bytes((root / "00.png").read_bytes())
    (root / "own.png").write_bytes((odd_shapes / "bars" / "01.png").read_bytes())
    (root / "torn.png").write_bytes(b"torn otherwise")
    (root / "refused.png").write_bytes((odd_shapes / "dots" / "torn.png").read_bytes())
    return root


def test_label_next__chooses_new_images_and_says_what_that_is_worth(
    odd_run: Run, unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["label-next", str(odd_run.folder), str(unlabelled), "--n", "5", "--repeats", "4"]
    assert command([*words, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    train = [r for r in index_of(odd_run).records if r.split != "test"]
    assert (found["n_labelled"], found["n_unlabelled"]) == (len(train), 12)
    # The run left out a damaged file, which is not new either.
    assert (found["n_overlap"], found["n_unreadable"]) == (2, 1)
    assert found["n_played"] == len(train) < 30, "test images are for the test only"
    assert len(found["chosen"]) == len({c["name"] for c in found["chosen"]}) == 5
    assert {p["name"] for p in found["played"]} == {"margin", "typicality", "coverage", "mix"}
    better = [p for p in found["played"] if p["is_better"]]
    assert found["strategy"] == (better[0]["name"] if better else "random")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "label-next.csv").read_text("utf-8"))))
    assert [r["name"] for r in rows] == [c["name"] for c in found["chosen"]]
    tasks = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    assert [t["data"]["image"] for t in tasks] == [c["path"] for c in found["chosen"]]
    assert found["unlabelled"] == [], "so few labels are too few to hide some"
    assert not (tmp_path / "pseudo-labels.csv").exists()
    guess = tasks[0]["predictions"][0]["result"][0]["value"]["choices"]
    assert guess == [found["chosen"][0]["predicted"]]


def test_label_next__a_strategy_that_is_asked_for_is_used_and_judged(
    odd_run: Run, unlabelled: Path
) -> None:
    found = headstart.transfer.label_next(
        odd_run.folder, str(unlabelled), n=100, strategy="margin", repeats=2
    )
    assert isinstance(found, LabelNextResult)
    assert found.strategy == "margin"
    assert len(found.chosen) == 12
    margins = [c.margin for c in found.chosen]
    assert margins == sorted(margins)
    assert "label at random" in sentence(found) or "worth" in sentence(found)


def test_label_next__writes_pseudo_labels_where_the_replay_gains(
    odd_run: Run, unlabelled: Path, tmp_path: Path, gains: None
) -> None:
    found = headstart.transfer.label_next(odd_run.folder, str(unlabelled), n=3, repeats=2)
    assert isinstance(found, LabelNextResult)
    assert len(found.pseudo_labels) == 12
    assert "gained +10.0 [+5.0, +15.0] points" in found.detail
    assert "pseudo-labels.csv --weight-column weight:" in found.detail, "a run without groups"
    table = tmp_path / "pseudo-labels.csv"
    table.write_bytes(files(found)["pseudo-labels.csv"])
    data = index(table, weight_column="weight")
    assert len(data.records) == 42
    own = index_of(odd_run)
    assert {r.path for r in data.test} == {r.path for r in own.test}, "test images stay so"
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8"))))
    assert sum(r["is_pseudo_label"] == "yes" for r in rows) == 12
    assert "group" not in rows[0]
    # As sure as the propagation was, by which the replay weighed them too.
    weights = [float(r["weight"]) for r in rows if r["is_pseudo_label"] == "yes"]
    assert all(0 < w < 1 for w in weights)
    assert len(set(weights)) > 1
    assert {r["weight"] for r in rows if r["is_pseudo_label"] == "no"} == {"1.0"}
    odd = Labelled(
        path="/new/Gr\u00f6\u00dfe\u00a0L.png", label="'=\u0645\u06cc\u200c", split="train"
    )
    text = files(msgspec.structs.replace(found, labelled=(odd,)))["pseudo-labels.csv"].decode()
    first = next(csv.DictReader(io.StringIO(text)))
    assert (first["image"], first["label"]) == (odd.path, odd.label), "as fit is to read them"


def test_label_next__keeps_groups_and_weights_of_the_labelled_images(
    grouped_run: Run,
    unlabelled: Path,
    tmp_path: Path,
    gains: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask() -> LabelNextResult:
        found = headstart.transfer.label_next(grouped_run.folder, str(unlabelled), n=3, repeats=2)
        assert isinstance(found, LabelNextResult)
        return found

    found = ask()
    assert "pseudo-labels.csv --weight-column weight --group group:" in found.detail
    table = tmp_path / "pseudo-labels.csv"
    table.write_bytes(files(found)["pseudo-labels.csv"])
    data = index(table, weight_column="weight", group_column="group")
    own = {r.path: r.group for r in index_of(grouped_run).records}
    assert {r.path: r.group for r in data.records if r.path in own} == own
    new = [r.group for r in data.records if r.path not in own]
    assert len(new) == len(set(new)) == len(found.pseudo_labels)
    assert not {*new} & {*own.values()}

    def heavier(settings: OnRun, inputs: Inputs) -> TrainingImages:
        images = training_images(settings, inputs)
        records = tuple(dataclasses.replace(r, weight=3.0) for r in images.records)
        return dataclasses.replace(images, records=records)

    monkeypatch.setattr(f"{MEASURE}.training_images", heavier)
    weighed = ask()
    assert [p.weight for p in weighed.pseudo_labels] == pytest.approx(
        [3 * p.weight for p in found.pseudo_labels]
    )
    assert {o.weight for o in weighed.labelled if o.split != "test"} == {3.0}


def test_label_next__is_the_same_whatever_the_test_labels_are(
    odd_run: Run, unlabelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_any_gain(*args: Any, **kwargs: Any) -> UseReplay:
        found = replay_uses(*args, **kwargs)
        assert found is not None
        first, *others = found.uses
        return dataclasses.replace(
            found, uses=(dataclasses.replace(first, is_better=True), *others)
        )

    def relabelled(settings: OnRun, inputs: Inputs) -> TrainingImages:
        images = training_images(settings, inputs)
        other = {"bars": "dots", "dots": "a class that no training image has"}
        held_out = tuple(dataclasses.replace(r, label=other[r.label]) for r in images.held_out)
        records = (*images.records, *held_out)
        index = dataclasses.replace(images.index, records=records)
        return dataclasses.replace(images, held_out=held_out, index=index)

    monkeypatch.setattr(f"{MEASURE}.replay_uses", at_any_gain)
    monkeypatch.setattr(f"{MEASURE}.FEWEST_USED", 20)
    found = []
    for images in (training_images, relabelled):
        monkeypatch.setattr(f"{MEASURE}.training_images", images)
        r = headstart.transfer.label_next(odd_run.folder, str(unlabelled), n=5, repeats=3)
        assert isinstance(r, LabelNextResult)
        found.append(r)
    one, other = found
    assert one.pseudo_labels
    for part in ("pseudo_labels", "unlabelled", "labelled_alone", "played", "strategy", "chosen"):
        assert getattr(one, part) == getattr(other, part), part
    assert one.labelled != other.labelled, "the test images stay in the table, with their labels"


def test_label_next__refuses_a_folder_of_the_run_s_own_images(
    odd_run: Run, odd_shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["label-next", str(odd_run.folder), str(odd_shapes / "bars"), "--out", str(tmp_path)]
    assert command(words) == 2
    assert "no usable image without a label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "no such"),
        ("empty", "no images in"),
        ("notes.txt", "has 0 files of it already, and 1 file cannot be read"),
        ("broken", "has 0 files of it already, and 3 files cannot be read"),
    ],
)
def test_label_next__says_in_one_line_why_a_folder_cannot_be_used(
    odd_run: Run, tmp_path: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    for i in range(3):
        (tmp_path / "broken" / f"{i}.jpg").write_bytes(b"\xff\xd8\xff torn %d" % i)
    words = ["label-next", str(odd_run.folder), str(tmp_path / name), "--out", str(tmp_path / "o")]
    assert command(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert name in told
    assert "Traceback" not in told
