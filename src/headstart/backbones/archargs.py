"""Arguments of an architecture's constructor, as text: ``vit_small_patch16_224[num_classes=0]``.

Semicolons stand between several, since commas stand between names of a list.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

from headstart.errors import BackboneError, argument, one_line

Args = tuple[tuple[str, Any], ...]

# These load weights from elsewhere, or build something else than the network.
_REFUSED = (
    "cache_dir",
    "checkpoint_path",
    "features_only",
    "model_name",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "scriptable",
    "weights",
)
_FORM = re.compile(r"([^\[\]]+)\[(.*)\]")


def split_args(name: str) -> tuple[str, Args]:
    """An architecture's name without its arguments, and the arguments.

    Raises BackboneError where the arguments are not ``[key=value;...]``.

    Examples
    --------
    >>> split_args("vit_small_patch16_224[num_classes=0;init_values=1e-5]")
    ('vit_small_patch16_224', (('init_values', 1e-05), ('num_classes', 0)))
    """
    if "[" not in name:
        return name, ()
    found = _FORM.fullmatch(name)
    if found is None:
        raise BackboneError(
            f"{one_line(name)!r} is not NAME[KEY=VALUE;...], an architecture with arguments"
        )
    return found[1], parse_args([found[2]])


def parse_args(given: Iterable[str]) -> Args:
    """Arguments from texts ``key=value`` or ``key=value;key=value``, sorted.

    Values are Python's literals; any other word is text (``act_layer=silu``).

    Raises BackboneError where a text is not of this form, or the argument would do more than shape
    the network.
    """
    found: dict[str, Any] = {}
    for text in given:
        try:
            tree = ast.parse(f"f({text.replace(';', ',')})", mode="eval").body
            assert isinstance(tree, ast.Call)
            assert isinstance(tree.func, ast.Name)
            if tree.args or not tree.keywords or any(k.arg is None for k in tree.keywords):
                raise ValueError
            found |= {str(k.arg): _value(k.value) for k in tree.keywords}
        except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError) as error:
            raise BackboneError(
                f"{argument('arch_args')} must be KEY=VALUE, such as num_classes=0 or init_values=1e-5; "
                f"got {one_line(text)!r}"
            ) from error
    for key in found:
        if key in _REFUSED:
            raise BackboneError(
                f"{argument('arch_args')} {key} does not shape the network: leave it out"
            )
    return tuple(sorted(found.items()))


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        words = {"true": True, "false": False, "none": None}
        return words.get(node.id.lower(), node.id)
    return ast.literal_eval(node)


def join_args(name: str, args: Args) -> str:
    """The inverse of `split_args`."""
    if not args:
        return name
    return f"{name}[{';'.join(f'{k}={_shown(v)}' for k, v in args)}]"


def _shown(value: Any) -> str:
    is_word = isinstance(value, str) and value.isidentifier()
    return str(value) if is_word else repr(value).replace(" ", "")


def with_args(arch: str | None, given: Iterable[str]) -> str | None:
    """`arch` with further arguments; None without an architecture.

    Raises BackboneError where there are arguments but no architecture.
    """
    texts = list(given)
    if not texts:
        return arch
    if arch is None:
        raise BackboneError(
            f"{argument('arch_args')} says how {argument('arch')} is built: give {argument('arch')} NAME, too"
        )
    name, args = split_args(arch)
    return join_args(name, tuple(sorted((dict(args) | dict(parse_args(texts))).items())))


def constructor_args(args: Args) -> dict[str, Any]:
    """As the library's constructor takes them: layers by name become classes.

    Raises BackboneError where a layer is neither timm's nor torch's.
    """
    from timm import layers
    from torch import nn

    made = dict(args)
    for key, value in args:
        # timm takes names of activations and norms, but of other layers classes.
        if key == "mlp_layer" and isinstance(value, str):
            made[key] = getattr(layers, value, None) or getattr(nn, value, None)
            if made[key] is None:
                raise BackboneError(
                    f"{argument('arch_args')} {key}={value}: timm has no such layer"
                )
    return made
