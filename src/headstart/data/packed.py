"""Images that do not lie as files in folders here: inside Parquet and Arrow files and tar shards, or behind a URL.

A source is cut into parts, each small enough to be one worker's task; a part can be read on any
machine that reaches its URL. `fsspec` reaches them: ``s3://``, ``gs://``, ``file://`` and the others of
`headstart.data.parts.PROTOCOLS`, each with the package that it asks for.

=====================  ==========================================================================
Parquet                a column of image bytes, or of Hugging Face's ``{bytes, path}``, and one of labels
Arrow                  the same, as ``save_to_disk`` of Hugging Face's ``datasets`` leaves it
tar (WebDataset)       files that share a name up to its first dot: an image, and a ``.cls``, ``.txt``
                       or ``.json`` with its label
folder behind a URL    a folder for each class, as on a disk
=====================  ==========================================================================

A split is recognised by a word in the path (``train-000.tar``, ``test/000.parquet``) or a column.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from headstart.data.decode import is_image_name
from headstart.data.imageparquet import (
    arrow_part,
    holds_images,
    parquet_parts,
    read_arrow_part,
    read_parquet_part,
)
from headstart.data.layout import read_layout
from headstart.data.parts import PART_IMAGES, Part, Sample, file_system
from headstart.data.sources import (
    N_NAMED,
    SPLIT_WORDS,
    counted,
    printable,
    shown,
    some,
    walk_images,
)
from headstart.data.tarshards import read_tar
from headstart.errors import DataError, one_line
from headstart.home import expand

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
PARQUET_SUFFIXES = (".parquet", ".pq")
ARROW_SUFFIXES = (".arrow",)
_SUFFIXES = (*TAR_SUFFIXES, *PARQUET_SUFFIXES, *ARROW_SUFFIXES)
# What `datasets` puts beside its Arrow files; results of its `map` are copies of the data.
_DATASETS_FILES = ("dataset_info.json", "dataset_dict.json", "state.json")
_DATASETS_CACHE = "cache-"


def is_packed(data: str) -> bool:
    """Whether `data` names a source of this kind rather than files in folders, a table or a set."""
    if "://" in data:
        return True
    path = expand(data)
    try:
        if path.is_file():
            if path.name.lower().endswith(PARQUET_SUFFIXES):
                return holds_images(path)
            return path.name.lower().endswith(TAR_SUFFIXES + ARROW_SUFFIXES)
        if path.is_dir():
            return _holds_packed(path)
    except OSError:
        return False
    return _is_pattern(data)


def find_parts(
    data: str,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    classes_from: str = "auto",
    notes: list[str] | None = None,
) -> tuple[Part, ...]:
    """Cut a source into parts.

    Parameters
    ----------
    data
        A URL or path of a Parquet or Arrow file, a tar shard, a folder of these, a pattern of them
        (``shards/*.tar``), or a URL of a folder of class folders.
    image_column, label_column, split_column
        Of Parquet files, where they cannot be told; ``split_column="none"``: a split is made.
    classes_from
        Of class folders: see :func:`headstart.data.layout.read_layout`.
    notes
        Is added what was left out.

    Raises
    ------
    DataError
        It cannot be reached or listed, is empty, or has no images or labels; one shard of each kind
        is looked into.
    """
    fs, root = _reach(data)
    try:
        files = _files(fs, root, data)
    except DataError:
        raise
    except Exception as error:  # each kind of storage has errors of its own
        raise _unreachable(data, error) from None
    packed = [f for f in files if _is_shard(f) and not _is_hidden(_below(f, root))]
    if not packed:
        in_folders = _folder_parts(fs, root, data, files, classes_from, notes)
        used = [f"{root}/{name}" for part in in_folders for name in part.members]
        _note_left_out(files, root, used, notes)
        return in_folders
    _refuse_several_sets(data, [_below(f, root) for f in packed])
    described = [f for f in files if PurePosixPath(f).name in _DATASETS_FILES]
    _note_left_out(files, root, [*packed, *described], notes)
    columns = {
        "image_column": image_column,
        "label_column": label_column,
        "split_column": split_column,
    }
    parts: list[Part] = []
    for path in packed:
        url, name, split = fs.unstrip_protocol(path), _below(path, root), _split_of(path, root)
        version = _version(files[path])
        if path.lower().endswith(TAR_SUFFIXES):
            parts.append(Part(kind="tar", url=url, name=name, split=split, version=version))
        elif path.lower().endswith(ARROW_SUFFIXES):
            whole = Part(kind="arrow", url=url, name=name, split=split, version=version)
            parts.append(arrow_part(whole, **columns))
        else:
            whole = Part(kind="parquet", url=url, name=name, split=split, version=version)
            parts += parquet_parts(whole, **columns)
    if not parts:
        raise DataError(f"{shown(data)} has no rows: expected an image and its label in each")
    _check_labels(parts)
    return tuple(parts)


def read_part(part: Part) -> Iterator[Sample]:
    """The images of a part, in order, a few in memory at a time.

    What cannot be read is named with its reason, and the rest goes on.
    """
    readers = {
        "arrow": read_arrow_part,
        "files": _read_files,
        "parquet": read_parquet_part,
        "tar": read_tar,
    }
    n_read = 0
    try:
        for sample in readers[part.kind](part):
            n_read += 1
            yield sample
    except Exception as error:  # each kind of storage has errors of its own
        reason = one_line(str(error), limit=120) or type(error).__name__
        where = f" after {counted(n_read, 'image')}" if n_read else ""
        yield Sample(part.name, reason=f"it cannot be read{where} ({reason}): the rest is lost")


def _reach(data: str) -> tuple[Any, str]:
    """The file system of a URL or path, and the path in it."""
    where = data if "://" in data else str(expand(data).absolute())
    try:
        fs, root = file_system(where)
    except Exception as error:  # no such protocol, its package is missing, or it asks for a login
        raise _unreachable(data, error) from None
    return fs, root.rstrip("/") or root


def _unreachable(data: str, error: Exception) -> DataError:
    reason = one_line(str(error), limit=160) or type(error).__name__
    return DataError(f"cannot reach {shown(data)}: {reason}")


def _files(fs: Any, root: str, data: str) -> dict[str, dict[str, Any]]:
    """All files under a path, or those that a pattern names, with what is known of each."""
    if _is_pattern(data):
        found = fs.glob(root, detail=True)
        if not found:
            raise DataError(f"no file is called like {shown(data)}: check the pattern")
        return {path: found[path] for path in sorted(found) if found[path].get("type") == "file"}
    if fs.isfile(root):
        return {root: fs.info(root)}
    found = fs.find(root, detail=True)
    if not found:
        raise DataError(f"{shown(data)} holds no files: check the path")
    return {path: found[path] for path in sorted(found)}


def _folder_parts(
    fs: Any,
    root: str,
    data: str,
    files: dict[str, dict[str, Any]],
    classes_from: str,
    notes: list[str] | None,
) -> tuple[Part, ...]:
    """Parts of a folder of class folders."""
    images = [
        f for f in files if is_image_name(f) and not _is_hidden(_below(f, root)) and f != root
    ]
    layout = read_layout(data, [_below(f, root) for f in images], classes_from)
    if notes is not None:
        notes += layout.notes
    places = zip(images, layout.labels, layout.splits, strict=True)
    labelled = [(f, printable(label), split) for f, label, split in places if label]
    if not labelled:
        found = f"{counted(len(images), 'image')} in no class folder" if images else "no images"
        raise DataError(
            f"{shown(data)} holds {found}, and no Parquet files or tar shards: expected class "
            "folders of images, .parquet or .tar"
        )
    url = fs.unstrip_protocol(root)
    parts = []
    for start in range(0, len(labelled), PART_IMAGES):
        these = labelled[start : start + PART_IMAGES]
        versions = "".join(_version(files[f]) for f, _, _ in these)
        parts.append(
            Part(
                kind="files",
                url=url,
                name=PurePosixPath(root).name,
                version=hashlib.sha256(versions.encode()).hexdigest(),
                members=tuple(_below(f, root) for f, _, _ in these),
                n_images=len(these),
                labels=tuple(label for _, label, _ in these),
                splits=tuple(split for _, _, split in these),
            )
        )
    return tuple(parts)


def _note_left_out(
    files: Iterable[str], root: str, used: Iterable[str], notes: list[str] | None
) -> None:
    """Note the files that are not used, by the reason."""
    if notes is None:
        return
    kept, found = set(used), dict[str, list[str]]()
    for path in files:
        if path in kept:
            continue
        name = _below(path, root)
        if _is_hidden(name):
            reason = "hidden"
        elif is_image_name(name):
            reason = "an image in no class folder or shard"
        else:
            reason = "of another kind"
        found.setdefault(reason, []).append(printable(name))
    for reason, names in found.items():
        notes.append(
            f"left out {counted(len(names), 'file')} ({reason}): {some(names, n=N_NAMED, is_counted=True)}"
        )


def _read_files(part: Part) -> Iterator[Sample]:
    fs, root = _reach(part.url)
    members = list(zip(part.members, part.labels, part.splits, strict=True))
    for start in range(0, len(members), 64):  # so many at once, where the storage can
        these = members[start : start + 64]
        got = fs.cat([f"{root}/{name}" for name, _, _ in these], on_error="return")
        found = {_below(path, root): data for path, data in got.items()}
        for name, label, split in these:
            data = found.get(name, FileNotFoundError("no such file"))
            if isinstance(data, bytes):
                yield Sample(printable(name), label, split, data)
            else:
                yield Sample(
                    printable(name), reason=f"cannot be read: {one_line(str(data), limit=80)}"
                )


def _check_labels(parts: Sequence[Part]) -> None:
    """Look into the first tar shard: whether anything is an image with a label."""
    first = next((p for p in parts if p.kind == "tar"), None)
    if first is None:
        return
    reason = ""
    for sample in itertools.islice(read_part(first), 100):
        if sample.data:
            return
        reason = reason or sample.reason
    raise DataError(
        f"{shown(first.name)} has no image with a label"
        + (f" (first: {reason})" if reason else "")
        + ": expected an image and a .cls, .txt or .json of the same name, side by side"
    )


def _is_shard(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.lower().endswith(_SUFFIXES) and not name.startswith(_DATASETS_CACHE)


def _refuse_several_sets(data: str, names: Sequence[str]) -> None:
    """Refuse Parquet and Arrow files in several folders that are not splits: variants of one set."""
    tables = [PurePosixPath(n) for n in names if not n.lower().endswith(TAR_SUFFIXES)]
    folders = sorted(
        {str(path.parent) for path in tables if path.parts[0].lower() not in SPLIT_WORDS}
    )
    if len(folders) > 1 and not _is_pattern(data):
        raise DataError(
            f"{shown(data)} has Parquet or Arrow files in several folders ({some(folders)}), which may be "
            "several data sets: give one of the folders, or all by a pattern such as "
            f"{shown(data.rstrip('/') + '/*/*' + tables[0].suffix)}"
        )


def _holds_packed(folder: Path) -> bool:
    """Whether a folder, or folders in it, have shards, and no images are in sub-folders.

    In sub-folders, Parquet and Arrow files count only, as data sets of the Hugging Face hub have them.
    """
    tops = [p for p in folder.iterdir() if not p.name.startswith(".")]
    shards = [p for p in tops if p.is_file() and _is_shard(p.name)] or [
        p
        for top in tops
        if top.is_dir()
        for p in top.iterdir()
        if p.name.lower().endswith(PARQUET_SUFFIXES + ARROW_SUFFIXES) and _is_shard(p.name)
    ]
    if not shards:
        return False
    return not any(item.path.parent != folder for item in walk_images(folder).items)


def _is_pattern(data: str) -> bool:
    return any(c in data for c in "*?[") and data.lower().endswith(_SUFFIXES)


def _below(path: str, root: str) -> str:
    """The path relative to the root; the file's own name where the root is it or a pattern."""
    inside = path.startswith(root.rstrip("/") + "/")
    return path[len(root.rstrip("/")) + 1 :] if inside else PurePosixPath(path).name


def _is_hidden(name: str) -> bool:
    return any(p.startswith(".") or p == "__MACOSX" for p in PurePosixPath(name).parts)


def _split_of(path: str, root: str) -> str:
    """``train``, ``val`` or ``test`` by a shard's folder, or the first word of its name."""
    parts = PurePosixPath(_below(path, root)).parts
    words = [parts[0].lower(), re.split(r"[-_.]", parts[-1])[0].lower()]
    return next((SPLIT_WORDS[w] for w in words if w in SPLIT_WORDS), "")


def _version(info: dict[str, Any]) -> str:
    """What tells the file from another of the same name: size, and time or tag."""
    when = next((info[k] for k in ("ETag", "etag", "mtime", "LastModified") if info.get(k)), "")
    return f"{info.get('size')} {when}"
