"""Download a published archive and unpack it safely."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import unicodedata
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from headstart.data.sources import shown
from headstart.errors import DataError, one_line
from headstart.progress import Progress, silent

_CHUNK_BYTES = 1 << 20
_MAX_UNPACKED_BYTES = 8 << 30
_MAX_MEMBERS = 1_000_000
# Images are already compressed; larger content with a ratio of a hundred is a zip bomb.
BOMB_RATIO, BOMB_BYTES = 100, 64 << 20
LITTER = frozenset(["__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"])


def download(
    url: str,
    target: Path,
    *,
    md5: str = "",
    timeout_s: float = 30.0,
    progress: Progress = silent,
) -> None:
    """Download a file, completely or not at all.

    Raises DataError where the file cannot be downloaded or is not the published one.

    Parameters
    ----------
    url
        ``http``, ``https`` or ``file``.
    target
        Target path; it is written to another name first and renamed when complete.
    md5
        Published checksum, 32 hexadecimal digits; empty if unknown.
    timeout_s
        Timeout in seconds for connecting and for each read.
    progress
        Reports the stage ``"download"`` in bytes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".download-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            found = _fetch(url, file.write, timeout_s, progress)
            file.flush()
            os.fsync(file.fileno())
        if md5 and found != md5:
            raise DataError(
                f"what {url} gave is not the published file (MD5 {found}, expected {md5}): fetch "
                "it by hand and give the unpacked folder"
            )
        Path(temporary).replace(target)
    except (OSError, urllib.error.URLError, ValueError) as error:
        reason = one_line(str(getattr(error, "reason", error)), limit=120)
        raise DataError(
            f"cannot download {url}: {reason}; check the network, or give the folder of a local "
            "copy"
        ) from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def unpack_zip(archive: Path, folder: Path, *, name: str | None = None) -> None:
    """Unpack a zip into a new folder, completely or not at all.

    Raises DataError where the archive is damaged or too large; or a member is outside ``folder``,
    is a link or a device, or has a duplicate name.

    `name`: name of the archive in messages, if its path means nothing to the user.
    """
    called = shown(name or archive)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpack-"))
    try:
        with zipfile.ZipFile(archive) as members:
            infos = members.infolist()
            for info in infos:
                _check_member(info, called)
            _check_names(infos, called)
            _check_size(infos, archive, called)
            members.extractall(partial)
        partial.replace(folder)
    except _DAMAGED as error:
        reason = one_line(str(error), limit=120)
        is_the_disk = isinstance(error, OSError) and error.errno is not None
        todo = "make room, or unpack it by hand" if is_the_disk else "put a whole copy in its place"
        raise DataError(f"cannot unpack {called}: {reason}; {todo} and retry") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def data_root(folder: Path) -> Path:
    """The data folder in an unpacked archive, which often has a single top folder.

    Descends while there is exactly one folder that contains folders; files that operating systems
    leave in archives are ignored.
    """
    while True:
        inside = [p for p in folder.iterdir() if p.name not in LITTER]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        if not any(p.is_dir() for p in inside[0].iterdir() if p.name not in LITTER):
            return folder
        folder = inside[0]


def _fetch(url: str, write: Callable[[bytes], object], timeout_s: float, progress: Progress) -> str:
    if not url.startswith(("http://", "https://", "file://")):
        raise ValueError("only http, https and file addresses are fetched")
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while chunk := answer.read(_CHUNK_BYTES):
            write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress("download", done, max(total, done))
    if done < total:
        raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
    return digest.hexdigest()


_DAMAGED = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zlib.error,
)


def _check_size(infos: list[zipfile.ZipInfo], archive: Path, called: str) -> None:
    unpacked = sum(info.file_size for info in infos)
    packed = archive.stat().st_size  # not the sum of declared sizes: members may overlap
    if unpacked > _MAX_UNPACKED_BYTES:
        raise DataError(f"{called} unpacks to more than 8 GB: refused")
    if len(infos) > _MAX_MEMBERS:
        raise DataError(f"{called} holds more than {_MAX_MEMBERS:,} files: refused")
    if unpacked > max(BOMB_BYTES, BOMB_RATIO * packed):
        raise DataError(
            f"{called} holds {packed:,} bytes that unpack to {unpacked:,}, which no pictures "
            "do: the archive is refused"
        )


def _check_member(info: zipfile.ZipInfo, called: str) -> None:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        raise DataError(
            f"{called} holds {shown(info.filename)}, which would be written outside its "
            "folder: the archive is refused"
        )
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):  # 0: written on a system without file modes
        raise DataError(
            f"{called} holds {shown(info.filename)}, which is a link or a device and no "
            "file: the archive is refused"
        )


def _check_names(infos: list[zipfile.ZipInfo], called: str) -> None:
    """Refuse names that are equal on some systems, where one file would replace the other."""
    known: dict[str, str] = {}
    for info in infos:
        name = info.filename.replace("\\", "/").rstrip("/")
        key = unicodedata.normalize("NFC", name).casefold()
        if key in known and not (info.is_dir() and known[key] == name):
            raise DataError(
                f"{called} holds {shown(known[key])} and {shown(info.filename)}, which are "
                "one file on some computers: the archive is refused"
            )
        known[key] = name
