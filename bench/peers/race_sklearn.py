"""A peer of bench/race.py: scikit-learn on the features before the classifier.

Features by timm in evaluation mode, a StandardScaler and LogisticRegression, as scikit-learn's user guide
puts a classifier on rows of any origin.
"""

from __future__ import annotations

from race_files import read_task, write_predictions
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    import timm
    import torch
    from PIL import Image

    task = read_task()
    model = timm.create_model(
        "tf_efficientnet_lite0",
        pretrained=True,
        num_classes=0,
        pretrained_cfg_overlay={"file": str(task.weights)},
    ).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))

    @torch.no_grad()
    def features(paths):  # rows (n, 1280)
        parts = []
        for start in range(0, len(paths), 32):
            images = [Image.open(p).convert("RGB") for p in paths[start : start + 32]]
            parts.append(model(torch.stack([transform(image) for image in images])))
        return torch.cat(parts).numpy()

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(features(task.train), task.labels)
    write_predictions(task, classifier.predict(features(task.test)))


if __name__ == "__main__":
    main()
