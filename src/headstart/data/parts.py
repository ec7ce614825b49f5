"""A part of a packed source: a piece that is read in one go, on whatever machine."""

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
"""Of the URLs that are read."""
# Images of a folder that make a part, and the fewest rows of one of a Parquet file.
PART_IMAGES = 512


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a part: its bytes, or the reason why there are none."""

    name: str
    label: str = ""
    split: str = ""
    data: bytes = b""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A piece of a source that is read in one go.

    Attributes
    ----------
    kind
        ``"files"``, ``"parquet"`` or ``"tar"``.
    url
        Of the file; of the folder, for ``"files"``.
    name
        What it is called in the names of its images.
    split
        As its path says it.
    version
        Tells the file from another one that has the same URL later.
    members
        Names of the files below `url`.
    groups
        First row group and the one after the last.
    first_row
        Number of the first row.
    columns
        Image, label and split column; ``""`` where there is none.
    n_images
        -1 where it is not known before it is read.
    labels, splits
        Of ``"files"``: one a member.
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
        """SHA-256 of all that decides what is read."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def open_url(url: str) -> Any:
    """A file behind a URL, open for reading; protocols as of `file_system`."""
    fs, path = file_system(url)
    return fs.open(path, "rb")


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL or of an absolute path here, and the path in it.

    fsspec knows many more protocols than those that lead to files: some take the address as a
    program to run, a file to unpack or another address to go on to. Those of `PROTOCOLS` are taken,
    and no chains of them.

    Raises
    ------
    ValueError
        The protocol is not one of them.
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
