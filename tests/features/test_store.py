from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headstart.errors import OutputError, StoreError
from headstart.features import FeatureKey, FeatureStore, cache_folder
from headstart.features import store as store_module

KEY = FeatureKey(
    weights="w" * 64,
    arch="torchvision:tiny",
    taps=(("a", "features.0"), ("b", "fc")),
    preprocessing={"size_px": 32},
    pooling="average",
    precision="float32",
)


def rows(n: int, *, seed: int = 0) -> tuple[list[str], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    digests = [f"{seed:032x}{i:032x}" for i in range(n)]
    return digests, {
        "a": rng.normal(size=(n, 3)).astype(np.float32),
        "b": rng.normal(size=(n, 5)).astype(np.float32),
    }


# No deadline: every example flushes files to a disk that others may be busy on.
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    values=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 6)),
        elements=st.floats(-6e4, 6e4, width=32),
    )
)
def test_read__gives_back_what_was_added_as_float16(tmp_path: Path, values: np.ndarray) -> None:
    store = FeatureStore(dataclasses.replace(KEY, weights=os.urandom(8).hex()), tmp_path)
    digests = [f"{i:064x}" for i in range(len(values))]
    store.add(digests, {"a": values})
    again = FeatureStore(store.key, tmp_path)
    expected = values.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(again.read(digests, "a"), expected)
    np.testing.assert_array_equal(again.read(digests[::-1], "a"), expected[::-1])


def test_missing__counts_each_digest_once_and_keeps_the_order(tmp_path: Path) -> None:
    store = FeatureStore(KEY, tmp_path)
    digests, features = rows(3)
    store.add(digests, features)
    assert store.missing(["x", digests[1], "y", "x"]) == ["x", "y"]
    assert len(store) == 3


def test_store__is_another_for_every_part_of_the_key(tmp_path: Path) -> None:
    digests, features = rows(2)
    FeatureStore(KEY, tmp_path).add(digests, features)
    changes: list[dict[str, object]] = [
        {"weights": "v" * 64},
        {"arch": "timm:tiny"},
        {"taps": (("a", "features.1"), ("b", "fc"))},
        {"preprocessing": {"size_px": 64}},
        {"pooling": "max"},
        {"view": "mirrored"},
        {"precision": "bfloat16"},
    ]
    for change in changes:
        other = FeatureStore(dataclasses.replace(KEY, **change), tmp_path)  # type: ignore[arg-type]
        assert other.missing(digests) == digests, change


def test_feature_key__without_a_view_is_what_it_was_before_there_were_views() -> None:
    assert "view" not in KEY.to_dict()
    assert dataclasses.replace(KEY, view="mirrored").to_dict()["view"] == "mirrored"


def test_store__any_arrow_reader_opens_a_shard(tmp_path: Path) -> None:
    store = FeatureStore(KEY, tmp_path)
    digests, features = rows(4)
    path = store.add(digests, features)
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column("digest").to_pylist() == digests
    assert table.schema.field("b").type == pa.list_(pa.float16(), 5)
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert manifest["taps"] == [["a", "features.0"], ["b", "fc"]]


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_store__sets_a_damaged_shard_aside(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(KEY, tmp_path)
    first, features = rows(5, seed=1)
    second, more = rows(5, seed=2)
    victim = store.add(first, features)
    store.add(second, more)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"flip": bytes(content), "truncate": bytes(content[:-9]), "empty": b""}[damage]
    victim.write_bytes(damaged)

    again = FeatureStore(KEY, tmp_path)
    assert again.missing(first + second) == first
    assert "damaged feature shard" in caplog.text
    assert not victim.exists()
    again.add(first, features)
    np.testing.assert_allclose(again.read(first, "a"), features["a"], rtol=1e-3, atol=1e-4)


def test_store__ignores_what_a_kill_left_half_written(tmp_path: Path) -> None:
    store = FeatureStore(KEY, tmp_path)
    (store.folder / ".shard-abc.arrow.123.tmp").write_bytes(b"half")
    assert FeatureStore(KEY, tmp_path).missing(["x"]) == ["x"]


def test_add__refuses_values_that_are_not_finite(tmp_path: Path) -> None:
    store = FeatureStore(KEY, tmp_path)
    for bad, said in (
        (np.nan, "not finite.*nan"),
        (np.inf, "not finite.*inf"),
        (-1e6, "-1e.06.*65,504"),
    ):
        values = np.array([[1.0, 2.0], [0.5, bad]], np.float32)
        with pytest.raises(StoreError, match=said) as caught:
            store.add(["c" * 64, "d" * 64], {"a": values})
        assert "tap 'a'" in str(caught.value)
        assert "image dddddddddddd" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list(store.folder.glob("shard-*")) == []


def test_read__says_what_is_missing(tmp_path: Path) -> None:
    store = FeatureStore(KEY, tmp_path)
    with pytest.raises(StoreError, match="no features of image dddd"):
        store.read(["d" * 64], "a")
    digests, features = rows(1)
    store.add(digests, features)
    with pytest.raises(StoreError, match="no features of tap 'c'"):
        store.read(digests, "c")


def test_store__unusable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="set HEADSTART_CACHE"):
        FeatureStore(KEY, tmp_path)


def test_add__full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(KEY, tmp_path)
    digests, features = rows(2)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        store.add(digests, features)
    assert sorted(p.name for p in store.folder.iterdir()) == ["manifest.json"]


def test_cache_folder__follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "headstart"


def test_store__of_more_shards_than_can_stay_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "KEPT_MAPPED", 2)
    parts = [rows(3, seed=seed) for seed in range(5)]
    first = FeatureStore(KEY, tmp_path)
    for digests, features in parts:
        first.add(digests, features)
    digests = [d for ds, _ in parts for d in ds][::-1]
    expected = np.concatenate([f["b"] for _, f in parts])[::-1].astype(np.float16)
    for store in (first, FeatureStore(KEY, tmp_path)):
        np.testing.assert_array_equal(store.read(digests, "b"), expected)
    merged = {tap: np.concatenate([f[tap] for _, f in parts]) for tap in ("a", "b")}
    for shard in store.folder.glob("shard-*"):
        shard.unlink()
    FeatureStore(KEY, tmp_path).add(digests[::-1], merged)
    np.testing.assert_array_equal(store.read(digests, "b"), expected)
    for shard in store.folder.glob("shard-*"):
        shard.unlink()
    with pytest.raises(StoreError, match="no features of image"):
        first.read(digests, "b")


def test_store__finds_the_rows_of_shards_that_are_merged_while_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(KEY, tmp_path)
    digests, features = rows(4)
    for i in range(4):
        store.add(digests[i : i + 1], {t: f[i : i + 1] for t, f in features.items()})
    opened = FeatureStore._open

    def merged_meanwhile(self: FeatureStore, path: Path) -> bool:
        monkeypatch.setattr(FeatureStore, "_open", opened)
        for shard in self.folder.glob("shard-*"):
            shard.unlink()
        store.add(digests, features)
        return opened(self, path)

    monkeypatch.setattr(FeatureStore, "_open", merged_meanwhile)
    assert FeatureStore(KEY, tmp_path).missing(digests) == []


def test_store__opening_dates_its_last_use(tmp_path: Path) -> None:
    manifest = FeatureStore(KEY, tmp_path).folder / "manifest.json"
    os.utime(manifest, (1e9, 1e9))
    FeatureStore(KEY, tmp_path)
    assert manifest.stat().st_mtime > 1e9
