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

from headstart.data import write_cat, write_digits

FOLDER = Path("demo")


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
