from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import load
from headstart.data import index
from headstart.features.engines import has_bfloat16
from headstart.runs import precision
from headstart.runs.precision import Gate, agreement, choose_precision


def clusters(n: int = 32, d: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], n // 4)
    centres = 3 * rng.normal(size=(4, d))
    return (centres[y] + rng.normal(size=(n, d))).astype(np.float32), y


def test_agreement__is_whole_for_equal_features_and_low_for_noise() -> None:
    X, y = clusters()
    assert agreement(X, X, y) == (1.0, 1.0)
    noise = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    neighbours, decisions = agreement(X, noise, y)
    assert neighbours < 0.5
    assert decisions < 0.7


def test_agreement__small_changes_keep_the_decisions() -> None:
    X, y = clusters()
    rough = X + 0.01 * np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    assert agreement(X, rough, y)[1] == 1.0


def test_timed__compares_whole_batches_whatever_their_size() -> None:
    """A GPU's batch holds more images than the sample, and not as many in both precisions."""
    images = np.random.default_rng(0).integers(0, 256, (32, 2, 2, 3), dtype=np.uint8)

    class Slow:
        name, n_workers = "slow", 1

        def __init__(self, batch_size: int) -> None:
            self.batch_size = batch_size

        def __call__(self, images: np.ndarray) -> list[np.ndarray]:
            assert len(images) == self.batch_size
            time.sleep(2e-4 * len(images))
            return [images.reshape(len(images), -1).astype(np.float32)]

    for size in (8, 64, 256):
        [X], seconds = precision._timed(Slow(size), images)
        np.testing.assert_array_equal(X, images.reshape(32, -1))
        assert 2e-4 <= seconds < 2e-3


def test_choose_precision__few_images_stay_in_float32(
    make_shapes: Callable[..., Path], tmp_path: Path
) -> None:
    records = index(make_shapes(tmp_path / "data", n=4)).records
    gate = choose_precision(load(), records, device="cpu", cache=tmp_path)
    assert gate.precision == "float32"
    assert not gate.passed


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the network is converted, and the precisions of one set are compared, once."""
    return tmp_path_factory.mktemp("kept")


def test_choose_precision__says_why_and_asks_once(
    make_shapes: Callable[..., Path], tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_bfloat16("cpu"):
        pytest.skip("this CPU, or its runtime, has no bfloat16")
    records = index(make_shapes(tmp_path / "data", n=20)).records
    backbone = load()
    stages: list[tuple[str, int, int]] = []
    gate = choose_precision(
        backbone, records, device="cpu", cache=kept, progress=lambda *stage: stages.append(stage)
    )
    assert [s for s in stages if s[1] == s[2]] == [
        ("prepare float32 and bfloat16", 2, 2),
        ("try float32 and bfloat16", 64, 64),
    ]
    assert "32 images" in gate.reason
    assert gate.speedup is not None
    assert gate.passed == (
        gate.speedup >= precision.MIN_SPEEDUP
        and (gate.neighbours or 0) >= precision.MIN_NEIGHBOURS
        and (gate.decisions or 0) >= precision.MIN_DECISIONS
        and (gate.at_worst or 0) >= precision.MIN_AT_EACH
    )
    assert any(f"at {tap.name} " in gate.reason for tap in backbone.taps)

    def never(*_: object) -> Gate:
        raise AssertionError("compared twice")

    monkeypatch.setattr(precision, "_compare", never)
    assert choose_precision(backbone, records, device="cpu", cache=kept) == gate

    used = sorted(records, key=lambda r: r.digest)[:32]
    relabelled = [dataclasses.replace(used[0], label="another"), *records[1:]]
    assert choose_precision(backbone, relabelled, device="cpu", cache=kept) == gate
    gone = {r.digest for r in used[:16]}
    half = [r for r in records if r.digest not in gone]
    half += [dataclasses.replace(used[0], digest=f"{i:064x}") for i in range(12)]
    assert choose_precision(backbone, half, device="cpu", cache=kept) == gate
    gone = {r.digest for r in used[:17]}
    less = [r for r in half if r.digest not in gone]
    with pytest.raises(AssertionError, match="compared twice"):
        choose_precision(backbone, less, device="cpu", cache=kept)


def test_fit__records_the_precision_and_its_reason(
    make_shapes: Callable[..., Path], tmp_path: Path, kept: Path
) -> None:
    import headstart

    data = make_shapes(tmp_path / "data", n=20)
    run = headstart.fit(data, out=tmp_path / "run", cache=kept, resolutions=(64,))
    used = run.provenance.precision
    assert used is not None
    assert used.chosen in ("float32", "bfloat16")
    assert used.reason
    assert run.model.precision == used.chosen
    assert f"--precision {used.chosen}" in run.provenance.command
    gates = [json.loads(p.read_text()) for p in (kept / "precision").glob("*.json")]
    assert all(Gate(**k["gate"]).precision == used.chosen for k in gates)
