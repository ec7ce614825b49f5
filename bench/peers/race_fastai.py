"""A peer of bench/race.py: fastai's `fine_tune`, as its vision tutorial tells.

Images resized to 224 px, the library's usual augmentations, `vision_learner`, `fine_tune(epochs)` at its
default rate. Batches of 16, since 120 images make one of its default of 64 an epoch. All training images are trained on: none is held back for a validation that decides nothing.
"""

from __future__ import annotations

import pandas as pd
from fastai.vision.all import ImageDataLoaders, Resize, aug_transforms, vision_learner
from race_files import read_task, write_predictions


def main() -> None:
    task = read_task()
    frame = pd.DataFrame({"name": [str(p) for p in task.train], "label": task.labels})
    # The last row is validated on as well as trained on: fastai asks for a validation set.
    held = pd.concat([frame.assign(held=False), frame.tail(1).assign(held=True)])
    loaders = ImageDataLoaders.from_df(
        held,
        path="/",
        valid_col="held",
        item_tfms=Resize(224),
        batch_tfms=aug_transforms(),
        bs=16,
        num_workers=0,
    )
    learner = vision_learner(
        loaders, "tf_efficientnet_lite0", pretrained_cfg_overlay={"file": str(task.weights)}
    )
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(task.epochs)
        scores, _ = learner.get_preds(dl=loaders.test_dl(task.test))
    write_predictions(task, [loaders.vocab[i] for i in scores.argmax(1)])


if __name__ == "__main__":
    main()
