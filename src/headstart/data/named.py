"""Named data sets, through torchvision's loaders, except samples, scene15 and the CIFAR sets.

Sets of image files are indexed in torchvision's folders with its official split. Sets of arrays are
written to PNG files once. They are searched in the folder of the environment variable
``HEADSTART_DATA``, then downloaded to ``datasets`` in the cache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.data.cifar import CIFARS, read_cifar
from headstart.data.folders import list_folder
from headstart.data.samples import SAMPLES, sample_folder
from headstart.data.scene15 import list_scene15
from headstart.data.sources import Listed, Listing, missing_path, shown
from headstart.errors import DataError, one_line
from headstart.home import expand
from headstart.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class NamedSet:
    """How a set is loaded with torchvision."""

    loader: str  # class in ``torchvision.datasets``; ``""`` for the CIFAR sets
    # keyword arguments for each split; ``""`` if the set has no official split
    splits: Mapping[str, Mapping[str, Any]]
    is_array: bool = False  # whether it consists of arrays rather than image files
    classes: tuple[str, ...] = field(default=())


def _split(*names: str, **renamed: str) -> dict[str, dict[str, Any]]:
    return {n: {"split": renamed.get(n, n)} for n in (*names, *renamed)}


_TRAIN_FLAG = {"train": {"train": True}, "test": {"train": False}}
_DIGITS = tuple("0123456789")

NAMED_SETS: dict[str, NamedSet] = {
    "caltech101": NamedSet("Caltech101", {"": {}}),
    "caltech256": NamedSet("Caltech256", {"": {}}),
    "cifar10": NamedSet("", _TRAIN_FLAG, is_array=True),
    "cifar100": NamedSet("", _TRAIN_FLAG, is_array=True),
    "country211": NamedSet("Country211", _split("train", "test", val="valid")),
    "dtd": NamedSet("DTD", _split("train", "val", "test")),
    "eurosat": NamedSet("EuroSAT", {"": {}}),
    "fashionmnist": NamedSet("FashionMNIST", _TRAIN_FLAG, is_array=True),
    "fgvc_aircraft": NamedSet("FGVCAircraft", _split("train", "val", "test")),
    "flowers102": NamedSet("Flowers102", _split("train", "val", "test")),
    "food101": NamedSet("Food101", _split("train", "test")),
    "gtsrb": NamedSet("GTSRB", _split("train", "test")),
    "imagenette": NamedSet("Imagenette", _split("train", test="val")),
    "kmnist": NamedSet("KMNIST", _TRAIN_FLAG, is_array=True),
    "mnist": NamedSet("MNIST", _TRAIN_FLAG, is_array=True, classes=_DIGITS),
    "pets": NamedSet("OxfordIIITPet", _split("test", train="trainval")),
    "rendered_sst2": NamedSet("RenderedSST2", _split("train", "val", "test")),
    "stl10": NamedSet("STL10", _split("train", "test"), is_array=True),
    "sun397": NamedSet("SUN397", {"": {}}),
    "svhn": NamedSet("SVHN", _split("train", "test"), is_array=True, classes=_DIGITS),
}
_ALSO_CALLED = {
    "15scene": "scene15",
    "15scenes": "scene15",
    "aircraft": "fgvc_aircraft",
    "flowers": "flowers102",
    "oxfordiiitpet": "pets",
    "oxfordpets": "pets",
    "textures": "dtd",
}


def set_names() -> tuple[str, ...]:
    """The names of all named sets, sorted."""
    return tuple(sorted((*NAMED_SETS, *SAMPLES, "scene15")))


def names_a_set(text: str) -> bool:
    """Whether ``text`` is a set's name, or a name and a folder (``dtd:/data``)."""
    return _resolve(text.partition(":")[0]) is not None


def require_there(text: str) -> None:
    """Raise DataError where there is neither a file or folder nor a data set of that name."""
    if not is_there(text):
        raise missing_path(expand(text), what="folder, table or data set", also=set_names())


def is_there(text: str) -> bool:
    """Whether there is a file, a folder or a data set of that name; True if access is denied.

    Raises InputError where it cannot be a path.
    """
    from headstart.data.packed import is_packed
    from headstart.data.textsets import names_a_text_set

    path = expand(text)
    with contextlib.suppress(OSError):  # the error that reading it raises says more
        return path.exists() or is_packed(text) or names_a_set(text) or names_a_text_set(text)
    return True


def list_named(text: str, *, cache: Path | None = None, progress: Progress = silent) -> Listing:
    """The images of a named set, downloaded if necessary; of a sample set, written if necessary.

    Raises DataError where the set is not available locally and cannot be downloaded.

    `text`: a name, or ``name:FOLDER`` with a local copy, which is never downloaded. `cache`:
    downloads go to ``datasets`` in it; None: do not download. `progress`: reports the stage
    ``"download"`` in bytes for ``scene15`` and the CIFAR sets.
    """
    given, _, folder = text.partition(":")
    name = _resolve(given)
    if name is None:
        raise DataError(f"no data set is called {shown(given)}; known: {', '.join(set_names())}")
    if name in SAMPLES:
        return _list_sample(name, folder, cache)
    fetched = None if cache is None else cache / "datasets"
    places = [expand(folder)] if folder else _places(fetched)
    if folder and not places[0].is_dir():
        raise DataError(f"{shown(text)}: there is no folder {shown(places[0])}")
    if name == "scene15":
        return list_scene15(places, cache=None if folder else fetched, progress=progress)
    return _list_known(name, places, None if folder else fetched, progress)


def _list_sample(name: str, folder: str, cache: Path | None) -> Listing:
    if folder:
        raise DataError(f"{name} is made here and has no copies: give {shown(folder)} alone")
    listing = list_folder(sample_folder(name, cache).resolve())
    listing.notes.append(SAMPLES[name].about)
    return listing


def _resolve(name: str) -> str | None:
    plain = name.lower().replace("-", "").replace("_", "")
    plain = _ALSO_CALLED.get(plain, plain)
    return next((n for n in set_names() if n.replace("_", "") == plain), None)


def _places(fetched: Path | None) -> list[Path]:
    """Folders that may have a copy: ``HEADSTART_DATA``, then the cache."""
    named = os.environ.get("HEADSTART_DATA")
    return [p for p in (expand(named) if named else None, fetched) if p is not None]


def _list_known(name: str, places: list[Path], fetched: Path | None, progress: Progress) -> Listing:
    for place in places:
        try:
            return _load(name, place, download=False)
        except DataError:
            if _holds(place, name):
                raise
        # For missing or incomplete sets, loaders raise whatever their parsing raises.
        except Exception:
            continue
    laid_out = "as torchvision lays it out"
    if name in CIFARS:
        laid_out = f"as {CIFARS[name].archive} or unpacked (pickles are not read)"
    if fetched is None:
        where = f" in {shown(places[0])}" if places else ""
        raise DataError(
            f"the data set {name!r} is not on this computer{where}: set HEADSTART_DATA to the "
            f"folder that holds it {laid_out}, or give a cache folder to download to"
        )
    try:
        fetched.mkdir(parents=True, exist_ok=True)
        return _load(name, fetched, download=True, progress=progress)
    except Exception as error:  # the network, the disk, a damaged archive: see above
        if isinstance(error, DataError) and _holds(fetched, name):
            raise
        reason = one_line(str(error), limit=120)
        raise DataError(
            f"cannot download the data set {name!r}: {reason}; check the network, or set "
            f"HEADSTART_DATA to a folder that holds it {laid_out}"
        ) from None


def _holds(place: Path, name: str) -> bool:
    """Whether a CIFAR set exists, damaged or not."""
    return name in CIFARS and CIFARS[name].is_in(place)


def _load(name: str, root: Path, *, download: bool, progress: Progress = silent) -> Listing:
    known = NAMED_SETS[name]
    items: list[Listed] = []
    base = root.resolve()
    for split, arguments in known.splits.items():
        target = base / f"{name}-png" / split
        if known.is_array and target.is_dir():
            items += _pngs(target)
            continue
        if name in CIFARS:
            data: Any = read_cifar(CIFARS[name], base, split, fetch=download, progress=progress)
        else:
            import torchvision.datasets as loaders

            data = _open(getattr(loaders, known.loader), base, arguments, download)
        if known.is_array:
            _write_out(known, data, target)
            items += _pngs(target)
        else:
            items += [
                Listed(path, path.relative_to(base).as_posix(), label, split)
                for path, label in _files(data)
            ]
    return Listing(base, name, items)


def _open(loader: Any, base: Path, arguments: Mapping[str, Any], download: bool) -> Any:
    """Existing files are not downloaded again, which some loaders refuse for partial sets."""
    with contextlib.redirect_stdout(sys.stderr):  # they print, but stdout may be parsed
        try:
            return loader(str(base), download=False, **arguments)
        except Exception:  # as in `_list_known`
            if not download:
                raise
        return loader(str(base), download=True, **arguments)


def _files(data: Any) -> Iterator[tuple[Path, str]]:
    """Path and class name of each image of one of torchvision's file-based sets."""
    if hasattr(data, "index") and hasattr(data, "y"):  # the Caltech sets store only numbers
        for i, y in zip(data.index, data.y, strict=True):
            yield _caltech_path(data, y, i), str(data.categories[y])
        return
    samples = getattr(data, "samples", None) or getattr(data, "_samples", None)
    if samples is None:
        files = getattr(data, "_image_files", None) or data._images
        samples = zip(files, data._labels, strict=True)
    classes = getattr(data, "classes", None)
    for path, label in samples:
        yield Path(os.path.realpath(path)), _class_name(classes, int(label))


def _caltech_path(data: Any, y: int, i: int) -> Path:
    root = Path(os.path.realpath(data.root))
    category = str(data.categories[y])
    if (root / "101_ObjectCategories").is_dir():
        return root / "101_ObjectCategories" / category / f"image_{i:04d}.jpg"
    return root / "256_ObjectCategories" / category / f"{y + 1:03d}_{i:04d}.jpg"


def _class_name(classes: Any, label: int) -> str:
    if classes is None:
        return f"{label:03d}"
    name = classes[label]
    return str(name[0] if isinstance(name, tuple) else name)


def _write_out(known: NamedSet, data: Any, target: Path) -> None:
    """Write the images of an array set to ``target/class``, all or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".write-"))
    try:
        _write_pngs(known, data, partial)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pngs(folder: Path) -> list[Listed]:
    """The images in ``BASE/NAME-png/SPLIT``."""
    base = folder.parents[1]
    return [
        Listed(path, path.relative_to(base).as_posix(), path.parent.name, folder.name)
        for path in sorted(folder.rglob("*.png"))
    ]


def _write_pngs(known: NamedSet, data: Any, folder: Path) -> None:
    classes = known.classes or data.classes
    for i in range(len(data)):
        image, label = data[i]
        target = folder / str(classes[int(label)]).replace("/", "-")
        target.mkdir(exist_ok=True)
        image.save(target / f"{i:05d}.png")
