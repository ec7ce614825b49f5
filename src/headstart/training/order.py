"""The order in which a forward pass uses parameters and submodules, by one traced pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter

from headstart.backbones.tracing import one_tensor


@dataclass(kw_only=True)
class Order:
    """Moments of one pass, counted from 1; what is never used is missing."""

    parameters: dict[str, int] = field(default_factory=dict)
    # module path to list of (moment of the call, moment of the return)
    calls: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def trace_order(module: nn.Module, images: torch.Tensor) -> Order:
    """Run `module` once and record the order of everything in it.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    images : Tensor of shape (B, 3, H, W)
    """
    order = Order()
    clock = _Clock({id(p): name for name, p in module.named_parameters()}, order)
    with contextlib.ExitStack() as stack:
        for path, child in module.named_modules():
            for handle in _hooks(path, child, clock, order):
                stack.callback(handle.remove)
        # The fused attention of nn.TransformerEncoderLayer calls no submodules.
        stack.enter_context(_no_fast_attention())
        stack.enter_context(torch.no_grad())
        stack.enter_context(clock)
        module(images)
    return order


class _Clock(TorchFunctionMode):
    """Counts calls of torch's functions, and records which parameters they use."""

    def __init__(self, names: dict[int, str], order: Order) -> None:
        super().__init__()
        self.now = 0
        self._names = names
        self._order = order

    def tick(self) -> int:
        self.now += 1
        return self.now

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Reading an attribute (`weight.dtype`) does not use the values.
        if getattr(func, "__name__", "") != "__get__":
            moment = self.tick()
            for value in tree_iter((args, kwargs or {})):
                name = self._names.get(id(value))
                if name is not None:
                    self._order.parameters.setdefault(name, moment)
        return func(*args, **(kwargs or {}))


def _hooks(path: str, module: nn.Module, clock: _Clock, order: Order) -> list[Any]:
    """Hooks that record calls and returns of `module`."""
    started: list[int] = []

    def on_call(*_: Any) -> None:
        started.append(clock.tick())

    def on_return(_: Any, __: Any, output: Any) -> None:
        tensor = one_tensor(output, 0)
        if isinstance(tensor, torch.Tensor):
            order.shapes[path] = tuple(tensor.shape)
        order.calls.setdefault(path, []).append((started.pop(), clock.tick()))

    # Also recorded on entry, so that a module left by an exception does not count as finished.
    hooks: list[Callable[[], Any]] = [
        lambda: module.register_forward_pre_hook(on_call),
        lambda: module.register_forward_hook(on_return),
    ]
    return [hook() for hook in hooks]


@contextlib.contextmanager
def _no_fast_attention() -> Iterator[None]:
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
