"""Reference sets for a distance: those that can always be made, and the user's own."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from headstart.data import find_images, index, read_rgb
from headstart.data.records import Examples, R
from headstart.errors import DataError, InputError, argument, one_line
from headstart.experiments.similarity.result import ReferencePoints
from headstart.files import write_atomically
from headstart.progress import Progress, silent
from headstart.wording import counted

if TYPE_CHECKING:
    from headstart.backbones import Backbone, Preprocessing
    from headstart.data import Index, Record

Crop = NDArray[np.uint8]

POINTS_FILE = "reference_points.json"
MADE = ("photographs (2)", "digits", "noise 1/f", "noise uniform")
"""The sets that can be made with no data at hand."""
N_IMAGES = 200
N_SKETCH, SKETCH_DIGITS = 12, 8
N_DIGITS_A_CLASS = 50
# Of the sample photographs, whose shorter side is 427 px.
CROP_PX = (160, 427)


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images of one kind."""

    name: str
    # function of Preprocessing and a number of images to iterator of uint8 (S, S, 3); the same
    # seeded choice whenever it is called
    crops: Callable[[Preprocessing, int], Iterator[Crop]]
    note: str  # what the images are, in words
    indexed: Index | None = None  # where they carry labels of two classes or more


@functools.cache
def shipped_points() -> ReferencePoints:
    """The reference points of the package; ``bench/reference_points.py`` makes them."""
    text = files("headstart.experiments.similarity").joinpath(POINTS_FILE).read_bytes()
    points = msgspec.json.decode(text, type=ReferencePoints)
    sets = tuple(
        replace(s, distance=replace(s.distance, layers=points.layers)) for s in points.sets
    )
    return replace(points, sets=sets)


def points_for(
    backbone: Backbone, size_px: int, n_images: int = N_IMAGES
) -> ReferencePoints | None:
    """The reference points, where they were measured with this network, size and number; else None."""
    points = shipped_points()
    own = preprocessing_facts(backbone.preprocessing.at(size_px))
    measured = (points.digest, points.size_px, points.n_images)
    is_same = measured == (backbone.digest, size_px, n_images)
    return points if is_same and points.preprocessing == own else None


def sketch(images: Examples[Any]) -> tuple[str, ...]:
    """The smallest digests of the examples, cut short: a seeded sample that depends on content alone."""
    smallest = sorted({r.digest for r in images.records})[:N_SKETCH]
    return tuple(digest[:SKETCH_DIGITS] for digest in smallest)


def holds(images: Examples[Any], known: Collection[str]) -> bool:
    """Whether at least half of the examples of a sketch are among these, whatever their names."""
    own = {r.digest[:SKETCH_DIGITS] for r in images.records}
    return 2 * len(own.intersection(known)) >= len(known) > 0


def preprocessing_facts(preprocessing: Preprocessing) -> dict[str, str]:
    """How images become the network's input, as text."""
    return {k: str(v) for k, v in preprocessing.to_dict().items()}


def labelled_sample(records: Sequence[R], n: int, seed: int) -> list[R]:
    """At most `n` records, drawn class by class in turn, of at most ``n // 10`` classes."""
    rng = random.Random(seed)
    of_class: dict[str, list[R]] = {}
    for record in rng.sample(list(records), len(records)):
        of_class.setdefault(record.label, []).append(record)
    classes = sorted(of_class)
    taken = rng.sample(classes, min(len(classes), max(n // 10, 2)))
    turns = zip_longest(*(of_class[label] for label in taken))
    return [r for turn in turns for r in turn if r is not None][:n]


def made_sets(*, cache: Path, seed: int = 0) -> list[ImageSet]:
    """What can be made with no data at hand: photographs, digits and two kinds of noise.

    `cache`: the digits are written there as files once, so that their features can be kept.
    """
    digits = index(_written_digits(cache / "references" / "digits"), seed=seed, cache=cache)
    return [
        ImageSet(
            name="photographs (2)",
            crops=lambda p, n: _photograph_crops(p, n, seed),
            note="random crops of scikit-learn's two sample photographs, a temple and a flower: "
            "natural, but of two scenes only",
        ),
        indexed_set("digits", digits, seed=seed, note="scikit-learn's 8x8 handwritten digits"),
        ImageSet(
            name="noise 1/f",
            crops=lambda p, n: _noise(p, n, seed, exponent=1.0),
            note="noise with the amplitude spectrum 1/f of natural images",
        ),
        ImageSet(
            name="noise uniform",
            crops=lambda p, n: _noise(p, n, seed, exponent=None),
            note="every value of every pixel independent",
        ),
    ]


def indexed_set(name: str, indexed: Index, *, seed: int = 0, note: str = "") -> ImageSet:
    """The training images of an index.

    Test images have no part in it, as for every choice.
    """
    from headstart.data import training_records

    records = training_records(indexed)
    is_labelled = len({r.label for r in records}) > 1
    return ImageSet(
        name=name,
        crops=lambda p, n: _read(_chosen(records, n, seed), p),
        note=note or f"{counted(len(records), 'image')}",
        indexed=indexed if is_labelled else None,
    )


def parse_reference(text: str) -> tuple[str, str]:
    """Name and path from ``NAME=PATH``.

    Raises InputError where the text has another form.
    """
    name, equals, path = text.partition("=")
    if not (name.strip() and equals and path.strip()):
        raise InputError(
            f"{argument('reference')} takes NAME=PATH, such as textures=dtd/; got {text!r}"
        )
    return one_line(name.strip(), limit=40), path.strip()


def read_reference(
    name: str, path: str, *, cache: Path, seed: int = 0, progress: Progress = silent
) -> ImageSet:
    """A set with labels where there are class folders at the path, else without.

    Raises DataError where there are no images.
    """
    try:
        return indexed_set(name, index(path, seed=seed, cache=cache, progress=progress), seed=seed)
    except DataError:
        found = [image for image, _ in find_images([path])]
    return ImageSet(
        name=name,
        crops=lambda p, n: _read_files(_chosen(found, n, seed), p),
        note=f"{counted(len(found), 'image')} without labels",
    )


def _chosen(items: Sequence[Any], n: int, seed: int) -> list[Any]:
    """`n` of them, or all where there are fewer."""
    return random.Random(seed).sample(list(items), min(n, len(items)))


def _read(records: Sequence[Record], preprocessing: Preprocessing) -> Iterator[Crop]:
    return _read_files([r.path for r in records], preprocessing)


def _read_files(paths: Sequence[Path], preprocessing: Preprocessing) -> Iterator[Crop]:
    from headstart.features.pixels import crops

    for path in paths:
        yield crops(path, [preprocessing])[0]


def _photograph_crops(preprocessing: Preprocessing, n: int, seed: int) -> Iterator[Crop]:
    from sklearn.datasets import load_sample_images

    from headstart.backbones import to_uint8

    pictures = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    rng = np.random.default_rng(seed)
    for i in range(n):
        picture = pictures[i % len(pictures)]
        side = int(rng.integers(*CROP_PX, endpoint=True))
        left = int(rng.integers(0, picture.width - side, endpoint=True))
        top = int(rng.integers(0, picture.height - side, endpoint=True))
        yield to_uint8(picture.crop((left, top, left + side, top + side)), preprocessing)


def _noise(
    preprocessing: Preprocessing, n: int, seed: int, *, exponent: float | None
) -> Iterator[Crop]:
    """Uniform noise, or Gaussian noise with amplitudes that fall as frequency ** -exponent."""
    side = preprocessing.size_px
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    frequency[0, 0] = np.inf  # the mean is set below
    for _ in range(n):
        if exponent is None:
            yield rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            continue
        spectrum = np.fft.fft2(rng.normal(size=(side, side, 3)), axes=(0, 1))
        field = np.fft.ifft2(spectrum / frequency[..., None] ** exponent, axes=(0, 1)).real
        field /= field.std()
        yield np.clip(127.5 + 50 * field, 0, 255).astype(np.uint8)


def _written_digits(folder: Path) -> Path:
    """The digits as PNG files in class folders, written where they are not there."""
    import io

    from sklearn.datasets import load_digits

    if (folder / "complete").exists():
        return folder
    digits = load_digits()
    for label in range(10):
        for i in np.flatnonzero(digits.target == label)[:N_DIGITS_A_CLASS]:
            pixels = np.round(digits.images[i] * 255 / 16).astype(np.uint8)
            payload = io.BytesIO()
            Image.fromarray(pixels).save(payload, "PNG")
            write_atomically(folder / str(label) / f"{i:04d}.png", payload.getvalue())
    write_atomically(folder / "complete", b"")
    return folder


def pixel_rows(
    paths: Sequence[Path], size_px: int, preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Images as rows of small RGB pixels around 0, (n, 3 * size_px ** 2): features of no network."""
    from headstart.backbones import to_uint8

    small = preprocessing.at(size_px)
    rows = [to_uint8(read_rgb(path, at_least=4 * size_px), small).ravel() for path in paths]
    return np.stack(rows).astype(np.float32) / np.float32(255) - np.float32(0.5)
