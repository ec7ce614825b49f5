"""Activations of the frozen part, computed once and reused in every epoch."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.features.cores import one_core_workers
from headstart.features.engines import choose_engine
from headstart.training.network import Network, Prepared
from headstart.training.order import Order, trace_order

if TYPE_CHECKING:
    from headstart.backbones import Backbone, Tap

# Maps are stored in bfloat16, which has float32's range; features, which are small, in float32.
KEPT_DTYPE = torch.bfloat16
# Tolerance for a different order of sums, relative to the largest logit.
TOLERANCE = 1e-3


class UpperPart(nn.Module):
    """The part of a network above a tap, which takes the tap's value instead of images.

    Modules below the tap are skipped; the code between them sees zeros of the right shape.

    Parameters
    ----------
    prepared : Prepared
        Its network is shared.
    tap : Tap
        The tap below the trained part.
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
        """Logits (B, K) for the tap's values from `frozen_values`."""
        if self._is_head:
            logits: Tensor = self.network.head(value)
            return logits
        # A copy, because an in-place activation may follow.
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
    """The largest modules that have finished when the tap's value is available."""
    start = order.calls[path][0][0]
    done = {p for p, calls in order.calls.items() if max(end for _, end in calls) < start}
    return {
        p: order.shapes[p]
        for p in done
        if not any(p.startswith(f"{q}.") for q in done) and p in order.shapes
    }


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Callable[..., Tensor]:
    """Zeros of a recorded shape, with the batch size of `like`."""

    def make(*_: Any, **__: Any) -> Tensor:
        return torch.zeros(
            (len(like) * shape[0], *shape[1:]), dtype=torch.float32, device=like.device
        )

    return make


@contextlib.contextmanager
def _stub(network: nn.Module, path: str, forward: Callable[..., Tensor]) -> Iterator[None]:
    """Replace the forward function of a submodule within the context."""
    own = network.get_submodule(path).__dict__
    before = own.get("forward")  # folding does the same
    own["forward"] = forward
    try:
        yield
    finally:
        del own["forward"]
        if before is not None:
            own["forward"] = before


def make_upper(prepared: Prepared, tap: Tap) -> UpperPart | None:
    """The part above a tap; None if the network cannot be divided there.

    This is the case if a skip connection bypasses the tap. It is detected by comparing logits.
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
    # The network's code may raise anything on the zeros.
    except Exception:
        return None
    finally:
        for module, training in modes:
            module.training = training
    error, scale = (float(values.abs().max()) for values in (found - expected, expected))
    return upper if error <= TOLERANCE * scale else None


def frozen_values(prepared: Prepared, tap: Tap, images: Tensor) -> Tensor:
    """The value of a tap for normalised images; the last features are pooled to (B, d)."""
    from headstart.backbones import tapped_forward

    with torch.no_grad():
        if tap == prepared.features_tap:
            features: Tensor = prepared.network.body(images)
            return features
        return tapped_forward(prepared.backbone, images, [tap.name])[tap.name]


def value_bytes(prepared: Prepared, tap: Tap) -> int:
    """Stored bytes of a tap's value for one image."""
    side = prepared.backbone.preprocessing.size_px
    network: Network = prepared.network
    device = next(network.parameters()).device
    value = frozen_values(prepared, tap, torch.zeros(1, 3, side, side, device=device))
    return value.numel() * kept_dtype(prepared, tap).itemsize


def kept_dtype(prepared: Prepared, tap: Tap) -> torch.dtype:
    """The dtype in which values of a tap are stored."""
    return torch.float32 if tap == prepared.features_tap else KEPT_DTYPE


class FrozenRunner:
    """Runs the frozen part on uint8 images with the fastest engine of the machine.

    Parameters
    ----------
    tap : Tap
        The last tap of the frozen part.
    n_images : int
        Number of images to run, which decides whether a conversion pays off.
    device, precision : str
        As for :func:`headstart.features.extract`.
    cache : Path
        Folder of converted networks.
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
        self._stack = contextlib.ExitStack()
        self._pool = self._stack.enter_context(one_core_workers(self.engine.n_workers, "frozen"))

    def __call__(self, images: Tensor) -> Tensor:
        """Values of the tap, on the CPU, for images (n, 3, S, S), uint8."""
        squares = images.permute(0, 2, 3, 1).contiguous().numpy()
        size = self.engine.batch_size
        batches = [squares[i : i + size] for i in range(0, len(squares), size)]
        parts: Sequence[list[Any]] = list(self._pool.map(self.engine, batches))
        values = np.concatenate([part[0] for part in parts])
        return torch.from_numpy(values).to(self._dtype)

    def close(self) -> None:
        """Stop the threads."""
        self._stack.close()


def whole_tap(backbone: Backbone, tap: Tap, *, pooled: bool) -> Backbone:
    """The backbone with one tap, whose value is pooled or unchanged."""
    if not pooled:
        # A "vector" is not pooled; the name distinguishes its conversion from a pooled one.
        name = f"{tap.name} as it is"
        tap = dataclasses.replace(tap, kind="vector", name=name, token="mean", norm="")
    return dataclasses.replace(backbone, taps=(tap,))
