"""Features without a fit: into the store that `fit` reads, on this machine or on a Ray cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.backbone import CROP_MODES
from headstart.data import training_records
from headstart.errors import InputError, argument, require_choice
from headstart.progress import Progress, silent
from headstart.runs.settings import (
    PRECISIONS,
    SIZES_PX,
    fields_for,
    require,
    require_cluster,
    require_layout,
)

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index
    from headstart.data.parts import Part
    from headstart.features import Extraction


@dataclass(frozen=True, kw_only=True)
class ExtractSettings:
    """What `extract_data` was asked for.

    Raises InputError where a value is outside its legal set.

    Parameters
    ----------
    data : str
        As for :func:`headstart.fit`.
    backbone, weights, arch, resolutions, image_column, label_column, split_column, classes_from,
    merge_labels, device
        As for :class:`headstart.runs.settings.FitSettings`.
    crop : {"center", "squash", "letterbox"}, optional
        Default: the network's own.
    precision : {"auto", "float32", "bfloat16"}, default "auto"
        What `fit` would take; of packed images on a cluster, float32.
    engine : {"local", "ray"}
    address : str, optional
        Of a running Ray cluster.
    n_workers : int >= 1, optional
        On the cluster.
    """

    data: str
    backbone: str = "embedded"
    weights: str | None = None
    arch: str | None = None
    resolutions: tuple[int, ...] | None = None
    image_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    classes_from: str = "auto"
    merge_labels: bool = False
    crop: str | None = None
    precision: str = "auto"
    device: str | None = None
    engine: str = "local"
    address: str | None = None
    n_workers: int | None = None

    @property
    def own_device(self) -> str | None:
        """The device of this process, rather than of the workers of a cluster."""
        return self.device if self.engine == "local" else None

    def __post_init__(self) -> None:
        require_layout(self.classes_from)
        if self.crop is not None:
            require_choice("crop", self.crop, CROP_MODES)
        require_choice("precision", self.precision, PRECISIONS)
        if self.resolutions is not None:
            low, high = SIZES_PX
            good = bool(self.resolutions) and all(low <= r <= high for r in self.resolutions)
            require(good, argument("resolutions"), f"pixels from {low} to {high}", self.resolutions)
        require_cluster(self.engine, self.address, self.n_workers)


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """What an extraction found and did."""

    settings: ExtractSettings  # with the precision that was used
    extraction: Extraction
    n_images: int | None  # in the data; None where only the workers have seen them
    unusable: tuple[tuple[str, str], ...]  # (name, reason)
    classes: tuple[str, ...] = ()  # their names; empty where only the workers have seen the images
    notes: tuple[str, ...] = ()  # on the data

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        done = self.extraction
        return {
            "settings": dataclasses.asdict(self.settings),
            "n_images": self.n_images,
            "classes": list(self.classes),
            "notes": list(self.notes),
            "n_forward": done.n_forward,
            "n_cached": done.n_cached,
            "seconds": done.seconds,
            "images_per_s": done.images_per_s,
            "engine": done.engine,
            "stores": [
                {"size_px": size, "folder": str(store.folder), "n_images": len(store)}
                for size, store in sorted(done.stores.items())
            ],
            "unusable": [{"name": name, "reason": reason} for name, reason in self.unusable],
        }


def extract_data(
    settings: ExtractSettings, *, cache: Path | None = None, progress: Progress = silent
) -> Extracted:
    """Make the features that a fit of the same data would make, and keep them.

    Raises InputError where anything that was given cannot be used; the message says what and what
    to do.

    `cache`: where features are kept.
    """
    from headstart.backbones import load
    from headstart.backbones.listed import check_all
    from headstart.data import index
    from headstart.data.packed import find_parts, is_packed
    from headstart.features import cache_folder
    from headstart.features.engines import check_device
    from headstart.features.raycluster import Cluster
    from headstart.features.rayindex import inspect_on
    from headstart.runs.cropping import with_crop

    s, root = settings, cache or cache_folder()
    check_all([(s.backbone, s.weights, s.arch)])
    cluster = Cluster(address=s.address, n_workers=s.n_workers)
    if s.engine == "ray":  # before hours may go into the images
        cluster.check(s.device)
    else:
        check_device(s.device)
    if s.engine == "ray" and is_packed(s.data):
        _refuse_memory(s.data)
        parts = find_parts(**fields_for(find_parts, s))
        backbone = with_crop(load(s.backbone, weights=s.weights, arch=s.arch), s.crop)
        if s.precision == "auto":
            s = dataclasses.replace(s, precision="float32")
        done, size_notes = _extract(parts, backbone, s, root, progress)
        return Extracted(
            settings=s,
            extraction=done,
            n_images=None,
            unusable=tuple(done.unreadable.items()),
            notes=size_notes,
        )
    # With an address there are more cores than here.
    inspect = inspect_on(cluster) if s.address is not None else None
    indexed = index(s.data, **fields_for(index, s), cache=root, progress=progress, inspect=inspect)
    backbone = with_crop(load(s.backbone, weights=s.weights, arch=s.arch), s.crop)
    s = dataclasses.replace(s, precision=_precision(s, indexed, backbone, root))
    done, size_notes = _extract(indexed, backbone, s, root, progress)
    names = {r.digest: r.name for r in indexed.records}
    unusable = [(q.name, q.reason) for q in indexed.quarantine]
    unusable += [(names[digest], reason) for digest, reason in done.unreadable.items()]
    return Extracted(
        settings=s,
        extraction=done,
        n_images=len(indexed),
        unusable=tuple(unusable),
        classes=indexed.classes,
        notes=(*indexed.notes, *size_notes),
    )


def _extract(
    images: Index | Sequence[Part],
    backbone: Backbone,
    s: ExtractSettings,
    root: Path,
    progress: Progress,
) -> tuple[Extraction, tuple[str, ...]]:
    """The features, and notes on sizes that were left out."""
    from headstart.data import Index
    from headstart.features import extract
    from headstart.features.cluster import extract_on_cluster
    from headstart.features.raycluster import Cluster
    from headstart.runs.budget import plan_resolutions

    sizes = plan_resolutions(backbone, s.resolutions)
    how: dict[str, Any] = {
        "resolutions": sizes.resolutions,
        "precision": s.precision,
        "device": s.device,
        "cache": root,
        "progress": progress,
    }
    wanted = images.records if isinstance(images, Index) else images
    if s.engine == "ray":
        cluster = Cluster(address=s.address, n_workers=s.n_workers)
        return extract_on_cluster(wanted, backbone, cluster=cluster, **how), sizes.notes
    assert isinstance(images, Index)  # packed images are unpacked for the local engine
    return extract(images.records, backbone, **how), sizes.notes


def _precision(s: ExtractSettings, indexed: Index, backbone: Backbone, root: Path) -> str:
    """What `fit` would take for these images."""
    from headstart.runs.precision import choose_precision

    if s.precision != "auto":
        return s.precision
    records = training_records(indexed)
    return choose_precision(backbone, records, device=s.own_device, cache=root).precision


def _refuse_memory(data: str) -> None:
    if data.startswith("memory://"):
        raise InputError(
            f"memory:// lies in this process alone, which no worker can reach: take {argument('engine', 'local')}"
        )
