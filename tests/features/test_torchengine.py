"""The PyTorch engine, with what a GPU does differently tried on the CPU as far as it can be."""

from __future__ import annotations

import copy
import dataclasses
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.backbones import Backbone, Preprocessing, Tap, at_size, load
from headstart.data import Record
from headstart.errors import HeadstartError
from headstart.features import engines, passes, torchengine
from headstart.features.capture import Replayed
from headstart.features.cores import n_cores, one_core_workers
from headstart.features.extraction import extract
from headstart.features.torchengine import (
    Plan,
    TorchEngine,
    Uint8Module,
    fastest,
    read_plan,
)
from pretend_gpu import gpu


@pytest.fixture(scope="module")
def net() -> Backbone:
    """A small network with BatchNorm whose statistics are not those of a fresh layer."""
    backbone = at_size(load("timm:test_efficientnet", pretrained=False, seed=0), 64)
    generator = torch.Generator().manual_seed(0)
    for layer in backbone.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert values is not None
                values.data.uniform_(0.5, 1.5, generator=generator)
    return backbone


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (41, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(net: Backbone, crops: np.ndarray) -> list[np.ndarray]:
    """Every tap by the plain module."""
    with torch.no_grad():
        return [o.numpy() for o in Uint8Module(net).eval()(torch.from_numpy(crops))]


@pytest.fixture(scope="module")
def engine(net: Backbone) -> TorchEngine:
    return TorchEngine(net, "float32", "cpu")


def assert_near(found: list[np.ndarray], expected: list[np.ndarray], rtol: float = 1e-4) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape) == (np.float32, b.shape)
        np.testing.assert_allclose(a, b, atol=rtol * np.abs(b).max())


@pytest.mark.parametrize("n", [1, 15, 16])
def test_engine__gives_every_tap_as_the_plain_module(
    engine: TorchEngine, crops: np.ndarray, expected: list[np.ndarray], n: int
) -> None:
    assert_near(engine(crops[:n]), [b[:n] for b in expected])


@pytest.mark.parametrize("pads", [True, False])
def test_launch__takes_a_batch_in_parts(
    net: Backbone, crops: np.ndarray, expected: list[np.ndarray], pads: bool
) -> None:
    engine = TorchEngine(net, "float32", "cpu", pads=pads)
    parts = [engine.hold(list(crops[a:b])) for a, b in ((0, 8), (8, 9), (9, 13))]
    assert_near(engine.launch(parts).result(), [b[:13] for b in expected])


def test_launch__results_may_be_read_late_and_in_any_order(
    engine: TorchEngine, crops: np.ndarray, expected: list[np.ndarray]
) -> None:
    launched = {at: engine.launch([engine.hold(crops[at : at + 16])]) for at in (0, 16, 32)}
    for at in (32, 0, 16):
        assert_near(launched[at].result(), [b[at : at + 16] for b in expected])


def captured(run: Callable[[Tensor], Tensor], place: Tensor) -> tuple[Callable[[], None], Tensor]:
    """What `capture_cuda` does, on the CPU: a pass from one fixed place to another."""
    output = run(place).clone()

    def replay() -> None:
        output.copy_(run(place))

    return replay, output


def test_replayed__batches_do_not_overwrite_one_another(
    net: Backbone, crops: np.ndarray, expected: list[np.ndarray]
) -> None:
    engine = TorchEngine(net, "float32", "cpu", plan=Plan(batch_size=16, graph=True))
    blank = torch.zeros((16, 64, 64, 3), dtype=torch.uint8)
    engine._run = Replayed(engine._eager, blank, captured)
    launched = [engine.launch([engine.hold(crops[at : at + 16])]) for at in (0, 16, 32)]
    for at, batch in zip((0, 16, 32), launched, strict=True):
        assert_near(batch.result(), [b[at : at + 16] for b in expected])


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_launch__waits_for_a_gpu_in_result_alone(
    net: Backbone,
    crops: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    graph: bool,
    precision: str,
) -> None:
    """Nothing mixes what is there and here, and what came back is not read before it is complete."""
    monkeypatch.setattr(torchengine, "capture_cuda", captured)
    plan = Plan(batch_size=16, graph=graph)
    expected = TorchEngine(net, precision, "cpu", plan=plan)
    with gpu() as mode:
        engine = TorchEngine(net, precision, "cuda", plan=plan)
        assert isinstance(engine._run, Replayed) == graph
        mode.reads.clear()
        launched = {
            at: engine.launch(
                [engine.hold(crops[a:b]) for a, b in ((at, at + 8), (at + 8, at + 13))]
            )
            for at in (0, 13, 26)
        }
        assert mode.reads == []
        assert len(mode.on_their_way) == 3  # of all taps, one copy a batch
        for at in (13, 0, 26):
            assert_near(launched[at].result(), expected(crops[at : at + 13]), rtol=1e-6)


def test_fastest__a_memory_format_that_is_slow_is_not_captured() -> None:
    """Depthwise convolutions may be slow in one format, and a network may not be captured."""
    asked: list[Plan] = []

    def seconds(plan: Plan) -> float:
        asked.append(plan)
        return {True: 9.0, False: 2.0}[plan.channels_last] / (4 if plan.graph else 1)

    best = Plan(batch_size=32, channels_last=False, graph=True)
    assert fastest(32, seconds) == (best, 0.5)
    assert [plan.channels_last for plan in asked if plan.graph] == [False]
    plain = Plan(batch_size=8, channels_last=True)
    assert fastest(8, lambda p: math.inf if p.graph else 2.0 - p.channels_last) == (plain, 1.0)


def test_fastest__formats_that_launch_as_slowly_are_told_apart_by_their_graphs() -> None:
    found, _ = fastest(8, lambda p: (1.0 + p.channels_last) / 9 if p.graph else 1.0)
    assert found == Plan(batch_size=8, channels_last=False, graph=True)


def test_engine__threads_do_not_mix_up_their_batches(
    engine: TorchEngine, crops: np.ndarray, expected: list[np.ndarray]
) -> None:
    starts = [0, 7, 14, 21, 25] * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda at: engine(crops[at : at + 16]), starts))
    for at, features in zip(starts, found, strict=True):
        assert_near(features, [b[at : at + 16] for b in expected])


def test_engine__leaves_the_backbone_as_it_was(net: Backbone) -> None:
    before = copy.deepcopy(net.module.state_dict())
    TorchEngine(net, "bfloat16", "cpu")
    after = net.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


def n_norms(module: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm2d) for m in module.modules())


def test_folded__leaves_no_batch_norm_behind_a_convolution(
    net: Backbone, engine: TorchEngine
) -> None:
    assert n_norms(net.module) > 10
    assert n_norms(engine._module) == 0


class Branching(nn.Module):
    """Its convolution is read beside the normalisation too, so that folding is wrong."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Identity()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        out: Tensor = self.last((self.norm(y) + y) * self.scale)
        return out


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_folded__small_features_count_as_large_ones(scale: float) -> None:
    module = Branching(scale).eval()
    assert module.norm.running_var is not None
    module.norm.running_var.fill_(4.0)
    tap = Tap(name="last", module="last", kind="map", n_features=4)
    backbone = dataclasses.replace(vectors(mixes=False), module=module, taps=(tap,))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    engine = TorchEngine(backbone, "float32", "cpu")
    assert n_norms(engine._module) == 1
    with torch.no_grad():
        expected = Uint8Module(backbone).eval()(torch.from_numpy(images))
    assert_near(engine(images), [o.numpy() for o in expected])


def test_folded__keeps_what_a_tap_reads_between_the_two(net: Backbone, crops: np.ndarray) -> None:
    """A tap of a convolution's output, which folding would change."""
    stem = net.module.get_submodule("conv_stem")
    assert isinstance(stem, nn.Conv2d)
    tap = Tap(name="stem", module="conv_stem", kind="map", n_features=stem.out_channels)
    tapped = dataclasses.replace(net, taps=(tap, *net.taps))
    engine = TorchEngine(tapped, "float32", "cpu")
    assert n_norms(engine._module) == 1
    with torch.no_grad():
        expected = Uint8Module(tapped).eval()(torch.from_numpy(crops[:3]))
    assert_near(engine(crops[:3]), [o.numpy() for o in expected])


def test_lower__weights_are_low_and_features_near(
    net: Backbone, crops: np.ndarray, expected: list[np.ndarray]
) -> None:
    engine = TorchEngine(net, "bfloat16", "cpu")
    network = engine._module.tapped.module
    assert {p.dtype for p in network.parameters()} == {torch.bfloat16}
    assert engine._module.scale.dtype == torch.float32
    for a, b in zip(engine(crops[:16]), expected, strict=True):
        assert a.dtype == np.float32
        assert np.abs(a - b[:16]).mean() < 0.05 * np.abs(b).mean()


def test_lower__a_full_memory_is_not_taken_for_a_layer_that_cannot_be_lowered(
    net: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Uint8Module.forward

    def full(self: Uint8Module, images: Tensor) -> tuple[Tensor, ...]:
        if self.dtype is not None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")
        return forward(self, images)

    monkeypatch.setattr(Uint8Module, "forward", full)
    with pytest.raises(HeadstartError, match=r"^the memory of cpu is full"):
        TorchEngine(net, "bfloat16", "cpu")


class Vectors(nn.Module):
    """Tokens whose values need more than the eight bits of bfloat16 to be averaged."""

    def __init__(self, *, mixes: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.second = nn.Linear(4, 4)
        self.last = nn.Identity()
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)
        self.mixes = mixes

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x.flatten(2).transpose(1, 2))
        if self.mixes:  # a constant of the layer's own, in float32
            x = x + torch.arange(4, dtype=torch.float32, device=x.device)
        y: Tensor = self.head(self.norm(self.last(self.second(x))))
        return y


def vectors(*, mixes: bool) -> Backbone:
    torch.manual_seed(0)
    module = Vectors(mixes=mixes).eval().bfloat16().float()  # weights that bfloat16 holds
    how = Preprocessing(
        size_px=32, crop_pct=1.0, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    tap = Tap(name="last", module="last", kind="tokens", n_features=4, norm="norm")
    return Backbone(
        name="vectors",
        arch="vectors",
        module=module,
        preprocessing=how,
        taps=(tap,),
        digest="0" * 64,
        source="test",
        licence="MIT",
        n_parameters=0,
    )


@pytest.mark.parametrize("mixes", [False, True])
def test_lower__tokens_are_averaged_in_float32(mixes: bool) -> None:
    """Also where the network has float32 of its own and is cast layer by layer instead."""
    backbone = vectors(mixes=mixes)
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    low, exact = TorchEngine(backbone, "bfloat16", "cpu"), TorchEngine(backbone, "float32", "cpu")
    assert low._module.autocast == (torch.bfloat16 if mixes else None)
    found = low(images)[0]
    np.testing.assert_allclose(found, exact(images)[0], atol=5e-3)
    rounded = torch.from_numpy(found).bfloat16().float().numpy()
    assert (rounded != found).mean() > 0.5


def test_read_plan__takes_only_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    assert read_plan(path) is None
    for text, plan in [
        (
            '{"batch_size": 64, "channels_last": false, "graph": true}',
            Plan(batch_size=64, channels_last=False, graph=True),
        ),
        ('{"batch_size": 64', None),
        ('{"batch_size": 63}', None),
        ('{"batch_size": 64, "streams": 2}', None),
        ("[]", None),
    ]:
        path.write_text(text)
        assert read_plan(path) == plan, text


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    real = engines.choose_engine
    monkeypatch.setattr(passes, "choose_engine", lambda *a, **k: real(*a, **{**k, "n_images": 1}))


@pytest.fixture
def device_like(monkeypatch: pytest.MonkeyPatch, without_openvino: None) -> None:
    """Extraction by a decoding pool and one launching thread, as on a GPU."""
    monkeypatch.setattr(TorchEngine, "launches", property(lambda _: True))


@pytest.mark.parametrize("mirrored", [False, True])
def test_extract__pipelined_equals_batch_by_batch(
    records: list[Record],
    small_net: Backbone,
    tmp_path: Path,
    mirrored: bool,
    request: pytest.FixtureRequest,
) -> None:
    """21 images in batches of 16 of parts of 8, two of them bad, at two resolutions."""
    for record in (records[3], *records[8:16]):  # one of a part, and a whole part
        record.path.write_bytes(b"no longer an image")
    found, real = [], TorchEngine.launch
    for kind in ("plain", "device"):
        if kind == "device":
            request.getfixturevalue("device_like")
        else:
            request.getfixturevalue("without_openvino")
        threads: set[str] = set()

        def launch(self: TorchEngine, parts: list[Tensor], threads: set[str] = threads) -> object:
            threads.add(threading.current_thread().name)
            return real(self, parts)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(TorchEngine, "launch", launch)
            made = extract(
                records,
                small_net,
                resolutions=(64, 96),
                mirrored=mirrored,
                device="cpu",
                cache=tmp_path / kind,
            )
        assert len(made.unreadable) == 9
        assert made.n_forward == 2 * 12
        if kind == "device":
            assert threads == {"launch_0"}
        found.append(made)
    good = [r.digest for r in records if r.digest not in found[0].unreadable]
    for size in (64, 96):
        plain, device = (f.stores[size].read(good, small_net.taps[-1].name) for f in found)
        np.testing.assert_array_equal(plain, device)


def test_one_core_workers__leave_torch_one_thread_each() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with one_core_workers(2, "outer") as pool, one_core_workers(2, "inner") as inner:
            barrier = threading.Barrier(2)

            def number(_: int) -> int:
                barrier.wait(10)
                return torch.get_num_threads()

            assert [*pool.map(number, range(2)), *inner.map(number, range(2))] == [1] * 4
            assert torch.get_num_threads() == 4
            with ThreadPoolExecutor(1) as meanwhile:
                assert meanwhile.submit(torch.get_num_threads).result() == 4
            pool.submit(_open_a_pool).result()
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 4
    finally:
        torch.set_num_threads(before)


def _open_a_pool() -> None:
    with one_core_workers(1, "within") as pool:
        assert pool.submit(torch.get_num_threads).result() == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_extract__takes_no_more_threads_than_cores(
    records: list[Record],
    small_net: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_openvino: None,
) -> None:
    """Decoding workers times torch's threads: each worker alone, whatever torch is set to."""
    seen, before = [], torch.get_num_threads()
    real = torchengine.TorchEngine.launch

    def launch(self: TorchEngine, parts: list[Tensor]) -> object:
        launched = real(self, parts)
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return launched

    monkeypatch.setattr(TorchEngine, "launch", launch)
    torch.set_num_threads(2 * n_cores())
    try:
        n_tasks = len(list(Path("/proc/self/task").iterdir()))
        extract(records, small_net, resolutions=[64], device="cpu", cache=tmp_path)
        more = len(list(Path("/proc/self/task").iterdir())) - n_tasks
    finally:
        torch.set_num_threads(before)
    assert {n for _, n in seen} == {1}
    assert len({thread for thread, _ in seen}) <= n_cores()
    assert more <= 2 * n_cores()  # of the trial pass in this thread; none of the workers' own


@pytest.fixture
def cuda() -> str:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return "cuda"


@pytest.mark.gpu
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_cuda__gives_every_tap_as_the_cpu(
    net: Backbone,
    crops: np.ndarray,
    expected: list[np.ndarray],
    cuda: str,
    graph: bool,
    channels_last: bool,
) -> None:
    plan = Plan(batch_size=16, channels_last=channels_last, graph=graph)
    engine = TorchEngine(net, "float32", cuda, plan=plan)
    assert isinstance(engine._run, Replayed) == graph
    launched = [engine.launch([engine.hold(crops[at : at + 16])]) for at in (0, 16, 32)]
    for at, batch in zip((0, 16, 32), launched, strict=True):
        # Tensor cores round the factors of a product to 10 bits.
        assert_near(batch.result(), [b[at : at + 16] for b in expected], rtol=0.01)


class Reading(nn.Module):
    """Looks at a value, which a captured pass cannot do."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x


def waiting() -> Backbone:
    """A network whose pass cannot be captured."""
    backbone = vectors(mixes=False)
    module = copy.deepcopy(backbone.module)
    module.set_submodule("second", nn.Sequential(module.get_submodule("second"), Reading()))
    return dataclasses.replace(backbone, module=module)


def test_runner__a_pass_that_waits_is_not_captured(
    net: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """It is found before the capture, which torch does not clear up after."""
    plan = Plan(batch_size=16, graph=True)
    with gpu():
        assert isinstance(TorchEngine(net, "float32", "cuda", plan=plan)._run, Replayed)
        assert caplog.messages == []
        engine = TorchEngine(waiting(), "float32", "cuda", plan=plan)
        assert not isinstance(engine._run, Replayed)
    [said] = caplog.messages
    assert "cannot be captured (it waits for the device in aten._local_scalar_dense" in said


@pytest.mark.gpu
def test_cuda__a_pass_that_cannot_be_captured_runs_as_it_is(cuda: str) -> None:
    """And leaves torch's memory in order."""
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    expected = TorchEngine(waiting(), "float32", "cpu")(images)
    engine = TorchEngine(waiting(), "float32", cuda, plan=Plan(batch_size=16, graph=True))
    assert not isinstance(engine._run, Replayed)
    for n in range(20):
        assert_near(engine(images), expected, rtol=0.01)
        if n == 3:
            allocated = torch.cuda.memory_allocated()
    assert torch.cuda.memory_allocated() == allocated


@pytest.mark.gpu
def test_cuda__a_plan_is_chosen_once(net: Backbone, tmp_path: Path, cuda: str) -> None:
    options = {"n_images": 10**6, "cache": tmp_path}
    first = TorchEngine(net, "float32", cuda, **options)  # type: ignore[arg-type]
    assert [read_plan(path) for path in tmp_path.rglob("plan.json")] == [first.plan]
    again = TorchEngine(net, "float32", cuda, **options)  # type: ignore[arg-type]
    assert again.plan == first.plan
    small = TorchEngine(net, "float32", cuda, max_batch=16, **options)  # type: ignore[arg-type]
    assert small.batch_size <= 16


@pytest.mark.gpu
def test_cuda__extraction_equals_that_of_the_cpu(
    records: list[Record], small_net: Backbone, tmp_path: Path, cuda: str
) -> None:
    digests = [r.digest for r in records]
    made = [
        extract(records, small_net, resolutions=(64, 96), device=device, cache=tmp_path / device)
        for device in ("cpu", cuda)
    ]
    for size in (64, 96):
        for tap in small_net.taps:
            one, other = (m.stores[size].read(digests, tap.name) for m in made)
            np.testing.assert_allclose(other, one, atol=0.01 * np.abs(one).max())
