"""SIFT words, spatial pyramid and Fisher vector against frozen features, on one split.

python examples/sift_vs_cnn.py
"""

from __future__ import annotations

from pathlib import Path

import headstart
from headstart.data import write_digits


def main(folder: Path, per_class: int = 40) -> None:
    write_digits(folder / "digits", per_class)
    found = headstart.transfer.sift(
        folder / "digits", n_words=(50,), patches_px=(16,), n_gaussians=8, n_levels=2, size_px=96
    )
    for method in found.methods:
        print(f"{method.test}  {method.name}")
    print(found.sentence)
    print(found.detail)


if __name__ == "__main__":
    main(Path("demo"))
