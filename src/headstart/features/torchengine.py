"""The backbone in PyTorch, on any device.

A batch is one upload of bytes, one pass and one read-back: pooled features of all taps are joined on
the device, and nothing waits for the device but :meth:`Launched.result`. On a GPU the uploads have a
stream of their own, memory on this side is page-locked, and the pass is one captured graph where that
is faster, so that a single launch is all that needs the interpreter lock. On a CPU each thread has a
copy of the network that shares its weights.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.backbones.folding import find_pairs, fold_for_good
from headstart.backbones.tapped import Pooling, TappedModule
from headstart.errors import explain_full_memory, one_line
from headstart.features.capture import Replayed, Run, capture_cuda, new_stream
from headstart.features.cores import n_cores
from headstart.files import mark_used, write_atomically

if TYPE_CHECKING:
    from headstart.backbones import Backbone

logger = logging.getLogger(__name__)

CPU_BATCH, DEVICE_BATCH = 16, 64
# Powers of two: a shard of the store is a whole number of batches.
_BATCHES = (256, 128, 64, 32, 16, 8)
# Of a GPU's free memory, for one batch of one resolution; several run side by side.
_SHARE_OF_MEMORY = 0.2
# With fewer images, trying plans costs more than it saves: each takes up to ten batches.
WORTH_TRYING = 2_000
_N_TIMED, _TIMED_S = 5, 0.3
# A memory format so much slower than the other is not tried as a graph.
_CLEARLY = 2.0
# Tolerance of folded normalisation, relative to the largest feature of a tap.
_FOLDED = 1e-4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a network runs on a device."""

    batch_size: int
    channels_last: bool = True  # memory format of weights and maps
    graph: bool = False  # capture the pass once and replay it: one launch a batch; CUDA only


class Uint8Module(nn.Module):
    """A tapped backbone that takes uint8 crops (B, H, W, 3) and normalises them itself."""

    scale: Tensor
    shift: Tensor

    def __init__(self, backbone: Backbone, pooling: Pooling = "average") -> None:
        super().__init__()
        self.tapped = TappedModule(backbone, pooling=pooling)
        self.dtype: torch.dtype | None = None
        self.autocast: torch.dtype | None = None
        self.memory_format: torch.memory_format | None = None
        preprocessing = backbone.preprocessing
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.register_buffer("scale", (1 / (255 * std)).reshape(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pooled features (B, d) of every tap, float32."""
        x = images.permute(0, 3, 1, 2).float() * self.scale + self.shift
        if self.memory_format is not None:
            x = x.contiguous(memory_format=self.memory_format)
        if self.dtype is not None:
            x = x.to(self.dtype)
        with self._casting(x.device.type):
            outputs: tuple[Tensor, ...] = self.tapped(x)
        return outputs

    def _casting(self, device: str) -> contextlib.AbstractContextManager[object]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(device, self.autocast)

    def lower(self, dtype: torch.dtype) -> None:
        """Convert the network's weights; what is done to crops and to the values of taps stays float32."""
        self.tapped.lower(dtype)
        self.dtype = dtype

    def arrange(self, memory_format: torch.memory_format) -> None:
        """Take a memory format for weights and maps."""
        self.memory_format = memory_format
        self.to(memory_format=memory_format)


class Launched:
    """A batch on its way: `result` waits for it."""

    def __init__(
        self,
        values: Tensor,
        widths: Sequence[int],
        done: torch.cuda.Event | None = None,
        held: Sequence[Tensor] = (),
    ) -> None:
        self._values, self._widths, self._done = values, widths, done
        # Memory of both sides that the device still reads. `record_stream` would keep it longer, and
        # for ever after a capture that failed.
        self._held = held

    def result(self) -> list[NDArray[np.float32]]:
        """Features of every tap, each (n, d)."""
        if self._done is not None:
            self._done.synchronize()
        self._held = ()
        return [
            np.ascontiguousarray(v.numpy())
            for v in torch.split(self._values, list(self._widths), dim=1)
        ]


class TorchEngine:
    """The backbone in PyTorch; arguments as of :func:`headstart.features.engines.choose_engine`.

    From :data:`WORTH_TRYING` images on, plans are tried on a GPU, and the one that is found is kept in
    `cache`, so that later runs compute the same bits. A given `plan` is taken as it is.
    """

    def __init__(
        self,
        backbone: Backbone,
        precision: str,
        device: str,
        pooling: Pooling = "average",
        *,
        pads: bool = True,
        n_threads: int | None = None,
        n_images: int = 0,
        cache: Path | None = None,
        max_batch: int | None = None,
        plan: Plan | None = None,
    ) -> None:
        self._pads = pads
        self.name = f"torch {device} {precision}"
        self.device = torch.device(device)
        self._is_cuda = self.device.type == "cuda"
        # One more where threads wait for the device.
        self.n_workers = (n_threads or n_cores()) + (self.device.type != "cpu")
        self._lock, self._local = threading.RLock(), threading.local()
        self._size_px = backbone.preprocessing.size_px
        self._batches = [b for b in _BATCHES if b <= (max_batch or b)] or [_BATCHES[-1]]
        with explain_full_memory(device), self._on_device():
            self._module, self._widths = _prepared(
                backbone, pooling, self.device, getattr(torch, precision)
            )
            with torch.inference_mode():
                self._copies = new_stream() if self._is_cuda else None
                self.plan = plan or self._choose(backbone, pooling, n_images, cache)
                self.batch_size = self.plan.batch_size
                self._run = self._runner(self.plan)

    @property
    def launches(self) -> bool:
        """Whether `launch` returns before the batch is done."""
        return self._is_cuda

    def __call__(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Features of every tap, each (B, d) float32."""
        return self.launch([self.hold(images)]).result()

    def hold(self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Tensor:
        """Crops (n, H, W, 3) in memory from which the device copies by itself."""
        if not self._is_cuda:
            return torch.from_numpy(images if isinstance(images, np.ndarray) else np.stack(images))
        held = torch.empty((len(images), *images[0].shape), dtype=torch.uint8, pin_memory=True)
        for row, image in zip(held.numpy(), images, strict=True):
            row[...] = image
        return held

    def launch(self, parts: Sequence[Tensor]) -> Launched:
        """Start one batch, given in parts from `hold` of together ``batch_size`` crops or fewer.

        Batches of several threads run in the order of their launches.
        """
        n = sum(map(len, parts))
        with (
            explain_full_memory(str(self.device)),
            self._in_turn(),
            self._on_device(),
            torch.inference_mode(),
        ):
            batch = self._upload(parts, self.batch_size if self._pads else n)
            values = self._run(batch)[:n]
            # Page-locked, so that the copy runs by itself; the next pass waits for it.
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=self._is_cuda)
            host.copy_(values, non_blocking=self._is_cuda)
            if not self._is_cuda:
                return Launched(host, self._widths)
            # Waiting sleeps, instead of taking a core from the decoders.
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record()
            return Launched(host, self._widths, done, (batch, *parts))

    def _in_turn(self) -> contextlib.AbstractContextManager[object]:
        """One launch after the other where they share a network or buffers; none waits for a pass."""
        is_alone = self.device.type == "cpu" and not self.plan.graph
        return contextlib.nullcontext() if is_alone else self._lock

    def _on_device(self) -> contextlib.AbstractContextManager[object]:
        return torch.cuda.device(self.device) if self._is_cuda else contextlib.nullcontext()

    def _upload(self, parts: Sequence[Tensor], n: int) -> Tensor:
        """The parts on the device, padded with black to ``n`` crops."""
        if self.device.type == "cpu" and len(parts) == 1 and len(parts[0]) == n:
            return parts[0]
        on_its_own = torch.cuda.stream(self._copies) if self._copies else contextlib.nullcontext()
        with on_its_own:
            batch = torch.empty((n, *parts[0].shape[1:]), dtype=torch.uint8, device=self.device)
            at = 0
            for part in parts:
                batch[at : at + len(part)].copy_(part, non_blocking=self._is_cuda)
                at += len(part)
            batch[at:].zero_()
        if self._copies:
            torch.cuda.current_stream().wait_stream(self._copies)
        return batch

    def _blank(self, n: int) -> Tensor:
        shape = (n, self._size_px, self._size_px, 3)
        return torch.zeros(shape, dtype=torch.uint8, device=self.device)

    def _eager(self, batch: Tensor) -> Tensor:
        return torch.cat(self._own_module()(batch), dim=1)

    def _own_module(self) -> Uint8Module:
        """The network; on a CPU this thread's, since a pass adds hooks to its layers."""
        if self.device.type != "cpu":
            return self._module
        if not hasattr(self._local, "module"):
            tensors = [*self._module.parameters(), *self._module.buffers()]
            with self._lock:
                self._local.module = copy.deepcopy(self._module, {id(t): t for t in tensors})
        module: Uint8Module = self._local.module
        return module

    def _runner(self, plan: Plan) -> Run:
        self._module.arrange(torch.channels_last if plan.channels_last else torch.contiguous_format)
        if plan.graph and self._is_cuda:
            try:
                return Replayed(self._eager, self._blank(plan.batch_size), capture_cuda)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # a network that reads values back, for example
                torch.cuda.synchronize()
                reason = one_line(str(error).partition("\n")[0])
                logger.warning("%s: the pass cannot be captured (%s)", self.name, reason)
        return self._eager

    def _choose(
        self, backbone: Backbone, pooling: Pooling, n_images: int, cache: Path | None
    ) -> Plan:
        """The fastest plan, from the cache if it was chosen before."""
        if self.device.type == "cpu":
            return Plan(batch_size=CPU_BATCH)
        usual = Plan(batch_size=min(DEVICE_BATCH, self._batches[0]))
        if not self._is_cuda or not self._pads:
            return usual
        path = None if cache is None else self._plan_path(backbone, pooling, cache)
        if path is not None and (known := read_plan(path)) is not None:
            return known  # for few images too, such as the rest of an extraction that was stopped
        if n_images < WORTH_TRYING:
            return usual
        best = self._fastest(self._largest_batch())
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(dataclasses.asdict(best)).encode())
        return best

    def _fastest(self, size: int) -> Plan:
        """The fastest plan with a batch size, or with a smaller one if the memory is too small."""
        try:
            best, seconds = fastest(size, self._seconds)
            logger.info("%s: %s, %.0f images/s", self.name, best, size / seconds)
            return best
        except torch.OutOfMemoryError:
            if size == self._batches[-1]:
                raise
        # Not in the handler, where the error still holds the tensors of the pass.
        torch.cuda.empty_cache()
        return self._fastest(size // 2)

    def _seconds(self, plan: Plan) -> float:
        """Seconds for one batch; infinite if its pass cannot be captured."""
        run = self._runner(plan)
        if plan.graph != isinstance(run, Replayed):
            return math.inf
        return seconds_of(run, self._blank(plan.batch_size))

    def _largest_batch(self) -> int:
        """The largest batch whose maps take a modest share of the memory."""
        n = self._batches[-1]
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        self._eager(self._blank(n))
        torch.cuda.synchronize()
        each = max(1, torch.cuda.max_memory_allocated() - before) / n
        free = torch.cuda.mem_get_info()[0]
        fits = [size for size in self._batches if size * each <= _SHARE_OF_MEMORY * free]
        return fits[0] if fits else n

    def _plan_path(self, backbone: Backbone, pooling: Pooling, cache: Path) -> Path:
        taps = [(tap.name, tap.recipe) for tap in backbone.taps]
        card = torch.cuda.get_device_name(self.device)
        how = (self.name, card, self._batches[0])
        facts = (backbone.digest, taps, backbone.preprocessing, pooling, how)
        versions = (torch.__version__, torch.version.cuda)
        name = hashlib.sha256(repr((facts, versions)).encode()).hexdigest()[:32]
        return cache / "engines" / name / "plan.json"


def _prepared(
    backbone: Backbone, pooling: Pooling, device: torch.device, dtype: torch.dtype
) -> tuple[Uint8Module, list[int]]:
    """A copy of the network for a device and the widths of its taps.

    BatchNorm is folded, and the weights are in low precision where the network runs so.
    """
    module = copy.deepcopy(Uint8Module(backbone, pooling)).eval().cpu().requires_grad_(False)
    size = backbone.preprocessing.size_px
    sample = torch.arange(2 * size * size * 3).remainder(251).to(torch.uint8)
    batch = sample.reshape(2, size, size, 3)
    # On the CPU, because a GPU rounds what it multiplies, which would hide whether they are equal.
    module, widths = folded(module, batch)
    module, batch = module.to(device), batch.to(device)
    if dtype == torch.float32:
        return module, widths
    low = copy.deepcopy(module)
    low.lower(dtype)
    try:
        with torch.inference_mode():
            low(batch)
        return low, widths
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # a layer that mixes in float32 of its own
        logger.info("%s: autocast instead of %s weights (%s)", backbone.name, dtype, error)
        module.autocast = dtype
        return module, widths


def folded(module: Uint8Module, batch: Tensor) -> tuple[Uint8Module, list[int]]:
    """The module with BatchNorm folded into convolutions, and the widths of its taps.

    It is returned as it was if folding would change a feature.
    """
    pairs, expected = find_pairs(module, lambda: module(batch))
    widths = [values.shape[1] for values in expected]
    between = {(tap.module, tap.side) for tap in module.tapped.taps}
    paths = {id(part): path for path, part in module.tapped.module.named_modules()}
    places = [(paths[id(p.conv)], paths[id(p.norm)]) for p in pairs]
    places = [
        (conv, norm)
        for conv, norm in places
        if (conv, "output") not in between and (norm, "input") not in between
    ]
    if not places:
        return module, widths
    whole = copy.deepcopy(module)
    fold_for_good(whole.tapped.module, places)
    with torch.no_grad():
        found = whole(batch)
    same = all(
        (a - b).abs().max() <= _FOLDED * a.abs().max()  # NaN is unequal
        for a, b in zip(expected, found, strict=True)
    )
    return (whole if same else module), widths


def fastest(batch_size: int, seconds_of_plan: Callable[[Plan], float]) -> tuple[Plan, float]:
    """The fastest plan with a batch size, and its seconds for one batch."""
    plans = [Plan(batch_size=batch_size, channels_last=is_last) for is_last in (True, False)]
    seconds = {plan: seconds_of_plan(plan) for plan in plans}
    # Launches take as long in both formats and may hide what the device does; in a graph they do not.
    near = [plan for plan in plans if seconds[plan] < _CLEARLY * min(seconds.values())]
    captured = [dataclasses.replace(plan, graph=True) for plan in near]
    seconds |= {plan: seconds_of_plan(plan) for plan in captured}
    best = min(seconds, key=seconds.__getitem__)
    return best, seconds[best]


def seconds_of(run: Run, batch: Tensor) -> float:
    """Seconds for one batch on a GPU, after a first; few of them if it is slow."""
    run(batch)
    torch.cuda.synchronize()
    started, n = time.perf_counter(), 0
    while n < _N_TIMED and time.perf_counter() - started < _TIMED_S:
        run(batch)
        torch.cuda.synchronize()
        n += 1
    return (time.perf_counter() - started) / n


def read_plan(path: Path) -> Plan | None:
    """A plan from its file; None if it is missing or damaged."""
    try:
        plan = Plan(**json.loads(path.read_bytes()))
        is_whole = plan.batch_size in _BATCHES
    except (OSError, ValueError, TypeError):
        return None
    mark_used(path)
    return plan if is_whole else None
