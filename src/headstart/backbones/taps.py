"""Which layers of an architecture are taps, and what they are called.

A tap's features are pooled: a map by the average over its positions, tokens by the average over the
patch tokens (without class and register tokens) or as the class token, after the norm of the network's
head (:mod:`headstart.backbones.tokens`), a vector unchanged. What the network's own classifier sees is
the tap ``pooled``, unless a tap before it has the same features.

A family's rules are pairs of a pattern over module paths and the tap's name. If a rule has a `split`,
the blocks of a stage are also taps (``layer1.0``), in a deep network every second or third; the last
block, whose output is that of the stage, has the name of the stage (``layer1``).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

from headstart.backbones.backbone import OUTPUTS, Tap
from headstart.backbones.tokens import read_tokens
from headstart.backbones.tracing import Call, trace_calls
from headstart.errors import BackboneError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

MAX_TAPS = 19  # with the head's one or two, about twenty
MAX_STAGES = 24  # VGG-19's table, and the blocks of a large transformer, still fit


@dataclass(frozen=True, slots=True)
class Rule:
    """Modules whose path matches `pattern` are taps called `name` (a template of its groups)."""

    pattern: str
    name: str = r"\g<0>"
    split: str = ""  # suffix of a block's path after the path of its stage


_ALEXNET = {
    1: "conv1",
    2: "pool1",
    4: "conv2",
    5: "pool2",
    7: "conv3",
    9: "conv4",
    11: "conv5",
    12: "pool5",
}
_SWIN = (Rule(r"features\.0", "stem"), Rule(r"features\.[1357]", split=r"\.\d+"))

# Keyed by the Python module that defines the network's class.
_FAMILIES: dict[str, tuple[Rule, ...]] = {
    "torchvision.models.alexnet": (
        *(Rule(rf"features\.{i}", name) for i, name in _ALEXNET.items()),
        Rule(r"classifier\.2", "fc6"),
        Rule(r"classifier\.5", "fc7"),
        Rule(r"classifier\.6", "fc8"),
    ),
    "torchvision.models.convnext": _SWIN,
    "torchvision.models.densenet": (
        Rule(r"features\.pool0", "pool0"),
        Rule(r"features\.(denseblock\d|transition\d)", r"\1"),
    ),
    "torchvision.models.efficientnet": (Rule(r"features\.\d"),),
    "torchvision.models.googlenet": (
        Rule(r"conv1"),
        Rule(r"conv3"),
        Rule(r"inception\d\w"),
    ),
    "torchvision.models.inception": (
        Rule(r"Conv2d_2b_3x3|Conv2d_4a_3x3"),
        Rule(r"Mixed_\d\w"),
    ),
    "torchvision.models.maxvit": (
        Rule(r"stem"),
        Rule(r"blocks\.\d", split=r"\.layers\.\d+"),
    ),
    "torchvision.models.mnasnet": (Rule(r"layers\.(2|7|8|9|10|11|12|13|16)"),),
    "torchvision.models.mobilenetv2": (Rule(r"features\.\d+"),),
    "torchvision.models.mobilenetv3": (
        Rule(r"features\.\d+"),
        Rule(r"classifier\.1", "hidden"),
    ),
    "torchvision.models.regnet": (
        Rule(r"stem"),
        Rule(r"trunk_output\.(block\d)", r"\1", split=r"\.block\d-\d+"),
    ),
    "torchvision.models.resnet": (
        Rule(r"relu", "conv1"),
        Rule(r"layer\d", split=r"\.\d+"),
    ),
    "torchvision.models.shufflenetv2": (
        Rule(r"maxpool", "stem"),
        Rule(r"stage\d", split=r"\.\d+"),
        Rule(r"conv5"),
    ),
    "torchvision.models.swin_transformer": _SWIN,
    "torchvision.models.vision_transformer": (
        Rule(r"encoder\.layers\.encoder_layer_(\d+)", r"blocks.\1"),
    ),
    "timm.models.crossvit": (Rule(r"blocks\.\d+"),),
    "timm.models.efficientnet": (
        Rule(r"bn1", "conv_stem"),
        Rule(r"blocks\.\d+"),
        Rule(r"bn2", "conv_head"),
    ),
    "timm.models.mobilenetv3": (Rule(r"bn1", "conv_stem"), Rule(r"blocks\.\d+")),
    "timm.models.mvitv2": (
        Rule(r"patch_embed"),
        Rule(r"stages\.\d+", split=r"\.blocks\.\d+"),
    ),
    "timm.models.resnet": (
        Rule(r"act1", "conv1"),
        Rule(r"layer\d", split=r"\.\d+"),
    ),
    "timm.models.twins": (Rule(r"blocks\.\d+\.\d+"),),
}
# Blocks of these return the tokens of several branches; each branch is a tap.
_BRANCHED = ("timm.models.crossvit",)
# Numbers of classes of timm's published classifiers: subsets of ImageNet, and Bamboo. Published
# outputs of any other length are embeddings, such as those of CLIP's image towers.
_CLASS_COUNTS = (1000, 11221, 11821, 19168, 21841, 21842, 21843, 115217)
# These end in an average of their last tap, so the head's input is already a tap.
_ENDS_IN_AVERAGE = (
    "torchvision.models.efficientnet",
    "torchvision.models.googlenet",
    "torchvision.models.inception",
    "torchvision.models.mnasnet",
    "torchvision.models.mobilenetv2",
    "torchvision.models.regnet",
    "torchvision.models.resnet",
    "torchvision.models.shufflenetv2",
    "timm.models.efficientnet",
    "timm.models.resnet",
)


def find_taps(module: nn.Module, size_px: int) -> tuple[Tap, ...]:
    """The taps of a network, in the order of the forward pass.

    Raises BackboneError where fewer than two layers are found.

    `module`: a classification network in evaluation mode. `size_px`: side of its input.
    """
    calls = _called_layers(module, trace_calls(module, size_px))
    rules = _rules(module, {call.module for call in calls})
    named = _match(calls, rules) if rules else []
    if len(named) < 2:
        named = _largest_parts(module, calls)
    by_path = {call.module: call for call in calls}
    n_prefix = _n_prefix(module)
    channels_last = any(_is_channels_last(by_path[path].output_shape) for path, _ in named)
    root = next((call for call in calls if call.module == ""), None)
    last = _classifier(module, calls, root) if root else None
    taps = []
    for path, name in named:
        for call, suffix in _branches(module, by_path[path]):
            tap = _tap(name + suffix, call, n_prefix, channels_last)
            if tap is not None and not _is_head(tap, last):
                taps.append(tap)
    taps, is_head = read_tokens(module, calls, taps, last)
    taps += _head_taps(module, root, last, taps, needs_pooled=not is_head)
    if len(taps) < 2:
        raise BackboneError(
            f"{type(module).__name__} has no layers that Headstart can use; "
            f"choose another backbone: headstart backbones"
        )
    return tuple(taps)


def tap_at(module: nn.Module, path: str, size_px: int) -> Tap:
    """The output of any one submodule as a tap, named by its path.

    Raises BackboneError where there is no such submodule, or its output is not a feature of an
    image.

    `module`: in evaluation mode. `path`: dotted; ``""`` for the network itself. `size_px`: side of
    its input.
    """
    known = [name for name, _ in module.named_modules()]
    name = type(module).__name__
    if path not in known:
        raise BackboneError(f"{name} has no layer {path!r}.{did_you_mean(path, known)}")
    calls = {call.module: call for call in trace_calls(module, size_px)}
    n_prefix = _n_prefix(module)
    call = calls.get(path)
    shape = call.output_shape if call else ()
    found = call and _tap(path or "output", call, n_prefix, _is_channels_last(shape))
    if not found:
        raise BackboneError(
            f"layer {path!r} of {name} gives no features: it is called never or several times, "
            "or its output is not a map, a token sequence or a vector"
        )
    return found


def _n_prefix(module: nn.Module) -> int:
    return int(getattr(module, "num_prefix_tokens", 0) or 0)


def _branches(module: nn.Module, call: Call) -> list[tuple[Call, str]]:
    """The call once for each branch whose tokens it returns, with a suffix for the tap's name."""
    if type(module).__module__ not in _BRANCHED or not call.others:
        return [(call, "")]
    outputs = ((call.output, call.output_shape), *call.others)
    return [
        (dataclasses.replace(call, output=index, output_shape=shape), f".branch{number}")
        for number, (index, shape) in enumerate(outputs)
    ]


def _is_head(tap: Tap, last: Call | None) -> bool:
    """Whether the tap's output is the network's, under another name than the output's own."""
    if last is None or tap.name in OUTPUTS or tap.kind != "vector":
        return False
    return tap.module == last.module or last.module.startswith(f"{tap.module}.")


def _rules(module: nn.Module, called: Set[str]) -> tuple[Rule, ...]:
    family = type(module).__module__
    if family.endswith(".vgg"):
        return _vgg_rules(module)
    if family == "torchvision.models.squeezenet":
        return _squeezenet_rules(module)
    if family in _FAMILIES:
        return _FAMILIES[family]
    if layers := getattr(module, "layers_path", ""):  # of the package transformers
        return (Rule(rf"{re.escape(layers)}\.(\d+)", r"blocks.\1"),)
    stages: list[str] = []
    for info in getattr(module, "feature_info", None) or []:
        stages.append(_called_stage(info["module"], stages, called))
    return tuple(Rule(re.escape(stage), split=r"(?:\.blocks)?\.\d+") for stage in stages if stage)


def _called_stage(stage: str, before: Sequence[str], called: Set[str]) -> str:
    """The path of a stage that timm names by a placeholder, or without its parent's name."""
    if stage in called or not stage:
        return stage
    ends = [path for path in called if path.endswith(f".{stage}")]
    if len(ends) == 1:
        return ends[0]
    parent, _, number = before[-1].rpartition(".") if before else ("", "", "")
    following = f"{parent}.{int(number) + 1}" if number.isdecimal() else ""
    return following if following in called else stage


def _vgg_rules(module: nn.Module) -> tuple[Rule, ...]:
    """The names of the table in Simonyan and Zisserman, 2015: blocks end with their pooling."""
    from torch import nn

    rules, block, conv = [], 1, 0
    features: Sequence[nn.Module] = module.features  # type: ignore[assignment]
    for i, layer in enumerate(features):
        if isinstance(layer, nn.ReLU):
            conv += 1
            rules.append(Rule(rf"features\.{i}", f"conv{block}_{conv}"))
        elif isinstance(layer, nn.MaxPool2d):
            rules.append(Rule(rf"features\.{i}", f"pool{block}"))
            block, conv = block + 1, 0
    # timm keeps the fully connected layers as 1x1 convolutions.
    ends = (r"classifier\.1|pre_logits\.act1", r"classifier\.4|pre_logits\.act2")
    rules += [Rule(ends[0], "fc6"), Rule(ends[1], "fc7"), Rule(r"classifier\.6|head\.fc", "fc8")]
    return tuple(rules)


def _squeezenet_rules(module: nn.Module) -> tuple[Rule, ...]:
    """The names of Iandola et al., 2016; conv10's average is the logits."""
    features: Sequence[nn.Module] = module.features  # type: ignore[assignment]
    fires = [i for i, layer in enumerate(features) if type(layer).__name__ == "Fire"]
    rules = [Rule(rf"features\.{i}", f"fire{n}") for n, i in enumerate(fires, start=2)]
    return (Rule(r"features\.1", "conv1"), *rules, Rule(r"classifier\.2", "conv10"))


def _called_layers(module: nn.Module, calls: Sequence[Call]) -> list[Call]:
    """`calls` without the placeholders of missing layers."""
    from torch import nn

    return [c for c in calls if not isinstance(module.get_submodule(c.module), nn.Identity)]


def _match(calls: Sequence[Call], rules: Sequence[Rule]) -> list[tuple[str, str]]:
    """(module path, tap name) of the calls that match the rules, in calling order."""
    stages: dict[str, str] = {}
    for call in calls:
        for rule in rules:
            found = re.fullmatch(rule.pattern, call.module)
            if found:
                stages[call.module] = found.expand(rule.name)
    inside = [blocks for rule in rules if rule.split for blocks in _blocks_of(calls, rule)]
    chosen = stages | _some_blocks(inside, MAX_TAPS - len(stages))
    return _thin([(call.module, chosen[call.module]) for call in calls if call.module in chosen])


def _some_blocks(inside: Sequence[Sequence[tuple[str, str]]], room: int) -> dict[str, str]:
    """Evenly spaced blocks of each stage, counted from its end, as many as the limit allows."""
    longest = max((len(blocks) for blocks in inside), default=0)
    for step in range(1, longest + 1):
        chosen = [block for blocks in inside for block in blocks[::-1][step - 1 :: step]]
        if len(chosen) <= room:
            return dict(chosen)
    return {}


def _blocks_of(calls: Sequence[Call], rule: Rule) -> list[list[tuple[str, str]]]:
    """The blocks of each stage of `rule`, without the last, which is the tap of the stage."""
    found: dict[str, list[tuple[str, str]]] = {}
    for call in calls:
        inside = re.fullmatch(f"({rule.pattern})({rule.split})", call.module)
        if inside:
            stage = call.module[: inside.start(inside.re.groups)]
            name = re.sub(rule.pattern, rule.name, stage) + f".{call.module.split('.')[-1]}"
            found.setdefault(stage, []).append((call.module, name))
    return [blocks[:-1] for blocks in found.values()]


def _thin(named: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Every second, third, ... from the end, if there are too many."""
    step = 1 if len(named) <= MAX_STAGES else -(-len(named) // MAX_TAPS)
    return named[(len(named) - 1) % step :: step]


def _largest_parts(module: nn.Module, calls: Sequence[Call]) -> list[tuple[str, str]]:
    """Taps for networks without rules: split the largest parts until there are enough."""
    order = [call.module for call in calls if call.module]
    sizes = {path: _n_parameters(module.get_submodule(path)) for path in order}
    chosen = _called_inside("", order)
    while True:
        for path in sorted(chosen, key=sizes.__getitem__, reverse=True):
            inside = _called_inside(path, order)
            if len(inside) > 1 and len(chosen) - 1 + len(inside) <= MAX_TAPS:
                chosen = chosen - {path} | inside
                break
        else:
            return _thin([(path, path) for path in order if path in chosen and sizes[path]])


def _called_inside(path: str, order: Sequence[str]) -> set[str]:
    """The outermost called modules below `path`."""
    prefix = f"{path}." if path else ""
    below = [p for p in order if p.startswith(prefix) and p != path]
    return {p for p in below if not any(p.startswith(f"{q}.") for q in below)}


def _n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _is_channels_last(shape: tuple[int, ...]) -> bool:
    """Whether the output for a square input must be (B, H, W, d)."""
    return len(shape) == 4 and shape[1] == shape[2] != shape[3]


def _tap(name: str, call: Call, n_prefix: int, channels_last: bool) -> Tap | None:
    """A tap from a call's output shape, or None if it is not a feature.

    A map with as many channels as rows fits both layouts; `channels_last` is that of its neighbours.
    """
    shape, output = call.output_shape, call.output
    if len(shape) == 2:
        return Tap(name=name, module=call.module, kind="vector", n_features=shape[1], output=output)
    if len(shape) == 3:
        return Tap(
            name=name,
            module=call.module,
            kind="tokens",
            n_features=shape[2],
            n_prefix=_count_prefix(shape[1], n_prefix),
            output=output,
        )
    if len(shape) == 4:
        last = channels_last and shape[1] == shape[2]
        return Tap(
            name=name,
            module=call.module,
            kind="map",
            n_features=shape[3] if last else shape[1],
            channels_last=last,
            output=output,
        )
    return None


def _count_prefix(n_tokens: int, declared: int) -> int:
    """Number of tokens before a square grid of patches; 0 if none leaves a square."""
    for n_prefix in (declared, 0, 1):
        if n_tokens > n_prefix and isqrt(n_tokens - n_prefix) ** 2 == n_tokens - n_prefix:
            return n_prefix
    return 0


def _head_taps(
    module: nn.Module,
    root: Call | None,
    last: Call | None,
    taps: Sequence[Tap],
    *,
    needs_pooled: bool,
) -> list[Tap]:
    """``pooled``, the classifier's input, and the network's output."""
    has_output = bool(taps) and taps[-1].name in OUTPUTS
    if root is None or len(root.output_shape) != 2 or has_output:
        return []
    n_outputs = root.output_shape[1]
    if getattr(module, "num_classes", 1) == 0:
        pooled = Tap(name="pooled", module="", kind="vector", n_features=n_outputs)
        return [pooled] if needs_pooled else []
    found = []
    if needs_pooled and last is not None and type(module).__module__ not in _ENDS_IN_AVERAGE:
        n_inputs = last.input_shape[1]
        found.append(
            Tap(
                name="pooled",
                module=last.module,
                kind="vector",
                n_features=n_inputs,
                side="input",
            )
        )
    path = last.module if last is not None else ""
    name = "logits" if _gives_classes(module, n_outputs) else "embedding"
    return [*found, Tap(name=name, module=path, kind="vector", n_features=n_outputs)]


def _gives_classes(module: nn.Module, n_outputs: int) -> bool:
    """Whether the outputs are scores of classes; False for the embedding of an image tower."""
    cfg = getattr(module, "pretrained_cfg", None)
    if not isinstance(cfg, dict) or cfg.get("label_names"):
        return True
    published = cfg.get("num_classes")
    return published != n_outputs or published in _CLASS_COUNTS


def _classifier(module: nn.Module, calls: Sequence[Call], root: Call) -> Call | None:
    """The linear layer whose output is the network's, if there is exactly one."""
    from torch import nn

    found = [
        call
        for call in calls
        if isinstance(module.get_submodule(call.module), nn.Linear)
        and call.output_shape == root.output_shape
        and len(call.input_shape) == 2
    ]
    return found[0] if len(found) == 1 else None
