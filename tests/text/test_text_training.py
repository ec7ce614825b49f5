"""Whole trainings: what is frozen to the last bit, what is kept, resumed and refused; files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from headstart.errors import DataError, HeadstartError, InputError, RunError, WeightsError
from headstart.text import (
    VARIANTS,
    TextCNN,
    TextTraining,
    TrainedText,
    Vocabulary,
    extract_taps,
    load_textcnn,
    predict_proba,
    save_textcnn,
    telling_ngrams,
    train_textcnn,
)
from headstart.text import saving as saving_module
from headstart.text.textcnn import linear_of
from headstart.text.training import divide_textcnn
from headstart.training import DivergedError
from headstart.training.loop import Loop
from headstart.training.regimes import hash_frozen

WORDS = tuple("abcdefghijkl")
VOCABULARY = Vocabulary.build([list(WORDS)])
VECTORS = np.random.default_rng(3).normal(size=(len(VOCABULARY), 6)).astype(np.float32)
SMALL: dict[str, Any] = {"widths": (2, 3), "n_maps": 4, "batch_size": 6, "epochs": 2, "lr": 1e-2}


def rows_and_labels(n: int, seed: int = 0) -> tuple[list[NDArray[np.int64]], list[str]]:
    """Texts of which every other one has the words ``a b`` beside each other."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        words = list(rng.choice(WORDS[2:], size=rng.integers(1, 9)))
        rows.append(VOCABULARY.encode(words + (["a", "b"] if i % 2 else [])))
    return rows, [("without", "with")[i % 2] for i in range(n)]


ROWS, LABELS = rows_and_labels(24)
VAL_ROWS, VAL_LABELS = rows_and_labels(12, seed=1)


def run(variant: str = "non-static", more: dict[str, Any] | None = None, **options: Any) -> Any:
    plan = TextTraining(**{**SMALL, "variant": variant, **(more or {})})
    vectors = None if variant == "rand" else VECTORS
    return train_textcnn(ROWS, LABELS, VOCABULARY, vectors, plan, **options)


def assert_same(one: TrainedText, other: TrainedText) -> None:
    theirs = other.model.state_dict()
    assert all(torch.equal(v, theirs[name]) for name, v in one.model.state_dict().items())


@pytest.mark.parametrize("variant", VARIANTS)
def test_train__what_is_frozen_has_the_hash_it_had(variant: str) -> None:
    start = TextCNN(
        len(VOCABULARY), 6, 2, variant=variant, widths=(2, 3), n_maps=4, vectors=VECTORS
    )
    division = divide_textcnn(start)
    trained = run(variant, {"n_features": 6, "weight_decay": 0.1}).model
    before, after = hash_frozen(start, division), hash_frozen(trained, division)
    has_static = variant in ("static", "multichannel")
    assert list(before) == (["channels.static.weight"] if has_static else [])
    assert before == after
    moved = {
        name for name, v in trained.state_dict().items() if not torch.equal(v, start.state_dict()[name])
    }  # fmt: skip
    assert moved == set(division.stages)
    assert set(division.stages.values()) == set(range(2 if variant == "static" else 3))


def test_train__counts_what_it_trains() -> None:
    maps = 6 * 4 * (2 + 3) + 8
    head = 8 * 2 + 2
    table = len(VOCABULARY) * 6
    counts = {v: run(v, {"epochs": 1, "n_features": 6}).n_trained_parameters for v in VARIANTS}
    assert counts == {
        "rand": table + maps + head,
        "static": maps + head,
        "non-static": table + maps + head,
        "multichannel": table + 2 * maps - 8 + head,
    }


def test_train__the_output_layer_stays_within_the_norm() -> None:
    norms = linear_of(run(more={"lr": 0.3, "epochs": 4, "max_norm": 0.5}).model).weight.norm(dim=1)
    assert float(norms.max()) <= 0.5 + 1e-6
    free = linear_of(run(more={"lr": 0.3, "epochs": 4, "max_norm": None}).model).weight.norm(dim=1)
    assert float(free.max()) > 0.5


def test_train__keeps_the_best_epoch_and_patience_ends_it() -> None:
    options: dict[str, Any] = {"val_rows": VAL_ROWS, "val_y": VAL_LABELS}
    found = run(more={"epochs": 40, "patience": 2, "lr": 0.1}, **options)
    losses = [epoch.val_loss for epoch in found.history]
    assert found.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == found.best_epoch + 2 < 40
    P = predict_proba(found.model, VAL_ROWS)
    right = [found.classes.index(y) for y in VAL_LABELS]
    loss = -np.log(P[np.arange(len(P)), right]).mean()
    assert loss == pytest.approx(min(losses), abs=1e-5)
    with pytest.raises(InputError, match="patience"):
        run(more={"patience": 2})


def test_train__another_seed_gives_another_network() -> None:
    one, same, other = (run(more={"seed": seed}) for seed in (0, 0, 1))
    assert_same(one, same)
    assert not torch.equal(linear_of(one.model).weight, linear_of(other.model).weight)


def test_train__stopped_within_an_epoch_goes_on_at_that_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if done == 7:
            raise StopError

    monkeypatch.setattr("headstart.training.loop.CHECKPOINT_EVERY_S", 0.0)
    plan = {"epochs": 3, "gradual_unfreezing": 1, "layer_decay": 0.5}
    with pytest.raises(StopError):
        run("multichannel", plan, folder=tmp_path, progress=stop)
    steps: list[int] = []
    resumed = run(
        "multichannel", plan, folder=tmp_path, progress=lambda s, done, total: steps.append(done)
    )
    assert steps[0] == 7, "the checkpoint is from before the step that was stopped"
    assert_same(resumed, run("multichannel", plan))


def test_train__refuses_the_checkpoint_of_other_texts_or_settings(tmp_path: Path) -> None:
    run(folder=tmp_path)
    with pytest.raises(RunError, match=r"lr 0\.01 there and 0\.02 here"):
        run(more={"lr": 0.02}, folder=tmp_path)
    plan = TextTraining(**{**SMALL, "variant": "non-static"})
    with pytest.raises(RunError, match="other training texts"):
        train_textcnn(ROWS[::-1], LABELS, VOCABULARY, VECTORS, plan, folder=tmp_path)
    with pytest.raises(RunError, match="other weights"):
        train_textcnn(ROWS, LABELS, VOCABULARY, 2 * VECTORS, plan, folder=tmp_path)


def test_train__a_loss_that_is_not_finite_stops_it() -> None:
    # Layers without a bound: vectors so large that float32 ends.
    plan = TextTraining(**{**SMALL, "variant": "static"})
    with pytest.raises(DivergedError, match=r"^the loss is (inf|nan) in epoch"):
        train_textcnn(ROWS, LABELS, VOCABULARY, np.full_like(VECTORS, 3e38), plan)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"y": LABELS[:-1]}, InputError, "24 training texts have 23 labels"),
        ({"val_rows": VAL_ROWS}, InputError, "12 validation texts have 0 labels"),
        ({"val_rows": [ROWS[0]], "val_y": ["new"]}, DataError, "'new' is none of the 2 classes"),
        ({"classes": ("with", "without", "else")}, DataError, "class 'else' has no training text"),
        ({"vectors": np.full_like(VECTORS, np.nan)}, InputError, "not finite"),
        ({"vectors": VECTORS[:, :0].reshape(-1)}, InputError, "must have shape"),
    ],
)
def test_train__bad_input_is_named(change: dict[str, Any], error: Any, said: str) -> None:
    given: dict[str, Any] = {
        "token_rows": ROWS,
        "y": LABELS,
        "vocabulary": VOCABULARY,
        "vectors": VECTORS,
        "settings": TextTraining(**{**SMALL, "variant": "static"}),
    }
    with pytest.raises(error, match=said):
        train_textcnn(**{**given, **change})


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"variant": "statik"}, "Did you mean 'static'"),
        ({"widths": ()}, "widths"),
        ({"widths": (3, 3)}, "different"),
        ({"widths": (0,)}, "widths must be a whole number"),
        ({"n_maps": 2.5}, "n_maps"),
        ({"max_words": True}, "max_words"),
        ({"max_norm": 0.0}, "max_norm"),
        ({"max_norm": float("nan")}, "max_norm"),
        ({"dropout": 1.0}, "dropout"),
        ({"lr": -1.0}, "lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"optimizer": "adm"}, "Did you mean"),
    ],
)
def test_settings__refuse_what_is_out_of_range(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TextTraining(**setting)


def test_settings__come_back_from_json() -> None:
    plan = TextTraining(variant="static", widths=(2, 4), patience=3)
    assert TextTraining.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    with pytest.raises(
        InputError, match=r"a setting of a TextCNN cannot be.*Did you mean 'widths'"
    ):
        TextTraining.from_dict({"width": 3})


def test_extract_taps__have_the_values_of_the_layers() -> None:
    model = run("multichannel").model
    taps = extract_taps(model, ROWS, batch_size=5)
    assert tuple(taps) == ("embedding", "width2", "width3", "penultimate")
    assert [X.shape[1] for X in taps.values()] == [12, 4, 4, 8]
    tables = [c.weight.numpy() for c in model.channels.values()]
    expected = [np.concatenate([table[row].mean(0) for table in tables]) for row in ROWS]
    np.testing.assert_allclose(taps["embedding"], expected, atol=1e-5)
    linear = linear_of(model)
    logits = taps["penultimate"] @ linear.weight.numpy().T + linear.bias.numpy()
    P = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(P, predict_proba(model, ROWS), atol=1e-6)


def test_predict__reads_as_many_words_as_training_did() -> None:
    trained = run(more={"max_words": 3})
    long = np.concatenate([ROWS[1][:3], ROWS[0]])
    np.testing.assert_array_equal(trained.proba([long]), trained.proba([long[:3]]))
    assert predict_proba(trained.model, []).shape == (0, 2)


def test_telling_ngrams__find_the_words_that_tell() -> None:
    trained = run(more={"epochs": 30})
    told = telling_ngrams(trained.model, ROWS, VOCABULARY, trained.classes, most=5)
    assert any({"a", "b"} & set(ngram.words) for ngram in told["with"][:2])
    for ngrams in told.values():
        scores = [ngram.score for ngram in ngrams]
        assert scores == sorted(scores, reverse=True)
        assert all(n.score > 0 and 1 <= n.n_texts <= len(ROWS) for n in ngrams)
    with pytest.raises(InputError, match="most"):
        telling_ngrams(trained.model, ROWS, VOCABULARY, trained.classes, most=0)
    with pytest.raises(InputError, match="2 classes, and 1"):
        telling_ngrams(trained.model, ROWS, VOCABULARY, ["with"])


def rewrite(path: Path, change: dict[str, Any]) -> None:
    """The same tensors with another header."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["headstart"])
    save_file(load_file(path), path, metadata={"headstart": json.dumps(header | change)})


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"schema": 99}, RunError, "has format 99"),
        ({"words": ["<pad>", "<unk>"]}, WeightsError, "is damaged"),
        ({"words": 3}, WeightsError, "is damaged"),
        ({"settings": {"variant": "static"}}, WeightsError, "is damaged"),
        ({"settings": {"lr": "x"}}, WeightsError, "is damaged"),
        ({"classes": ["one"]}, WeightsError, "is damaged"),
        ({"history": [{"epoch": 1}]}, WeightsError, "is damaged"),
    ],
)
def test_load__a_header_that_was_changed_is_told(
    change: dict[str, Any], error: Any, said: str, tmp_path: Path
) -> None:
    trained = run(more={"epochs": 1})
    rewrite(save_textcnn(tmp_path, trained, VOCABULARY), change)
    with pytest.raises(error, match=said):
        load_textcnn(tmp_path)


def test_load__a_file_of_something_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / saving_module.NAME
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="holds no text network"):
        load_textcnn(tmp_path)
    path.write_bytes(b"no tensors")
    with pytest.raises(WeightsError):
        load_textcnn(tmp_path)


def test_load__gives_all_back(tmp_path: Path) -> None:
    trained = run("multichannel", {"epochs": 1})
    save_textcnn(tmp_path, trained, VOCABULARY)
    again, words = load_textcnn(tmp_path)
    assert words == VOCABULARY
    for name in ("settings", "classes", "history", "best_epoch", "seconds", "device"):
        assert getattr(again, name) == getattr(trained, name)
    assert_same(again, trained)


def test_train__texts_count_by_their_weights() -> None:
    """The loss of one step of all texts, by hand from the network that it begins with."""
    more = {"batch_size": 50, "epochs": 1, "dropout": 0.0}
    start = run(more={**more, "lr": 1e-12}).model
    own = np.arange(len(ROWS), dtype=float) % 4
    P = predict_proba(start, ROWS)
    member = [sorted(set(LABELS)).index(label) for label in LABELS]
    losses = -np.log(P[np.arange(len(ROWS)), member])
    given: dict[str, Any] = {
        "val_rows": ROWS,
        "val_y": LABELS,
        "weights": own,
        "val_weights": own,
    }
    trained = run(more=more, **given)
    assert trained.history[0].train_loss == pytest.approx(np.average(losses, weights=own), rel=1e-4)
    assert trained.history[0].train_loss != pytest.approx(losses.mean(), rel=1e-4)
    after = predict_proba(trained.model, ROWS)
    expected = np.average(-np.log(after[np.arange(len(ROWS)), member]), weights=own)
    assert trained.history[0].val_loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ([1.0] * 3, r"have weights of shape \(3,\)"),
        ([-1.0] + [1.0] * 23, "text 0 has the weight -1"),
    ],
)
def test_train__refuses_weights_that_are_none(own: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(weights=own)


def test_train__says_what_to_do_when_the_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(loop: Loop) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 ...")

    monkeypatch.setattr(Loop, "run", full)
    with pytest.raises(HeadstartError, match=r"memory of cpu is full: .*smaller `batch_size`"):
        run()
