"""The engine for many workers: its parts in this process, and a real Ray with two workers, one killed."""

from __future__ import annotations

import dataclasses
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headstart.backbones import Backbone
from headstart.data import Record, index
from headstart.data.packed import find_parts
from headstart.errors import InputError, StoreError
from headstart.features import Extraction, extract
from headstart.features import cluster as cluster_module
from headstart.features import raycluster as raycluster_module
from headstart.features.cluster import _Parts, _Records, extract_on_cluster
from headstart.features.extraction import at_resolutions, open_stores
from headstart.features.raycluster import Cluster
from headstart.features.rayworker import Answer, Plan, Unit, Worker, _ahead, _lots
from headstart.progress import silent
from packing import pictures, write_folder, write_parquet, write_shards, write_tar

SIZES = (64, 96)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The same 21 pictures in a folder, in shards and in Parquet."""
    made = pictures(21)
    write_folder(tmp_path / "photos", made)
    write_shards(tmp_path / "shards", made)
    write_parquet(tmp_path / "photos.parquet", made)
    return tmp_path


def work_alone(job: _Records | _Parts, backbone: Backbone, cache: Path) -> list[Answer]:
    """What a worker does with a job's units, without a cluster; the job takes its answers."""
    how = {"precision": "float32", "pooling": "average", "mirrored": False, "device": "cpu"}
    network = at_resolutions(backbone, SIZES, cache=cache, n_threads=1, **how)
    plan = Plan(network=network, n_images=21, has_own_cache=False, known=job.known())
    worker, answers = Worker(plan), []
    for unit in job.units(2):
        for columns in worker(pa.table({"unit": [unit.to_json()]})):
            answers += Answer.from_table(pa.table(columns))
    for answer in answers:
        job.take(answer)
    return answers


def fresh(backbone: Backbone, cache: Path) -> Extraction:
    how = {"precision": "float32", "pooling": "average", "mirrored": False, "device": "cpu"}
    return Extraction(
        stores=open_stores(at_resolutions(backbone, SIZES, cache=cache, **how), cache)
    )


def assert_equal(found: Extraction, expected: Extraction, digests: list[str]) -> None:
    for size, store in expected.stores.items():
        for tap, _ in store.key.taps:
            np.testing.assert_array_equal(
                found.stores[size].read(digests, tap), store.read(digests, tap), err_msg=tap
            )


@pytest.mark.parametrize("source", ["photos", "shards", "shards/*.tar", "photos.parquet"])
def test_worker__reads_parts_and_gives_the_features_of_the_local_engine(
    packed: Path, small_net: Backbone, source: str
) -> None:
    records = index(packed / "photos").records
    expected = extract(records, small_net, resolutions=SIZES, cache=packed / "local")
    result = fresh(small_net, packed / "ray")
    parts = find_parts(f"file://{packed}/{source}")
    job = _Parts(result, silent, parts=list(parts))
    work_alone(job, small_net, packed / "ray")
    assert (result.n_forward, result.n_cached, result.unreadable) == (42, 0, {})
    assert (job.n_passes, job.n_units) == (42, len(parts))
    assert_equal(result, expected, [r.digest for r in records])
    # what is written is known to the next, which passes nothing; the local engine finds it too
    again = fresh(small_net, packed / "ray")
    answers = work_alone(_Parts(again, silent, parts=list(parts)), small_net, packed / "ray")
    assert (again.n_forward, again.n_cached) == (0, 42)
    assert not any(answer.payload for answer in answers)
    local = extract(records, small_net, resolutions=SIZES, cache=packed / "ray")
    assert local.n_forward == 0


def test_worker__passes_only_what_a_resolution_lacks(packed: Path, small_net: Backbone) -> None:
    records = index(packed / "photos").records
    extract(records[:8], small_net, resolutions=[64], cache=packed / "ray")
    result = fresh(small_net, packed / "ray")
    job = _Parts(result, silent, parts=list(find_parts(str(packed / "photos.parquet"))))
    work_alone(job, small_net, packed / "ray")
    assert (result.n_forward, result.n_cached) == (34, 8)


def test_worker__a_broken_image_is_named_and_the_rest_goes_on(
    tmp_path: Path, small_net: Backbone
) -> None:
    good = pictures(2)
    files = {"a.jpg": good[0][0], "a.cls": b"cat", "b.jpg": good[1][0][:200], "b.cls": b"dog"}
    write_tar(tmp_path / "s.tar", files | {"c.jpg": good[1][0]})
    result = fresh(small_net, tmp_path)
    work_alone(
        _Parts(result, silent, parts=list(find_parts(str(tmp_path / "s.tar")))), small_net, tmp_path
    )
    assert result.n_forward == 2
    [(broken, why), (name, reason)] = sorted(
        result.unreadable.items(), key=lambda u: len(u[0]) < 64
    )
    assert len(broken) == 64
    assert why.startswith("cannot use 's.tar/b.jpg': truncated")
    assert (name, reason) == ("s.tar/c.jpg", "no label beside it (.cls, .txt or .json)")


def test_worker__another_version_of_headstart_is_refused(
    small_net: Backbone, tmp_path: Path
) -> None:
    network = at_resolutions(
        small_net, [64], precision="float32", pooling="average", mirrored=False, device="cpu",
        cache=tmp_path,
    )  # fmt: skip
    plan = Plan(network=network, n_images=1, has_own_cache=False, version="0.0.1")
    with pytest.raises(InputError, match=r"the process that asks has 0\.0\.1: install one version"):
        next(Worker(plan)(pa.table({"unit": [Unit().to_json()]})))


def test_units__hold_what_is_missing_alone_and_each_worker_gets_some(
    records: list[Record], small_net: Backbone, tmp_path: Path
) -> None:
    extract(records[:5], small_net, resolutions=[64], cache=tmp_path)
    job = _Records(fresh(small_net, tmp_path), silent, paths={r.digest: r.path for r in records})
    units = list(job.units(2))
    asked = [(s, d) for u in units for s in u.sizes for d in u.digests]
    expected = {(96, r.digest) for r in records} | {(64, r.digest) for r in records[5:]}
    assert sorted(asked) == sorted(expected)
    assert [len(u.digests) for u in units if u.sizes == SIZES] == [8, 8]


def test_lots__are_bounded_by_count_and_bytes(
    monkeypatch: pytest.MonkeyPatch, packed: Path
) -> None:
    from headstart.data.packed import read_part

    [part] = find_parts(str(packed / "photos.parquet"))
    monkeypatch.setattr("headstart.features.rayworker.SHARD_ROWS", 8)
    assert [len(lot) for lot in _ahead(_lots(read_part(part)))] == [8, 8, 5]
    monkeypatch.setattr("headstart.features.rayworker._LOT_BYTES", 1)
    assert [len(lot) for lot in _lots(read_part(part))] == [1] * 21


def test_ahead__raises_what_its_source_raises() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(_ahead(source()))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", r"`address` 127.0.0.1:1 cannot be reached \(.*refused\): start a cluster"),
        ("no.such.host.invalid:6379", "cannot be reached"),
        ("127.0.0.1:99999", "cannot be reached"),
        ("ray://127.0.0.1:10001", "must be HOST:PORT or auto; got 'ray://127.0.0.1:10001'"),
        ("here", "must be HOST:PORT or auto; got 'here'"),
    ],
)
def test_cluster__an_address_that_does_not_answer_is_one_line(address: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        Cluster(address=address).check()
    assert "\n" not in str(error.value)


def test_cluster__a_port_of_something_else_is_told_at_once() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Polite) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(InputError, match="what answers there is no Ray cluster"):
            Cluster(address=f"127.0.0.1:{server.server_address[1]}").check()


class Polite(socketserver.StreamRequestHandler):
    """Answers as a web server does to what it does not understand."""

    def handle(self) -> None:
        self.request.recv(100)
        self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("device", ["cuda:1", "warp9", ""])
def test_cluster__names_the_devices_that_workers_have(device: str) -> None:
    pytest.importorskip("ray")
    says = rf"^`device` must be auto, cpu, cuda or mps with `engine='ray'`.*; got '{device}'$"
    with pytest.raises(InputError, match=says):
        Cluster().check(device)


@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [
        (None, None, (3, "cuda", 4, 1)),
        (2, "auto", (2, "cuda", 4, 1)),
        (9, "cuda", (3, "cuda", 4, 1)),
        (None, "cpu", (2, "cpu", 8, 0)),
        (4, "cpu", (4, "cpu", 5, 0)),
    ],
)
def test_workers_of__have_a_gpu_each_or_share_the_cores(
    asked: int | None,
    device: str | None,
    expected: tuple[int, str, float, float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A machine with two GPUs and 8 cores, and one with a GPU and 12 cores."""
    machines = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 12.0, "GPU": 1.0}]
    nodes = [{"Alive": True, "Resources": resources} for resources in machines]
    monkeypatch.setattr(raycluster_module, "_nodes", lambda: nodes)
    found = raycluster_module._workers_of(Cluster(n_workers=asked), device, is_local=False)
    assert (found.n_workers, found.device, found.n_cpus, found.n_gpus) == expected
    assert ("only 3, one for each GPU" in caplog.text) == (asked == 9)


def test_workers_of__without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}]
    monkeypatch.setattr(raycluster_module, "_nodes", lambda: nodes)
    assert raycluster_module._workers_of(Cluster(), None, is_local=True).device == "cpu"
    with pytest.raises(InputError, match="`device` cuda: the Ray cluster has no GPU"):
        raycluster_module._workers_of(Cluster(), "cuda", is_local=True)


def test_cluster__without_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'pip install "headstart\[ray\]"'):
        Cluster().check()


def mapworkers(*, busy: bool = False) -> dict[int, str]:
    """Ray's actors below this process that have been made, by process: all, or those with a unit in hand."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text() if folder.name.isdigit() else ""
            words = (folder / "cmdline").read_bytes().decode(errors="replace") if stat else ""
            words = words.rstrip("\0")
        except OSError:
            continue
        if stat:
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            names[int(folder.name)] = words

    def is_ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return {
        pid: name
        for pid, name in names.items()
        if name.startswith("ray::MapWorker")
        and "__init__" not in name
        and (name.endswith(".submit") or not busy)
        and is_ours(pid)
    }


@pytest.fixture
def no_ray_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of Ray is there when the test ends."""
    folders: list[str] = []
    make = raycluster_module._scratch
    monkeypatch.setattr(
        raycluster_module, "_scratch", lambda: folders.append(make()) or folders[-1]
    )
    yield
    import ray

    assert not ray.is_initialized()
    assert not mapworkers()
    assert folders
    assert not [f for f in folders if Path(f).exists()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_extract_on_cluster__a_worker_killed_midway_ends_with_the_full_equal_set(
    tmp_path: Path,
    make_images: Callable[..., list[Record]],
    small_net: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    no_ray_left: None,
) -> None:
    """Two workers of a Ray that is started here; one is killed with SIGKILL as it works."""
    pytest.importorskip("ray")
    records = make_images(tmp_path / "images", 64)
    records[3].path.write_bytes(b"no picture any more")
    expected = extract(records, small_net, resolutions=[160], cache=tmp_path / "local")
    monkeypatch.setattr(cluster_module, "SHARD_ROWS", 4)
    killed: list[int] = []
    told: list[tuple[int, int]] = []

    def kill(stage: str, done: int, total: int) -> None:
        told.append((done, total))
        if done and not killed:
            for pid in list(mapworkers(busy=True))[-1:]:
                killed.append(done)
                os.kill(pid, signal.SIGKILL)

    result = extract_on_cluster(
        records, small_net, cluster=Cluster(n_workers=2), resolutions=[160],
        cache=tmp_path / "ray", progress=kill,
    )  # fmt: skip
    assert killed
    assert 0 < killed[0] < 64  # there was work left
    assert told[-1] == (64, 64)
    assert "workers lost and replaced: 1" in caplog.text
    assert set(result.unreadable) == {records[3].digest} == set(expected.unreadable)
    assert result.n_forward == 63
    good = [r.digest for r in records if r.digest != records[3].digest]
    assert_equal(result, expected, good)
    said = capfd.readouterr()
    assert said.out == ""
    assert "ray" not in said.err.lower().replace("headstart-ray", "")

    # a second call passes nothing and starts no Ray
    monkeypatch.setattr(cluster_module, "joined", None)
    kept = [r for r in records if r.digest != records[3].digest]
    again = extract_on_cluster(
        kept, small_net, cluster=Cluster(n_workers=2), resolutions=[160], cache=tmp_path / "ray"
    )
    assert (again.n_forward, again.n_cached) == (0, 63)


JOB = """
import signal, sys
from importlib import import_module
from pathlib import Path
from headstart.backbones import load
from headstart.data import index
from headstart.features import Cluster, extract_on_cluster

signal.signal(signal.SIGINT, signal.default_int_handler)
import_module("headstart.features.cluster").SHARD_ROWS = 4
result = extract_on_cluster(
    index(Path(sys.argv[1])).records, load("squeezenet1_1", pretrained=False, seed=0),
    cluster=Cluster(n_workers=2), resolutions=[160], cache=Path(sys.argv[2]),
    progress=lambda stage, done, total: print(done, flush=True),
)
print("forward", result.n_forward)
"""


def still_there(mark: str) -> list[str]:
    """What still runs of a job, told by its environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace")
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if f"HEADSTART_TEST_JOB={mark}" in environment:
                found.append(words)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds what is left in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_extract_on_cluster__stopped_and_started_again_goes_on_and_leaves_nothing(
    tmp_path: Path, small_net: Backbone, how: signal.Signals
) -> None:
    """Ctrl-C, which a terminal sends to all processes of the job at once, and a kill."""
    pytest.importorskip("ray")
    images = write_folder(tmp_path / "images", pictures(96))
    command = [sys.executable, "-c", JOB, str(images), str(tmp_path / "ray")]
    mark = f"{os.getpid()}-{how}"
    env = os.environ | {"HEADSTART_TEST_JOB": mark}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True
    ) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if int(line) >= 8:
                os.killpg(job.pid, how) if how == signal.SIGINT else job.send_signal(how)
                break
        job.stdout.read()
    assert job.wait() != 0
    patience = time.monotonic() + 180  # of a killed job, Ray's processes notice one by one
    while (left := still_there(mark)) and time.monotonic() < patience:
        time.sleep(0.5)
    assert not left
    done = sum(len(p) for p in open_digests(small_net, tmp_path / "ray"))
    assert 8 <= done < 96

    again = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert f"forward {96 - done}" in again.stdout
    records = index(images).records
    expected = extract(records, small_net, resolutions=[160], cache=tmp_path / "local")
    found = extract(records, small_net, resolutions=[160], cache=tmp_path / "ray")
    assert found.n_forward == 0
    assert_equal(found, expected, [r.digest for r in records])


def open_digests(backbone: Backbone, cache: Path) -> list[list[str]]:
    how = {"precision": "float32", "pooling": "average", "mirrored": False, "device": "cpu"}
    stores = open_stores(at_resolutions(backbone, [160], cache=cache, **how), cache)
    return [store.digests() for store in stores.values()]


@pytest.mark.slow
def test_extract_on_cluster__shards_are_read_by_the_workers_and_a_bad_network_is_told(
    packed: Path, small_net: Backbone, no_ray_left: None
) -> None:
    pytest.importorskip("ray")
    records = index(packed / "photos").records
    expected = extract(records, small_net, resolutions=[64], cache=packed / "local")
    parts = find_parts(f"file://{packed}/shards")
    result = extract_on_cluster(
        parts, small_net, cluster=Cluster(n_workers=2), resolutions=[64], cache=packed / "ray"
    )
    assert result.n_forward == 21
    for tap, _ in expected.stores[64].key.taps:
        X, Y = (e.stores[64].read([r.digest for r in records], tap) for e in (result, expected))
        # OpenVINO against PyTorch, where it is installed: shards do not say how many images they hold
        np.testing.assert_allclose(X, Y, atol=2e-3 * np.abs(Y).max())
    broken = dataclasses.replace(small_net, digest="0" * 64)
    broken.module.get_parameter("classifier.1.weight").fill_(float("nan"))
    try:
        with pytest.raises(StoreError, match="are not finite"):
            extract_on_cluster(
                records, broken, cluster=Cluster(), resolutions=[64], cache=packed / "ray"
            )
    finally:
        broken.module.get_parameter("classifier.1.weight").normal_(0, 0.01)
