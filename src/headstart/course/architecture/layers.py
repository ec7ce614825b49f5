"""The operations of a network's forward pass.

Only shapes are propagated. Every PyTorch operation is recorded: convolutions, matrix products and
poolings become rows; activations, normalisations and sums are added to the row of their input. So
functions are seen as well as modules, and branches as well as chains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakTensorKeyDictionary

from headstart.backbones.tracing import BATCH, run_on_meta

# In operations of PyTorch, without the underscore of those that write in place.
_ACTIVATIONS = {
    "relu": "relu",
    "hardtanh": "relu6",
    "silu": "silu",
    "gelu": "gelu",
    "hardswish": "hard swish",
    "sigmoid": "sigmoid",
    "hardsigmoid": "hard sigmoid",
    "tanh": "tanh",
    "leaky_relu": "leaky relu",
    "elu": "elu",
}
_MAX_POOLS = ("max_pool2d_with_indices",)
_AVERAGE_POOLS = ("avg_pool2d", "_adaptive_avg_pool2d", "mean")
_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm")
_FLOAT_BYTES = 4

WHOLE = -1
"""Receptive field of what sees the whole picture."""


@dataclass(kw_only=True, slots=True)
class Operation:
    """One row: a convolution, a matrix product, attention or pooling."""

    module: str  # path of the innermost module that it happened in
    kind: str
    shape: tuple[int, ...]  # of the result for one image: (d, H, W), (n_tokens, d) or (d,)
    # kernel, stride: of a window; empty where there is none
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    activation: str = ""
    n_parameters: int = 0  # those of the normalisation that follows included
    macs: int = 0  # multiply-accumulates of one image
    # side of the square of input pixels that one value can depend on; `WHOLE` for the whole
    # picture; None where that is not known (windows of tokens)
    receptive_px: int | None = 1
    tap: str = ""  # the tap that this row ends

    @property
    def memory_bytes(self) -> int:
        """Of the result for one image, in float32."""
        n = 1
        for side in self.shape:
            n *= side
        return n * _FLOAT_BYTES


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of a tensor: its latest row, what it sees, and pixels between its places."""

    row: int = -1
    receptive_px: int | None = 1
    jump: int = 1


def follow(module: nn.Module, size_px: int, tap_of: Callable[[str], str]) -> list[Operation]:
    """The operations of one pass, in order.

    Raises BackboneError where the network cannot take an input of this side.

    `module`: in evaluation mode, on any device; its weights are not read. `size_px`: side of the
    input. `tap_of`: the tap whose output a module's is, or "".
    """
    watcher = _Watcher(module)
    with watcher.watching(tap_of), watcher:
        run_on_meta(module, size_px)
    last = watcher.rows[-1] if watcher.rows else None
    if last and last.kind == "fc" and not last.activation:
        last.activation = "softmax"
    return watcher.rows


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes rows while it is entered."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.module = module
        self.rows: list[Operation] = []
        self._seen = WeakTensorKeyDictionary()
        self._inside: list[str] = []
        self._counted: set[str] = set()

    @contextlib.contextmanager
    def watching(self, tap_of: Callable[[str], str]) -> Iterator[None]:
        """Within the context, it is known which module runs."""
        with contextlib.ExitStack() as hooks:
            for path, child in self.module.named_modules():
                before = child.register_forward_pre_hook(self._enter(path))
                after = child.register_forward_hook(self._leave(path, tap_of(path)))
                hooks.callback(before.remove)
                hooks.callback(after.remove)
            yield

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        results = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        if results:
            seen = self._note(func, args, kwargs or {}, results[0], out)
            if seen is not None:
                for result in results:
                    self._seen[result] = seen
        return out

    def _enter(self, path: str) -> Callable[..., None]:
        return lambda *_: self._inside.append(path)

    def _leave(self, path: str, tap: str) -> Callable[..., None]:
        def leave(child: nn.Module, _: Any, __: Any) -> None:
            self._inside.pop()
            if self.rows:
                self._count_parameters(path, child, self.rows[-1])
                self.rows[-1].tap = tap or self.rows[-1].tap

        return leave

    def _count_parameters(self, path: str, child: nn.Module, row: Operation) -> None:
        """What a module holds and nothing counted yet, to the row made last when it returned.

        Normalisations so come to the layer before them, and layers that are used but never called
        to the one that uses them. What the network itself holds (class token, positions) is no
        layer's.
        """
        if not path:
            return
        for below, part in child.named_modules(prefix=path):
            if below not in self._counted:
                self._counted.add(below)
                row.n_parameters += sum(p.numel() for p in part.parameters(recurse=False))

    def _note(self, func: Any, args: Any, kwargs: Any, result: Tensor, out: Any) -> _Seen | None:
        name = str(func._overloadpacket.__name__)
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        known = [self._seen[t] for t in given if t in self._seen]
        before = _merged(known)
        if name == "convolution":
            return self._convolution(
                args, before or _Seen(), result, self._macs(func, args, kwargs, out)
            )
        if before is None:
            return None  # arithmetic on weights alone
        if name.rstrip("_") in _ACTIVATIONS and before.row >= 0:
            row = self.rows[before.row]
            row.activation = row.activation or _ACTIVATIONS[name.rstrip("_")]
        if name in _MAX_POOLS or (name in _AVERAGE_POOLS and given[0].ndim == 4):
            return self._pooling(name, args, before, given[0], result)
        if name in _PRODUCTS or "attention" in name:
            return self._product(before, given, result, self._macs(func, args, kwargs, out))
        return before

    def _macs(self, func: Any, args: Any, kwargs: Any, out: Any) -> int:
        count = flop_registry.get(func._overloadpacket)
        return count(*args, **kwargs, out_val=out) // (2 * BATCH) if count else 0

    def _convolution(self, args: Any, before: _Seen, result: Tensor, macs: int) -> _Seen:
        image, weight, _, stride, _, dilation, _, _, groups = args[:9]
        kernel = tuple(weight.shape[2:])
        kind = "conv" if groups == 1 else "grouped conv"
        if 1 < groups == image.shape[1]:
            kind = "depthwise conv"
        span = max(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        return self._add(
            kind, result, before, span, max(stride), kernel=kernel, stride=tuple(stride), macs=macs
        )

    def _pooling(self, name: str, args: Any, before: _Seen, image: Tensor, result: Tensor) -> _Seen:
        kind = "max pool" if name in _MAX_POOLS else "average pool"
        if name in ("mean", "_adaptive_avg_pool2d"):
            if tuple(result.shape[-2:]) == tuple(image.shape[-2:]) and result.ndim == 4:
                return before  # an average of one value each
            if name == "mean" and sorted(d % 4 for d in args[1]) not in ([2, 3], [1, 2]):
                return before
            return self._add(kind, result, _Seen(before.row, WHOLE, before.jump), 0, 1)
        kernel = _pair(args[1])
        stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
        return self._add(
            kind, result, before, max(kernel) - 1, max(stride), kernel=kernel, stride=stride
        )

    def _product(self, before: _Seen, given: Sequence[Tensor], result: Tensor, macs: int) -> _Seen:
        """A linear layer, or the two products of attention, which share a row."""
        path = self._inside[-1] if self._inside else ""
        if isinstance(self.module.get_submodule(path), nn.Linear):
            out = result
            if result.shape[0] != BATCH and result.ndim == 2:
                out = result.reshape(BATCH, -1, result.shape[1])
            is_vector = out.ndim == 2 or out.shape[1] == 1
            seen = _Seen(before.row, WHOLE, before.jump) if is_vector else before
            return self._add(
                "fc", out[:, 0] if out.ndim == 3 and is_vector else out, seen, 0, 1, macs=macs
            )
        reach = self._attended(before, given)
        seen = _Seen(before.row, reach, before.jump)
        last = self.rows[-1] if self.rows else None
        if last and last.kind == "attention" and last.module == path:
            last.macs += macs
            last.receptive_px = reach
            return seen
        shape = self.rows[before.row].shape if before.row >= 0 else (result.numel() // BATCH,)
        if len(shape) == 3 and given[0].ndim == 2:  # maps have become one row a token
            shape = (given[0].shape[0] // BATCH, given[0].shape[1])
        row = Operation(module=path, kind="attention", shape=shape, macs=macs, receptive_px=reach)
        self.rows.append(row)
        return _Seen(len(self.rows) - 1, reach, before.jump)

    def _attended(self, before: _Seen, given: Sequence[Tensor]) -> int | None:
        """Attention over all tokens sees the whole picture; over windows, an unknown part."""
        if before.receptive_px == WHOLE:
            return WHOLE
        n_tokens = max(given[0].shape[-2:])
        shape = self.rows[before.row].shape if before.row >= 0 else ()
        n_places = shape[1] * shape[2] if len(shape) == 3 else shape[0] if len(shape) == 2 else 1
        return WHOLE if n_tokens >= n_places else None

    def _add(
        self,
        kind: str,
        result: Tensor,
        before: _Seen,
        span: int,
        step: int,
        **fields: Any,
    ) -> _Seen:
        reach = before.receptive_px
        if reach is not None and reach != WHOLE:
            reach += span * before.jump
        path = self._inside[-1] if self._inside else ""
        shape = tuple(result.shape[1:]) if result.shape[0] == BATCH else tuple(result.shape)
        if len(shape) == 3 and shape[1:] == (1, 1) and not fields.get("kernel"):
            shape = shape[:1]
        self.rows.append(
            Operation(module=path, kind=kind, shape=shape, receptive_px=reach, **fields)
        )
        return _Seen(len(self.rows) - 1, reach, before.jump * step)


def _merged(known: Sequence[_Seen]) -> _Seen | None:
    """Where branches meet: the latest row, and the widest view."""
    if not known:
        return None
    fields = [k.receptive_px for k in known]
    widest: int | None
    if WHOLE in fields:
        widest = WHOLE
    elif None in fields:
        widest = None
    else:
        widest = max(f for f in fields if f is not None)
    return _Seen(max(k.row for k in known), widest, max(k.jump for k in known))


def _pair(value: Any) -> tuple[int, ...]:
    pair = tuple(value) if isinstance(value, list | tuple) else (value,)
    return pair if len(pair) == 2 else pair * 2
