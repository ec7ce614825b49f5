"""Which layer knows most of one's own classes, measured by cross-validation.

python examples/layer_profile.py
"""

from __future__ import annotations

from pathlib import Path

import headstart
from headstart.data import write_digits


def main(folder: Path, per_class: int = 40, resolutions: tuple[int, ...] = (96, 160)) -> None:
    write_digits(folder / "digits", per_class)
    profile = headstart.transfer.profile(folder / "digits", resolutions=resolutions)
    for cell in sorted(profile.cells, key=lambda c: -c.cv.value)[:5]:
        print(f"{cell.cv}  {cell.n_features:5,} features of {cell.tap} at {cell.view} px")
    for model in profile.models:
        print(f"{model.test} of the test images: {model.name}")
    print(profile.sentence)


if __name__ == "__main__":
    main(Path("demo"))
