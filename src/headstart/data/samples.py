"""Sample data made of what installed packages contain: handwritten digits, and photographs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.data.sources import shown
from headstart.errors import DataError
from headstart.home import cache_folder

# Tiles do not overlap, so training and test images share no pixel.
TILE_PX = 96
MAX_TILES = 20


@dataclass(frozen=True, slots=True)
class SampleSet:
    """How a sample set is written, and what it is."""

    write: Callable[[Path], None]  # function of Path; writes the images to class folders
    about: str  # one sentence for people who see the accuracy


def sample_names() -> tuple[str, ...]:
    """The names of the sample sets, which `headstart.data.index` accepts too."""
    return tuple(SAMPLES)


def sample_folder(name: str, cache: Path | None = None) -> Path:
    """The folder of a sample set with a folder for each class, written on first use.

    Parameters
    ----------
    name : {"digits", "photographs"}
    cache : Path, optional
        The set is ``datasets/NAME`` in it; default: the user's cache.

    Raises
    ------
    DataError
        There is no such set, or the package that contains its images is missing.
    """
    if name not in SAMPLES:
        raise DataError(f"no sample data is called {shown(name)}; known: {', '.join(SAMPLES)}")
    folder = (cache or cache_folder()) / "datasets" / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}-"))
    try:
        SAMPLES[name].write(partial)
        partial.chmod(0o755)  # other users may share the cache
        try:
            partial.replace(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def write_digits(folder: Path, per_class: int = 40) -> None:
    """Write the first scikit-learn digits of each class as ink on paper, enlarged to 64 px.

    Smaller and closer to a scan than the sample set ``"digits"``, which has all 1,797 as they are.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in range(10):
        target = folder / str(label)
        target.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(digits.images[digits.target == label][:per_class]):
            grey = Image.fromarray((255 - pixels * 255 / 16).astype(np.uint8))
            grey.resize((64, 64), Image.Resampling.BICUBIC).save(target / f"{number:02d}.png")


def write_cat(path: Path) -> None:
    """Write scikit-image's photograph of Chelsea the cat as a JPEG file.

    Raises
    ------
    DataError
        scikit-image is missing.
    """
    Image.fromarray(_photographs_module().chelsea()).save(path, "JPEG", quality=95)


def _write_all_digits(folder: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        target = folder / str(label)
        target.mkdir(exist_ok=True)
        grey = np.rint(pixels * (255 / 16)).astype(np.uint8)
        Image.fromarray(grey).save(target / f"{i:04d}.png")


def _write_photographs(folder: Path) -> None:
    for name, pixels in _photographs():
        target = folder / name
        target.mkdir()
        for i, tile in enumerate(_tiles(Image.fromarray(pixels).convert("RGB"))):
            tile.save(target / f"{i:02d}.png")


def _photographs() -> Iterator[tuple[str, Any]]:
    from sklearn.datasets import load_sample_image

    pictures = _photographs_module()
    yield "astronaut", pictures.astronaut()
    yield "brick", pictures.brick()
    yield "cat", pictures.chelsea()
    yield "coffee", pictures.coffee()
    yield "coins", pictures.coins()
    yield "flower", load_sample_image("flower.jpg")
    yield "galaxies", pictures.hubble_deep_field()
    yield "grass", pictures.grass()
    yield "gravel", pictures.gravel()
    yield "rocket", pictures.rocket()
    yield "temple", load_sample_image("china.jpg")


def _photographs_module() -> Any:
    try:
        import skimage.data
    except ImportError as error:
        raise DataError(
            "the sample photographs are part of scikit-image: pip install 'headstart[demo]'"
        ) from error
    return skimage.data


def _tiles(picture: Image.Image) -> Iterator[Image.Image]:
    """Up to `MAX_TILES` tiles, evenly spread over the picture."""
    columns, rows = picture.width // TILE_PX, picture.height // TILE_PX
    n = min(MAX_TILES, columns * rows)
    for cell in np.linspace(0, columns * rows - 1, n).astype(int):
        top, left = (int(v) * TILE_PX for v in divmod(int(cell), columns))
        yield picture.crop((left, top, left + TILE_PX, top + TILE_PX))


SAMPLES = {
    "digits": SampleSet(
        _write_all_digits, "sample data: the 1,797 handwritten digits of scikit-learn, 8 x 8 px"
    ),
    "photographs": SampleSet(
        _write_photographs,
        "sample data: tiles of eleven photographs of scikit-image and scikit-learn, a class for each; "
        "training and test tiles come from the same photographs",
    ),
}
