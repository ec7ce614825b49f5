"""Which layer knows most of one's own classes, measured by cross-validation.

python examples/layer_profile.py
"""

from __future__ import annotations

from pathlib import Path

from demo import write_digits

from headstart.backbones import load
from headstart.data import index
from headstart.experiments.profile.measure import measure_profile


def main(folder: Path, per_class: int = 40, resolutions: tuple[int, ...] = (96, 160)) -> None:
    write_digits(folder / "digits", per_class)
    images = index(folder / "digits")
    profile = measure_profile(images, load("embedded"), resolutions=resolutions)
    for cell in sorted(profile.cells, key=lambda c: -c.accuracy.value)[:5]:
        print(f"{cell.accuracy}  {cell.n_features:5,} features of {cell.block}")
    for model in profile.models:
        print(f"{model.test_correct.mean():6.1%} of the test images: {model.name}")


if __name__ == "__main__":
    main(Path("demo"))
