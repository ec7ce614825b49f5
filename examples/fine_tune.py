"""A few epochs of training the network itself, with its learning curves in words.

python examples/fine_tune.py
"""

from __future__ import annotations

from pathlib import Path

from headstart.backbones import load
from headstart.data import index, write_digits
from headstart.training import TrainSettings, train


def main(folder: Path, per_class: int = 40, epochs: int = 4) -> None:
    write_digits(folder / "digits", per_class)
    images = index(folder / "digits")
    settings = TrainSettings(regime="all", size_px=64, epochs=epochs, augment="basic:flip=0")
    trained = train(load("embedded"), images.train, images.test, images.classes, settings)
    for epoch in trained.history:
        print(
            f"epoch {epoch.epoch}: training loss {epoch.train_loss:.2f}, "
            f"validation loss {epoch.val_loss:.2f}, accuracy {epoch.val_accuracy:.1%}"
        )


if __name__ == "__main__":
    main(Path("demo"))
