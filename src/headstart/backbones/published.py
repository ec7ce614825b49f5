"""What torchvision has measured of its own weights: accuracy, operations, parameters.

The figures come with the installed torchvision (``weights.meta``); nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from headstart.errors import BackboneError, argument, did_you_mean, one_line


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A network's published figures.

    Attributes
    ----------
    name, weights : str
        ``"resnet50"``, ``"IMAGENET1K_V2"``.
    accuracy : float
        Top-1 on ImageNet's 50,000 validation images, a single crop, in %.
    giga_macs : float
        Thousands of millions of multiply-accumulates of one image at `size_px`; torchvision writes
        them as GFLOPS.
    n_parameters : int
    size_px : int
        Side of the crop.
    recipe : str
        Where the training is described.
    """

    name: str
    weights: str
    accuracy: float
    giga_macs: float
    n_parameters: int
    size_px: int
    recipe: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def source() -> str:
    """Whose figures these are, with the version."""
    import torchvision

    return f"torchvision {torchvision.__version__}, the metadata of its weights (DEFAULT of each)"


def published_results(names: Sequence[str] | None = None) -> list[Published]:
    """The published figures of torchvision's classification networks, fewest operations first.

    Parameters
    ----------
    names : sequence of str, optional
        By default all that torchvision has weights of.

    Raises
    ------
    BackboneError
        torchvision has no such network.
    """
    from torchvision import models

    known = models.list_models(module=models)
    for name in names or ():
        if name not in known:
            raise BackboneError(
                f"torchvision publishes no figures of {one_line(name, limit=80)!r}."
                f"{did_you_mean(name, known)} {argument('all', True)} shows all that there are"
            )
    found = [_published(name, models.get_model_weights(name).DEFAULT) for name in names or known]
    return sorted(found, key=lambda p: (p.giga_macs, p.name))


def catalogue_names() -> list[str]:
    """Networks of Headstart's catalogue that torchvision publishes figures of."""
    from headstart.backbones.shortlist import catalogue

    return [entry.name for entry in catalogue() if entry.source == "torchvision"]


def front(results: Sequence[Published]) -> list[Published]:
    """Those that no other network beats: none is as accurate with no more operations.

    Returns
    -------
    list of Published
        Fewest operations first, each more accurate than those before it.
    """
    best: list[Published] = []
    for result in sorted(results, key=lambda p: (p.giga_macs, -p.accuracy)):
        if not best or result.accuracy > best[-1].accuracy:
            best.append(result)
    return best


def _published(name: str, weights: Any) -> Published:
    meta = weights.meta
    return Published(
        name=name,
        weights=weights.name,
        accuracy=float(meta["_metrics"]["ImageNet-1K"]["acc@1"]),
        giga_macs=float(meta["_ops"]),
        n_parameters=int(meta["num_params"]),
        size_px=int(weights.transforms().crop_size[0]),
        recipe=str(meta["recipe"]),
    )
