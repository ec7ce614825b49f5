"""Every published network of timm on the meta device: its taps, preprocessing and class token.

    .venv/bin/python bench/timm_walk.py                    all networks; writes docs/evidence/timm.md
    .venv/bin/python bench/timm_walk.py --seconds 200      so long at most; the next run goes on from there

No weights are fetched. What was found of each network is kept in the cache folder, by timm's version.
`tests/backbones/test_every_network_of_timm.py` checks the same of all networks, and of a few in the quick suite.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
from timm.models import list_pretrained

from headstart.backbones.architectures import build_empty, own_preprocessing, resolve
from headstart.backbones.backbone import OUTPUTS, before_output
from headstart.backbones.taps import find_taps
from headstart.backbones.tracing import trace_calls
from headstart.errors import BackboneError
from headstart.home import cache_folder

PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence" / "timm.md"
# Ten families of transformers, and the taps that version 0.1 found of them, without a norm.
FAMILIES = {
    "vit_small_patch16_224": "`blocks.0` ... `blocks.11`, `pooled`, `logits`",
    "vit_small_patch14_dinov2": "`blocks.0` ... `blocks.11`, `pooled` (class token)",
    "vit_small_patch16_dinov3": "`blocks.0` ... `blocks.11`, `pooled` (mean)",
    "vit_base_patch16_clip_224.openai": "`blocks.0` ... `blocks.11`, `pooled`, `logits` (the embedding)",
    "vit_base_patch16_siglip_224": "`blocks.0` ... `blocks.11`, `pooled`",
    "eva02_small_patch14_336": "`blocks.0` ... `blocks.11`, `pooled`, `logits`",
    "mvitv2_tiny": "stages and blocks, `head` (the logits again), `pooled`, `logits`",
    "tnt_s_patch16_224": "parts of blocks (`blocks.0.norm1_proj`, ...), `head` (the logits again), `pooled`, `logits`",
    "crossvit_9_240": "`blocks.0` ... `blocks.2` of one branch, `logits`",
    "twins_svt_small": "some blocks, `head` (the logits again), `pooled`, `logits`",
}
SHAPES = (
    "The shape is that of the tokens that the last block returns; numbers in brackets are those of "
    "features. Version 0.1 averaged tokens before the norm of the head."
)
LAYERS = (
    "`layers` counts the layers with taps, the output's included; a block whose class token and patches are "
    "two taps is one layer."
)


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What was found of a network.

    Attributes
    ----------
    name : str
    family : str
        timm's module that defines it.
    preprocessing : str
        Size, crop and filter.
    n_layers : int
    kinds : tuple of str
        Of the taps before the output.
    output : str
        Name of the last tap.
    has_class_token : bool
        Whether the class token is a tap of its own.
    problems : tuple of str
        What is wrong with the taps.
    refused : str
        Why the network cannot be used; then the rest is empty.
    """

    name: str
    family: str
    preprocessing: str = ""
    n_layers: int = 0
    kinds: tuple[str, ...] = ()
    output: str = ""
    has_class_token: bool = False
    problems: tuple[str, ...] = ()
    refused: str = ""


def published_names() -> list[str]:
    """Every network of timm that has published weights, once."""
    return list(dict.fromkeys(name.partition(".")[0] for name in list_pretrained()))


def walk(name: str) -> Walked:
    """Build a network on the meta device and find its taps."""
    family = timm.model_entrypoint(name).__module__.rpartition(".")[2]
    arch = resolve(f"timm:{name}")
    try:
        own = own_preprocessing(arch)
        module = build_empty(arch, own.size_px)
        taps = find_taps(module, own.size_px)
    except BackboneError as error:
        return Walked(name=name, family=family, refused=str(error))
    names = [tap.name for tap in taps]
    wrong = []
    if len(set(names)) != len(names):
        wrong.append("two taps of one name")
    if not 2 <= (n_layers := len({tap.layer for tap in taps})) <= 28:
        wrong.append(f"{n_layers} layers")
    heads = ("pooled", "hidden", *OUTPUTS)
    if any(
        tap.kind == "vector" and tap.name not in heads and not tap.name.startswith("fc")
        for tap in taps
    ):
        wrong.append("a vector that is not the head's")
    is_apart = any(tap.token == "cls" for tap in taps)
    has_prefix = any(tap.kind == "tokens" and tap.n_prefix for tap in taps)
    if has_prefix and any(n == "cls_token" for n, _ in module.named_parameters()) and not is_apart:
        wrong.append("no class token")
    recipes = [tap.recipe for tap in taps if tap.side == "output"]
    if len(set(recipes)) < len(recipes):
        wrong.append("two taps with the same features")
    if not before_output(names):
        wrong.append("nothing before the output")
    return Walked(
        name=name,
        family=family,
        preprocessing=f"{own.size_px} px, {own.crop_mode} {own.crop_pct:g}, {own.interpolation}",
        n_layers=n_layers,
        kinds=tuple(sorted({tap.kind for tap in taps if tap.name not in OUTPUTS})),
        output=names[-1],
        has_class_token=is_apart,
        problems=tuple(wrong),
    )


def walk_all(kept_at: Path, seconds: float) -> list[Walked]:
    """What was found of all networks so far; `kept_at` has a line for each."""
    lines = kept_at.read_text("utf-8").splitlines() if kept_at.exists() else []
    found = [_read(json.loads(line)) for line in lines]
    known = {walked.name for walked in found}
    ends_at = time.monotonic() + seconds
    kept_at.parent.mkdir(parents=True, exist_ok=True)
    with kept_at.open("a", encoding="utf-8") as file:
        for name in published_names():
            if name not in known and time.monotonic() < ends_at:
                found.append(walk(name))
                print(json.dumps(asdict(found[-1])), file=file, flush=True)
    return found


def _read(kept: dict[str, Any]) -> Walked:
    return Walked(**{k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()})


def page(found: Sequence[Walked], families: Mapping[str, str] = FAMILIES) -> str:
    """The page, in Markdown."""
    usable = [w for w in found if not w.refused]
    ends, kinds = Counter(w.output for w in usable), Counter(" and ".join(w.kinds) for w in usable)
    wrong = [w for w in usable if w.problems]
    n_tokens = sum(w.has_class_token for w in usable)
    intro = (
        f"All {len(found):,} networks of timm {timm.__version__} with published weights were built on the "
        "meta device, without weights, and their taps found: `bench/timm_walk.py`. "
        f"{len(usable):,} can be used, {len(found) - len(usable)} are refused, and {len(wrong)} have a "
        "problem with their taps."
    )
    lines = [
        "# Every published network of timm",
        "",
        intro,
        "",
        f"- **Taps**: {_counts(kinds)}.",
        f"- **Class token** as a tap of its own: {n_tokens:,} networks.",
        f"- **The last tap** is {_counts(ends, '`{}`')}.",
        "",
        "## Refused",
        "",
        "| network | reason |",
        "| --- | --- |",
        *(f"| `{w.name}` | {w.refused} |" for w in found if w.refused),
        "",
        *(f"- `{w.name}`: {', '.join(w.problems)}" for w in wrong),
        *([""] if wrong else []),
        "## Ten families of transformers",
        "",
        SHAPES,
        "",
        "| network | tokens x width | taps of version 0.1 | taps now | taken after |",
        "| --- | --- | --- | --- | --- |",
        *(family_row(name, before) for name, before in families.items()),
        "",
        "## By module of timm",
        "",
        LAYERS,
        "",
        "| module | networks | layers | taps | class token | last tap | preprocessing of most |",
        "| --- | ---: | ---: | --- | ---: | --- | --- |",
    ]
    for family in sorted({w.family for w in usable}):
        own = [w for w in usable if w.family == family]
        layers = sorted({w.n_layers for w in own})
        shown = f"{layers[0]}" if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"
        of_kinds = ", ".join(sorted({kind for w in own for kind in w.kinds}))
        outputs = ", ".join(f"`{name}`" for name in sorted({w.output for w in own}))
        [(usual, _)] = Counter(w.preprocessing for w in own).most_common(1)
        n_cls = sum(w.has_class_token for w in own)
        lines.append(
            f"| `{family}` | {len(own)} | {shown} | {of_kinds} | {n_cls or ''} | {outputs} | {usual} |"
        )
    return "\n".join(lines) + "\n"


def family_row(name: str, before: str) -> str:
    """A line of the table of families."""
    arch = resolve(f"timm:{name}")
    size_px = own_preprocessing(arch).size_px
    module = build_empty(arch, size_px)
    taps = find_taps(module, size_px)
    calls = {call.module: call for call in trace_calls(module, size_px)}
    last = [tap for tap in taps if tap.name not in (*OUTPUTS, "pooled")]
    last = [tap for tap in last if tap.layer == last[-1].layer]
    shapes = []
    for tap in last:
        call = calls[tap.module]
        shape = dict([(call.output, call.output_shape), *call.others])[tap.output]
        shapes.append("x".join(map(str, shape[1:])))
    tail = [tap for tap in taps if tap.name in (*OUTPUTS, "pooled")]
    shown = ", ".join(f"`{tap.name}` ({tap.n_features})" for tap in (*last, *tail))
    norm = f"`{last[-1].norm}`" if last[-1].norm else "none"
    return (
        f"| `{name}` | {dict.fromkeys(shapes).popitem()[0]} at {size_px} px | {before} | "
        f"{len({tap.layer for tap in taps})} layers; the last: {shown} | {norm} |"
    )


def _counts(counter: Counter[str], form: str = "{}") -> str:
    return ", ".join(f"{form.format(name)} ({n:,})" for name, n in counter.most_common())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=float("inf"))
    asked = parser.parse_args()
    walked = walk_all(cache_folder() / f"timm-{timm.__version__}.jsonl", asked.seconds)
    n_left = len(published_names()) - len(walked)
    print(f"{len(walked)} networks done, {n_left} left", file=sys.stderr)
    if not n_left:
        PAGE.write_text(page(walked), encoding="utf-8")
