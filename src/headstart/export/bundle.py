"""The whole classifier in one self-contained safetensors file without code.

The tensors are ``parts.0.coef``, ``parts.0.intercept`` and ``parts.0.network.<name>``, and the same
with ``parts.1.`` if the model is a mean of two. A head on features of several networks has
``parts.0.beside.0.network.<name>`` for the second one, and so on. The header describes the networks as JSON under
``headstart``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from headstart.backbones import Preprocessing, load
from headstart.backbones.weights import digest_weights, fit_weights, read_weights
from headstart.errors import InputError, WeightsError, one_line
from headstart.export.facts import SCHEMA
from headstart.export.network import Classifier, parts_of
from headstart.heads import Pool, Temperature
from headstart.runs.model import Model
from headstart.sources.blocks import Blocks, read_cells, side_by_side, write_cells

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.backbones import Backbone
    from headstart.runs.encoder import Encoder


def bundle_bytes(model: Model, backbones: Sequence[Backbone], facts: Mapping[str, Any]) -> bytes:
    """The content of the file; `backbones` are those of `load_backbones`."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    parts, left = [], iter(backbones)
    for i, own in enumerate(parts_of(model)):
        first, *others = zip(own.encoders, left, strict=False)
        state = _state(first[1])
        for j, (_, network) in enumerate(others):
            state |= {f"beside.{j}.{k}": v for k, v in _state(network).items()}
        state |= {"coef": torch.from_numpy(own.coef), "intercept": torch.from_numpy(own.intercept)}
        tensors |= {f"parts.{i}.{k}": v.contiguous().clone() for k, v in state.items()}
        described = _describe(own, *first)
        if others:
            described["beside"] = [_describe_network(*pair) for pair in others]
        parts.append(described)
    header = {**facts, "parts": parts, "mean": [model.pool.scale, model.pool.weight]}
    return save(tensors, metadata={"headstart": json.dumps(header, ensure_ascii=False)})


def _state(backbone: Backbone) -> dict[str, Tensor]:
    return {f"network.{k}": v for k, v in backbone.module.state_dict().items()}


def _describe_network(encoder: Encoder, backbone: Backbone) -> dict[str, Any]:
    """The input of `_rebuild_network` besides the tensors."""
    return {
        "name": backbone.name,
        "arch": backbone.arch,
        "digest": backbone.digest,
        "preprocessing": backbone.preprocessing.to_dict(),
        "taps": list(encoder.blocks.taps),
        "resolutions_px": list(encoder.blocks.resolutions),
        "only": write_cells(encoder.blocks),
    }


def _describe(model: Model, encoder: Encoder, backbone: Backbone) -> dict[str, Any]:
    """The input of `_rebuild` besides the tensors."""
    from headstart.training.trained import read_header

    trained = None
    if model.is_finetuned:
        assert model.folder is not None  # otherwise `load_backbone` has raised
        trained = read_header(model.folder / Path(model.backbone["finetuned"]).name)
    return {
        **_describe_network(encoder, backbone),
        "normalize": model.normalize,
        "scale": model.temperature.scale,
        "trained": trained,
    }


def read_facts(path: Path | str) -> dict[str, Any]:
    """The header of such a file.

    Raises WeightsError where it is another file, is damaged, or was written by a newer version.
    """
    from safetensors import SafetensorError, safe_open

    shown = one_line(str(path))
    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})["headstart"])
        schema = int(facts["schema"])
    except (
        SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
        OSError,
    ) as error:
        raise WeightsError(
            f"{shown} is not a classifier that Headstart exported: give what "
            "`headstart export RUN --to safetensors` wrote"
        ) from error
    if schema > SCHEMA or "parts" not in facts:
        raise WeightsError(
            f"{shown} was written by a newer Headstart (schema {schema}, known {SCHEMA}): update "
            "headstart"
            if schema > SCHEMA
            else f"{shown} holds no whole classifier: give what `headstart export RUN --to "
            "safetensors` wrote"
        )
    return facts


def open_classifier(path: Path | str) -> Classifier:
    """Open an exported classifier; the run is not needed.

    Parameters
    ----------
    path : Path or str
        What ``headstart export RUN --to safetensors`` wrote.

    Returns
    -------
    Classifier
        A torch module from prepared images to probabilities. ``FromPictures(classifier)`` takes
        whole images.

    Raises
    ------
    WeightsError
        The file is damaged or from a newer version, or its weights have another digest.
    """
    path = Path(path)
    facts = read_facts(path)
    tensors = read_weights(path)
    try:
        rebuilt = [
            _rebuild(part, _under(tensors, f"parts.{i}."), facts, one_line(str(path)))
            for i, part in enumerate(facts["parts"])
        ]
        (model, _), others = rebuilt[0], rebuilt[1:]
        if others:
            # Earlier versions had no weight: both parts counted equally.
            pool = Pool(*map(float, facts.get("mean") or [facts["mean_scale"]]))
            model = dataclasses.replace(model, partner=others[0][0], pool=pool)
        return Classifier(model, [net for _, networks in rebuilt for net in networks])
    except WeightsError:
        raise
    # The header was modified: unknown names, or values of other types.
    except (InputError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{one_line(str(path))} is damaged ({one_line(str(error), limit=120)}): export it again"
        ) from error


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _rebuild(
    part: Mapping[str, Any], tensors: Mapping[str, Tensor], header: Mapping[str, Any], shown: str
) -> tuple[Model, list[Backbone]]:
    """One part's model and networks."""
    described = [part, *(part.get("beside") or ())]
    networks = [
        _rebuild_network(net, _under(tensors, f"beside.{i - 1}." if i else ""), shown)
        for i, net in enumerate(described)
    ]
    blocks = [
        Blocks(
            taps=tuple(net["taps"]),
            resolutions=tuple(net["resolutions_px"]),
            backbone=str(net["name"]) if len(described) > 1 else "",
            only=read_cells(net.get("only") or ()),
        )
        for net in described
    ]
    facts = [{"digest": network.digest} for network in networks]
    model = Model(
        classes=tuple(header["classes"]),
        blocks=side_by_side(blocks),
        precision="float32",
        backbone=facts[0],
        beside=tuple(facts[1:]),
        coef=tensors["coef"].numpy(),
        intercept=tensors["intercept"].numpy(),
        temperature=Temperature(float(part["scale"])),
        normalize=part["normalize"],
        target=header.get("target", "classes"),
        thresholds=tuple(header.get("thresholds") or ()),
        half_width=header.get("half_width"),
    )
    return model, networks


def _rebuild_network(
    described: Mapping[str, Any], tensors: Mapping[str, Tensor], shown: str
) -> Backbone:
    from headstart.training.trained import rebuild

    state = _under(tensors, "network.")
    preprocessing = Preprocessing.from_dict(described["preprocessing"])
    if described.get("trained") is not None:
        backbone = rebuild(state, described["trained"], shown=shown).backbone
    else:
        arch = described["arch"]
        backbone = load(arch, pretrained=False)
        fit_weights(backbone.module, state, shown=shown, arch=arch)
        digest = digest_weights(backbone.module)
        backbone = dataclasses.replace(backbone, name=described["name"], digest=digest)
    if backbone.digest != described["digest"]:
        raise WeightsError(
            f"the weights in {shown} are not those it names (digest {backbone.digest[:12]}, needed "
            f"{one_line(described['digest'])[:12]}): export it again"
        )
    return dataclasses.replace(backbone, preprocessing=preprocessing)
