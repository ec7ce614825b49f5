"""Basic augmentation, AugMix and Mixup as pictures.

python examples/augmentation.py
"""

from __future__ import annotations

from pathlib import Path

from headstart.augment import parse_policy, preview_grid
from headstart.course.labs import augmentation


def main(folder: Path, size_px: int = 160) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photographs = augmentation.read(None, size_px=2 * size_px, seed=0)
    for text in ("basic", "augmix", "mixup:alpha=1"):
        policy = parse_policy(text)
        picture = preview_grid(
            policy, photographs.images, photographs.classes, size_px=size_px, seed=0
        )
        path = folder / f"{policy.name}.png"
        picture.save(path)
        print(f"written {path}, {picture.width} x {picture.height} px")


if __name__ == "__main__":
    main(Path("demo"))
