"""Every published network of timm: taps, kinds, preprocessing and class token, without weights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
from timm.models import list_pretrained

from headstart.backbones.architectures import own_preprocessing, resolve

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.timm_walk import page, published_names, walk, walk_all

# Networks that cannot be used, each with a part of the reason.
REFUSED = {
    f"vit_{size}_patch16_sapiens2": "takes 768x1024 px"
    for size in ("base", "large", "huge", "giant", "5b")
}
# One small network of each kind of head and of tokens, for the quick suite.
QUICK = (
    "resnet10t",
    "test_vit",
    "test_vit2",
    "test_efficientnet",
    "test_convnext",
    "test_mambaout",
)


@pytest.mark.parametrize("name", QUICK)
def test_walk__small_networks(name: str) -> None:
    found = walk(name)
    assert (found.problems, found.refused) == ((), "")


def test_walk_all__goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["test_vit", "vit_base_patch16_sapiens2"]
    if not timm.is_model(names[1]):
        pytest.skip("this timm is older than the network")
    monkeypatch.setattr("bench.timm_walk.published_names", lambda: names)
    kept = tmp_path / "walk.jsonl"
    assert walk_all(kept, 0.0) == []
    found = walk_all(kept, 60.0)
    assert [w.name for w in found] == names
    assert walk_all(kept, 0.0) == found
    said = page(found, {"test_vit": "before"})
    assert "| `test_vit` | " in said
    assert "| `vit_base_patch16_sapiens2` | " in said
    assert "takes 768x1024 px" in said
    assert "| `vision_transformer` | 1 | " in said


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_walk__every_published_network(tmp_path: Path) -> None:
    found = walk_all(tmp_path / "walk.jsonl", float("inf"))
    assert len(found) == len(published_names())
    refused = {w.name: w.refused for w in found if w.refused}
    assert set(refused) == set(REFUSED)
    assert all(REFUSED[name] in reason for name, reason in refused.items())
    assert {w.name: w.problems for w in found if w.problems} == {}


@pytest.mark.slow
def test_own_preprocessing__of_every_published_tag() -> None:
    for name in list_pretrained():
        if name.partition(".")[0] not in REFUSED:
            own = own_preprocessing(resolve(f"timm:{name}"))
            assert own.size_px == timm.get_pretrained_cfg(name).input_size[-1], name
