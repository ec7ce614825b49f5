"""CIFAR-10 and CIFAR-100 from their binary versions.

torchvision reads the Python versions, which are pickles and can run code. The binary versions contain
the same images as plain bytes.
"""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.data.archives import download
from headstart.data.sources import shown
from headstart.errors import DataError, one_line
from headstart.progress import Progress, silent

_SIDE_PX = 32
_N_VALUES = 3 * _SIDE_PX**2


@dataclass(frozen=True, slots=True)
class Published:
    """Location and content of a binary version."""

    # url, md5: of the published archive
    url: str
    md5: str
    folder: str  # in the archive
    files: dict[str, tuple[str, ...]]  # of each split
    names: str  # file of class names, one per line
    # label bytes before each image; the last is the class (CIFAR-100 has the superclass first)
    n_label_bytes: int

    @property
    def archive(self) -> str:
        """Name of the archive."""
        return self.url.rpartition("/")[2]

    def is_in(self, place: Path) -> bool:
        """Whether a folder contains the archive or its unpacked content."""
        return (place / self.folder).is_dir() or (place / self.archive).is_file()


CIFARS = {
    "cifar10": Published(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        files={
            "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        names="batches.meta.txt",
        n_label_bytes=1,
    ),
    "cifar100": Published(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        files={"train": ("train.bin",), "test": ("test.bin",)},
        names="fine_label_names.txt",
        n_label_bytes=2,
    ),
}


@dataclass(frozen=True, slots=True)
class Cifar:
    """One split, with the interface of torchvision's data sets."""

    pixels: NDArray[np.uint8]  # (n, 3, 32, 32)
    labels: NDArray[np.uint8]  # (n,)
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pixels[i].transpose(1, 2, 0)), int(self.labels[i])


def read_cifar(
    published: Published, place: Path, split: str, *, fetch: bool, progress: Progress = silent
) -> Cifar:
    """Read a split from the unpacked folder or from the archive, without unpacking it to the disk.

    Raises DataError where neither exists, the download failed, or a file is damaged.

    Parameters
    ----------
    published
        The data set.
    place
        Folder that contains the archive or its unpacked content.
    split
        ``"train"`` or ``"test"``.
    fetch
        Download the archive if neither exists.
    progress
        Reports the stage ``"download"`` in bytes.
    """
    archive = place / published.archive
    if not published.is_in(place):
        if not fetch:
            raise DataError(
                f"there is no {published.archive} in {shown(place)}, nor what is in it; the version "
                "for Python is not read, because pickles can run code"
            )
        download(published.url, archive, md5=published.md5, progress=progress)
    names, *parts = _read(published, place, (published.names, *published.files[split]))
    classes = tuple(
        n for n in (line.strip() for line in names.decode(errors="replace").splitlines()) if n
    )
    rows = np.frombuffer(b"".join(parts), dtype=np.uint8)
    width = published.n_label_bytes + _N_VALUES
    if not rows.size or rows.size % width:
        raise DataError(f"{shown(place)}: the {split} images of {published.folder} are cut off")
    table = rows.reshape(-1, width)
    labels = table[:, published.n_label_bytes - 1]
    if labels.max() >= len(classes):
        raise DataError(f"{shown(place)}: {published.folder} has labels without a class name")
    pixels = table[:, published.n_label_bytes :].reshape(-1, 3, _SIDE_PX, _SIDE_PX)
    return Cifar(pixels, labels, classes)


def _read(published: Published, place: Path, files: tuple[str, ...]) -> list[bytes]:
    folder = place / published.folder
    if folder.is_dir():
        try:
            return [(folder / name).read_bytes() for name in files]
        except OSError as error:
            reason = one_line(error.strerror or str(error))
            raise DataError(
                f"{shown(folder)} cannot be read whole ({reason}): it must hold {', '.join(files)}"
            ) from None
    archive = place / published.archive
    with archive.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    if md5 != published.md5:
        raise DataError(
            f"{shown(archive)} is not the published file (MD5 {md5}, expected {published.md5}): "
            "remove it and retry"
        )
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as members:
        for member in members:
            name = member.name.rpartition("/")[2]
            if name in files and (opened := members.extractfile(member)):
                found[name] = opened.read()
    return [found[name] for name in files]
