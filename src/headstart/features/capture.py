"""Passes captured as CUDA graphs: one launch instead of hundreds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Run = Callable[[Tensor], Tensor]


class Replayed:
    """A pass with fixed places for its input and output, as a captured graph has them.

    All batches have the shape of ``example``. From ``run`` and the input's place, ``capture`` makes a
    function that repeats the pass, and the output's place.
    """

    def __init__(
        self,
        run: Run,
        example: Tensor,
        capture: Callable[[Run, Tensor], tuple[Callable[[], None], Tensor]],
    ) -> None:
        self._input = example.clone()
        self._replay, self._output = capture(run, self._input)

    def __call__(self, batch: Tensor) -> Tensor:
        """The output, which the next call overwrites."""
        self._input.copy_(batch, non_blocking=True)
        self._replay()
        return self._output


def new_stream() -> torch.cuda.Stream:
    """A stream beside the one in use."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


class WaitsError(RuntimeError):
    """A pass waits for the device, or copies to or from it."""


class _NotWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises at an operation that no graph can contain; of this thread only."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        is_copy = func.overloadpacket in _COPIES
        tensors = [x for x in tree_leaves((args, found)) if isinstance(x, Tensor)]
        # Numbers on the CPU are handed over by value.
        devices = {x.device for x in tensors if is_copy or x.dim()}
        if reads_values(func, args, kwargs) or len(devices) > 1:
            raise WaitsError(f"it waits for the device in {func}")
        return found


def reads_values(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether the CPU needs values of the inputs: to return them, or for the shape of the output."""
    aten, packet = torch.ops.aten, func.overloadpacket
    if packet in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
        is_masked = any(
            x.dtype in (torch.bool, torch.uint8)
            for x in tree_leaves(args[1])
            if isinstance(x, Tensor)
        )
        # A number is filled in where the mask is true.
        is_fill = packet is not aten.index and not args[2].dim() and args[2].device.type == "cpu"
        return is_masked and not is_fill
    if packet is aten.repeat_interleave:
        return kwargs.get("output_size") is None
    if packet is aten._linalg_check_errors:
        return True
    tags = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
    return any(tag in func.tags for tag in tags)


_COPIES = (torch.ops.aten.copy_, torch.ops.aten._to_copy)


def capture_cuda(run: Run, place: Tensor) -> tuple[Callable[[], None], Tensor]:
    """Capture a pass as a CUDA graph.

    Raises WaitsError where it cannot be captured. To try would cost memory: before version 2.12, torch goes
    on after a capture that failed as if it was not over.
    """
    # Libraries choose and allocate in their first calls, which a capture does not allow.
    side = new_stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        with _NotWaiting():  # type: ignore[no-untyped-call]
            run(place)
        for _ in range(2):
            run(place)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Other threads may use the device meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        output = run(place)
    return graph.replay, output
