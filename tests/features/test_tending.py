"""The store counted, read, merged, pruned and moved."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.errors import InputError, OutputError, StoreError
from headstart.features import FeatureStore, pruning
from headstart.features.compaction import compact
from headstart.features.inventory import Inventory, take_inventory
from headstart.features.moving import move
from headstart.features.pruning import Removal, is_inside, parse_age, parse_bytes, remove
from headstart.features.verification import verify
from headstart.files import write_atomically

_spec = importlib.util.spec_from_file_location("stores", Path(__file__).with_name("stores.py"))
assert _spec is not None
assert _spec.loader is not None
stores = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stores)
KEY, OTHER, check, digest, fill = (
    getattr(stores, n) for n in ("KEY", "OTHER", "check", "digest", "fill")
)

DAY_S = 86400.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two keys, a converted network, some scores, a download, something foreign and links."""
    root = tmp_path / "cache"
    fill(root, KEY, range(4), range(4, 10))
    fill(root, OTHER, range(3))
    write_atomically(root / "engines" / "abc" / "model.xml", b"x" * 70)
    write_atomically(root / "engines" / "abc" / "model.bin", b"y" * 30)
    for name in "pq":
        write_atomically(root / "heads" / f"{name}.safetensors", b"z" * 50)
    write_atomically(root / "datasets" / "pets" / "1.jpg", b"j" * 500)
    (root / "notes.txt").write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.arrow").write_text("precious")
    (root / "features" / "linked").symlink_to(outside)
    (root / "pixels").symlink_to(outside)
    return root


def age(path: Path, days: float) -> None:
    """As if it had last been used so long ago."""
    when = time.time() - days * DAY_S
    for file in [path, *path.rglob("*")]:
        os.utime(file, (when, when))


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_inventory__counts_what_is_there_and_follows_no_link(root: Path) -> None:
    found = take_inventory(root)
    big, small = found.features
    assert (big.arch, big.size_px, big.n_rows, big.n_shards) == ("torchvision:resnet18", 64, 10, 2)
    assert (small.n_rows, small.key["view"]) == (3, "mirrored")
    own = [p for p in root.rglob("*") if p.is_file() and p.name != "notes.txt"]
    assert found.n_bytes == sum(p.stat().st_size for p in own)
    assert {i.kind for i in found.items} == {"features", "engines", "heads", "datasets"}
    assert found.foreign == (root / "notes.txt",)
    assert set(found.links) == {root / "features" / "linked", root / "pixels"}
    assert time.time() - big.last_used < 60


def test_inventory__of_no_cache_is_empty(tmp_path: Path) -> None:
    assert take_inventory(tmp_path / "none") == Inventory(root=tmp_path / "none", items=())


def test_inventory__a_shard_and_a_manifest_that_are_damaged_are_told(root: Path) -> None:
    key = take_inventory(root).features[0]
    (key.path / "manifest.json").write_text("{")
    next(key.path.glob("shard-*")).write_bytes(b"no arrow")
    again = next(f for f in take_inventory(root).features if f.path == key.path)
    assert (again.arch, again.n_shards, again.n_damaged) == ("unknown", 1, 1)
    assert not again.is_of("resnet18")


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("resnet18", "torchvision:resnet18"), ("torchvision:resnet18", "torchvision:resnet18"),
        ("abababab", "torchvision:resnet18"), ("vit_tiny", "timm:vit_tiny.augreg"),
        ("timm:vit_tiny.augreg", "timm:vit_tiny.augreg"), ("resnet1", None), ("ab", None),
    ],
)  # fmt: skip
def test_is_of__by_name_or_digest(root: Path, name: str, arch: str | None) -> None:
    assert [f.arch for f in take_inventory(root).features if f.is_of(name)] == [arch] * bool(arch)


def test_verify__passes_a_whole_store(root: Path) -> None:
    before = files(root)
    found = verify(take_inventory(root))
    assert found.damaged == ()
    assert found.n_files == 6  # three shards, two manifests, a converted network
    assert files(root) == before


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_verify__names_every_damaged_file_and_pruning_mends(root: Path, damage: str) -> None:
    victim = sorted(take_inventory(root).features[0].path.glob("shard-*"))[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(
        {"flip": bytes(content), "truncate": bytes(content[:-9]), "empty": b""}[damage]
    )
    manifest = take_inventory(root).features[1].path / "manifest.json"
    manifest.write_text('{"schema": 1}')
    (root / "engines" / "abc" / "model.bin").unlink()
    aside = manifest.with_name("shard-1.damaged")
    aside.write_text("")
    half = manifest.with_name(".shard-1.0123456789abcdef.tmp")
    half.write_text("")
    bad = {victim, manifest, aside, half, root / "engines" / "abc"}
    damaged = verify(take_inventory(root)).damaged
    assert {d.path for d in damaged} == bad
    assert all(d.can_go for d in damaged)
    assert remove(root, pruning.damaged_files(damaged)) == []
    assert not any(path.exists() for path in bad)
    assert verify(take_inventory(root)).damaged == ()
    check(root, OTHER, range(3))  # which writes the manifest again


def test_verify__leaves_what_another_process_is_writing(root: Path) -> None:
    from headstart.files import whole_file

    with whole_file(root / "features" / "x" / "shard-1.arrow") as file:
        file.write(b"half")
        assert verify(take_inventory(root)).damaged == ()


def test_unused_since__goes_by_the_last_run(root: Path) -> None:
    key = take_inventory(root).features[0].path
    age(key, 40)
    age(root / "heads" / "p.safetensors", 31)
    items = pruning.prunable(take_inventory(root), None)
    assert {g.path for g in pruning.unused_since(items, 30 * DAY_S)} == {
        key, root / "heads" / "p.safetensors"
    }  # fmt: skip
    FeatureStore(KEY, root)
    again = pruning.prunable(take_inventory(root), None)
    assert key not in {g.path for g in pruning.unused_since(again, 30 * DAY_S)}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None
)
@given(limit=st.integers(0, 8000))
def test_down_to__takes_the_longest_unused_and_no_more_than_it_must(root: Path, limit: int) -> None:
    age(root / "heads", 10)
    age(root / "engines", 20)
    items = pruning.prunable(take_inventory(root), None)
    going = pruning.down_to(items, limit)
    left = sum(i.n_bytes for i in items) - sum(g.n_bytes for g in going)
    assert left <= limit
    assert not going or left + going[-1].n_bytes > limit
    last_used = {i.path: i.last_used for i in items}
    gone = [last_used[g.path] for g in going]
    assert gone == sorted(gone)
    stays = [t for p, t in last_used.items() if p not in {g.path for g in going}]
    assert not gone or not stays or max(gone) <= min(stays)


def test_prunable__leaves_downloads_and_takes_one_backbone(root: Path) -> None:
    inventory = take_inventory(root)
    assert "datasets" not in {i.kind for i in pruning.prunable(inventory, None)}
    [only] = pruning.prunable(inventory, "vit_tiny")
    assert only.path == inventory.features[1].path
    with pytest.raises(
        InputError, match=r"no features of it; it has: timm:vit_tiny\.augreg, torch"
    ):
        pruning.prunable(inventory, "vgg16")


def test_rows_not_in__drops_rows_and_keeps_the_others_bit_by_bit(root: Path) -> None:
    wanted = {digest(i) for i in range(3, 7)}
    going = pruning.rows_not_in(take_inventory(root).features, wanted)
    assert [(g.n_rows, g.n_bytes > 0) for g in going] == [(6, True), (None, True)]
    assert remove(root, going, wanted=wanted) == []
    check(root, KEY, range(3, 7))
    assert [f.n_rows for f in take_inventory(root).features] == [4]
    assert pruning.rows_not_in(take_inventory(root).features, wanted) == []


def test_remove__touches_nothing_behind_a_link_or_outside(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "precious.arrow"
    for path in (
        root / "pixels" / "precious.arrow",
        root / "features" / "linked" / "precious.arrow",
        outside,
        root / ".." / "outside" / "precious.arrow",
        root,
        root / "..",
    ):
        assert not is_inside(root, path)
        with pytest.raises(StoreError, match="does not lie in the cache"):
            remove(root, [Removal(path=path, why="", n_bytes=0)])
    everything = pruning.down_to(pruning.prunable(take_inventory(root), None), 0)
    inner = take_inventory(root).features[0].path / "shard-link.arrow"
    inner.symlink_to(outside)
    assert remove(root, everything) == []
    assert outside.read_text() == "precious"
    assert files(root) == {"datasets/pets/1.jpg", "notes.txt"}


def test_remove__a_cache_behind_a_link_is_pruned_all_the_same(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    items = pruning.prunable(take_inventory(tmp_path / "link"), "resnet18")
    assert remove(tmp_path / "link", pruning.down_to(items, 0)) == []
    assert [f.arch for f in take_inventory(root).features] == ["timm:vit_tiny.augreg"]


def test_remove__does_not_hurt_a_run_that_has_the_features_open(root: Path) -> None:
    running = FeatureStore(KEY, root)
    items = pruning.prunable(take_inventory(root), None)
    remove(root, pruning.down_to(items, 0))
    assert running.read([digest(9)], "b").tolist() == [[9 / 4] * 5]
    running.add([digest(10)], {"a": np.ones((1, 3), np.float32), "b": np.ones((1, 5), np.float32)})
    again = FeatureStore(KEY, root)
    assert again.missing([digest(9), digest(10)]) == [digest(9)]
    assert (again.folder / "manifest.json").exists()


def test_compact__keeps_every_row_in_one_shard(tmp_path: Path) -> None:
    folder = fill(tmp_path, KEY, *(range(i, i + 3) for i in range(0, 60, 3))).folder
    done = compact(folder)
    assert (done.n_before, done.n_after, done.n_rows_dropped) == (20, 1, 0)
    check(tmp_path, KEY, range(60))
    assert compact(folder).n_after == 1


def test_compact__to_a_size_and_each_image_once(tmp_path: Path) -> None:
    fill(tmp_path, KEY, *(range(i, i + 5) for i in range(0, 60, 3)))
    folder = FeatureStore(KEY, tmp_path).folder
    one = next(folder.glob("shard-*")).stat().st_size
    done = compact(folder, target_bytes=4 * one)
    assert done.n_after == 5
    assert done.n_rows_dropped >= 5
    check(tmp_path, KEY, range(62))
    assert len(list(folder.glob("shard-*"))) == 5


def test_compact__leaves_a_damaged_shard_to_be_found(tmp_path: Path) -> None:
    folder = fill(tmp_path, KEY, range(3), range(3, 6), range(6, 9)).folder
    victim = sorted(folder.glob("shard-*"))[1]
    victim.write_bytes(victim.read_bytes()[:-1])
    done = compact(folder)
    assert (done.n_before, done.n_after, done.n_damaged) == (3, 2, 1)
    assert victim.exists()
    assert len(FeatureStore(KEY, tmp_path)) == 6


def test_compact__does_not_hurt_a_run_that_has_the_features_open(tmp_path: Path) -> None:
    running = fill(tmp_path, KEY, range(3), range(3, 6))
    compact(running.folder)
    assert running.read([digest(5)], "b").tolist() == [[5 / 4] * 5]


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[4])
import faulty
faulty.install(faulty.Faults(root=Path(sys.argv[1]), journal=Path(sys.argv[2]), at=int(sys.argv[3])))
"""
KILLED_COMPACT = (
    KILLED
    + """
from headstart.features.compaction import compact
[folder] = Path(sys.argv[1], "cache", "features").iterdir()
compact(folder)
"""
)
KILLED_MOVE = (
    KILLED
    + """
from headstart.features.moving import move
move(Path(sys.argv[1], "cache"), Path(sys.argv[1], "new"))
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("code", [KILLED_COMPACT, KILLED_MOVE], ids=["compact", "move"])
def test_killed__at_every_write_rename_and_removal_loses_no_row(tmp_path: Path, code: str) -> None:
    trust = Path(__file__).parents[1] / "trust"
    for at in range(1, 200):
        box = tmp_path / str(at)
        cache = box / "cache"
        fill(cache, KEY, range(3), range(3, 6))
        done = subprocess.run(
            [sys.executable, "-c", code, box, box / "../journal", str(at), trust], check=False
        )
        there = {
            i
            for root in (cache, box / "new")
            for i in range(6)
            if root.exists() and digest(i) in FeatureStore(KEY, root)
        }
        assert there == set(range(6)), f"killed at point {at}"
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        if code is KILLED_MOVE:
            move(cache, box / "new")
            check(box / "new", KEY, range(6))
        else:
            compact(FeatureStore(KEY, cache).folder)
            check(cache, KEY, range(6))
    assert 5 < at < 199


def test_move__brings_every_file_and_its_date(root: Path, tmp_path: Path) -> None:
    age(root / "heads", 12)
    old = take_inventory(root)
    was = {p: (root / p).read_bytes() for p in files(root)}
    done = move(root, tmp_path / "new")
    assert done.n_files == done.n_copied == len(was) - 1
    del was["notes.txt"]
    assert {p: (tmp_path / "new" / p).read_bytes() for p in files(tmp_path / "new")} == was
    assert files(root) == {"notes.txt"}
    assert (tmp_path / "outside" / "precious.arrow").exists()
    new = {i.path.name: i.last_used for i in take_inventory(tmp_path / "new").items}
    assert new["p.safetensors"] == pytest.approx(
        next(i.last_used for i in old.items if i.path.name == "p.safetensors"), abs=1
    )
    check(tmp_path / "new", KEY, range(10))


def test_move__leaves_what_another_process_is_writing(root: Path, tmp_path: Path) -> None:
    from headstart.files import whole_file

    folder = FeatureStore(KEY, root).folder
    with whole_file(folder / "shard-1.arrow") as file:
        file.write(b"half")
        move(root, tmp_path / "new")
    assert files(root) == {"notes.txt", str((folder / "shard-1.arrow").relative_to(root))}
    assert not [p for p in files(tmp_path / "new") if "shard-1." in p]


def test_move__into_a_cache_copies_what_it_lacks(root: Path, tmp_path: Path) -> None:
    fill(tmp_path / "new", KEY, range(4), range(20, 22))
    done = move(root, tmp_path / "new", keep=True)
    assert 0 < done.n_copied < done.n_files
    assert digest(21) in FeatureStore(KEY, tmp_path / "new")
    assert digest(9) in FeatureStore(KEY, tmp_path / "new")
    check(root, KEY, range(10))


def test_move__a_disk_that_gives_back_other_bytes_costs_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(root)
    copied = shutil.copyfileobj

    def flipping(source: Any, target: Any, length: int) -> None:
        copied(source, target, length)
        target.write(b"!")

    monkeypatch.setattr(shutil, "copyfileobj", flipping)
    with pytest.raises(OutputError, match="does not hold what was written to it"):
        move(root, tmp_path / "new")
    assert files(root) == before
    assert files(tmp_path / "new") == set()


def test_move__refuses_what_makes_no_sense(root: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "file").write_text("")
    for target, said in (
        (root, "in .* already"),
        (root / "inner", "lie in each other"),
        (tmp_path, "lie in each other"),
        (tmp_path / "full", r"no cache \('letter.txt'\): choose an empty"),
        (tmp_path / "file", "is not a folder"),
    ):
        with pytest.raises(InputError, match=said):
            move(root, target)
    with pytest.raises(InputError, match="nothing to move"):
        move(tmp_path / "nowhere", tmp_path / "new")


def test_move__without_room_says_so(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"GB free: prune it first"):
        move(root, tmp_path / "new")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5GB", 5e9), ("1.5 kB", 1500), ("800M", 8e8), ("12", 12), ("2TiB", 2e12)],
)
def test_parse_bytes(text: str, expected: float) -> None:
    assert parse_bytes(text) == expected


@given(st.text(max_size=8).filter(lambda text: not text.strip()[:1].isdecimal()))
def test_parse__anything_else_is_one_line(text: str) -> None:
    for parse in (parse_bytes, parse_age):
        with pytest.raises(InputError, match=r"\A[^\n]+\Z"):
            parse(text)


@pytest.mark.parametrize("text", ["", "soon", "-3d", "3 fortnights", "nan", "1e9d"])
def test_parse_age__refuses(text: str) -> None:
    with pytest.raises(InputError, match="`older_than` must be an age such as 30d"):
        parse_age(text)
