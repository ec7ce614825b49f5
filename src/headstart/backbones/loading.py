"""Load a backbone by name, or from a weight file and an architecture."""

from __future__ import annotations

import logging
from pathlib import Path

from headstart.backbones import architectures, embedded, hub
from headstart.backbones.backbone import Backbone, Preprocessing
from headstart.backbones.fitting import Fitted, build_with
from headstart.backbones.licences import licence_note
from headstart.backbones.taps import find_taps
from headstart.backbones.weights import digest_weights, format_of, read_weights
from headstart.errors import BackboneError, WeightsError, argument, one_line
from headstart.home import expand

_LOG = logging.getLogger(__name__)
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def load(
    name: str = "embedded",
    *,
    weights: str | Path | None = None,
    arch: str | None = None,
    pretrained: bool = True,
    seed: int = 0,
    digest: str | None = None,
) -> Backbone:
    """Load a backbone, ready to run.

    Parameters
    ----------
    name : str, default "embedded"
        ``"embedded"`` (EfficientNet-Lite0, no network needed), ``"embedded:lite1"``,
        ``"embedded:lite2"``, ``"torchvision:NAME"``, ``"timm:NAME"`` or a bare name, which means
        torchvision's if both have it; ``"hf-hub:OWNER/NAME"`` or ``"transformers:OWNER/NAME"``, or
        a folder in place of the latter.
        Published weights are downloaded once, into the library's own cache. A name that ends in
        ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` is taken as `weights`.
    weights : str or Path, optional
        A local weight file; `name` is then ignored.
    arch : str, optional
        The architecture of `weights`, named like `name`; arguments of its constructor may follow in
        brackets: ``"vit_small_patch16_224[num_classes=0;img_size=448]"``.
    pretrained : bool, default True
        False: random weights, for training from scratch.
    seed : int, default 0
        Random seed for random weights.
    digest : str, optional
        Required digest of the weights: `Backbone.digest` as a run recorded it.

    Returns
    -------
    Backbone

    Raises
    ------
    BackboneError
        If the name is unknown, or `weights` comes without `arch`.
    WeightsError
        If weights are missing, damaged, do not fit, cannot be downloaded, or have another digest.

    Examples
    --------
    >>> backbone = load("squeezenet1_0", pretrained=False)
    >>> backbone.n_parameters, [tap.name for tap in backbone.taps][:3]
    (1248424, ['conv1', 'fire2', 'fire3'])
    """
    backbone = _load(name, weights, arch, None if pretrained else seed)
    if digest is not None and backbone.digest != digest:
        raise WeightsError(
            f"the weights of {backbone.name} are not those expected: their digest begins "
            f"{backbone.digest[:12]}, not {one_line(digest)[:12]} (source: {backbone.source}). "
            f"Give the weights that the run was made with"
        )
    return backbone


def _load(name: str, weights: str | Path | None, arch: str | None, seed: int | None) -> Backbone:
    """Dispatch on the arguments; `seed` is None for pretrained weights."""
    path = check(name, weights=weights, arch=arch)
    if path is not None:
        assert arch is not None  # `check` raised otherwise
        return _load_file(path, arch)
    if seed is not None:
        return _load_random(name, seed)
    network = embedded.find_embedded(name)
    if network is not None:
        return _load_embedded(network)
    return _load_published(name)


def check(name: str, *, weights: str | Path | None = None, arch: str | None = None) -> Path | None:
    """Raise the errors of `load` for a wrong name or a missing file, without loading anything.

    Raises BackboneError if a name is unknown, or one of `weights` and `arch` comes without the
    other; WeightsError if the weight file is missing. Returns the weight file, if any.

    `name`, `weights`, `arch`: as for `load`.
    """
    if weights is None and "," in name and not expand(name).exists():
        raise BackboneError(
            f"{argument('backbone')} {one_line(name)!r} names several backbones, and this works with one: "
            "give one; `headstart fit` takes several"
        )
    if weights is None and name.endswith(SUFFIXES):
        weights = name
    if weights is None:
        if arch is not None:
            raise BackboneError(
                f"{argument('arch')} {one_line(arch)} says what a weight file holds: give the file with "
                f"{argument('weights')}, or the name alone with {argument('backbone')}"
            )
        _require_buildable(architectures.resolve(name))
        return None
    shown = one_line(str(weights))
    if arch is None:
        raise BackboneError(
            f"{argument('weights')} {shown} needs {argument('arch')} NAME, the architecture of the weights in it "
            f"(for example {argument('arch', 'resnet50')})"
        )
    _require_buildable(architectures.resolve(arch))
    if not expand(weights).exists():
        raise WeightsError(f"no such weight file: {shown}")
    format_of(expand(weights))
    return expand(weights)


def require_weights(name: str) -> None:
    """Raise the errors of `load` for weights that are neither here nor within reach; nothing is loaded.

    Raises WeightsError. `name`: one for which `check` finds no file.
    """
    network = embedded.find_embedded(name)
    if network is not None:
        embedded.require_file(network)
    else:
        hub.require_published(architectures.resolve(name))


def _require_buildable(arch: architectures.Architecture) -> None:
    """Raise BackboneError where the library does not take the arguments of an architecture."""
    if arch.args and not arch.is_of_hub:
        architectures.build_empty(arch, architectures.own_preprocessing(arch).size_px)


def _load_published(name: str) -> Backbone:
    arch = architectures.resolve(name)
    licence = architectures.own_licence(arch)
    if note := licence_note(licence):
        _LOG.warning("the weights of %s are %s: %s", one_line(name), note, licence)
    preprocessing = architectures.own_preprocessing(arch)
    path, source = hub.fetch_published(arch)
    shown, state = one_line(str(path)), read_weights(path)
    fitted = build_with(arch, state, size_px=preprocessing.size_px, shown=shown)
    return _finish(name, fitted, preprocessing, source, licence)


def _load_embedded(network: embedded.Embedded) -> Backbone:
    state = embedded.read_embedded(network)
    arch = architectures.resolve(network.arch)
    preprocessing = architectures.own_preprocessing(arch)
    fitted = build_with(arch, state, size_px=preprocessing.size_px, shown=network.package)
    return _finish(network.name, fitted, preprocessing, network.source, embedded.LICENCE)


def _load_file(path: Path, arch_name: str) -> Backbone:
    shown = one_line(str(path))
    arch = architectures.resolve(arch_name)
    preprocessing = architectures.own_preprocessing(arch, path.name)
    state = read_weights(path)
    fitted = build_with(arch, state, size_px=preprocessing.size_px, shown=shown)
    if fitted.remarks:
        _LOG.warning("%s: %s", shown, "; ".join(fitted.remarks))
    source, licence = f"file {one_line(str(path.absolute()))}", "not stated (a local file)"
    return _finish(one_line(path.name), fitted, preprocessing, source, licence)


def _load_random(name: str, seed: int) -> Backbone:
    arch = architectures.resolve(name)
    preprocessing = architectures.own_preprocessing(arch)
    module = architectures.build(arch, size_px=preprocessing.size_px, seed=seed)
    source = f"random weights, seed {seed}"
    return _finish(name, Fitted(module=module, arch=arch), preprocessing, source, "none needed")


def _finish(
    name: str, fitted: Fitted, preprocessing: Preprocessing, source: str, licence: str
) -> Backbone:
    module = fitted.module
    architectures.drop_auxiliary_heads(module)
    module.eval().requires_grad_(False)
    return Backbone(
        name=name,
        arch=fitted.arch.full_name,
        module=module,
        preprocessing=preprocessing,
        taps=find_taps(module, preprocessing.size_px),
        digest=digest_weights(module),
        source=" (".join([source, "; ".join(fitted.remarks) + ")"]) if fitted.remarks else source,
        licence=licence,
        n_parameters=sum(p.numel() for p in module.parameters()),
    )
