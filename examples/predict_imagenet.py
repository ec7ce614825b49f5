"""What a pretrained network knows already: the five likeliest of ImageNet's classes.

python examples/predict_imagenet.py
"""

from __future__ import annotations

from pathlib import Path

import headstart
from headstart.data import write_cat


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_cat(folder / "cat.jpg")
    for guess in headstart.pred(folder / "cat.jpg"):
        print(f"{guess.label:15} {guess.probability:6.1%}")


if __name__ == "__main__":
    main(Path("demo"))
