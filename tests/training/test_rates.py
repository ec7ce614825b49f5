"""The range test: it finds a rate that works, and leaves no trace."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.training.rates import RangeTest, range_test

Batch = tuple[Tensor, Tensor]


def task(n_batches: int = 10, size: int = 32) -> list[Batch]:
    """Three Gaussian classes in eight dimensions."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (n_batches * size,), generator=generator)
    centres = 3 * torch.randn(3, 8, generator=generator)
    X = centres[y] + torch.randn(len(y), 8, generator=generator)
    return list(zip(X.split(size), y.split(size), strict=True))


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)
    )


def loss_of(module: nn.Module, batch: Batch) -> Tensor:
    # Draws from every generator, as augmentation may.
    jitter = random.random() * float(np.random.rand()) * 1e-3  # noqa: NPY002
    return nn.functional.cross_entropy(module(batch[0]), batch[1]) + jitter


def sgd(module: nn.Module, **more: Any) -> torch.optim.SGD:
    return torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, **more)


def fingerprint(module: nn.Module, optimizer: torch.optim.Optimizer, *more: Tensor) -> str:
    """Weights, buffers, gradients, modes, moments, options and random states, hashed."""
    whole = hashlib.sha256()
    tensors = [*module.parameters(), *module.buffers(), torch.get_rng_state(), *more]
    tensors += [p.grad for p in module.parameters() if p.grad is not None]
    for p in module.parameters():
        whole.update(b"none" if p.grad is None else b"some")
        for name, value in sorted(optimizer.state.get(p, {}).items()):
            whole.update(name.encode())
            tensors.append(value if isinstance(value, Tensor) else torch.tensor(value))
    for tensor in tensors:
        whole.update(tensor.detach().contiguous().numpy().tobytes())
    for group in optimizer.param_groups:
        whole.update(repr(sorted((k, v) for k, v in group.items() if k != "params")).encode())
    whole.update(repr([m.training for m in module.modules()]).encode())
    whole.update(repr(random.getstate()).encode())
    whole.update(repr(np.random.get_state()[1].tolist()).encode())  # noqa: NPY002
    return whole.hexdigest()


def warmed_up(make: Callable[..., torch.optim.Optimizer]) -> tuple[nn.Module, Any]:
    """A module and an optimizer with moments, and a gradient left over."""
    module = network()
    optimizer = make(module)
    for batch in task(2):
        optimizer.zero_grad()
        loss_of(module, batch).backward()
        optimizer.step()
    loss_of(module, task(1)[0]).backward()
    module[0].eval()
    return module, optimizer


MAKERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adamw": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3),
    "rmsprop": lambda m: torch.optim.RMSprop(m.parameters(), lr=1e-3),
    "fresh sgd": lambda m: torch.optim.SGD(m.parameters(), lr=1e-3),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_range_test__leaves_everything_as_it_was(
    make: Callable[[nn.Module], torch.optim.Optimizer],
) -> None:
    module, optimizer = warmed_up(make)
    own = torch.Generator().manual_seed(5)
    before = fingerprint(module, optimizer, own.get_state())

    def noisy(module: nn.Module, batch: Batch) -> Tensor:
        module.train()
        noise = torch.randn(batch[0].shape, generator=own)
        return loss_of(module, (batch[0] + 0.1 * noise, batch[1]))

    range_test(module, optimizer, task(), noisy, n_steps=40, generators=[own])
    assert fingerprint(module, optimizer, own.get_state()) == before


def test_range_test__training_afterwards_is_as_without_it() -> None:
    trained = []
    for with_test in (False, True):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        module, optimizer = warmed_up(sgd)
        torch.manual_seed(9)
        if with_test:
            range_test(module, optimizer, task(), loss_of, n_steps=30)
        for batch in task(5):
            optimizer.zero_grad()
            loss_of(module, batch).backward()
            optimizer.step()
        trained.append(fingerprint(module, optimizer))
    assert trained[0] == trained[1]


def test_range_test__leaves_everything_as_it_was_when_interrupted() -> None:
    module, optimizer = warmed_up(sgd)
    before = fingerprint(module, optimizer)

    def breaks(module: nn.Module, batch: Batch) -> Tensor:
        if optimizer.param_groups[0]["lr"] > 1e-3:
            raise KeyboardInterrupt
        return loss_of(module, batch)

    with pytest.raises(KeyboardInterrupt):
        range_test(module, optimizer, task(), breaks)
    assert fingerprint(module, optimizer) == before


def test_range_test__does_not_draw_more_batches_than_it_uses() -> None:
    batches = iter(task(20))
    module = network()
    range_test(module, sgd(module), batches, loss_of, n_steps=12, largest=1e-3)
    assert len(list(batches)) == 8


def run(**more: Any) -> RangeTest:
    module = network()
    return range_test(module, sgd(module), task(), loss_of, **more)


def test_range_test__suggests_a_rate_that_learns_and_stops_where_it_diverges() -> None:
    result = run(largest=1e4)
    assert result.stopped == "diverged"
    assert len(result.rates) < 100
    assert result.suggestion is not None
    assert result.steepest is not None
    assert result.lowest is not None
    assert result.suggestion == min(result.steepest, result.lowest / 10)
    after = {}
    for name, rate in {"suggested": result.suggestion, "timid": result.suggestion / 300}.items():
        module = network()
        optimizer = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9)
        for batch in task():
            optimizer.zero_grad()
            loss = loss_of(module, batch)
            loss.backward()
            optimizer.step()
        after[name] = float(loss.detach())
    assert after["suggested"] < 0.6 * after["timid"]


def test_range_test__rates_are_exponential_and_arrays_fit_together() -> None:
    result = run(smallest=1e-4, largest=1e-1, n_steps=31)
    np.testing.assert_allclose(result.rates, 1e-4 * 10 ** (np.arange(31) / 10))
    assert result.stopped == "end"
    assert result.rates.shape == result.losses.shape == result.smoothed.shape == (31,)
    assert all(a.dtype == np.float64 for a in (result.rates, result.losses, result.smoothed))


def test_range_test__first_loss_is_that_of_the_untrained_module() -> None:
    module = network().eval()
    first = task()[0]
    expected = float(nn.functional.cross_entropy(module(first[0]), first[1]).detach())
    result = range_test(
        module,
        sgd(module),
        task(),
        lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]),
        n_steps=10,
    )
    assert result.losses[0] == pytest.approx(expected)


def test_range_test__groups_keep_the_ratio_of_their_rates() -> None:
    module = network()
    optimizer = torch.optim.SGD(
        [
            {"params": module[0].parameters(), "lr": 0.01},
            {"params": module[4].parameters(), "lr": 0.1},
        ]
    )
    seen: list[list[float]] = []

    def spy(module: nn.Module, batch: Batch) -> Tensor:
        seen.append([group["lr"] for group in optimizer.param_groups])
        return loss_of(module, batch)

    result = range_test(module, optimizer, task(), spy, n_steps=10, largest=1e-2)
    np.testing.assert_allclose(np.array(seen), result.rates[:, None] * [0.1, 1.0])
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.1]


def test_range_test__no_suggestion_where_nothing_can_be_learnt() -> None:
    generator = torch.Generator().manual_seed(2)
    chaos = [
        (torch.randn(32, 8, generator=generator), torch.randint(0, 3, (32,), generator=generator))
        for _ in range(60)
    ]
    module = network()
    result = range_test(module, sgd(module), chaos, loss_of, n_steps=60, largest=1e-2)
    assert result.suggestion is None
    assert result.steepest is None


def test_range_test__a_loss_that_is_no_number_ends_it() -> None:
    calls = iter(range(1000))

    def breaks(module: nn.Module, batch: Batch) -> Tensor:
        return loss_of(module, batch) * (float("nan") if next(calls) >= 20 else 1.0)

    module = network()
    result = range_test(module, sgd(module), task(), breaks)
    assert result.stopped == "diverged"
    assert len(result.losses) == 20
    assert np.isfinite(result.smoothed).all()


def test_range_test__goes_round_a_list_and_not_round_an_iterator() -> None:
    def endless() -> Iterator[Batch]:
        yield from task(15)

    module = network()
    result = range_test(module, sgd(module), endless(), loss_of, largest=1e-2)
    assert (result.stopped, len(result.rates)) == ("out of batches", 15)
    assert len(run(largest=1e-2).rates) == 100


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"smallest": 0.0}, "0 < smallest < largest"),
        ({"smallest": 1.0, "largest": 0.1}, "0 < smallest < largest"),
        ({"largest": float("inf")}, "0 < smallest < largest"),
        ({"n_steps": 9}, "10 or more steps; got 9"),
        ({"divergence": 1.0}, "divergence must be above 1"),
    ],
)
def test_range_test__useless_ranges_are_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(**more)


def test_range_test__too_few_batches_are_refused() -> None:
    module = network()
    with pytest.raises(InputError, match="10 or more batches, got 3"):
        range_test(module, sgd(module), iter(task(3)), loss_of)
    with pytest.raises(InputError, match="10 or more batches, got 0"):
        range_test(module, sgd(module), [], loss_of)


def test_range_test__reports_progress() -> None:
    seen: list[tuple[str, int, int]] = []
    run(n_steps=10, progress=lambda *a: seen.append(a))
    assert seen == [("range test", i, 10) for i in range(1, 11)]
