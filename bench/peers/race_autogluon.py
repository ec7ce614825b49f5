"""A peer of bench/race.py: AutoGluon's MultiModalPredictor on a column of paths.

By default it fine-tunes with its defaults for images; with ``--few-shot`` the problem type is the one for few
examples, an SVM on embeddings. The weights are put where the hub's cache would hold them.
"""

from __future__ import annotations

import os
import shutil

import pandas as pd
from race_files import Task, read_task, write_predictions

NETWORK = "tf_efficientnet_lite0"


def main() -> None:
    task = read_task()
    fill_hub_cache(task)
    from autogluon.multimodal import MultiModalPredictor

    train = pd.DataFrame({"image": [str(p) for p in task.train], "label": task.labels})
    kind = {"problem_type": "few_shot_classification"} if task.few_shot else {}
    folder = task.out.with_suffix("")
    predictor = MultiModalPredictor(label="label", path=str(folder), **kind)
    predictor.fit(
        train,
        hyperparameters={
            "model.names": ["timm_image"],
            "model.timm_image.checkpoint_name": NETWORK,
        },
    )
    test = pd.DataFrame({"image": [str(p) for p in task.test]})
    write_predictions(task, predictor.predict(test))


def fill_hub_cache(task: Task) -> None:
    """Put the weights where a download would have left them."""
    home = task.out.parent / "hub"
    os.environ["HF_HOME"] = str(home)
    model = home / "hub" / f"models--timm--{NETWORK}.in1k"
    for folder in ("refs", "snapshots/local"):
        (model / folder).mkdir(parents=True, exist_ok=True)
    (model / "refs" / "main").write_text("local")
    shutil.copyfile(task.weights, model / "snapshots" / "local" / "model.safetensors")


if __name__ == "__main__":
    main()
