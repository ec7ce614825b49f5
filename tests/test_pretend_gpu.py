"""The simulated GPU refuses what a GPU refuses, and counts what the CPU waits for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from headstart.features.capture import WaitsError, _NotWaiting
from pretend_gpu import CUDA, gpu


def fill_by_mask(x: Tensor) -> None:
    x[x > 2] = x[3:] * 1


WAITING: dict[str, Callable[[Tensor], object]] = {
    "_local_scalar_dense": lambda x: x.sum().item(),
    "index": lambda x: x[x > 2],
    "index_put_": fill_by_mask,
    "nonzero": lambda x: x.nonzero(),
    "masked_select": lambda x: x.masked_select(x > 2),
    "unique2": lambda x: x.unique(),
    "unique_consecutive": lambda x: x.unique_consecutive(),
    "repeat_interleave": lambda x: x.repeat_interleave(x),
    "bincount": lambda x: x.bincount(),
}


@pytest.mark.parametrize("name", WAITING)
def test_gpu__counts_what_the_cpu_waits_for(name: str) -> None:
    with gpu() as mode:
        x = torch.arange(5).to(CUDA)
        assert mode.reads == []
        WAITING[name](x)
        assert any(name in read for read in mode.reads)
        with pytest.raises(WaitsError, match=name), _NotWaiting():  # so that it is not captured
            WAITING[name](x.clone())


def test_gpu__does_not_wait_where_the_shape_is_known() -> None:
    with gpu() as mode:
        x = torch.arange(5).to(CUDA)
        with _NotWaiting():
            x.repeat_interleave(x, output_size=10)
            x[x.flip(0)] = x * 2
            torch.where(x > 2, x, x + 1)
        assert mode.reads == []


def test_gpu__refuses_values_of_the_cpu() -> None:
    with gpu():
        x = torch.arange(5).to(CUDA)
        x[torch.tensor([0, 1])] = x[2:4] * 1  # the indices may be on the CPU
        with pytest.raises(RuntimeError, match="tensors on the CPU"):
            x[torch.tensor([0, 1])] = torch.tensor([3, 4])
        with pytest.raises(RuntimeError, match="tensors on the CPU"):
            x + torch.arange(5)
