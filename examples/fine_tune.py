"""A few epochs of training the network itself, with its learning curves in words.

Every fifth training image is held out to choose the epoch by; the test images are classified once, at the end.

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
    validation = images.train[::5]
    training = [record for i, record in enumerate(images.train) if i % 5]
    trained = train(load("embedded"), training, validation, images.classes, settings)
    for epoch in trained.history:
        print(
            f"epoch {epoch.epoch}: training loss {epoch.train_loss:.2f}, "
            f"validation loss {epoch.val_loss:.2f}, accuracy {epoch.val_accuracy:.1%}"
        )
    predicted = trained.predict(images.test)
    n_right = sum(
        label == record.label for label, record in zip(predicted, images.test, strict=True)
    )
    print(f"epoch {trained.best_epoch}: {n_right} of {len(predicted)} test images right")


if __name__ == "__main__":
    main(Path("demo"))
