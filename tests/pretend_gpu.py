"""A GPU that is not there: tensors that say they are on it, and compute on the CPU.

It refuses what a GPU refuses (operations on tensors of two devices, NumPy arrays of its tensors), counts
what the CPU waits for, and finishes a copy to the CPU that need not be waited for only when an event
after it is waited for: until then its target holds NaN. One thread sees it: the one that enters `gpu`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from headstart.features.capture import reads_values

CUDA = torch.device("cuda", 0)
aten = torch.ops.aten

# What takes tensors of two devices: copies, and indices that are on the CPU.
_COPIES = (aten.copy_.default, aten._to_copy.default)
_BY_INDEX = (
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
)


class OnGpu(Tensor):
    """A tensor whose values are in ``held``, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        made: OnGpu = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device("meta"),  # whose gradients need no thread of the device
        )
        made.held = held
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.held})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        raise RuntimeError(f"{func} of a tensor on the GPU, outside of `gpu`")


class PretendGpu(TorchDispatchMode):
    """Runs what is asked of the GPU.

    Attributes
    ----------
    reads : list of str
        Operations that the CPU waited for.
    room_bytes : float
        A larger tensor does not fit.
    """

    def __init__(self) -> None:
        super().__init__()
        # So that torch does not look for a driver before it asks this mode.
        self._mode_key = torch._C._TorchDispatchModeKey.FAKE
        if not hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
            pytest.skip(f"torch {torch.__version__} cannot pretend to have a GPU")
        torch._C._ensureCUDADeviceGuardSet()  # which leaves that of a real GPU alone
        self.reads: list[str] = []
        self.room_bytes = math.inf
        self.on_their_way: list[tuple[Tensor, Tensor]] = []

    def arrive(self, n: int | None = None) -> None:
        """Finish the first ``n`` copies that are on their way, or all."""
        n = len(self.on_their_way) if n is None else n
        arrived, self.on_their_way = self.on_their_way[:n], self.on_their_way[n:]
        for target, values in arrived:
            target.copy_(values)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        there = [x for x in tensors if isinstance(x, OnGpu)]
        is_there = self._is_there(func, args, kwargs, bool(there))
        if there:
            self._check(func, args, tensors)
        if there and reads_values(func, args, kwargs):
            self.reads.append(str(func))
        plain = tree_map(lambda x: x.held if isinstance(x, OnGpu) else x, (args, kwargs))
        if func in _COPIES and there and not is_there:
            return self._to_cpu(func, args, *plain)
        found = func(*plain[0], **plain[1])
        if not is_there:
            return found
        if any(x.nbytes > self.room_bytes for x in tree_leaves(found) if isinstance(x, Tensor)):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...\nOf it ...")
        own = next((x for x in there if x.held is found), None)  # of an operation in place
        return own if own is not None else tree_map(_placed, found)

    def _is_there(self, func: Any, args: Any, kwargs: dict[str, Any], is_any: bool) -> bool:
        """Whether the result is on the GPU; a device that is asked for becomes the CPU."""
        if func is aten.copy_.default:
            return isinstance(args[0], OnGpu)
        device = kwargs.get("device")
        if device is None:
            return is_any
        is_there = torch.device(device).type == "cuda" or (
            is_any and torch.device(device).type == "meta"
        )
        if is_there:
            kwargs["device"] = torch.device("cpu")
        return is_there

    def _check(self, func: Any, args: Any, tensors: list[Tensor]) -> None:
        if func in _BY_INDEX and isinstance(args[0], OnGpu):
            tensors = list(args[2:3])
        here = [x for x in tensors if x.dim() and not isinstance(x, OnGpu)]
        if not here or func in _COPIES:
            return
        raise RuntimeError(f"{func}: tensors on the CPU {[tuple(x.shape) for x in here]} and a GPU")

    def _to_cpu(self, func: Any, args: Any, plain: Any, options: Any) -> Tensor:
        is_waited_for = not (options.get("non_blocking") or (len(plain) > 2 and plain[2]))
        if is_waited_for:
            self.reads.append(str(func))
            self.arrive()
            found: Tensor = func(*plain, **options)
            return found
        target = args[0] if func is aten.copy_.default else torch.empty_like(args[0].held)
        values = (plain[1] if func is aten.copy_.default else plain[0]).clone()
        self.on_their_way.append((target, values))
        return target.fill_(torch.nan if target.is_floating_point() else 0)


def _placed(value: Any) -> Any:
    is_bare = isinstance(value, Tensor) and not isinstance(value, OnGpu)
    return OnGpu(value) if is_bare else value


class _Calls(TorchFunctionMode):
    """What torch does before it asks a dispatch mode."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        own = args[0] if args and isinstance(args[0], OnGpu) else None
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is torch.empty:
            kwargs.pop("pin_memory", None)
        if func is torch.Tensor.tolist and own is not None:
            return own.cpu().tolist()
        if func is torch.Tensor.numpy and own is not None:
            raise TypeError("can't convert a tensor on a GPU to NumPy")
        if func is torch.where and len(args) == 3:
            like = next((x for x in args[1:] if isinstance(x, OnGpu)), None)
            args = tuple(
                torch.full((), x, dtype=like.dtype).to(CUDA)
                if like is not None and not isinstance(x, Tensor)
                else x
                for x in args
            )
        return func(*args, **kwargs)


class _Event:
    """Knows which copies were on their way when it was recorded."""

    def __init__(self, mode: PretendGpu) -> None:
        self._mode, self._last = mode, 0

    def record(self) -> None:
        self._copies = list(self._mode.on_their_way)

    def synchronize(self) -> None:
        own = {id(target) for target, _ in self._copies}
        left = self._mode.on_their_way
        self._mode.arrive(sum(id(target) in own for target, _ in left))


class _Graph:
    def replay(self) -> None:
        pass


class _Stream:
    def wait_stream(self, other: _Stream) -> None:
        pass


@contextlib.contextmanager
def gpu() -> Iterator[PretendGpu]:
    """Within the context, this thread has a GPU."""
    mode, stream, fork_rng = PretendGpu(), _Stream(), torch.random.fork_rng
    with pytest.MonkeyPatch.context() as patched, _Calls(), mode:
        for name, value in {
            "device": lambda _: contextlib.nullcontext(),
            "stream": lambda _: contextlib.nullcontext(),
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "Event": lambda **_: _Event(mode),
            "CUDAGraph": _Graph,
            "graph": lambda *_, **__: contextlib.nullcontext(),
            "synchronize": lambda *_: mode.arrive(),
            "mem_get_info": lambda *_: (2**34, 2**34),
            "get_device_name": lambda *_: "pretend",
            "get_device_capability": lambda *_: (9, 0),
        }.items():
            patched.setattr(torch.cuda, name, value)
        patched.setattr(torch.random, "fork_rng", lambda devices: fork_rng(devices=[]))
        # Which does not work with tensors of this class.
        patched.setattr(torch, "inference_mode", torch.no_grad)
        patched.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
        yield mode


class PretendFabric:
    """What the training loop asks of Lightning Fabric, which would look for a GPU."""

    device = CUDA

    def setup(self, module: nn.Module, optimizer: Any) -> tuple[nn.Module, Any]:
        return module, optimizer

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def no_backward_sync(
        self, module: nn.Module, enabled: bool
    ) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()
