"""The engine for many workers: its parts in this process, and a real Ray with two workers, one killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headstart.backbones import Backbone
from headstart.data import Record, index
from headstart.data.packed import find_parts
from headstart.errors import InputError
from headstart.features import Extraction, extract
from headstart.features import cluster as cluster_module
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
        ("127.0.0.1:1", r"--address 127.0.0.1:1 cannot be reached \(.*refused\): start a cluster"),
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


def test_cluster__without_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'pip install "headstart\[ray\]"'):
        Cluster().check()


def mapworkers() -> dict[int, str]:
    """Ray's actors below this process that have been made, by process."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text() if folder.name.isdigit() else ""
            words = (folder / "cmdline").read_bytes().decode(errors="replace") if stat else ""
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
        if name.startswith("ray::MapWorker") and "__init__" not in name and is_ours(pid)
    }


@pytest.fixture
def no_ray_left() -> Iterator[None]:
    """Nothing of Ray is there when the test ends."""
    yield
    import ray

    assert not ray.is_initialized()
    assert not list(Path("/tmp").glob("headstart-ray-*")) or os.environ.get("PYTEST_XDIST_WORKER")


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
    """Two workers of a Ray that is started here; one is killed with SIGKILL after the first answer."""
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
            killed.append(next(iter(mapworkers())))
            os.kill(killed[0], signal.SIGKILL)

    result = extract_on_cluster(
        records, small_net, cluster=Cluster(n_workers=2), resolutions=[160],
        cache=tmp_path / "ray", progress=kill,
    )  # fmt: skip
    assert killed
    assert 0 < told[1][0] < 64  # there was work left when it was killed
    assert told[-1] == (64, 64)
    assert "were lost and replaced" in caplog.text
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
