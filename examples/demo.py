"""The whole main job on a machine with no network: what ``make demo`` runs.

Data: the photograph of a cat that scikit-image ships, and scikit-learn's 8x8 digits written out as
a folder of images. Weights: EfficientNet-Lite0 from a Python package.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path("demo")
PER_CLASS = 40


def write_cat(path: Path) -> None:
    """scikit-image's photograph of Chelsea the cat."""
    from skimage.data import chelsea

    Image.fromarray(chelsea()).save(path, quality=95)


def write_digits(folder: Path, per_class: int = PER_CLASS) -> None:
    """The first images of each digit, enlarged to 64 px, one folder a class."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in range(10):
        target = folder / str(label)
        target.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(digits.images[digits.target == label][:per_class]):
            grey = Image.fromarray((255 - pixels * 255 / 16).astype(np.uint8))
            grey.resize((64, 64), Image.Resampling.BICUBIC).save(target / f"{number:02d}.png")


def headstart(*words: object) -> None:
    """Show a command, run it, and stop if it fails."""
    command = ["headstart", *map(str, words)]
    print(f"\n$ {shlex.join(command)}", flush=True)
    subprocess.run(command, check=True)


def main() -> None:
    """Predict the cat, fit the digits, predict with the fit."""
    started = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    write_cat(FOLDER / "cat.jpg")
    write_digits(FOLDER / "digits")
    headstart("predict", "imagenet", FOLDER / "cat.jpg")
    headstart("fit", FOLDER / "digits", "--out", FOLDER / "run")
    headstart("predict", FOLDER / "run", FOLDER / "digits" / "3" / "0[0-2].png", "--top", 2)
    print(f"\nDone in {time.perf_counter() - started:.0f} s. Open the report in a browser:")
    print(f"  {(FOLDER / 'run' / 'report.html').resolve().as_uri()}")


if __name__ == "__main__":
    sys.exit(main())
