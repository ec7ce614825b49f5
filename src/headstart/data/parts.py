"""A part of a packed source, which is read as a unit on any machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

PROTOCOLS = (
    "file",
    "http",
    "https",
    "hf",
    "s3",
    "s3a",
    "gs",
    "gcs",
    "az",
    "abfs",
    "abfss",
    "memory",
)
"""Protocols of supported URLs."""
# Images per part of a folder, and minimum rows per part of a Parquet file.
PART_IMAGES = 512


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a part: its bytes, or the reason for their absence."""

    name: str
    label: str = ""
    split: str = ""
    data: bytes = b""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A piece of a source that is read as a unit.

    Attributes
    ----------
    kind
        ``"arrow"``, ``"files"``, ``"parquet"`` or ``"tar"``.
    url
        URL of the file, or of the folder for ``"files"``.
    name
        Prefix of the names of its images.
    split
        The split in its path.
    version
        Distinguishes the file from later ones with the same URL.
    members
        Names of the files in `url`.
    groups
        First row group, and last plus one.
    first_row
        Number of the first row.
    columns
        Image, label and split column; ``""`` if there is none.
    n_images
        -1 if it is unknown before reading.
    labels, splits
        For ``"files"``: one per member.
    """

    kind: str
    url: str
    name: str
    split: str = ""
    version: str = ""
    members: tuple[str, ...] = ()
    groups: tuple[int, int] = (0, 0)
    first_row: int = 0
    columns: tuple[str, str, str] = ("", "", "")
    n_images: int = -1
    labels: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The part as a line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        found = json.loads(text)
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in found.items()
        }
        return cls(**fields)

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def open_url(url: str) -> Any:
    """Open a file at a URL for reading; protocols as for `file_system`."""
    fs, path = file_system(url)
    return fs.open(path, "rb")


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL or of an absolute local path, and the path in it.

    fsspec has protocols that run programs, unpack files or redirect to other addresses. Only those of
    `PROTOCOLS` are accepted, without chaining.

    Raises ValueError where the protocol is not one of these.
    """
    import fsspec

    protocol, is_url, _ = url.partition("://")
    if not is_url:
        return fsspec.filesystem("file"), url
    if protocol.lower() not in PROTOCOLS or "::" in url:
        raise ValueError(
            f"it is not an address of one of {', '.join(f'{p}://' for p in PROTOCOLS)}"
        )
    found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    return found
