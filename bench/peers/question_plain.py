"""The peer of bench/whole_question.py: one layer, one resolution, and a grid search.

The features before the classifier from the plain script, brought to unit length, then
scikit-learn's GridSearchCV over LinearSVC, scored once on the test images.

    python bench/peers/question_plain.py scene15/ --split scene15_split.csv \
        --weights tf_efficientnet_lite0.safetensors --out predictions.csv
"""

from __future__ import annotations

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np
from extract_plain import extract, lite0, load_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

CS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
LAYER = "bn2"  # of timm's tf_efficientnet_lite0: the last map, whose average the classifier reads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    asked = parser.parse_args()
    recipe = lite0(weights=asked.weights, layers=(LAYER,), size_px=asked.size)
    lines = [line.split(",", 1) for line in asked.split.read_text().splitlines()]
    is_train = np.array([side == "train" for side, _ in lines])
    names = [name for _, name in lines]
    y = np.array([name.split("/")[0] for name in names])
    paths = [asked.images / name for name in names]
    features = extract(load_model(recipe), paths, recipe, num_workers=asked.workers)
    X = normalize(features[LAYER])

    # loky's workers do not take the filter over.
    warnings.simplefilter("ignore", ConvergenceWarning)
    grid = GridSearchCV(LinearSVC(random_state=0), {"C": list(CS)}, cv=5, n_jobs=2)
    grid.fit(X[is_train], y[is_train])
    predicted = grid.predict(X[~is_train])
    with asked.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "label", "predicted"])
        tested = [name for name, train in zip(names, is_train, strict=True) if not train]
        writer.writerows(zip(tested, y[~is_train], predicted, strict=True))
    print(f"C {grid.best_params_['C']}, accuracy {(predicted == y[~is_train]).mean():.4f}")


if __name__ == "__main__":
    main()
