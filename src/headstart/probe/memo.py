"""Results kept on the disk by content, so that nothing is computed twice.

    <cache>/<folder>/<key>.<suffix>

The key is a digest of everything that decides the result: the facts that the caller states, and the
source code of the rooms that compute it, so that a result never outlives the code that made it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.errors import HeadstartError, OutputError
from headstart.files import mark_used, write_atomically

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Folders of the cache that could not be written to; each is reported once.
_unwritable: set[Path] = set()

PACKAGE = Path(__file__).resolve().parents[1]


def memo_path(
    cache: Path, folder: str, facts: Any, *, code: Sequence[str], suffix: str = "json"
) -> Path:
    """The file that keeps the result of `facts`.

    Parameters
    ----------
    folder : str
        Folder within the cache: one for each kind of result.
    facts : JSON-able
        Everything that decides the result, apart from the code. Where the result holds a time, that
        includes the device.
    code : sequence of str
        Rooms or files of the package, such as ``"heads"`` or ``"transfer/arms.py"``, whose source
        decides the result.
    suffix : str, default "json"
    """
    text = json.dumps([code_digest(*code), facts], sort_keys=True, separators=(",", ":"))
    key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return cache / folder / f"{key}.{suffix}"


@functools.cache
def code_digest(*parts: str) -> str:
    """Digest of the source of rooms or files of the package.

    An installation without source files has the version of the package in their place.
    """
    digest = hashlib.sha256()
    for part in parts:
        place = PACKAGE / part
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        for file in files:
            try:
                content = file.read_bytes()
            except OSError:
                from headstart import __version__

                content = __version__.encode()
            digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def digest_of(facts: Any) -> str:
    """Digest of JSON-able `facts` that are too long to repeat in several keys."""
    text = json.dumps(facts, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def recall_json(path: Path, kind: type[T]) -> T | None:
    """The value of this type kept at `path`; None where there is none, or the file is damaged."""
    try:
        mark_used(path)
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, HeadstartError) as error:
        report_damage(path, error)
        return None


def keep_json(path: Path, value: Any) -> None:
    """Write a value of builtins, structs and dataclasses, atomically; where the disk is full, log it and go on."""
    _write(path, json.dumps(msgspec.to_builtins(value)).encode())


def recall_arrays(path: Path, *, on_disk: Sequence[str] = ()) -> dict[str, NDArray[Any]] | None:
    """The arrays kept at `path`; None where there are none, or the file is damaged.

    Those named in `on_disk` are float32 and stay there, memory-mapped.
    """
    from safetensors import SafetensorError, safe_open

    try:
        mark_used(path)
        with safe_open(path, framework="np") as kept:
            return {
                name: _mapped(path, name) if name in on_disk else kept.get_tensor(name)
                for name in kept.keys()  # noqa: SIM118 - not a mapping
            }
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        report_damage(path, error)
        return None


def keep_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a safetensors file, atomically; where the disk is full, log it and go on."""
    from safetensors.numpy import save

    _write(path, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))


def _write(path: Path, payload: bytes) -> None:
    """Keep a result if that is possible: it is known to the caller, and nothing is lost but time."""
    try:
        write_atomically(path, payload)
    except OutputError as error:
        if path.parent not in _unwritable:
            _unwritable.add(path.parent)
            logger.warning(
                "results are not kept in the cache, so a later run computes them again: %s", error
            )


def report_damage(path: Path, error: Exception) -> None:
    """Log that a file of the memo cannot be used."""
    logger.warning("damaged file %s (%s): it is computed again", path, error)


def _mapped(path: Path, name: str) -> NDArray[np.float32]:
    """A float32 tensor of a safetensors file that has been checked, left on the disk.

    The file begins with the length of its header, which tells where each tensor lies after it.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
    if entry["dtype"] != "F32":
        raise ValueError(f"{name} is {entry['dtype']}")
    begin = 8 + length + entry["data_offsets"][0]
    return np.memmap(path, np.float32, mode="r", offset=begin, shape=tuple(entry["shape"]))
