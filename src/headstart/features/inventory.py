"""The content of the cache: every item with its size and last use.

Links are not followed, since their targets are not part of the cache. Names that Headstart does not
use are reported and left alone.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from headstart.features.shards import map_shard
from headstart.features.store import MANIFEST
from headstart.files import is_temporary


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of folder in the cache."""

    words: str
    # the unit of use and removal: each folder in it, each file, or all of it
    grain: Literal["folder", "file", "whole"]
    is_download: bool = False  # so it is not pruned
    is_record: bool = False  # cannot be computed again, so it is not pruned


KINDS: dict[str, Kind] = {
    "features": Kind(words="features of images", grain="folder"),
    "pixels": Kind(words="decoded images, for training", grain="file"),
    "engines": Kind(words="networks converted for OpenVINO, and plans for GPUs", grain="folder"),
    "images": Kind(words="facts and thumbnails of image files", grain="whole"),
    "heads": Kind(words="cross-validated scores", grain="file"),
    "prompts": Kind(words="zero-shot heads", grain="file"),
    "precision": Kind(words="comparisons of the two precisions", grain="file"),
    "comparisons": Kind(words="outcomes of trials", grain="file"),
    "finetuning": Kind(words="fine-tuning under way", grain="folder"),
    "generality": Kind(words="outcomes of transfer layers", grain="file"),
    "views": Kind(words="features of views of images", grain="file"),
    "policies": Kind(words="learnt policies of augmentation", grain="file"),
    "sift": Kind(words="SIFT descriptors", grain="folder"),
    "sentences": Kind(words="features of texts", grain="folder"),
    "corrupted": Kind(words="corrupted copies of images", grain="folder"),
    "references": Kind(words="reference sets", grain="folder"),
    "runs": Kind(words="where the data of runs made here is", grain="file", is_record=True),
    "datasets": Kind(words="data sets, downloaded", grain="folder", is_download=True),
    "embeddings": Kind(words="word vectors, downloaded", grain="file", is_download=True),
    "scene_categories": Kind(words="the data set scene15", grain="whole", is_download=True),
    "scene_categories.zip": Kind(words="the archive of scene15", grain="whole", is_download=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A unit of use and removal."""

    kind: str  # of `KINDS`
    path: Path
    n_bytes: int
    # seconds since 1970 of the last write or recorded use (:func:`headstart.files.mark_used`), because
    # backups change the access times of files
    last_used: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Features(Item):
    """The features of one key."""

    key: dict[str, Any] = field(default_factory=dict)  # the manifest; empty if missing or damaged
    n_rows: int = 0
    n_shards: int = 0  # in Arrow format; their bytes are not read
    n_damaged: int = 0  # quarantined, or not in Arrow format

    @property
    def arch(self) -> str:
        """The architecture with its library, ``"unknown"`` if the manifest is damaged."""
        return str(self.key.get("arch", "unknown"))

    @property
    def size_px(self) -> int | None:
        """Side of the crops."""
        size = self.key.get("preprocessing", {}).get("size_px")
        return size if isinstance(size, int) else None

    def is_of(self, backbone: str) -> bool:
        """Whether a backbone's name, or a prefix of its weights' digest, refers to this one."""
        from headstart.backbones import embedded

        if not self.key:
            return False
        plain = self.arch.partition(":")[2]
        names = {self.arch, plain, self.arch.split(".")[0], plain.split(".")[0]}
        names |= {n.name for n in embedded.EMBEDDED.values() if n.arch == self.arch}
        is_digest = len(backbone) >= 8 and str(self.key.get("weights")).startswith(backbone)
        return backbone in names or is_digest


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The content of a cache."""

    root: Path
    items: tuple[Item, ...]
    foreign: tuple[Path, ...] = ()  # unknown names in the cache folder
    links: tuple[Path, ...] = ()  # not followed

    @property
    def features(self) -> list[Features]:
        """The feature keys, the largest first."""
        found = [i for i in self.items if isinstance(i, Features)]
        return sorted(found, key=lambda i: (-i.n_bytes, i.path))

    @property
    def n_bytes(self) -> int:
        """Total size of the items."""
        return sum(i.n_bytes for i in self.items)


def take_inventory(root: Path) -> Inventory:
    """List the content of a cache; a missing cache is empty. Raises OSError where it cannot be listed."""
    items: list[Item] = []
    foreign, links = [], []
    for entry in _entries(root) if root.exists() else ():
        if entry.is_symlink():
            links.append(entry)
        elif entry.name not in KINDS:
            if not is_temporary(entry):
                foreign.append(entry)
        elif KINDS[entry.name].grain == "whole":
            items.append(_item(entry.name, entry))
        else:
            for inner in _entries(entry):
                if inner.is_symlink():
                    links.append(inner)
                elif not is_temporary(inner):
                    items.append(_item(entry.name, inner))
    return Inventory(root=root, items=tuple(items), foreign=tuple(foreign), links=tuple(links))


def shards_in(folder: Path) -> list[Path]:
    """The shards of one key by name, without links."""
    return [
        p
        for p in _entries(folder)
        if p.name.startswith("shard-") and p.suffix == ".arrow" and not p.is_symlink()
    ]


def files_in(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """A file, or every file in a folder, with its status, without links."""
    try:
        status = path.lstat()
    except OSError:
        return
    if stat.S_ISREG(status.st_mode):
        yield path, status
    elif stat.S_ISDIR(status.st_mode):
        for entry in _entries(path):
            yield from files_in(entry)


def _item(kind: str, path: Path) -> Item:
    seen = list(files_in(path))
    n_bytes = sum(status.st_size for _, status in seen)
    dates = [status.st_mtime for _, status in seen] + [path.lstat().st_mtime]
    if kind != "features":
        return Item(kind=kind, path=path, n_bytes=n_bytes, last_used=max(dates))
    # Merging also writes shards, but only runs update the time of the manifest.
    used = next((status.st_mtime for p, status in seen if p.name == MANIFEST), max(dates))
    n_rows, n_shards = 0, 0
    n_damaged = sum(p.suffix == ".damaged" for p, _ in seen)
    for shard in shards_in(path):
        try:
            n_rows += map_shard(shard).num_rows
            n_shards += 1
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            n_damaged += 1
    return Features(
        kind=kind, path=path, n_bytes=n_bytes, last_used=used, key=_manifest(path),
        n_rows=n_rows, n_shards=n_shards, n_damaged=n_damaged,
    )  # fmt: skip


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder by name; empty if another process has just removed it."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
