"""Activations of the frozen part, computed once and trained on many times."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.features.engines import choose_engine
from headstart.finetune.network import Network, Prepared
from headstart.finetune.order import Order, trace_order

if TYPE_CHECKING:
    from headstart.backbones import Backbone, Tap

# Maps are kept in the 16-bit type with float32's range; features, which are small, in float32.
KEPT_DTYPE = torch.bfloat16
# The most that two orders of the same sums, and 8 bits of a kept map, change in a logit of size 1.
TOLERANCE = 1e-3


class UpperPart(nn.Module):
    """The part of a network above a tap, which takes the tap's value in place of images.

    The modules below the tap are passed over; the code between them sees zeros of the right shape.

    Parameters
    ----------
    prepared : Prepared
        Its network is shared.
    tap : Tap
        Where the trained part begins.
    """

    def __init__(self, prepared: Prepared, tap: Tap) -> None:
        super().__init__()
        self.network = prepared.network
        self._is_head = tap == prepared.features_tap
        self._side = prepared.backbone.preprocessing.size_px
        self._tap = tap
        if not self._is_head:
            path = prepared.path(tap.module)
            order = trace_order(self.network, torch.zeros(1, 3, self._side, self._side))
            self._shapes = _passed_over(order, path, tap)
            self._path = path

    def forward(self, value: Tensor) -> Tensor:
        """Logits (B, K) of the tap's values, as `frozen_values` gives them."""
        if self._is_head:
            logits: Tensor = self.network.head(value)
            return logits
        # Not the kept tensor itself: an activation that works in place may follow.
        value = value.clone()
        with contextlib.ExitStack() as stubs:
            for path, shape in self._shapes.items():
                stubs.enter_context(_stub(self.network, path, _zeros(value, shape)))
            stubs.enter_context(_stub(self.network, self._path, self._give(value)))
            images = _zeros(value, (1, 3, self._side, self._side))()
            whole: Tensor = self.network(images)
        return whole

    def _give(self, value: Tensor) -> Callable[..., Tensor]:
        if self._tap.side == "output":
            return lambda *_, **__: value
        module = self.network.get_submodule(self._path)
        return lambda _, *args, **kwargs: type(module).forward(module, value, *args, **kwargs)


def _passed_over(order: Order, path: str, tap: Tap) -> dict[str, tuple[int, ...]]:
    """The largest modules that have returned for good when the tap's value is there."""
    start = order.calls[path][0][0]
    done = {p for p, calls in order.calls.items() if max(end for _, end in calls) < start}
    return {
        p: order.shapes[p]
        for p in done
        if not any(p.startswith(f"{q}.") for q in done) and p in order.shapes
    }


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Callable[..., Tensor]:
    """Makes zeros of a recorded shape for a batch as large as `like`."""

    def make(*_: Any, **__: Any) -> Tensor:
        return torch.zeros(
            (len(like) * shape[0], *shape[1:]), dtype=torch.float32, device=like.device
        )

    return make


@contextlib.contextmanager
def _stub(network: nn.Module, path: str, forward: Callable[..., Tensor]) -> Iterator[None]:
    """Within the context, a submodule computes something else."""
    own = network.get_submodule(path).__dict__
    before = own.get("forward")  # folding puts one there too
    own["forward"] = forward
    try:
        yield
    finally:
        del own["forward"]
        if before is not None:
            own["forward"] = before


def make_upper(prepared: Prepared, tap: Tap) -> UpperPart | None:
    """The part above a tap; None where the network cannot be divided there.

    That is so where something above the tap reads something else from below it, as a skip
    connection that passes the tap by does. It is found out by a comparison of the logits.
    """
    network = prepared.network
    side = prepared.backbone.preprocessing.size_px
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, side, side, generator=generator)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        upper = UpperPart(prepared, tap)
        with torch.no_grad():
            expected = network(images)
            found = upper(frozen_values(prepared, tap, images))
    # A network's own code may do anything with the zeros it sees.
    except Exception:
        return None
    finally:
        for module, training in modes:
            module.training = training
    scale = max(1.0, float(expected.abs().max()))
    same = float((found - expected).abs().max()) <= TOLERANCE * scale
    return upper if same else None


def frozen_values(prepared: Prepared, tap: Tap, images: Tensor) -> Tensor:
    """The value of a tap for normalised images; for the last features, pooled: (B, d)."""
    from headstart.backbones import tapped_forward

    with torch.no_grad():
        if tap == prepared.features_tap:
            features: Tensor = prepared.network.body(images)
            return features
        return tapped_forward(prepared.backbone, images, [tap.name])[tap.name]


def value_bytes(prepared: Prepared, tap: Tap) -> int:
    """Bytes that the value of a tap takes for one image, as it is kept."""
    side = prepared.backbone.preprocessing.size_px
    network: Network = prepared.network
    device = next(network.parameters()).device
    value = frozen_values(prepared, tap, torch.zeros(1, 3, side, side, device=device))
    return value.numel() * kept_dtype(prepared, tap).itemsize


def kept_dtype(prepared: Prepared, tap: Tap) -> torch.dtype:
    """The type in which values of a tap are kept."""
    return torch.float32 if tap == prepared.features_tap else KEPT_DTYPE


class FrozenRunner:
    """Runs the frozen part on uint8 images by the machine's fastest engine.

    Parameters
    ----------
    prepared : Prepared
    tap : Tap
        Where the frozen part ends.
    n_images : int
        How many images will come: a conversion must pay for itself.
    device, precision : str
        As for :func:`headstart.features.extract`.
    cache : Path
        Where converted networks are kept.
    """

    def __init__(
        self,
        prepared: Prepared,
        tap: Tap,
        *,
        n_images: int,
        device: str,
        precision: str,
        cache: Path,
    ) -> None:
        self._dtype = kept_dtype(prepared, tap)
        backbone = whole_tap(prepared.backbone, tap, pooled=tap == prepared.features_tap)
        self.engine = choose_engine(
            backbone, n_images=n_images, precision=precision, device=device, cache=cache
        )
        self._pool = ThreadPoolExecutor(self.engine.n_workers, thread_name_prefix="frozen")

    def __call__(self, images: Tensor) -> Tensor:
        """Values of the tap, on the CPU, for images (n, 3, S, S), uint8."""
        squares = images.permute(0, 2, 3, 1).contiguous().numpy()
        size = self.engine.batch_size
        batches = [squares[i : i + size] for i in range(0, len(squares), size)]
        parts: Sequence[list[Any]] = list(self._pool.map(self.engine, batches))
        values = np.concatenate([part[0] for part in parts])
        return torch.from_numpy(values).to(self._dtype)

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown()


def whole_tap(backbone: Backbone, tap: Tap, *, pooled: bool) -> Backbone:
    """The backbone with one tap, whose value is given pooled or as the network computes it."""
    if not pooled:
        # A "vector" is not pooled; the name keeps a conversion of it apart from a pooled one.
        tap = dataclasses.replace(tap, kind="vector", name=f"{tap.name} as it is")
    return dataclasses.replace(backbone, taps=(tap,))
