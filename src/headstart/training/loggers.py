"""Epochs of a training in MLflow, TensorBoard or Weights & Biases, by their own clients.

Each function returns what `train` and `headstart.fit` take as ``on_epoch``. The clients are not installed
with Headstart.

>>> import mlflow                                                    # doctest: +SKIP
>>> with mlflow.start_run():                                         # doctest: +SKIP
...     run = headstart.fit("photos/", budget_s=600, on_epoch=to_mlflow())
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import InputError

__all__ = ["to_mlflow", "to_tensorboard", "to_wandb"]

if TYPE_CHECKING:
    from headstart.training.history import Epoch

    Logger = Callable[[tuple[Epoch, ...]], None]


def to_mlflow() -> Logger:
    """Log the figures of each epoch as metrics of the active MLflow run.

    Raises InputError where MLflow is not installed.
    """
    mlflow = _client("mlflow", "mlflow")
    return lambda epochs: mlflow.log_metrics(_figures(epochs[-1]), step=epochs[-1].epoch)


def to_wandb() -> Logger:
    """Log the figures of each epoch to the active run of Weights & Biases (``wandb.init``).

    Raises InputError where its client is not installed.
    """
    wandb = _client("wandb", "wandb")
    return lambda epochs: wandb.log(_figures(epochs[-1]), step=epochs[-1].epoch, commit=True)


def to_tensorboard(folder: Path | str) -> Logger:
    """Write the figures of each epoch as scalars that ``tensorboard --logdir FOLDER`` shows.

    Raises InputError where TensorBoard is not installed.

    `folder`: made where it does not exist; one for each training.
    """
    writer = _client("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(folder))

    def log(epochs: tuple[Epoch, ...]) -> None:
        for name, value in _figures(epochs[-1]).items():
            writer.add_scalar(name, value, epochs[-1].epoch)
        writer.flush()

    return log


def _client(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"{package} is not installed: pip install {package}") from error


def _figures(epoch: Epoch) -> dict[str, float]:
    """What was measured, by name."""
    return {k: v for k, v in asdict(epoch).items() if k != "epoch" and not math.isnan(v)}
