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
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import torch

from headstart.backbones import Preprocessing, load
from headstart.backbones.weights import (
    DESCRIPTION,
    digest_weights,
    fit_weights,
    read_description,
    read_weights,
)
from headstart.data.targets import Kind
from headstart.errors import InputError, WeightsError, one_line
from headstart.export.facts import SCHEMA, ExportFacts
from headstart.export.network import Classifier, parts_of
from headstart.heads import Pool, Temperature
from headstart.heads.examples import Normalize
from headstart.runs.model import Model
from headstart.runs.model_file import Taken, cells
from headstart.sources.blocks import side_by_side
from headstart.sources.saved import SavedBackbone
from headstart.training.trained import NetworkFile, read_header, rebuild

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.backbones import Backbone
    from headstart.runs.encoder import Encoder


class BundledNetwork(Taken, frozen=True, kw_only=True):
    """A network, and what the head takes of it."""

    name: str
    arch: str
    digest: str
    preprocessing: Preprocessing
    trained: NetworkFile | None = None  # of a fine-tuned one


class BundledPart(BundledNetwork, frozen=True, kw_only=True):
    """A head, and the first of the networks that it takes features of."""

    normalize: Normalize
    scale: float  # inverse temperature
    beside: tuple[BundledNetwork, ...] = ()  # the others


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What the header of such a file tells."""

    schema: int
    classes: tuple[str, ...]
    parts: Annotated[tuple[BundledPart, ...], msgspec.Meta(min_length=1)]
    mean: tuple[float, float] | None = None  # scale and weight of a mean
    mean_scale: float | None = None  # of earlier versions, in which both parts counted alike
    target: Kind = "classes"
    thresholds: tuple[float, ...] = ()
    half_width: float | None = None

    def __post_init__(self) -> None:
        if len(self.parts) > 1 and self.mean is None and self.mean_scale is None:
            raise ValueError("a mean of two has no scale")


def bundle_bytes(model: Model, backbones: Sequence[Backbone], facts: ExportFacts) -> bytes:
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
        parts.append(
            BundledPart(
                **_described(*first),
                normalize=own.normalize,
                scale=own.temperature.scale,
                beside=tuple(BundledNetwork(**_described(*pair)) for pair in others),
            )
        )
    header = {
        **msgspec.to_builtins(facts),
        "parts": msgspec.to_builtins(parts),
        "mean": [model.pool.scale, model.pool.weight],
    }
    return save(tensors, metadata={DESCRIPTION: json.dumps(header, ensure_ascii=False)})


def _state(backbone: Backbone) -> dict[str, Tensor]:
    return {f"network.{k}": v for k, v in backbone.module.state_dict().items()}


def _described(encoder: Encoder, backbone: Backbone) -> dict[str, Any]:
    """The fields of `BundledNetwork`."""
    trained = None
    if encoder.backbone.finetuned:
        assert encoder.folder is not None  # otherwise `load_backbone` has raised
        trained = read_header(encoder.folder / Path(encoder.backbone.finetuned).name)
    return {
        "name": backbone.name,
        "arch": backbone.arch,
        "digest": backbone.digest,
        "preprocessing": backbone.preprocessing,
        "trained": trained,
        "taps": encoder.blocks.taps,
        "resolutions_px": encoder.blocks.resolutions,
        "only": cells(encoder.blocks),
    }


def read_bundle(path: Path | str) -> Bundle:
    """The header of such a file.

    Raises WeightsError where it is another file, is damaged, or was written by a newer version.
    """
    shown = one_line(str(path))
    try:
        text, schema = read_description(path)
    except ValueError as error:
        raise WeightsError(
            f"{shown} is not a classifier that Headstart exported: give what "
            "`headstart export RUN --to safetensors` wrote"
        ) from error
    if schema > SCHEMA:
        raise WeightsError(
            f"{shown} was written by a newer Headstart (schema {schema}, known {SCHEMA}): update "
            "headstart"
        )
    try:
        return msgspec.json.decode(text, type=Bundle)
    except (ValueError, RecursionError, InputError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path | str, error: Exception) -> WeightsError:
    reason = one_line(str(error), limit=120)
    return WeightsError(f"{one_line(str(path))} is damaged ({reason}): export it again")


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
    bundle = read_bundle(path)
    tensors = read_weights(path)
    try:
        rebuilt = [
            _rebuild(part, _under(tensors, f"parts.{i}."), bundle, one_line(str(path)))
            for i, part in enumerate(bundle.parts)
        ]
        (model, _), others = rebuilt[0], rebuilt[1:]
        if others:
            pool = Pool(*(bundle.mean or (bundle.mean_scale or 1.0,)))
            model = dataclasses.replace(model, partner=others[0][0], pool=pool)
        return Classifier(model, [net for _, networks in rebuilt for net in networks])
    except WeightsError:
        raise
    # The header was modified: unknown names, or tensors that are missing.
    except (InputError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _rebuild(
    part: BundledPart, tensors: Mapping[str, Tensor], bundle: Bundle, shown: str
) -> tuple[Model, list[Backbone]]:
    """One part's model and networks."""
    described = (part, *part.beside)
    networks = [
        _rebuild_network(net, _under(tensors, f"beside.{i - 1}." if i else ""), shown)
        for i, net in enumerate(described)
    ]
    blocks = [net.blocks(net.name if part.beside else "") for net in described]
    facts = [SavedBackbone(name=network.name, digest=network.digest) for network in networks]
    model = Model(
        classes=bundle.classes,
        blocks=side_by_side(blocks),
        precision="float32",
        backbone=facts[0],
        beside=tuple(facts[1:]),
        coef=tensors["coef"].numpy(),
        intercept=tensors["intercept"].numpy(),
        temperature=Temperature(part.scale),
        normalize=part.normalize,
        target=bundle.target,
        thresholds=bundle.thresholds,
        half_width=bundle.half_width,
    )
    return model, networks


def _rebuild_network(
    described: BundledNetwork, tensors: Mapping[str, Tensor], shown: str
) -> Backbone:
    state = _under(tensors, "network.")
    if described.trained is not None:
        backbone = rebuild(state, described.trained, shown=shown).backbone
    else:
        backbone = load(described.arch, pretrained=False)
        fit_weights(backbone.module, state, shown=shown, arch=described.arch)
        digest = digest_weights(backbone.module)
        backbone = dataclasses.replace(backbone, name=described.name, digest=digest)
    if backbone.digest != described.digest:
        raise WeightsError(
            f"the weights in {shown} are not those it names (digest {backbone.digest[:12]}, needed "
            f"{one_line(described.digest)[:12]}): export it again"
        )
    return dataclasses.replace(backbone, preprocessing=described.preprocessing)
