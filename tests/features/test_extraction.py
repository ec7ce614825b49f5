from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.backbones import Backbone, TappedModule, at_size, load, transform
from headstart.backbones.tapped import Pooling
from headstart.data import Record, index, read_rgb
from headstart.errors import BackboneError, InputError, OutputError
from headstart.features import (
    FeatureStore,
    extract,
    feature_key,
    stream_converted,
    stream_features,
)
from headstart.features import engines as engines_module
from headstart.features import extraction as extraction_module
from headstart.features import passes as passes_module
from headstart.features.engines import (
    OpenVINOEngine,
    _float32_of_bfloat16,
    choose_engine,
    has_bfloat16,
    pick_device,
)
from headstart.features.torchengine import CPU_BATCH, TorchEngine

SIZES = (64, 96)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Images that went forward through any engine, by resolution."""
    n: Counter[int] = Counter()
    converted, launch = OpenVINOEngine.__call__, TorchEngine.launch

    def counted(self: OpenVINOEngine, images: np.ndarray) -> object:
        n[images.shape[1]] += len(images)
        return converted(self, images)

    def launched(self: TorchEngine, parts: list[torch.Tensor]) -> object:
        n[parts[0].shape[1]] += sum(map(len, parts))
        return launch(self, parts)

    monkeypatch.setattr(OpenVINOEngine, "__call__", counted)
    monkeypatch.setattr(TorchEngine, "launch", launched)
    return n


def test_extract__every_image_passes_once_then_never_again(
    records: list[Record], small_net: Backbone, tmp_path: Path, passes: Counter[int]
) -> None:
    first = extract(records, small_net, resolutions=SIZES, cache=tmp_path)
    assert passes == {64: 21, 96: 21}
    assert (first.n_forward, first.n_cached) == (42, 0)
    second = extract(records, small_net, resolutions=SIZES, cache=tmp_path)
    assert passes == {64: 21, 96: 21}
    assert (second.n_forward, second.n_cached) == (0, 42)


def test_extract__new_images_and_new_resolutions_cost_themselves_only(
    records: list[Record], small_net: Backbone, tmp_path: Path, passes: Counter[int]
) -> None:
    extract(records[:11], small_net, resolutions=[64], cache=tmp_path)
    extract(records, small_net, resolutions=SIZES, cache=tmp_path)
    assert passes == {64: 21, 96: 21}


def test_extract__the_same_bytes_under_two_names_are_computed_once(
    records: list[Record], small_net: Backbone, tmp_path: Path, passes: Counter[int]
) -> None:
    extract([*records, *records], small_net, resolutions=[64], cache=tmp_path)
    assert passes == {64: 21}


@pytest.mark.parametrize("net", ["small_net", "embedded"])
def test_extract__equals_the_plain_network_on_the_reference_transform(
    records: list[Record], net: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    backbone: Backbone = request.getfixturevalue(net)
    extraction = extract(records, backbone, resolutions=[96], cache=tmp_path)
    at = backbone.preprocessing.at(96)
    images = torch.stack([transform(read_rgb(r.path), at) for r in records])
    with torch.inference_mode():
        expected = TappedModule(backbone)(images)
    for tap, plain in zip(backbone.taps, expected, strict=True):
        stored = extraction.stores[96].read([r.digest for r in records], tap.name)
        scale = plain.abs().max().item()
        # two grey levels of decoding and float16 of storage
        np.testing.assert_allclose(stored, plain.numpy(), atol=0.02 * scale, err_msg=tap.name)


@pytest.mark.parametrize("pooling", ["max", "pyramid"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_extract__pools_and_mirrors_as_asked(
    records: list[Record], small_net: Backbone, tmp_path: Path, pooling: Pooling, mirrored: bool
) -> None:
    extraction = extract(
        records, small_net, resolutions=[96], pooling=pooling, mirrored=mirrored, cache=tmp_path
    )
    at = small_net.preprocessing.at(96)
    images = torch.stack([transform(read_rgb(r.path), at) for r in records])
    with torch.inference_mode():
        shown = images.flip(3) if mirrored else images
        expected = TappedModule(small_net, pooling=pooling)(shown)
    for tap, plain in zip(small_net.taps, expected, strict=True):
        stored = extraction.stores[96].read([r.digest for r in records], tap.name)
        scale = plain.abs().max().item()
        np.testing.assert_allclose(stored, plain.numpy(), atol=0.02 * scale, err_msg=tap.name)
    plain_store = extract(records, small_net, resolutions=[96], cache=tmp_path).stores[96]
    assert plain_store.folder != extraction.stores[96].folder


def test_extract__unknown_pooling_is_an_input_error(records: list[Record]) -> None:
    with pytest.raises(InputError, match="`pooling` must be average, max or pyramid; got 'min'"):
        extract(records, object(), pooling="min")  # type: ignore[arg-type]


def test_extract__leaves_the_backbone_as_it_was(
    records: list[Record], embedded: Backbone, tmp_path: Path
) -> None:
    before = {k: v.clone() for k, v in embedded.module.state_dict().items()}
    extract(records, embedded, resolutions=[64], cache=tmp_path)
    assert not embedded.module.training
    after = embedded.module.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_openvino__agrees_with_torch(
    records: list[Record], embedded: Backbone, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    at = at_size(embedded, 96)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(2, 96, 96, 3), dtype=np.uint8)
    fast = choose_engine(at, n_images=10_000, cache=tmp_path)
    plain = TorchEngine(at, "float32", "cpu")
    assert isinstance(fast, OpenVINOEngine)
    for a, b in zip(fast(images), plain(images), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_float32_of_bfloat16__reads_what_torch_wrote(dtype: torch.dtype) -> None:
    written = torch.tensor([0.0, -1.5, 3.1415926, 1e-30, -7e20], dtype=dtype).bfloat16()
    seen = written.view(torch.float16).numpy()  # as OpenVINO hands it to NumPy
    np.testing.assert_array_equal(_float32_of_bfloat16(seen), written.float().numpy())


def test_openvino__bfloat16_stays_near_float32(embedded: Backbone, tmp_path: Path) -> None:
    if not has_bfloat16("cpu"):
        pytest.skip("OpenVINO has no native bfloat16 on this CPU")
    at = at_size(embedded, 96)
    images = np.random.default_rng(0).integers(0, 256, size=(2, 96, 96, 3), dtype=np.uint8)
    made = [
        choose_engine(at, n_images=10_000, precision=precision, cache=tmp_path)(images)
        for precision in ("float32", "bfloat16")
    ]
    for exact, rounded in zip(*made, strict=True):
        assert rounded.dtype == np.float32
        assert 0 < np.linalg.norm(exact - rounded) < 0.1 * np.linalg.norm(exact)


def test_stream_converted__equals_stream_features_without_the_network(
    records: list[Record], embedded: Backbone, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    wanted = [(embedded.taps[2].name, 64), (embedded.taps[5].name, 96)]
    keys = {s: feature_key(at_size(embedded, s), "float32") for s in SIZES}
    paths = [r.path for r in records]
    assert stream_converted(paths, keys, wanted, cache=tmp_path) is None
    for size in SIZES:
        choose_engine(at_size(embedded, size), n_images=10_000, cache=tmp_path)
    [(_, _, expected, _)] = stream_features(paths, embedded, wanted, cache=tmp_path)
    streamed = stream_converted(paths, keys, wanted, cache=tmp_path)
    assert streamed is not None
    [(_, _, found, _)] = streamed
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_openvino__a_converted_network_is_used_again(
    embedded: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    at = at_size(embedded, 64)
    choose_engine(at, n_images=10_000, cache=tmp_path)

    def never(*_: object) -> None:
        raise AssertionError("converted twice")

    monkeypatch.setattr(engines_module, "_convert", never)
    engine = choose_engine(at, n_images=1, cache=tmp_path)
    assert isinstance(engine, OpenVINOEngine)


@pytest.mark.slow
def test_openvino__does_not_report_over_the_network() -> None:
    pytest.importorskip("openvino")
    code = (
        "from headstart.features.engines import _import_openvino; _import_openvino();"
        "from openvino.tools.ovc import telemetry_utils as t; print(t.tm.__name__)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip().endswith("telemetry_stub")


LET_GO = """
import signal, sys, threading
from pathlib import Path
from headstart.backbones import at_size, load
from headstart.features.engines import OpenVINOEngine, choose_engine
at = at_size(load("timm:test_resnet", pretrained=False), 64)
held = [choose_engine(at, n_images=10_000, device="cpu", cache=Path(sys.argv[1]))]
assert isinstance(held[0], OpenVINOEngine)
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
signal.signal(signal.SIGINT, lambda *_: print("heeded", flush=True))
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.slow
def test_openvino__a_network_let_go_in_another_thread_leaves_ctrl_c_whole(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    words = [sys.executable, "-c", LET_GO, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heeded\n"), done.stderr


RUSH = """
import sys, threading
from pathlib import Path
import numpy as np
from headstart.backbones import at_size, load
from headstart.features.engines import choose_engine

engine = choose_engine(at_size(load(), 64), n_images=10_000, cache=Path(sys.argv[1]))
images = np.zeros((1, 64, 64, 3), np.uint8)
sys.setswitchinterval(1e-6)
start = threading.Barrier(8)
threads = [threading.Thread(target=lambda: (start.wait(), engine(images))) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


@pytest.mark.slow
def test_openvino__many_threads_may_come_first(tmp_path: Path) -> None:
    """Without the first call in the constructor, workers could wait for one another for ever."""
    pytest.importorskip("openvino")
    for _ in range(2):
        said = subprocess.run(
            [sys.executable, "-c", RUSH, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert said.stdout.strip() == "done", said.stderr


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_engine__a_feature_does_not_depend_on_its_batch(
    embedded: Backbone, tmp_path: Path, engine: str
) -> None:
    at = at_size(embedded, 64)
    if engine == "torch":
        run: engines_module.Engine = TorchEngine(at, "float32", "cpu")
    else:
        pytest.importorskip("openvino")
        run = choose_engine(at, n_images=10_000, cache=tmp_path)
    rng = np.random.default_rng(1)
    last = run.batch_size - 1
    images = rng.integers(0, 256, size=(last + 1, 64, 64, 3), dtype=np.uint8)
    together, alone = run(images), [run(images[i : i + 1]) for i in (0, last)]
    for tap, whole in enumerate(together):
        np.testing.assert_array_equal(whole[0], alone[0][tap][0])
        np.testing.assert_array_equal(whole[last], alone[1][tap][0])


def test_extract__files_that_went_bad_are_named_and_the_rest_kept(
    records: list[Record], small_net: Backbone, tmp_path: Path
) -> None:
    records[3].path.write_bytes(b"no longer an image")
    records[7].path.unlink()
    result = extract(records, small_net, resolutions=[64], cache=tmp_path)
    assert set(result.unreadable) == {records[3].digest, records[7].digest}
    assert result.n_forward == 19


def test_extract__a_disk_that_fills_in_the_middle_loses_nothing(
    records: list[Record],
    small_net: Backbone,
    tmp_path: Path,
    passes: Counter[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extraction_module, "SHARD_ROWS", 8)
    flush, n_flushed = os.fsync, Counter[str]()

    def filling(fd: int) -> None:
        n_flushed["all"] += 1
        if n_flushed["all"] > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(fd)

    monkeypatch.setattr(os, "fsync", filling)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        extract(records, small_net, resolutions=[64], cache=tmp_path)
    assert "\n" not in str(caught.value)
    kept = len(list(tmp_path.rglob("shard-*.arrow")))
    assert 0 < kept < 3
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.setattr(os, "fsync", flush)
    passes.clear()
    whole = extract(records, small_net, resolutions=[64], cache=tmp_path)
    assert (whole.n_forward, whole.n_cached) == (21 - 8 * kept, 8 * kept)
    assert passes == {64: 21 - 8 * kept}


def test_extract__tells_how_far_it_is(
    records: list[Record], small_net: Backbone, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    extract(
        records,
        small_net,
        resolutions=SIZES,
        cache=tmp_path,
        progress=lambda *args: told.append(args),
    )
    assert told[0] == ("extract features", 0, 42)
    assert told[-1] == ("extract features", 42, 42)


def test_extract__unknown_precision_is_an_input_error(
    records: list[Record], small_net: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="float16"):
        extract(records, small_net, precision="float16", cache=tmp_path)


def test_stream_features__equal_the_stored_ones_in_order(
    records: list[Record], small_net: Backbone, tmp_path: Path
) -> None:
    wanted = [(small_net.taps[2].name, 64), (small_net.taps[5].name, 96)]
    stores = extract(records, small_net, resolutions=SIZES, cache=tmp_path).stores
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    paths = [r.path for r in records]
    paths.insert(4, bad)
    [(asked, read, parts, unreadable)] = stream_features(paths, small_net, wanted, cache=tmp_path)
    assert asked == paths
    assert read == [r.path for r in records]
    assert list(unreadable) == [bad]
    for (tap, size), X in zip(wanted, parts, strict=True):
        np.testing.assert_array_equal(X, stores[size].read([r.digest for r in records], tap))


def test_stream_features__resolutions_share_a_batch_size(
    records: list[Record], small_net: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, where each would choose its own and be run on batches that are filled up."""
    asked: list[int | None] = []

    def choose(*args: Any, max_batch: int | None, **how: Any) -> Any:
        asked.append(max_batch)
        return choose_engine(*args, max_batch=max_batch, **how)

    monkeypatch.setattr(passes_module, "choose_engine", choose)
    wanted = [(small_net.taps[0].name, size) for size in SIZES]
    [_] = stream_features([records[0].path], small_net, wanted, device="cpu", cache=tmp_path)
    assert asked == [None, CPU_BATCH]


EXTRACT = """
import sys
from importlib import import_module
from pathlib import Path
from headstart.backbones import load
from headstart.data import index

module = import_module("headstart.features.extraction")
module.SHARD_ROWS = 16
cache = Path(sys.argv[2])
records = index(Path(sys.argv[1])).records
net = load("squeezenet1_1", pretrained=False, seed=0)
module.extract(
    records, net, resolutions=[64, 96], cache=cache,
    progress=lambda stage, done, total: print(done, flush=True),
)
"""


@pytest.mark.slow
def test_extract__killed_and_resumed_ends_bit_equal(
    tmp_path: Path, make_images: Callable[..., list[Record]], small_net: Backbone
) -> None:
    images = tmp_path / "images"
    for seed in (0, 1):
        make_images(images / str(seed), 45, seed=seed)
    command = [sys.executable, "-c", EXTRACT, str(images)]
    with subprocess.Popen(
        [*command, str(tmp_path / "killed")], stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if (
                int(line) > 64
            ):  # a batch after two shards of 16 images at two resolutions, kept by then
                job.send_signal(signal.SIGKILL)
                break
        job.stdout.read()
    assert job.wait() == -signal.SIGKILL
    n_shards = len(list((tmp_path / "killed").glob("features/*/shard-*.arrow")))
    assert 4 <= n_shards < 12

    for cache in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / cache)], check=True, capture_output=True)
    records = index(images).records
    digests = [r.digest for r in records]
    for size in (64, 96):
        key = feature_key(at_size(small_net, size), "float32")
        resumed = FeatureStore(key, tmp_path / "killed")
        whole = FeatureStore(key, tmp_path / "whole")
        for tap in small_net.taps:
            np.testing.assert_array_equal(
                resumed.read(digests, tap.name), whole.read(digests, tap.name)
            )


def test_extract__unknown_device_is_an_input_error(
    records: list[Record], small_net: Backbone, tmp_path: Path
) -> None:
    for device in ("warp9", "meta", ""):
        says = rf"^`device` must be auto, cpu, cuda, cuda:N or mps; got '{device}'$"
        with pytest.raises(InputError, match=says):
            extract(records, small_net, device=device, cache=tmp_path)
    with pytest.raises(InputError, match=r"`device` cuda:99 cannot be used here \(.+\): this"):
        extract(records, small_net, device="cuda:99", cache=tmp_path)
    assert pick_device("auto") == pick_device()


def test_pick_device__a_gpu_that_cannot_compute_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as one too old for this build of torch, or whose memory others have."""

    def compute_on(device: str) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nFor debugging ...")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(engines_module, "_compute_on", compute_on)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    engines_module._is_usable.cache_clear()
    try:
        assert [pick_device(), pick_device()] == ["cpu", "cpu"]
    finally:
        engines_module._is_usable.cache_clear()
    [said] = caplog.messages
    assert "no kernel image" in said
    assert "\n" not in said


def test_machine_name__leaves_out_a_gpu_whose_driver_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def name() -> str:
        raise RuntimeError("CUDA driver version is insufficient for CUDA runtime version")

    without = engines_module.machine_name()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", name)
    assert engines_module.machine_name() == without
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    assert engines_module.machine_name() == f"{without}, NVIDIA H200"


def test_extract__a_resolution_that_the_network_cannot_take_is_one_line(
    records: list[Record], tmp_path: Path
) -> None:
    vit = load("timm:mixer_s32_224", pretrained=False)
    with pytest.raises(BackboneError, match="224"):
        extract(records, vit, resolutions=[96], cache=tmp_path)
