"""The SVM's passes on the workers of a Ray cluster, beside those of this process."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.features import Cluster, FeatureKey, FeatureStore
from headstart.features.raycluster import joined
from headstart.heads import LinearSVMPath, streaming
from headstart.heads.passes import segments
from headstart.sources.blocks import JoinedRows
from headstart.sources.divided import ClusterExecutor, DividedRows, SentRows

KEY = FeatureKey(
    weights="ab" * 32,
    arch="torchvision:resnet18",
    taps=(("a", "features.0"),),
    preprocessing={"size_px": 64},
    precision="float32",
)
N, N_FEATURES = 9_000, 40


@pytest.fixture
def rows(tmp_path: Path) -> tuple[JoinedRows, np.ndarray]:
    """Stored features of four segments, in another order than on the disk; and three classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    X = rng.normal(size=(N, N_FEATURES)) + 0.5 * rng.normal(size=(3, N_FEATURES))[y]
    store = FeatureStore(KEY, tmp_path)
    digests = [f"{i:064x}" for i in range(N)]
    for some in (slice(i, i + 512) for i in range(0, N, 512)):
        store.add(digests[some], {"a": X[some].astype(np.float32)})
    order = rng.permutation(N)
    return JoinedRows(store.rows([digests[i] for i in order], ["a"])), y[order]


def test_stored_rows__of_another_process_map_the_shards_themselves(rows: Any) -> None:
    own, _ = rows
    sent = pickle.dumps(own)
    assert len(sent) < 20 * N  # places, and no features
    some = slice(4_000, 4_100)
    theirs = pickle.loads(sent)  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(theirs[some], own[some])


def test_sent_rows__give_slices_of_their_segments(
    rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda value: value)
    own, _ = rows
    sent = SentRows.of(own)
    assert (sent.shape, sent.dtype, len(sent)) == (own.shape, own.dtype, len(own))
    for part in segments(N):
        for some in (part, slice(part.start + 7, part.start + 9), slice(part.stop - 3, part.stop)):
            np.testing.assert_array_equal(sent[some], own[some])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ray's Windows support is in beta")
def test_divided_rows__workers_find_the_same_bits_and_one_that_is_lost_is_replaced(
    rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    own, y = rows
    monkeypatch.setattr(streaming, "FEW_ITERATIONS", -100)  # so that Hessians are summed, too
    how: dict[str, Any] = {"Cs": (0.1, 10.0), "cv": 3, "device": "cpu"}
    expected = LinearSVMPath(**how).fit(own, y)
    made: list[ClusterExecutor] = []
    lost: list[ClusterExecutor] = []
    each = ClusterExecutor.each

    def losing(self: ClusterExecutor, *arguments: Any) -> Any:
        if self not in made:
            made.append(self)
        elif self not in lost:
            lost.append(self)
            pid = ray.get(self._actors[0].__ray_call__.remote(lambda _: os.getpid()))
            os.kill(pid, signal.SIGKILL)
        return each(self, *arguments)

    monkeypatch.setattr(ClusterExecutor, "each", losing)
    with joined(Cluster(n_workers=2), device="cpu") as workers:
        for sees_the_store in (True, False):
            there = dataclasses.replace(workers, is_local=sees_the_store)
            found = LinearSVMPath(**how).fit(DividedRows(own, there), y)
            np.testing.assert_array_equal(found.coef_, expected.coef_)
            np.testing.assert_array_equal(found.cv_decisions_, expected.cv_decisions_)
    assert len(lost) == 2
