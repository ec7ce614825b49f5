"""A shard of features: one Arrow IPC file whose name carries the SHA-256 of its bytes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import StoreError, argument
from headstart.files import digest_file, write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

SHARDS = "shard-*.arrow"


def check_shard(path: Path) -> None:
    """Read a shard and compare its digest with its name; raises ValueError where they do not match."""
    if path.name != shard_name(digest_file(path)):
        raise ValueError("its bytes do not match its name")


def map_shard(path: Path) -> pa.Table:
    """Map a shard's rows without reading them; raises ValueError where it is not an Arrow file."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def open_shard(path: Path, kind: str) -> pa.Table | None:
    """Check and map a shard; None for a damaged one, which is quarantined, so that its rows are missing.

    Raises FileNotFoundError where another process has quarantined or merged it; StoreError where it cannot
    be read: it may be intact, so it is left alone.

    `kind`: what it holds, such as ``"feature"``.
    """
    try:
        check_shard(path)
        return map_shard(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"the {kind} shard {path} cannot be read ({error.strerror or error}): make it "
            f"readable, or delete it to compute its {kind}s again"
        ) from error
    except ValueError as error:
        logger.warning("damaged %s shard %s (%s): it is computed again", kind, path, error)
        with contextlib.suppress(OSError):  # read-only, or another run was faster
            path.rename(path.with_suffix(".damaged"))
        return None


def shard_name(digest: str) -> str:
    """The file name of a shard with this SHA-256."""
    return f"shard-{digest}.arrow"


def write_shard(folder: Path, batch: pa.RecordBatch) -> Path:
    """Write rows as one shard, durably, and return its path."""
    return place_shard(folder, shard_bytes(batch))


def encode(digests: Sequence[str], features: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The bytes of a shard; arguments and errors as for `FeatureStore.add`."""
    return shard_bytes(_batch(digests, features))


def place_shard(folder: Path, payload: bytes) -> Path:
    """Write a shard's bytes under their name, durably, and return its path.

    Raises OutputError where the disk is full or the folder cannot be written.
    """
    path = folder / shard_name(hashlib.sha256(payload).hexdigest())
    write_atomically(path, payload)
    return path


def shard_bytes(batch: pa.RecordBatch) -> bytes:
    """Rows as the bytes of an Arrow IPC file."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _batch(digests: Sequence[str], features: Mapping[str, NDArray[np.float32]]) -> pa.RecordBatch:
    """Rows in stored form: the image's digest and one list of float16 per tap."""
    import pyarrow as pa

    columns: dict[str, Any] = {"digest": pa.array(digests, pa.string())}
    for tap, values in features.items():
        with np.errstate(over="ignore"):
            halves = np.ascontiguousarray(values, dtype=np.float16)
        _require_finite(tap, np.asarray(values), halves, digests)
        flat = pa.array(halves.reshape(-1), pa.float16())
        columns[tap] = pa.FixedSizeListArray.from_arrays(flat, halves.shape[1])
    return pa.record_batch(columns)


def _require_finite(
    tap: str, values: NDArray[Any], halves: NDArray[np.float16], digests: Sequence[str]
) -> None:
    """Raise where a value is not finite, or became so."""
    bad = np.argwhere(~np.isfinite(halves))
    if not len(bad):
        return
    row, column = bad[0]
    value = float(values[row, column])
    where = f"tap {tap!r} gives {value:.6g} for image {digests[row][:12]}"
    if np.isfinite(value):
        raise StoreError(
            f"features are too large: {where}, above 65,504, the most that the store keeps (float16); "
            "the weights do not suit this network, or its input is not what it was trained on "
            "(check mean and std)"
        )
    raise StoreError(
        f"features are not finite: {where}; the weights or the precision do not suit this network; "
        f"try {argument('precision', 'float32')}"
    )
