"""Propagate shapes through a network on torch's meta device, computing and allocating nothing."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.errors import BackboneError, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 2  # tells the batch axis from axes of length one


@dataclass(frozen=True, slots=True)
class Call:
    """The only call of a submodule: its path, its shapes, and the work done until it returned.

    ``module`` is the dotted path, ``""`` for the network itself. ``macs`` are the
    multiply-accumulates per image from the input until this module returned (0 if not counted).
    ``output`` is the index of the first returned tensor with a row per image, to which
    ``output_shape`` belongs, and ``others`` are the index and shape of each further one.
    """

    module: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    macs: int
    output: int = 0
    others: tuple[tuple[int, tuple[int, ...]], ...] = ()


def trace_calls(module: nn.Module, size_px: int, *, count_macs: bool = False) -> list[Call]:
    """The submodules that are called once and return tensors, in the order they return.

    Raises BackboneError if the network cannot take an input of this side.

    `module`: on any device; it is not changed and its weights are not read. `size_px`: side of the
    square input. `count_macs`: also count multiply-accumulates: those of convolutions and of matrix
    products, attention included, as torchvision's ``_ops`` does.
    """

    shapes: list[Call] = []
    n_calls: Counter[str] = Counter()
    with _counter(count_macs) as macs_so_far, contextlib.ExitStack() as hooks:
        for path, child in module.named_modules():
            hook = _recorder(path, shapes, n_calls, macs_so_far)
            hooks.callback(child.register_forward_hook(hook).remove)
        run_on_meta(module, size_px)
    return [call for call in shapes if n_calls[call.module] == 1]


def run_on_meta(module: nn.Module, size_px: int) -> None:
    """Propagate the shapes of two images through `module`; its weights are not read.

    Raises BackboneError where it cannot take images of that size.
    """
    import torch

    held: dict[str, Tensor] = dict(module.named_parameters()) | dict(module.named_buffers())
    dtype = next((v.dtype for v in held.values() if v.is_floating_point()), torch.float32)
    images = torch.empty(BATCH, 3, size_px, size_px, dtype=dtype, device="meta")
    weights = {name: torch.empty_like(value, device="meta") for name, value in held.items()}
    was_fast = torch.backends.mha.get_fastpath_enabled()
    # The fused attention of nn.TransformerEncoderLayer calls no submodules and counts no work.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            torch.func.functional_call(module, weights, (images,))
    except Exception as error:
        reason = one_line(str(error).split("\n")[0] or type(error).__name__, limit=160)
        raise BackboneError(
            f"{type(module).__name__} cannot take an input of {size_px}x{size_px} px ({reason})"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)


def _recorder(
    path: str, shapes: list[Call], n_calls: Counter[str], macs_so_far: Callable[[], int]
) -> Callable[[Any, tuple[Any, ...], Any], None]:
    """A forward hook that records shapes; outputs without one row per image are skipped."""

    def record(_: Any, args: tuple[Any, ...], output: Any) -> None:
        n_calls[path] += 1
        found = [(i, tuple(v.shape)) for i, v in enumerate(_tensors(output)) if _is_batch(v)]
        if found:
            (index, shape), *others = found
            given = tuple(args[0].shape) if args and _is_batch(args[0]) else ()
            shapes.append(Call(path, given, shape, macs_so_far(), index, tuple(others)))

    return record


def _tensors(output: Any) -> Sequence[Any]:
    return output if isinstance(output, tuple | list) else [output]


def one_tensor(output: Any, index: int) -> Any:
    """The tensor that a tap keeps of what a layer returns."""
    return _tensors(output)[index] if _tensors(output) else output


def _is_batch(value: Tensor | Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.ndim >= 2 and value.shape[0] == BATCH


@contextlib.contextmanager
def _counter(wanted: bool) -> Iterator[Callable[[], int]]:
    """A function that returns the multiply-accumulates per image so far."""
    if not wanted:
        yield lambda: 0
        return
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        # It counts a multiply-accumulate as two operations, for the whole batch.
        yield lambda: counter.get_total_flops() // (2 * BATCH)
