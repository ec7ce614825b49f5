"""A peer of bench/race.py: lightly-train's image classification on a folder of class folders.

Its default of 100,000 steps is days on a processor: as many steps as epochs ask for, in batches of 16.
"""

from __future__ import annotations

import lightly_train
from race_files import read_task, write_predictions

BATCH_SIZE = 16


def main() -> None:
    task = read_task()
    data = task.out.parent / "lightly-data"
    for i, (path, label) in enumerate(zip(task.train, task.labels, strict=True)):
        link = data / label / f"{i}{path.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    classes = dict(enumerate(sorted(set(task.labels))))
    out = task.out.parent / "lightly"
    lightly_train.train_image_classification(
        out=str(out),
        data={"train": str(data), "val": str(data), "classes": classes},
        model="timm/tf_efficientnet_lite0",
        model_args={"backbone_args": {"checkpoint_path": str(task.weights)}},
        transform_args={"normalize": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}},
        steps=task.epochs * len(task.train) // BATCH_SIZE,
        batch_size=BATCH_SIZE,
        num_workers=0,
        precision="32-true",
        overwrite=True,
    )
    model = lightly_train.load_model(str(out / "exported_models" / "exported_best.pt"))
    predicted = [classes[int(model.predict(str(path))["labels"][0])] for path in task.test]
    write_predictions(task, predicted)


if __name__ == "__main__":
    main()
