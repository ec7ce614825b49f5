"""Images classified by what the classes are called: a model without a training image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.prompts import TEMPLATES, Prompts, fill, read_prompts, same_prompts
from headstart.data.sources import some
from headstart.errors import InputError, argument, one_line
from headstart.heads import Temperature
from headstart.runs.model import Model
from headstart.runs.predictions import Prediction
from headstart.sources.blocks import ZeroShot
from headstart.sources.image import ImageSource

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.backbones import Backbone


def predict_zero_shot(
    images: Any,
    classes: Sequence[str] | None = None,
    *,
    backbone: str | Backbone,
    prompts: str | None = None,
    top: int = 5,
) -> list[Prediction]:
    """Classify images by what the classes are called, with a network that has a text tower.

    Parameters
    ----------
    images : path, bytes, PIL image, array, or a sequence of these
        As for :meth:`headstart.Run.predict`.
    classes : sequence of str, optional
        Two or more names; default: those that the file of prompts names.
    backbone : str or Backbone
        A repository with a text tower, such as ``"transformers:openai/clip-vit-base-patch32"``.
    prompts : str, optional
        A file of templates or of lines ``class,prompt``: see
        :func:`headstart.data.prompts.read_prompts`. Default: ``"a photo of a {}."`` and the like.
    top : int >= 1, default 5
        How many classes a prediction names.

    Returns
    -------
    list of Prediction
        Probabilities are the network's own: they are not calibrated on images like these.

    Raises
    ------
    BackboneError, WeightsError
        The network has no text tower, or cannot be loaded.
    InputError, DataError
        There are fewer than two classes, or the file of prompts or an image cannot be used.

    Examples
    --------
    >>> found = predict_zero_shot(                          # doctest: +SKIP
    ...     "photos/", ["cat", "dog"], backbone="transformers:openai/clip-vit-base-patch32")
    >>> found[0].label                                      # doctest: +SKIP
    'cat'
    """
    return list(iter_zero_shot(images, named_prompts(classes, prompts), backbone=backbone, top=top))


def iter_zero_shot(
    images: Any, prompts: Prompts, *, backbone: str | Backbone, top: int = 5
) -> Iterator[Prediction]:
    """As `predict_zero_shot`, of classes with their prompts, handing predictions out as they are made."""
    from headstart.backbones.texttowers import require_text_tower
    from headstart.data.find import name_sources
    from headstart.runs.classify import classify

    if top < 1:
        raise InputError(f"{argument('top')} must be 1 or more; got {top}")
    names = name_sources(images)
    if isinstance(backbone, str):
        from headstart.backbones import load

        require_text_tower([backbone])
        backbone = load(backbone)
    net, model = backbone, zero_shot_model(backbone, prompts)
    for source, p, reason in classify(model, list(names), backbone=lambda: net):
        if p is None:
            yield Prediction(name=names[source], error=reason)
        else:
            ranked = model.ranked(p)[:top]
            found = tuple((model.classes[i], float(p[i])) for i in ranked)
            yield Prediction(name=names[source], top=found)


def kept_text_head(backbone: Backbone, prompts: Prompts, cache: Path) -> NDArray[np.float64]:
    """As :func:`headstart.backbones.zeroshot.text_head`, computed once for the same weights and prompts."""
    from headstart.backbones.architectures import resolve
    from headstart.backbones.texttowers import text_tower_digests
    from headstart.backbones.transformersmodels import require_transformers
    from headstart.backbones.zeroshot import text_head
    from headstart.probe import memo

    arch = resolve(backbone.arch)
    require_transformers(arch)
    import transformers

    facts = {
        "tower": [arch.full_name, *text_tower_digests(arch)],
        "tap": [backbone.taps[-1].name, backbone.taps[-1].n_features],
        "prompts": [[name, *texts] for name, texts in prompts.items()],
        "transformers": transformers.__version__,
    }
    code = ("backbones/texttowers.py", "backbones/zeroshot.py")
    path = memo.memo_path(cache, "prompts", facts, code=code, suffix="safetensors")
    kept = memo.recall_arrays(path)
    if kept is None:
        kept = {"head": text_head(backbone, prompts)}
        memo.keep_arrays(path, kept)
    return np.asarray(kept["head"])


def zero_shot_model(backbone: Backbone, prompts: Prompts) -> Model:
    """The zero-shot head of a network as a model: see :func:`headstart.backbones.zeroshot.text_head`."""
    from headstart.backbones.zeroshot import text_head

    head, sizes = text_head(backbone, prompts), (backbone.preprocessing.size_px,)
    blocks = ZeroShot(taps=(backbone.taps[-1].name,), resolutions=sizes, vectors=head)
    return Model(
        classes=tuple(prompts),
        blocks=blocks,
        coef=head,
        intercept=np.zeros(len(head)),
        temperature=Temperature(1.0),
        **ImageSource(backbone=backbone, stores={}).encoding(blocks),
    )


def named_prompts(classes: Sequence[str] | None, prompts: str | None) -> Prompts:
    """The prompts of classes that are named, or that a file of prompts names.

    Raises InputError where there are fewer than two classes, or one has no name or comes twice, or
    two have the same prompts; DataError where the file cannot be used.
    """
    names = None if classes is None else [name.strip() for name in classes]
    shown = f"; got {one_line(', '.join(names or ()), limit=80)!r}" if names is not None else ""
    option = argument("classes")
    if names is None and prompts is None:
        raise InputError(
            f"a zero-shot head needs the names of the classes: give {argument('classes', 'cat,dog')}, or "
            f"{argument('prompts', 'FILE')} with lines class,prompt"
        )
    if names is not None and not all(names):
        raise InputError(f"{option} has an empty name{shown}: give names such as cat,dog")
    if names is not None and len(set(names)) < len(names):
        raise InputError(f"{option} names a class twice{shown}: give each once")
    found = fill(TEMPLATES, names or ()) if prompts is None else read_prompts(prompts, names)
    if len(found) < 2:
        raise InputError(
            f"{option if prompts is None else argument('prompts')} needs two classes or more{shown}"
        )
    for same in same_prompts(found):
        raise InputError(
            f"classes {some(same)} have the same prompts, but for case and spaces, so they always tie: give one of "
            f"them, or different prompts with {argument('prompts', 'FILE')}"
        )
    return found
