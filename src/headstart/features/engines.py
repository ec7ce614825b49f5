"""Inference engines: OpenVINO on a CPU if it is installed, otherwise PyTorch.

An engine takes uint8 crops (B, H, W, 3) and returns the pooled features of every tap. Its ``n_workers``
threads may call it concurrently: on a CPU each worker decodes its own images and runs them in a
one-thread stream, one per core, so that no core waits for another.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import logging
import os
import platform
import re
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.backbones import Preprocessing
from headstart.backbones.tapped import Pooling
from headstart.errors import InputError, argument, one_line
from headstart.features.cores import n_cores
from headstart.features.torchengine import TorchEngine, Uint8Module
from headstart.files import mark_used, whole_folder

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.features.store import FeatureKey

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16")
AUTO = "auto"
# With fewer images, converting for OpenVINO costs more than it saves (docs/performance.md).
WORTH_CONVERTING = 100
# Batch size of an OpenVINO stream: large enough to read large dense layers rarely (VGG16 gains half
# from 1 to 8), small enough that most maps stay in a core's cache (docs/performance.md). It is
# constant, because rounding may depend on it and a resumed extraction must be bit-equal.
STREAM_BATCH = 8


class Engine(Protocol):
    """A network ready to run at one resolution."""

    name: str
    batch_size: int
    n_workers: int

    def __call__(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Features of every tap, each (B, d), for crops (B, H, W, 3) with B <= batch_size."""
        ...


def choose_engine(
    backbone: Backbone,
    *,
    n_images: int,
    precision: str = "float32",
    device: str = "cpu",
    pooling: Pooling = "average",
    pads: bool = True,
    cache: Path,
    n_threads: int | None = None,
    max_batch: int | None = None,
) -> Engine:
    """The fastest engine on this machine; a network is converted only if ``n_images`` images repay it.

    The backbone runs at its own resolution (:func:`headstart.backbones.at_size` changes it), and
    `device` is of :func:`pick_device`. `pads` fills every batch to one size, so that features do not depend
    on the batch size; without, it is faster for few images, as in a service. `cache` is the folder of
    converted networks; `n_threads` are decoding threads, and on a CPU streams, by default one per core; `max_batch`
    is, on a GPU, the batch size of an engine which runs the same batches.
    """
    if device == "cpu" and importlib.util.find_spec("openvino"):
        converted = _converted_path(backbone, pooling, cache)
        if converted.exists() or n_images >= WORTH_CONVERTING:
            try:
                if not converted.exists():
                    _convert(backbone, pooling, converted)
                size_px = backbone.preprocessing.size_px
                return OpenVINOEngine(converted, size_px, precision, pads=pads, n_threads=n_threads)
            except Exception as error:  # no failure of a converter must stop the job
                logger.warning("OpenVINO cannot run %s (%s): PyTorch does", backbone.name, error)
    return TorchEngine(
        backbone,
        precision,
        device,
        pooling,
        pads=pads,
        n_threads=n_threads,
        n_images=n_images,
        cache=cache,
        max_batch=max_batch,
    )


def pick_device(asked: str | None = None) -> str:
    """The given device; for None and ``"auto"``, ``cuda`` or ``mps`` if available, else ``cpu``.

    Raises InputError where it is not available.
    """
    if asked in (None, AUTO):
        if torch.cuda.is_available() and _is_usable("cuda"):
            return "cuda"
        return "mps" if torch.backends.mps.is_available() and _is_usable("mps") else "cpu"
    try:
        _compute_on(asked)
    except Exception as error:  # torch raises RuntimeError, AssertionError, NotImplementedError...
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", asked):  # torch would list twenty kinds
            raise InputError(
                f"{argument('device')} must be auto, cpu, cuda, cuda:N or mps; got {one_line(asked)!r}"
            ) from error
        raise InputError(
            f"{argument('device')} {one_line(asked)} cannot be used here ({_first_line(error)}): "
            f"this machine has {pick_device()}"
        ) from error
    return asked


def check_device(asked: str | None) -> None:
    """Refuse a device that cannot be used, before long work; nothing to do for the default."""
    if asked is not None:
        pick_device(asked)


@functools.cache
def _is_usable(device: str) -> bool:
    """Whether a device that torch sees computes: it may be too old for this build, or taken."""
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        return True  # each of several processes has a GPU of its own, which it is given later
    try:
        _compute_on(device)
    except Exception as error:
        logger.warning("%s cannot be used (%s)", device, _first_line(error))
        return False
    return True


def _compute_on(device: str) -> None:
    float(torch.ones(1, device=device) + 1)


def _first_line(error: Exception) -> str:
    return one_line(str(error).strip().partition("\n")[0].partition(". ")[0], limit=120)


def has_bfloat16(device: str) -> bool:
    """Whether the engine for ``device`` computes in bfloat16 natively."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu" or not importlib.util.find_spec("openvino"):
        return False
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def machine_name() -> str:
    """The names of the processor and of the GPU, if any."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    with contextlib.suppress(RuntimeError):  # a driver that does not start
        if torch.cuda.is_available():
            return f"{name}, {torch.cuda.get_device_name()}"
    return name


class OpenVINOEngine:
    """The backbone converted for OpenVINO, one stream per core."""

    def __init__(
        self,
        converted: Path,
        size_px: int,
        precision: str,
        *,
        pads: bool = True,
        n_threads: int | None = None,
    ) -> None:
        ov = _import_openvino()

        self.name = f"openvino cpu {precision}"
        self.batch_size = STREAM_BATCH
        n_streams = n_threads or n_cores()
        self.n_workers = (
            n_streams + 1
        )  # one more, which decodes while the others wait for their streams
        core = _core()
        model = core.read_model(converted)
        mark_used(converted)
        self._pads = pads
        n_images = self.batch_size if pads else ov.Dimension(1, self.batch_size)
        model.reshape([n_images, size_px, size_px, 3])
        self._is_bfloat16 = precision == "bfloat16"
        if self._is_bfloat16:
            model = _with_bfloat16_outputs(ov, model)
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32" if precision == "float32" else "bf16",
            "NUM_STREAMS": n_streams,
            "INFERENCE_NUM_THREADS": n_streams,
        }
        self._compiled = core.compile_model(model, "CPU", settings)
        self._local = threading.local()
        # OpenVINO's Python layer fills a static table on its first call, holding a lock while it
        # may release the GIL: two concurrent first calls deadlock.
        self(np.zeros((1, size_px, size_px, 3), np.uint8))

    def __call__(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Features of every tap, each (B, d) float32."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        request = self._local.request
        n = len(images)
        whole = _padded(images, self.batch_size) if self._pads else images
        request.infer([whole], share_inputs=True)
        outputs = [output.data[:n] for output in request.output_tensors]
        if self._is_bfloat16:
            return [_float32_of_bfloat16(output) for output in outputs]
        return [np.array(output, dtype=np.float32) for output in outputs]


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports each conversion over the network.

    Its converter uses a silent stub if the package ``openvino_telemetry`` cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


@functools.cache
def _core() -> Any:
    """OpenVINO's runtime, kept for the life of the process.

    Its CPU plugin gives the loading thread a signal stack. If the last network were released in
    another thread, the plugin would free that stack while in use, and the next signal, such as
    Ctrl-C, would kill the process.
    """
    return _import_openvino().Core()


def _with_bfloat16_outputs(ov: Any, model: Any) -> Any:
    """The model with bfloat16 outputs.

    With float32 outputs, OpenVINO computes everything between an output and the nearest convolution
    in float32, including the convolution's own output: at a tap, the whole map and its consumers.
    """
    prepared = ov.preprocess.PrePostProcessor(model)
    for i in range(len(model.outputs)):
        prepared.output(i).tensor().set_element_type(ov.Type.bf16)
    return prepared.build()


def _float32_of_bfloat16(values: NDArray[Any]) -> NDArray[np.float32]:
    """Convert bfloat16, the upper half of a float32, from its 2-byte representation in NumPy."""
    return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _padded(images: NDArray[np.uint8], batch_size: int) -> NDArray[np.uint8]:
    """Pad the batch: with a fixed shape a feature does not depend on the rest of the batch."""
    short = batch_size - len(images)
    if not short:
        return images
    return np.concatenate([images, np.zeros((short, *images.shape[1:]), np.uint8)])


def converted_engine(key: FeatureKey, cache: Path, *, pads: bool = True) -> OpenVINOEngine | None:
    """The engine of the converted network of some features, without loading the network.

    None if there is no such conversion, or OpenVINO cannot read it.
    """
    if not importlib.util.find_spec("openvino"):
        return None
    preprocessing = Preprocessing.from_dict(key.preprocessing)
    path = _path_of(key.weights, key.arch, key.taps, preprocessing, key.pooling, cache)
    if not path.exists():
        return None
    try:
        return OpenVINOEngine(path, preprocessing.size_px, key.precision, pads=pads)
    except Exception as error:  # the caller can start from the weights
        logger.warning("OpenVINO cannot run %s (%s)", path, error)
        return None


def _converted_path(backbone: Backbone, pooling: Pooling, cache: Path) -> Path:
    taps = [(tap.name, tap.recipe) for tap in backbone.taps]
    return _path_of(backbone.digest, backbone.arch, taps, backbone.preprocessing, pooling, cache)


def _path_of(
    digest: str,
    arch: str,
    taps: Sequence[tuple[str, str]],
    preprocessing: Preprocessing,
    pooling: str,
    cache: Path,
) -> Path:
    """Path of a network converted at a resolution; the name contains everything that decides it."""
    ov = _import_openvino()

    parts = [
        digest,
        arch,
        repr([tuple(tap) for tap in taps]),
        repr(preprocessing),
        ov.__version__,
        torch.__version__,
    ]
    if pooling != "average":
        parts.append(pooling)
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    return cache / "engines" / name / "model.xml"


def _convert(backbone: Backbone, pooling: Pooling, target: Path) -> None:
    """Trace the tapped backbone and save it for OpenVINO atomically."""
    ov = _import_openvino()

    module = Uint8Module(backbone, pooling).eval()
    size = backbone.preprocessing.size_px
    example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = ov.convert_model(traced, example_input=example)
    with whole_folder(target.parent) as scratch:
        ov.save_model(model, scratch / target.name, compress_to_fp16=False)
