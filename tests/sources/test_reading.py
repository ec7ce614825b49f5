"""Features that the memory cannot hold are left in the store, and the answers stay."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.features import FeatureKey, FeatureStore
from headstart.heads import task
from headstart.probe import judge
from headstart.probe.screening import screen
from headstart.sources import reading
from headstart.sources.blocks import Blocks, JoinedRows, block_rows, read_blocks
from headstart.sources.reading import Reading, free_bytes

BOTH = Blocks(taps=("a", "b"), resolutions=(32, 64))


@pytest.fixture
def stores(tmp_path: Path) -> dict[int, FeatureStore]:
    """1,100 images in three shards, at two resolutions."""
    rng = np.random.default_rng(0)
    made = {}
    for size in BOTH.resolutions:
        key = FeatureKey(
            weights="w", arch="tiny", taps=(("a", "x"), ("b", "y")),
            preprocessing={"size_px": size}, precision="float32",
        )  # fmt: skip
        made[size] = FeatureStore(key, tmp_path)
        for start in (0, 400, 800):
            digests = [f"{i:064x}" for i in range(start, min(start + 400, 1100))]
            features = {
                t: rng.normal(size=(len(digests), d)).astype(np.float32)
                for t, d in (("a", 3), ("b", 5))
            }
            made[size].add(digests, features)
    return made


def test_block_rows__are_what_is_read_whole_in_any_order(stores: Any) -> None:
    order = np.random.default_rng(1).permutation(1100)
    digests = [f"{i:064x}" for i in order]
    X, rows = read_blocks(stores, digests, BOTH), block_rows(stores, digests, BOTH)
    assert rows.shape == X.shape == (1100, 16)
    assert X.dtype == rows.dtype == np.float32
    parts = [stores[size].read(digests, tap) for tap, size in BOTH.pairs]
    expected = np.hstack([p / np.linalg.norm(p, axis=1, keepdims=True) for p in parts])
    np.testing.assert_allclose(X, expected, rtol=1e-5)
    for some in (slice(0, 1), slice(390, 910), slice(1050, 1100)):
        np.testing.assert_array_equal(rows[some], X[some])


def test_reading__leaves_in_the_store_what_passes_its_share_of_the_memory(
    stores: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    digests = [f"{i:064x}" for i in range(1100)]
    needed = 12 * 1100 * 16
    made = Reading()
    monkeypatch.setattr(reading, "free_bytes", lambda: 2 * needed)
    assert isinstance(made(stores, digests, BOTH), np.ndarray)
    monkeypatch.setattr(reading, "free_bytes", lambda: None)
    assert isinstance(made(stores, digests, BOTH), np.ndarray)
    assert made.in_blocks == {}
    monkeypatch.setattr(reading, "free_bytes", lambda: 2 * needed - 1)
    with caplog.at_level(logging.INFO):
        assert isinstance(made(stores, digests, BOTH), JoinedRows)
        made(stores, digests, BOTH)
    assert len(caplog.messages) == 1
    assert "1,100 images of 16 numbers would take" in caplog.messages[0]
    assert list(made.in_blocks) == [str(BOTH)]


def test_free_bytes__is_less_in_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CGROUP", tmp_path)
    whole = free_bytes()
    if whole is None:
        pytest.skip("this system does not tell")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 150\n")
    assert free_bytes() == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert (free_bytes() or 0) > 10**6


@pytest.mark.parametrize("n_classes", [2, 3])
def test_score__is_the_same_from_the_store(
    stores: Any, monkeypatch: pytest.MonkeyPatch, n_classes: int
) -> None:
    monkeypatch.setattr(task, "MOST_GRAM_ROWS", 0)
    digests = [f"{i:064x}" for i in range(1100)]
    X, rows = read_blocks(stores, digests, BOTH), block_rows(stores, digests, BOTH)
    names = np.array(["ash", "beech", "cedar"][:n_classes])
    y = names[np.argmax(X[:, :n_classes] + 0.2 * X[:, 8 : 8 + n_classes], axis=1)]
    folds = np.arange(1100) % 4
    whole, streamed = (judge(each, y, folds, Cs=(0.1, 10.0)) for each in (X, rows))
    assert whole.accuracy_by_C == pytest.approx(streamed.accuracy_by_C, abs=0.002)
    assert (whole.C, whole.n_features) == (streamed.C, streamed.n_features)
    np.testing.assert_allclose(whole.decisions, streamed.decisions, atol=0.02)
    screened = [screen(each, y, folds).correct for each in (X, rows)]
    assert screened[0].tolist() == screened[1].tolist()
