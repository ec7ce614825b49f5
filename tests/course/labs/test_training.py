from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import torch
from torch.nn import functional as F

from headstart.augment.searching import one_thread
from headstart.course.labs.networks import perceptron
from headstart.course.labs.samples import Samples, draw_task
from headstart.course.labs.training import adam, evaluate, sgd, train_small


def figures(log):
    return [replace(epoch, seconds=0.0) for epoch in log.history]


def fit(samples: Samples, rate: float = 0.1, **options):
    task = draw_task(samples, 60, seed=0)
    network = perceptron(16, 2, hidden=(8,), dropout=0.2, seed=0)
    settings = {"n_epochs": 3, "batch_size": 20, "seed": 0, **options}
    return network, train_small(network, task, sgd(rate), **settings)


def test_train_small__learns(blobs: Samples) -> None:
    _, log = fit(blobs, n_epochs=10)
    assert log.history[0].train_loss > 2 * log.last.train_loss
    assert log.last.val_accuracy > 0.9
    assert log.n_steps == 30


def test_train_small__same_seed_same_figures(blobs: Samples) -> None:
    assert figures(fit(blobs)[1]) == figures(fit(blobs)[1])
    assert figures(fit(blobs)[1]) != figures(fit(blobs, seed=1)[1])


def test_train_small__one_step_is_gradient_descent_by_hand(blobs: Samples) -> None:
    task = draw_task(blobs, 10, seed=0)
    network, same = (perceptron(16, 2, hidden=(), seed=0) for _ in range(2))
    F.cross_entropy(same(task.images), task.labels).backward()
    train_small(network, task, sgd(0.5), n_epochs=1, batch_size=10, seed=0)
    for p, q in zip(network.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), (q - 0.5 * q.grad).detach())


def test_train_small__stops_where_the_loss_is_no_number(blobs: Samples) -> None:
    _, log = fit(blobs, rate=1e30, n_epochs=9)
    assert log.has_diverged
    assert not math.isfinite(log.last.train_loss)
    assert log.n_steps < 27


def test_train_small__checks_as_often_as_asked_and_at_the_end(blobs: Samples) -> None:
    _, log = fit(blobs, n_epochs=5, check_every=2)
    assert [e.epoch for e in log.history] == [0, 2, 4, 5]
    assert log.last.train_loss == fit(blobs, n_epochs=5)[1].last.train_loss


def test_train_small__on_step_sees_every_batch_before_its_step(blobs: Samples) -> None:
    seen = []
    fit(blobs, on_step=lambda step, images, labels: seen.append((step, len(labels))))
    assert seen == [(step, 20) for step in range(9)]


def test_evaluate__uses_eval_mode(blobs: Samples) -> None:
    network, _ = fit(blobs)
    task = draw_task(blobs, 60, seed=0)
    assert evaluate(network, task.images, task.labels) == evaluate(
        network, task.images, task.labels
    )


def test_one_thread__is_undone() -> None:
    before = torch.get_num_threads()
    with contextlib.suppress(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_adam__takes_the_rate() -> None:
    assert adam(0.3)([torch.nn.Parameter(torch.ones(1))]).param_groups[0]["lr"] == 0.3
