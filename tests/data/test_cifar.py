"""The binary versions of the CIFAR sets, beside torchvision's reading of the pickled ones."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as loaders

from headstart.data import index
from headstart.data.cifar import CIFARS, Published, read_cifar
from headstart.errors import DataError

N = 4
PIXELS = np.random.default_rng(0).integers(0, 256, (6, N, 3072), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1], dtype=np.uint8)
NAMES = {"cifar10": ("airplane", "automobile"), "cifar100": ("apple", "aquarium_fish")}


def contents(name: str) -> dict[str, bytes]:
    """A tiny set: 4 images a file."""
    published = CIFARS[name]
    files = [f for files in published.files.values() for f in files]
    superclass = np.full((N, published.n_label_bytes - 1), 7, np.uint8)
    found = {
        f: np.hstack([superclass, LABELS[:, None], PIXELS[i]]).tobytes()
        for i, f in enumerate(files)
    }
    return {**found, published.names: ("\n".join(NAMES[name]) + "\n\n").encode()}


def unpacked(place: Path, name: str) -> Path:
    folder = place / CIFARS[name].folder
    folder.mkdir(parents=True)
    for file, data in contents(name).items():
        (folder / file).write_bytes(data)
    return folder


def packed(place: Path, name: str) -> Path:
    published = CIFARS[name]
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(place / published.archive, "w:gz") as archive:
        for file, data in contents(name).items():
            member = tarfile.TarInfo(f"{published.folder}/{file}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return place / published.archive


def test_read_cifar__gives_what_torchvision_unpickles(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(name: str, content: object) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    # The loader checks the published checksums; the tiny copy has its own.
    batches = [
        [f, write(f, {"data": PIXELS[i], "labels": LABELS.tolist()})]
        for i, f in enumerate(f"data_batch_{i}" for i in range(1, 6))
    ]
    monkeypatch.setattr(loaders.CIFAR10, "train_list", batches)
    monkeypatch.setattr(loaders.CIFAR10, "test_list", [])
    names = {"label_names": list(NAMES["cifar10"])}
    meta = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", names)}
    monkeypatch.setattr(loaders.CIFAR10, "meta", meta)
    theirs = loaders.CIFAR10(str(tmp_path), train=True)
    unpacked(tmp_path, "cifar10")
    ours = read_cifar(CIFARS["cifar10"], tmp_path, "train", fetch=False)
    assert len(ours) == len(theirs) == 5 * N
    assert ours.classes == tuple(theirs.classes)
    for (image, label), (same, number) in zip(
        map(ours.__getitem__, range(len(ours))), theirs, strict=True
    ):
        assert label == number
        assert image.tobytes() == same.tobytes()


@pytest.mark.parametrize("name", CIFARS)
@pytest.mark.parametrize("form", [unpacked, packed])
def test_index__cifar_is_written_out(tmp_path, monkeypatch, name, form) -> None:
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "home"))
    made = form(tmp_path / "home", name)
    if made.is_file():
        md5 = hashlib.md5(made.read_bytes()).hexdigest()
        monkeypatch.setitem(CIFARS, name, replace(CIFARS[name], md5=md5))
    found = index(name)
    n_train = N // 2 * len(CIFARS[name].files["train"])
    assert found.counts() == {c: {"train": n_train, "val": 0, "test": 2} for c in NAMES[name]}
    assert {(r.width, r.height) for r in found.records} == {(32, 32)}
    assert index(name) == found


def test_read_cifar__fetches_the_published_archive_once(tmp_path) -> None:
    archive = packed(tmp_path / "there", "cifar10")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    published = replace(CIFARS["cifar10"], url=archive.as_uri(), md5=md5)
    here = tmp_path / "here"
    first = read_cifar(published, here, "test", fetch=True)
    archive.unlink()
    again = read_cifar(published, here, "test", fetch=True)
    assert first.pixels.tobytes() == again.pixels.tobytes() == PIXELS[5].tobytes()
    assert [p.name for p in here.iterdir()] == [published.archive]


def test_read_cifar__refuses_another_file_than_the_published(tmp_path) -> None:
    archive = packed(tmp_path / "there", "cifar10")
    published = replace(CIFARS["cifar10"], url=archive.as_uri())
    with pytest.raises(DataError, match="is not the published file"):
        read_cifar(published, tmp_path / "here", "test", fetch=True)
    assert list((tmp_path / "here").iterdir()) == []


def cut_off(folder: Path, published: Published) -> None:
    path = folder / published.files["test"][0]
    path.write_bytes(path.read_bytes()[:-1])


def without_names(folder: Path, published: Published) -> None:
    (folder / published.names).write_bytes(b"airplane\n")


def without_images(folder: Path, published: Published) -> None:
    (folder / published.files["test"][0]).unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut_off, "are cut off"),
        (without_names, "without a class name"),
        (without_images, "must hold"),
    ],
)
def test_read_cifar__a_damaged_copy_is_told_in_one_line(tmp_path, damage, words) -> None:
    published = CIFARS["cifar10"]
    damage(unpacked(tmp_path, "cifar10"), published)
    with pytest.raises(DataError, match=words) as caught:
        read_cifar(published, tmp_path, "test", fetch=False)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=words):
        index(f"cifar10:{tmp_path}")


def test_read_cifar__another_archive_than_the_published_is_not_read(tmp_path) -> None:
    packed(tmp_path / "datasets", "cifar10")
    with pytest.raises(DataError, match="is not the published file"):
        read_cifar(CIFARS["cifar10"], tmp_path / "datasets", "test", fetch=False)
    with pytest.raises(DataError, match=r"is not the published file.*remove it and retry"):
        index("cifar10", cache=tmp_path)


def test_index__pickled_cifar_is_not_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    for file in ("data_batch_1", "test_batch", "batches.meta"):
        (folder / file).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz.*pickles are not read"):
        index("cifar10")
    assert not (tmp_path / "ran").exists()
