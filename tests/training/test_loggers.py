"""Epochs handed to other tools, by their own clients where these are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.errors import InputError
from headstart.training import loggers
from headstart.training.history import Epoch

NAN = float("nan")
FIRST = Epoch(
    epoch=1, train_loss=2.0, train_accuracy=0.5, val_loss=NAN, val_accuracy=NAN, lr=0.1, seconds=3.0
)
SECOND = Epoch(
    epoch=2,
    train_loss=1.0,
    train_accuracy=0.7,
    val_loss=1.5,
    val_accuracy=0.6,
    lr=0.05,
    seconds=3.0,
)


@pytest.mark.parametrize(
    ("logger", "package"),
    [("to_mlflow", "mlflow"), ("to_wandb", "wandb"), ("to_tensorboard", "tensorboard")],
)
def test_logger__says_what_to_install(
    logger: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(loggers, "import_module", missing)
    options = (tmp_path,) if logger == "to_tensorboard" else ()
    with pytest.raises(InputError, match=f"pip install {package}$"):
        getattr(loggers, logger)(*options)


def test_figures__leave_out_what_was_not_measured() -> None:
    assert set(loggers._figures(FIRST)) == {"train_loss", "train_accuracy", "lr", "seconds"}
    assert loggers._figures(SECOND)["val_accuracy"] == 0.6


def test_to_tensorboard__writes_scalars_that_it_reads(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = loggers.to_tensorboard(tmp_path)
    log((FIRST,))
    log((FIRST, SECOND))
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train_loss")] == [(1, 2.0), (2, 1.0)]
    assert [e.step for e in events.Scalars("val_loss")] == [2]


def test_to_mlflow__logs_metrics_of_the_active_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("headstart")
    with mlflow.start_run() as run:
        log = loggers.to_mlflow()
        log((FIRST,))
        log((FIRST, SECOND))
    found = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train_loss")
    assert [(m.step, m.value) for m in found] == [(1, 2.0), (2, 1.0)]


def test_to_wandb__logs_to_the_active_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=str(tmp_path)) as run:
        log = loggers.to_wandb()
        log((FIRST,))
        log((FIRST, SECOND))
        found = dict(run.summary)
    assert (found["train_loss"], found["val_accuracy"]) == (1.0, 0.6)
