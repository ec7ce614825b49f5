"""Reading WebDataset shards: tar files in which an image and its label stand side by side."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, Self

from headstart.data.archives import BOMB_BYTES, BOMB_RATIO
from headstart.data.decode import IMAGE_SUFFIXES, MAX_FILE_BYTES
from headstart.data.parts import Part, Sample, open_url
from headstart.data.sources import SPLIT_WORDS, printable, shown
from headstart.data.tables import LABEL_NAMES, SPLIT_NAMES
from headstart.errors import one_line

# Of the files with a label, the first that is there counts.
LABEL_SUFFIXES = ("cls", "txt", "json")
_LABEL_BYTES = 1 << 20
_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


@dataclass(slots=True)
class _Group:
    """The files of a shard that share a name up to its first dot."""

    key: str
    files: dict[str, bytes] = field(default_factory=dict)
    reason: str = ""


def read_tar(part: Part) -> Iterator[Sample]:
    """The images of a shard in order, read as a stream: one image in memory at a time.

    A shard that is damaged gives what stands before the damage, and then says so; so does one that unpacks
    to far more than its bytes.
    """
    try:
        with open_url(part.url) as file:
            packed = _Counted(file)
            with tarfile.open(fileobj=packed, mode="r|*", tarinfo=_Checked) as archive:
                for group in _groups(archive, packed):
                    yield _sample(group, part)
    except (tarfile.TarError, EOFError, OSError) as error:
        reason = one_line(str(error), limit=100) or "it ends early"
        yield Sample(printable(part.name), reason=f"damaged from here on ({reason})")


class _Counted(io.RawIOBase):
    """A file that counts the bytes that are read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.n_read = file, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.n_read += len(data)
        return data


class _Checked(tarfile.TarInfo):
    """`tarfile` takes a damaged header for the end of the archive; here it is an error.

    So is what it would read into memory whatever its size: long names, and maps of holes.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise _Damaged("a file with holes")
        if self.type in _HEADERS and self.size > _LABEL_BYTES:
            raise _Damaged(f"a header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise _Damaged("a file with holes")

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except _NO_HEADER as error:
            raise _Damaged(str(error)) from None


class _Damaged(tarfile.TarError):
    """Where a header should stand is something else."""


_NO_HEADER = (
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
    tarfile.EmptyHeaderError,  # type: ignore[attr-defined]
)


def _groups(archive: tarfile.TarFile, packed: _Counted) -> Iterator[_Group]:
    """Neighbours with one key; hidden files and folders are skipped, and all images of a key but the first."""
    group = _Group("")
    for member in archive:
        archive.members.clear()  # type: ignore[attr-defined]  # else it keeps all
        if member.offset > max(BOMB_BYTES, BOMB_RATIO * packed.n_read):
            raise _Damaged(f"it unpacks to more than {BOMB_RATIO} times its size")
        path = PurePosixPath(member.name)
        if not member.isfile() or path.name.startswith("."):
            continue
        stem, _, suffix = path.name.partition(".")
        key = str(path.with_name(stem))
        if key != group.key:
            if group.key:
                yield group
            group = _Group(key)
        is_picture = _is_picture(suffix)
        if is_picture and any(map(_is_picture, group.files)):
            continue
        if member.size > (MAX_FILE_BYTES if is_picture else _LABEL_BYTES):
            group.reason = f"{shown(member.name)} has {member.size:,} bytes, which is too many"
        elif is_picture or suffix.lower() in LABEL_SUFFIXES:
            stream = archive.extractfile(member)
            group.files[suffix.lower()] = b"" if stream is None else stream.read()
    if group.key:
        yield group


def _is_picture(suffix: str) -> bool:
    return f".{suffix.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES


def _sample(group: _Group, part: Part) -> Sample:
    """The image with its label, or why there is none."""
    suffix = next(filter(_is_picture, group.files), None)
    name = printable(f"{part.name}/{group.key}" + (f".{suffix}" if suffix else ""))
    if suffix is None or group.reason:
        return Sample(name, reason=group.reason or "no image of that name in the shard")
    label, split = _label(group.files)
    if not label:
        return Sample(name, reason="no label beside it (.cls, .txt or .json)")
    return Sample(name, label, split or part.split, group.files[suffix])


def _label(files: dict[str, bytes]) -> tuple[str, str]:
    """Label and split; a ``.json`` has them under a usual name."""
    kind = next((s for s in LABEL_SUFFIXES if s in files), None)
    if kind is None:
        return "", ""
    text = files[kind].decode("utf-8", errors="replace").strip()
    if kind != "json":
        return text, ""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(found, dict):
        return _plain(found), ""
    fields = {str(k).lower(): v for k, v in found.items()}
    label = next((fields[n] for n in LABEL_NAMES if n in fields), None)
    word = next((str(fields[n]).lower() for n in SPLIT_NAMES if n in fields), "")
    return _plain(label), SPLIT_WORDS.get(word, "")


def _plain(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int | float) else ""
