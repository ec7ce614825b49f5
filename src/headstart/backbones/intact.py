"""The weight files on this machine, and whether they match their published digests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.backbones import embedded
from headstart.backbones.hub import HUB_FILES, digest_in_blob, digest_in_name
from headstart.backbones.shortlist import hub_cache, torch_cache
from headstart.files import digest_file

_ENDINGS = (".pth", ".pt", ".bin", ".safetensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightFile:
    """A published weight file on this machine."""

    name: str  # ``"embedded"``, ``"embedded:lite1"``, ..., the file's name, or the repository's
    path: Path
    # ``"no digest"``: neither its name nor its path contains a digest
    state: Literal["intact", "damaged", "no digest", "unreadable"]


def weight_files() -> list[WeightFile]:
    """Read every published weight file on this machine, and compare it with its digest.

    The digest of the embedded files is in the source code, that of PyTorch's files in their names, and
    that of the hub's files in their paths.
    """
    return [_looked_at(name, path, digest) for name, path, digest in _found()]


def _found() -> Iterator[tuple[str, Path, str | None]]:
    for network in embedded.EMBEDDED.values():
        path = embedded.find_file(network)
        if path is not None:
            yield network.name, path, network.file_digest
    for path in sorted(torch_cache().glob("*")):
        if path.suffix in _ENDINGS and path.is_file():
            yield path.name, path, digest_in_name(path.name)
    for name in HUB_FILES:
        for path in sorted(hub_cache().glob(f"models--*/snapshots/*/{name}")):
            repository = path.parents[2].name.removeprefix("models--").replace("--", "/")
            yield repository, path, digest_in_blob(path)


def _looked_at(name: str, path: Path, digest: str | None) -> WeightFile:
    if digest is None:
        return WeightFile(name=name, path=path, state="no digest")
    try:
        is_whole = digest_file(path).startswith(digest)
    except OSError:
        return WeightFile(name=name, path=path, state="unreadable")
    return WeightFile(name=name, path=path, state="intact" if is_whole else "damaged")
