"""Every published network of timm: taps, kinds, preprocessing and class token, without weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
import timm
from timm.models import list_pretrained

from headstart.backbones.architectures import build_empty, own_preprocessing, resolve
from headstart.backbones.backbone import OUTPUTS, Tap, before_output
from headstart.backbones.taps import find_taps
from headstart.errors import BackboneError

# Networks that cannot be used, each with the reason.
REFUSED = {
    "vit_base_patch16_sapiens2": "not square",
    "vit_large_patch16_sapiens2": "not square",
    "vit_huge_patch16_sapiens2": "not square",
    "vit_giant_patch16_sapiens2": "not square",
    "vit_5b_patch16_sapiens2": "not square",
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


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What was found of a network."""

    name: str
    taps: tuple[Tap, ...]
    n_prefix: int
    has_class_token: bool


def walk(name: str) -> Walked:
    """Build a network on the meta device and find its taps."""
    arch = resolve(f"timm:{name}")
    size_px = own_preprocessing(arch).size_px
    module = build_empty(arch, size_px)
    named = [n for n, _ in module.named_parameters()]
    return Walked(
        name=name,
        taps=find_taps(module, size_px),
        n_prefix=int(getattr(module, "num_prefix_tokens", 0) or 0),
        has_class_token=any(n == "cls_token" for n in named),
    )


def problems(found: Walked) -> list[str]:
    """What is wrong with the taps of a network."""
    taps, wrong = found.taps, []
    names = [tap.name for tap in taps]
    layers = {tap.layer for tap in taps}
    if len(set(names)) != len(names):
        wrong.append("two taps of one name")
    if not 2 <= len(layers) <= 28:
        wrong.append(f"{len(layers)} layers")
    if any(tap.kind == "vector" for tap in taps if tap.name not in ("pooled", "hidden", *OUTPUTS)
           and not tap.name.startswith("fc")):  # fmt: skip
        wrong.append("a vector that is not the head's")
    tokens = [tap for tap in taps if tap.kind == "tokens" and tap.n_prefix]
    if tokens and found.has_class_token and not any(tap.token == "cls" for tap in tokens):
        wrong.append("no class token")
    if len({tap.recipe for tap in taps if tap.side == "output"}) != sum(
        tap.side == "output" for tap in taps
    ):
        wrong.append("two taps with the same features")
    if not before_output(names):
        wrong.append("nothing before the output")
    return wrong


@pytest.mark.parametrize("name", QUICK)
def test_walk__small_networks(name: str) -> None:
    assert problems(walk(name)) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_walk__every_published_network(capsys: pytest.CaptureFixture[str]) -> None:
    names = list(dict.fromkeys(n.partition(".")[0] for n in list_pretrained()))
    kinds: Counter[str] = Counter()
    refused: dict[str, str] = {}
    wrong: dict[str, list[str]] = {}
    for name in names:
        try:
            found = walk(name)
        except BackboneError as error:
            refused[name] = str(error)
            continue
        kinds["/".join(sorted({tap.kind for tap in found.taps if tap.name not in OUTPUTS}))] += 1
        kinds[f"ends in {found.taps[-1].name}"] += 1
        kinds["class token apart"] += any(tap.token == "cls" for tap in found.taps)
        if bad := problems(found):
            wrong[name] = bad
    with capsys.disabled():
        print(f"\n{len(names)} networks, {len(refused)} refused, {len(wrong)} with problems")
        print(*(f"  {count:5} {kind}" for kind, count in kinds.most_common()), sep="\n")
        print(*(f"  {name}: {reason}" for name, reason in (refused | wrong).items()), sep="\n")
    assert set(refused) == set(REFUSED)
    assert wrong == {}


@pytest.mark.slow
def test_own_preprocessing__of_every_published_tag() -> None:
    for name in list_pretrained():
        if name.partition(".")[0] not in REFUSED:
            own = own_preprocessing(resolve(f"timm:{name}"))
            assert own.size_px == timm.get_pretrained_cfg(name).input_size[-1], name
