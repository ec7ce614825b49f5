"""SIFT words, spatial pyramid and Fisher vector against frozen features, on one split.

python examples/sift_vs_cnn.py
"""

from __future__ import annotations

from pathlib import Path

from demo import write_digits

from headstart.backbones import load
from headstart.baselines import SiftSettings, compare_sift
from headstart.data import index
from headstart.features import cache_folder


def main(folder: Path, per_class: int = 40) -> None:
    write_digits(folder / "digits", per_class)
    settings = SiftSettings(n_words=(50,), patches_px=(16,), n_gaussians=8, n_levels=2)
    found = compare_sift(
        index(folder / "digits"), load("embedded"), settings, cache=cache_folder(), size_px=96
    )
    for method in found["methods"]:
        value, low, high = method["test"]
        print(f"{value:6.1%} [{low:.1%}, {high:.1%}]  {method['name']}")
    print(found["sentence"])
    print(found["detail"])


if __name__ == "__main__":
    main(Path("demo"))
