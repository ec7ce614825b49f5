"""Fine-tuning within a fit: won, lost, skipped, failed and interrupted; and that it never peeks."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

import headstart
import headstart.data
from headstart.augment import parse_policy
from headstart.backbones import load
from headstart.data import Index
from headstart.errors import RunError, WeightsError
from headstart.export.hub import stage
from headstart.heads import paired_difference
from headstart.runs import finetuning, offer, training_plan
from headstart.runs.fit import train
from headstart.runs.outcome import Comparison, is_better
from headstart.runs.run import Run
from headstart.runs.sums import write_sums
from headstart.runs.training_plan import Asked
from headstart.training import DivergedError, TrainSettings

SETTINGS: dict[str, Any] = {
    "arch": "timm:test_efficientnet",
    "resolutions": (64,),
    "seed": 3,
    "Cs": (0.1, 1.0),
    "n_folds": 3,
    "budget_s": 3600.0,
    "precision": "float32",
}


@pytest.fixture(autouse=True)
def _few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs are enough to see that all is done that is to be done."""
    monkeypatch.setattr(training_plan, "EPOCHS", (2, 2))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a tiny network."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    net = load(SETTINGS["arch"], pretrained=False)
    save_file(net.module.state_dict(), path)
    return path


def write_table(path: Path, images: Path, *, swap: bool = False) -> Path:
    """Files with a number below 4 are for the test; ``swap``: with a wrong label."""
    lines = ["path,label,split"]
    for file in sorted(images.glob("*/[0-9]*.png")):
        label, number = file.parent.name, int(file.stem)
        split = "test" if number < 4 else "train"
        if split == "test" and swap:
            label = "dots" if label == "bars" else "bars"
        lines.append(f"{file},{label},{split}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def table(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("table") / "table.csv", shapes)


@pytest.fixture(scope="module")
def fit(store: Path, weights: Path) -> Callable[..., Run]:
    def call(data: Path, out: Path, **changes: Any) -> Run:
        settings = SETTINGS | {"weights": str(weights), "cache": store} | changes
        return headstart.fit(data, out=out, **settings)

    return call


@pytest.fixture(scope="module")
def won(table: Path, fit: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose fine-tuned network was taken, whatever the validation said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_plan, "EPOCHS", (2, 2))
        patch.setattr(Comparison, "wins", property(lambda comparison: True))
        patch.setattr(offer, "losses", lambda P, truth: np.zeros(len(truth)))
        return fit(table, tmp_path_factory.mktemp("runs") / "won")


@pytest.fixture(scope="module")
def mean(table: Path, fit: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose model is the mean of the network and the SVM, whatever the validation said."""
    losses = itertools.cycle((0.0, 1.0, 1.0, 1.0))  # mean, network, the offer, SVM
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_plan, "EPOCHS", (2, 2))
        patch.setattr(Comparison, "wins", property(lambda comparison: True))
        patch.setattr(offer, "losses", lambda P, truth: np.full(len(truth), next(losses)))
        return fit(table, tmp_path_factory.mktemp("runs") / "mean")


def find(shapes: Path, name: str) -> Path:
    """The file that a table named."""
    return shapes / Path(name).parent.name / Path(name).name


def leftovers(cache: Path) -> list[Path]:
    return list((cache / "finetuning").glob("*"))


def test_is_better__needs_more_than_one_standard_error() -> None:
    b = np.zeros(100, dtype=bool)
    a = b.copy()
    assert not is_better(paired_difference(a, b))
    a[:2] = True
    assert paired_difference(a, b).is_tie  # two against none is nothing unusual
    assert not is_better(paired_difference(a, b))
    a[:3] = True
    assert is_better(paired_difference(a, b))
    assert not is_better(paired_difference(b, a))


def test_fit__a_network_that_won_is_the_model(won: Run) -> None:
    tuned = won.metrics.finetuning
    assert (tuned.state, tuned.refitted, tuned.reason) == ("won", True, "")
    assert len(tuned.history) == 2
    n_train = won.metrics.selection.n_train
    assert (tuned.n_judged, tuned.n_parts, tuned.validation.n) == (3, 3, n_train)
    assert tuned.n_train < n_train
    assert tuned.diagnosis[0].code == "too-short"
    assert won.sentence.startswith("Fine-tuned network (all layers, 2 epochs at 64 px): ")
    assert "the SVM" in won.sentence
    assert won.detail.startswith("The mean of")
    assert won.provenance.training["epochs"] == 2
    assert won.model.is_finetuned
    assert sorted(p.name for p in (won.folder / "model").iterdir()) == [
        "head.safetensors",
        "model.json",
        "network.safetensors",
        "reliability.json",
        "reliability.safetensors",
    ]
    assert won.metrics.confusion.split == "test"
    checks = won.metrics.checks  # of what the run predicts with, on images that it had not seen
    assert checks.is_finetuned
    assert checks.n_parts == checks.n_judged == tuned.validation.n + won.metrics.data.n_test
    assert "judged by the fine-tuned network" in won.report().read_text()


def test_fit__a_mean_that_won_is_the_model(mean: Run, won: Run) -> None:
    assert mean.metrics.finetuning.validation.is_mean
    assert mean.sentence.startswith("Mean of the SVM and the fine-tuned network (all layers, 2 ")
    assert "mean of both" in mean.report().read_text()
    model = mean.model
    assert model.is_finetuned
    assert model.partner is not None
    assert not model.partner.is_finetuned
    np.testing.assert_array_equal(model.coef, won.model.coef)


def test_mean__is_the_calibrated_weighted_geometric_mean(mean: Run) -> None:
    p, q = np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([[0.4, 0.6], [0.2, 0.8]])
    weight = mean.model.pool.weight
    raised = (p**weight * q ** (1 - weight)) ** mean.model.pool.scale
    expected = raised / raised.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mean.model.mean(p, q), expected, rtol=1e-12)


def test_predict__with_a_partner_names_what_cannot_be_read(
    mean: Run, shapes: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    paths = [shapes / "dots" / "05.png", tmp_path / "broken.png", shapes / "bars" / "05.png"]
    made = mean.predict(paths)
    assert [bool(p.error) for p in made] == [False, True, False]


@pytest.mark.parametrize("name", ["won", "mean"])
def test_predict__of_a_loaded_run_equals_the_test_of_the_fit(
    name: str, shapes: Path, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(name)
    with (run.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    made = headstart.load(run.folder).predict([find(shapes, row["name"]) for row in rows])
    for p, row in zip(made, rows, strict=True):
        assert p.label == row["predicted"]
        for label, probability in p.top:
            assert f"{probability:.6f}" == row[f"p({label})"]


def test_predict__a_network_that_was_changed_is_refused(
    won: Run, tmp_path: Path, shapes: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(won.folder, copy)
    (copy / "model" / "network.safetensors").unlink()
    with pytest.raises(RunError, match="cannot be read"):
        headstart.load(copy).predict(shapes / "dots" / "05.png")
    write_sums(copy)  # the sums notice it first
    with pytest.raises(WeightsError, match="is missing"):
        headstart.load(copy).predict(shapes / "dots" / "05.png")


def test_model__of_a_network_passes_its_logits_through(won: Run) -> None:
    logits = np.array([[1.0, -2.0], [30.0, 40.0]], np.float32)
    np.testing.assert_array_equal(won.model.scores(won.model.join([logits])), logits)


def test_report__shows_the_fine_tuning(won: Run) -> None:
    page = won.report().read_text()
    for text in ('id="finetuning"', "figure-learning", "It wins", "all training images"):
        assert text in page, text


def test_fit__held_out_labels_never_change_the_network(
    shapes: Path,
    won: Run,
    fit: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Leakage: test labels swapped, the very same comparison and the very same weights."""
    monkeypatch.setattr(Comparison, "wins", property(lambda comparison: True))
    monkeypatch.setattr(offer, "losses", lambda P, truth: np.zeros(len(truth)))
    swapped = fit(write_table(tmp_path / "t.csv", shapes, swap=True), tmp_path / "run")
    for name in ("model.json", "head.safetensors"):  # the digest of the weights is in the first
        mine, its = (r.folder / "model" / name for r in (swapped, won))
        assert mine.read_bytes() == its.read_bytes()
    told = [r.metrics.finetuning for r in (swapped, won)]
    assert told[0].validation == told[1].validation
    assert [e.val_loss for e in told[0].history] == [e.val_loss for e in told[1].history]
    right = [r.metrics.test.accuracy.value for r in (swapped, won)]
    assert sum(right) == pytest.approx(1)


def test_fit__a_network_that_does_not_win_leaves_the_svm(
    table: Path, fit: Callable[..., Run], store: Path, tmp_path: Path
) -> None:
    plain = fit(table, tmp_path / "plain", budget_s=None)
    run = fit(table, tmp_path / "run")
    tuned = run.metrics.finetuning
    assert tuned.state == "lost"
    assert tuned.sentence.endswith(", so the SVM is kept.")
    assert "figure-learning" in run.report().read_text()
    assert plain.metrics.finetuning is None
    assert 'id="finetuning"' not in plain.report().read_text()
    for name in ("sentence", "test", "candidates", "chosen", "mistakes"):
        assert getattr(run.metrics, name) == getattr(plain.metrics, name)
    for name in ("model.json", "head.safetensors"):
        mine, its = (r.folder / "model" / name for r in (run, plain))
        assert mine.read_bytes() == its.read_bytes()
    assert leftovers(store) == []


def test_fit__is_skipped_where_it_does_not_fit_and_where_it_is_not_wanted(
    table: Path, fit: Callable[..., Run], tmp_path: Path
) -> None:
    run = fit(table, tmp_path / "short", budget_s=1e-3)
    assert run.metrics.finetuning.state == "skipped"
    assert "Fine-tuning skipped: needs about" in run.metrics.finetuning.sentence
    assert "Fine-tuning skipped: needs about" in run.report().read_text()
    off = fit(table, tmp_path / "off", finetune=False)
    assert off.metrics.finetuning is None
    assert off.provenance.command.count("--no-finetune") == 1


def test_fit__a_training_that_fails_leaves_the_svm(
    table: Path,
    fit: Callable[..., Run],
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wild = dataclasses.replace(training_plan.BASE, lr=1e30, clip_norm=None, optimizer="sgd")
    monkeypatch.setattr(training_plan, "BASE", wild)
    # Not in the timing already.
    cost = training_plan.Cost(step_s=1e-9, decode_s=0, start_s=0)
    monkeypatch.setattr(training_plan, "measure_cost", lambda *_: cost)
    run = fit(table, tmp_path / "run")
    tuned = run.metrics.finetuning
    assert tuned.state == "failed"
    assert "learning rate" in tuned.reason
    assert run.metrics.sentence.startswith("Mean of")
    assert leftovers(store) == []


def test_fit__a_failed_second_training_keeps_the_network_of_the_comparison(
    table: Path,
    fit: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full_disk(stage: str, done: int, total: int) -> None:
        if stage == "fine-tune on all":
            raise MemoryError("no room")

    monkeypatch.setattr(Comparison, "wins", property(lambda comparison: True))
    tuned = fit(table, tmp_path / "run", progress=full_disk).metrics.finetuning
    assert (tuned.state, tuned.refitted) == ("won", False)
    assert "no room" in tuned.reason


@pytest.mark.parametrize("is_full", [False, True])
def test_fit__judged_by_halves_needs_the_training_on_all_images(
    table: Path,
    fit: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_full: bool,
) -> None:
    def full_disk(stage: str, done: int, total: int) -> None:
        if is_full and stage == "fine-tune on all":
            raise MemoryError("no room")

    monkeypatch.setattr(Comparison, "wins", property(lambda comparison: True))
    monkeypatch.setattr(training_plan, "_parts_in", lambda *_: 2)
    run = fit(table, tmp_path / "run", progress=full_disk)
    tuned, n_train = run.metrics.finetuning, run.metrics.selection.n_train
    assert (tuned.n_judged, tuned.n_parts) == (2, 2)
    assert tuned.n_train == pytest.approx(n_train / 2, abs=2)
    if is_full:
        assert (tuned.state, tuned.validation) == ("failed", None)
        assert "no room" in tuned.reason
        assert not run.model.is_finetuned
    else:
        assert (tuned.state, tuned.refitted) == ("won", True)
        assert tuned.validation.n == n_train


def test_fit__a_part_that_fails_leaves_the_answer_to_the_others(
    table: Path,
    fit: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full_disk(stage: str, done: int, total: int) -> None:
        if stage == "fine-tune, part 2":
            raise MemoryError("no room")

    monkeypatch.setattr(Comparison, "is_hopeless", property(lambda comparison: False))
    tuned = fit(table, tmp_path / "run", progress=full_disk).metrics.finetuning
    assert (tuned.state, tuned.n_judged, tuned.n_parts) == ("lost", 1, 3)


def test_fit__a_hopeless_first_part_is_the_last(
    table: Path, fit: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Comparison, "is_hopeless", property(lambda comparison: True))
    tuned = fit(table, tmp_path / "run").metrics.finetuning
    assert (tuned.state, tuned.n_judged) == ("lost", 1)


def test_finetune__leaves_a_run_whose_model_is_the_network(
    table: Path, weights: Path, store: Path, shapes: Path, tmp_path: Path
) -> None:
    epochs: list[int] = []
    options = {k: v for k, v in SETTINGS.items() if k not in ("budget_s", "Cs")}
    run = headstart.finetune(
        table,
        regime="upper",
        tap="blocks.1",
        epochs=2,
        batch_size=8,
        normalise=False,
        size_px=64,
        out=tmp_path / "run",
        cache=store,
        weights=str(weights),
        on_epoch=lambda history: epochs.append(len(history)),
        **options,
    )
    tuned = run.metrics.finetuning
    assert epochs == [1, 2]
    assert (tuned.state, tuned.refitted, tuned.n_judged) == ("won", False, 1)
    assert tuned.rule.startswith("The training was asked for")
    assert run.sentence.startswith("Fine-tuned network (layers above blocks.1, 2 epochs at 64 px)")
    assert run.model.is_finetuned
    assert run.model.partner is None
    assert (
        "--regime upper --tap blocks.1 --epochs 2 --batch-size 8 --random-head"
        in run.provenance.command
    )
    assert "The training was asked for" in run.report().read_text()
    assert leftovers(store) == []
    made = headstart.load(run.folder).predict(shapes / "dots" / "05.png")
    assert made[0].label in ("bars", "dots")


def test_train__what_goes_wrong_is_an_error(
    table: Path, weights: Path, store: Path, tmp_path: Path
) -> None:
    wild = TrainSettings(epochs=1, lr=1e30, clip_norm=None, optimizer="sgd", seed=3)
    options = {k: v for k, v in SETTINGS.items() if k not in ("budget_s", "Cs")}
    with pytest.raises(DivergedError, match="learning rate"):
        train(
            table, Asked(settings=wild, starts_from_svm=True), out=tmp_path / "run", cache=store,
            weights=str(weights), **options,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()
    shutil.rmtree(store / "finetuning")


def test_train__counts_images_by_their_weights(
    table: Path, store: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "weights.csv").write_text("bars,5\n")
    options = {k: v for k, v in SETTINGS.items() if k not in ("budget_s", "Cs")}
    policy = tmp_path / "secret" / "policy.json"
    policy.parent.mkdir()
    policy.write_text(json.dumps(parse_policy("basic:flip=0").to_dict()))
    settings = TrainSettings(epochs=1, seed=3, augment=str(policy))
    run = train(
        table, Asked(settings=settings, starts_from_svm=True), out=tmp_path / "run", cache=store,
        weights=str(weights), class_weight=str(tmp_path / "weights.csv"), **options,
    )  # fmt: skip
    tuned = run.metrics.finetuning
    assert tuned.state == "won"
    assert tuned.validation.gain is not None
    assert "weighted accuracy" in tuned.sentence
    assert run.metrics.objective.is_weighted
    assert (
        f"--augment {policy}" in run.provenance.command
    )  # and nothing that is uploaded has the path
    assert run.provenance.training["augment"] == parse_policy("basic:flip=0").to_dict()
    stage(run, tmp_path / "up")
    written = [p for p in (tmp_path / "up").rglob("*") if p.is_file()]
    assert "network.safetensors" in {p.name for p in written}
    assert [p for p in written if b"secret" in p.read_bytes()] == []


class Stop:
    """Progress that is interrupted as by Ctrl-C at a step of a stage, and notes the rest."""

    def __init__(self, stage: str = "", step: int = 0) -> None:
        self.at = (stage, step)
        self.seen: list[tuple[str, int]] = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.seen.append((stage, done))
        if (stage, done) == self.at:
            raise KeyboardInterrupt


def test_fit__interrupted_goes_on_and_ends_equal(
    table: Path,
    won: Run,
    fit: Callable[..., Run],
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Comparison, "wins", property(lambda comparison: True))
    stopped = fit(table, tmp_path / "run", progress=Stop("fine-tune", 2))
    assert stopped.metrics.finetuning.state == "skipped"
    assert "goes on from there" in stopped.metrics.finetuning.sentence
    assert len(leftovers(store)) == 1
    # The plan is kept too: a machine that has become slower changes nothing.
    monkeypatch.setattr(finetuning, "plan_training", lambda *_, **__: pytest.fail("planned again"))
    second = Stop("fine-tune on all", 2)
    fit(table, tmp_path / "run", progress=second, force=True)
    assert ("fine-tune", 1) not in second.seen
    third = Stop()
    run = fit(table, tmp_path / "run", progress=third, force=True)
    assert {s for s, _ in third.seen if "fine-tune" in s} == {"fine-tune on all"}
    assert ("fine-tune on all", 1) not in third.seen
    assert run.model.backbone.digest == won.model.backbone.digest
    assert leftovers(store) == []


def test_fit__without_test_images_speaks_of_the_validation_images(
    table: Path,
    fit: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_test(*args: Any, **options: Any) -> Index:
        found = index(*args, **options)
        return dataclasses.replace(
            found, records=tuple(r for r in found.records if r.split != "test")
        )

    index = headstart.data.index
    monkeypatch.setattr(headstart.data, "index", without_test)
    monkeypatch.setattr(Comparison, "wins", property(lambda comparison: True))
    run = fit(table, tmp_path / "run")
    assert run.metrics.test is None
    n_val = run.metrics.finetuning.validation.n
    assert f"on {n_val} validation images" in run.sentence
    assert run.metrics.confusion.split == "validation"
    assert run.metrics.counts.sum() == n_val
    assert "the validation images by which fine-tuning was chosen" in run.report().read_text()
