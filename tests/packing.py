"""Packed images as a person may have them: tar shards and Parquet files of the same pictures."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Picture = tuple[bytes, str]


def pictures(n: int, *, seed: int = 0) -> list[Picture]:
    """``n`` small JPEG files of several sizes with labels ``cat`` and ``dog`` in turn."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        height, width = rng.integers(40, 120, size=2)
        small = rng.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(small).resize((int(width), int(height))).save(file, "JPEG", quality=90)
        made.append((file.getvalue(), ("cat", "dog")[i % 2]))
    return made


def write_folder(folder: Path, made: Sequence[Picture]) -> Path:
    """A folder for each class."""
    for i, (data, label) in enumerate(made):
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{i:03d}.jpg").write_bytes(data)
    return folder


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar of these files, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_shards(folder: Path, made: Sequence[Picture], n_shards: int = 2) -> Path:
    """WebDataset shards; labels in ``.cls``, ``.txt`` and ``.json`` in turn."""
    for s in range(n_shards):
        files: dict[str, bytes] = {}
        for i, (data, label) in list(enumerate(made))[s::n_shards]:
            kinds = {"cls": label.encode(), "txt": f"{label}\n".encode(),
                     "json": json.dumps({"label": label}).encode()}  # fmt: skip
            suffix = list(kinds)[i % 3]
            files |= {f"{i:04d}.jpg": data, f"{i:04d}.{suffix}": kinds[suffix]}
        write_tar(folder / f"{s:03d}.tar", files)
    return folder


def write_parquet(path: Path, made: Sequence[Picture], *, rows: int = 8) -> Path:
    """Bytes and labels, some rows in each row group."""
    table = pa.table({"image": [d for d, _ in made], "label": [label for _, label in made]})
    pq.write_table(table, path, row_group_size=rows)
    return path
