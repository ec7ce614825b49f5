"""The whole classifier in one self-contained safetensors file without code.

The tensors are ``parts.0.coef``, ``parts.0.intercept`` and ``parts.0.network.<name>``, and the same
with ``parts.1.`` if the model is a mean of two. The header describes the networks as JSON under
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
from headstart.sources.blocks import Blocks

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.backbones import Backbone


def bundle_bytes(model: Model, backbones: Sequence[Backbone], facts: Mapping[str, Any]) -> bytes:
    """The content of the file; `backbones` are those of `load_backbones`."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    parts = []
    for i, (own, network) in enumerate(zip(parts_of(model), backbones, strict=True)):
        parts.append(_describe(own, network))
        state = {f"network.{k}": v for k, v in network.module.state_dict().items()}
        state |= {"coef": torch.from_numpy(own.coef), "intercept": torch.from_numpy(own.intercept)}
        tensors |= {f"parts.{i}.{k}": v.contiguous().clone() for k, v in state.items()}
    header = {**facts, "parts": parts, "mean": [model.pool.scale, model.pool.weight]}
    return save(tensors, metadata={"headstart": json.dumps(header, ensure_ascii=False)})


def _describe(model: Model, backbone: Backbone) -> dict[str, Any]:
    """The input of `_rebuild` besides the tensors."""
    from headstart.finetune.trained import read_header

    trained = None
    if model.is_finetuned:
        assert model.folder is not None  # otherwise `load_backbone` has raised
        trained = read_header(model.folder / Path(model.backbone["finetuned"]).name)
    return {
        "name": backbone.name,
        "arch": backbone.arch,
        "digest": backbone.digest,
        "preprocessing": backbone.preprocessing.to_dict(),
        "taps": list(model.blocks.taps),
        "resolutions_px": list(model.blocks.resolutions),
        "normalize": model.normalize,
        "scale": model.temperature.scale,
        "trained": trained,
    }


def read_facts(path: Path | str) -> dict[str, Any]:
    """The header of such a file.

    Raises
    ------
    WeightsError
        It is another file, is damaged, or was written by a newer version.
    """
    from safetensors import SafetensorError, safe_open

    shown = one_line(str(path))
    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})["headstart"])
        schema = int(facts["schema"])
    except (
        SafetensorError, KeyError, ValueError, TypeError, OverflowError, RecursionError, OSError,
    ) as error:  # fmt: skip
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
            _rebuild(part, _under(tensors, f"parts.{i}."), facts["classes"], one_line(str(path)))
            for i, part in enumerate(facts["parts"])
        ]
        (model, first), others = rebuilt[0], rebuilt[1:]
        if others:
            # Earlier versions had no weight: both parts counted equally.
            pool = Pool(*map(float, facts.get("mean") or [facts["mean_scale"]]))
            model = dataclasses.replace(model, partner=others[0][0], pool=pool)
        return Classifier(model, [first, *(backbone for _, backbone in others)])
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
    part: Mapping[str, Any], tensors: Mapping[str, Tensor], classes: list[str], shown: str
) -> tuple[Model, Backbone]:
    """One part's model and network."""
    from headstart.finetune.trained import rebuild

    state = _under(tensors, "network.")
    preprocessing = Preprocessing.from_dict(part["preprocessing"])
    if part["trained"] is not None:
        backbone = rebuild(state, part["trained"], shown=shown).backbone
    else:
        backbone = load(part["arch"], pretrained=False)
        fit_weights(backbone.module, state, shown=shown, arch=part["arch"])
        digest = digest_weights(backbone.module)
        backbone = dataclasses.replace(backbone, name=part["name"], digest=digest)
    if backbone.digest != part["digest"]:
        raise WeightsError(
            f"the weights in {shown} are not those it names (digest {backbone.digest[:12]}, needed "
            f"{one_line(part['digest'])[:12]}): export it again"
        )
    backbone = dataclasses.replace(backbone, preprocessing=preprocessing)
    model = Model(
        classes=tuple(classes),
        blocks=Blocks(taps=tuple(part["taps"]), resolutions=tuple(part["resolutions_px"])),
        precision="float32",
        backbone={"digest": backbone.digest},
        coef=tensors["coef"].numpy(),
        intercept=tensors["intercept"].numpy(),
        temperature=Temperature(float(part["scale"])),
        normalize=part["normalize"],
    )
    return model, backbone
