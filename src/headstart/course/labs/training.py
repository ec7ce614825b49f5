"""The training loop of the experiments: tensors in memory, one thread, one seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.course.labs.samples import Task
from headstart.training import Epoch

OnStep = Callable[[int, Tensor, Tensor], None]
MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class Log:
    """The history of one training run."""

    # losses and accuracies in eval mode after each epoch; epoch 0 is the untrained network
    history: tuple[Epoch, ...]
    n_steps: int  # number of optimizer steps
    has_diverged: bool  # whether the loss became NaN or infinite, which ends the history

    @property
    def last(self) -> Epoch:
        return self.history[-1]


def train_small(
    network: nn.Module,
    task: Task,
    make_optimizer: MakeOptimizer,
    *,
    n_epochs: int,
    batch_size: int,
    seed: int,
    check_every: int = 1,
    on_step: OnStep | None = None,
) -> Log:
    """Minimise cross-entropy; the same arguments give the same figures.

    Parameters
    ----------
    network : torch.nn.Module
        Trained in place.
    make_optimizer : callable
        Takes the parameters, returns a torch optimizer.
    n_epochs, batch_size : int
        An incomplete last batch is dropped, so that all steps weigh the same.
    seed : int
        Random seed for the order of the images.
    check_every : int
        Epochs between evaluations; the last epoch is always evaluated.
    on_step : callable (step, images, labels), optional
        Called before each step with its batch; it must not change the network.
    """
    optimizer = make_optimizer(list(network.parameters()))
    batch_size = min(batch_size, len(task.labels))
    history = [_epoch(network, task, 0, optimizer, 0.0)]
    step, seconds = 0, 0.0
    for epoch in range(1, n_epochs + 1):
        started = time.perf_counter()
        for rows in _batches(len(task.labels), batch_size, seed, epoch):
            images, labels = task.images[rows], task.labels[rows]
            network.train()
            if on_step is not None:
                on_step(step, images, labels)
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
        seconds += time.perf_counter() - started
        if epoch % check_every and epoch < n_epochs:
            continue
        history.append(_epoch(network, task, epoch, optimizer, seconds))
        seconds = 0.0
        if not math.isfinite(history[-1].train_loss):
            return Log(history=tuple(history), n_steps=step, has_diverged=True)
    return Log(history=tuple(history), n_steps=step, has_diverged=False)


def _batches(n: int, batch_size: int, seed: int, epoch: int) -> Iterator[Tensor]:
    order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(n))
    return (order[i : i + batch_size] for i in range(0, n - batch_size + 1, batch_size))


def _epoch(
    network: nn.Module, task: Task, epoch: int, optimizer: torch.optim.Optimizer, seconds: float
) -> Epoch:
    train_loss, train_accuracy = evaluate(network, task.images, task.labels)
    val_loss, val_accuracy = evaluate(network, task.val_images, task.val_labels)
    return Epoch(
        epoch=epoch,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        lr=float(optimizer.param_groups[0]["lr"]),
        seconds=seconds,
    )


@torch.no_grad()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in eval mode."""
    network.eval()
    logits = network(images)
    right = (logits.argmax(1) == labels).float().mean()
    return float(F.cross_entropy(logits, labels)), float(right)


def sgd(rate: float, momentum: float = 0.0) -> MakeOptimizer:
    """Stochastic gradient descent, for `train_small`."""
    return lambda parameters: torch.optim.SGD(parameters, lr=rate, momentum=momentum)


def adam(rate: float) -> MakeOptimizer:
    """Adam with torch's other defaults, for `train_small`."""
    return lambda parameters: torch.optim.Adam(parameters, lr=rate)
