"""Metrics of runs that look like real ones, for the tests of what is made from them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from headstart.comparison.result import ArmResult, ComparisonResult
from headstart.results import Difference, Interval
from headstart.training.history import Epoch

SCENES = [
    "Bedroom", "Coast", "Forest", "Highway", "Industrial", "InsideCity", "Kitchen", "LivingRoom",
    "Mountain", "Office", "OpenCountry", "Store", "Street", "Suburb", "TallBuilding",
]  # fmt: skip
TAPS = ["conv_stem", *(f"blocks.{i}" for i in range(7)), "conv_head", "classifier"]
Json = dict[str, Any]


def interval(value: float, half: float) -> Json:
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}


def example_candidates(resolutions: list[int], Cs: list[float]) -> list[Json]:
    """Accuracy that rises with depth and resolution; blocks.6 at the highest is chosen."""
    found: list[Json] = []
    for i, tap in enumerate(TAPS):
        for j, resolution in enumerate(resolutions):
            value = 0.935 - 0.32 * ((7 - min(i, 7)) / 7) ** 2 - 0.006 * abs(i - 7) * (i > 7)
            value -= 0.009 * (len(resolutions) - 1 - j) ** 1.5
            tie = value > 0.926
            best = i == 7 and j == len(resolutions) - 1
            difference = {"value": value - 0.935, "low": value - 0.942,
                          "high": value - (0.925 if tie else 0.928)}  # fmt: skip
            found += [{
                "tap": tap, "resolution": str(resolution), "C": 1.0,
                "n_features": min(1280, 32 * 2**i),
                "macs": int(4e7 * (i + 1) * (resolution / 224) ** 2),
                "cv": interval(value, 0.011),
                "cv_by_C": [value - 0.012 * abs(k - 2) for k in range(len(Cs))],
                "difference": {"value": 0.0, "low": 0.0, "high": 0.0} if best else difference,
                "tie": tie, "chosen": best, "best": best,
                "test": interval(value - 0.004, 0.009) if value > 0.91 else None,
            }]  # fmt: skip
    return found


def example_metrics(
    classes: list[str], *, resolutions: list[int], n_test: int = 40, n_lists: int = 24
) -> Json:
    """Metrics of the contract's schema; ``n_test`` images per class, 0 for no test split."""
    rng = np.random.default_rng(0)
    n, Cs = len(classes), [0.01, 0.1, 1.0, 10.0, 100.0]
    per_row = n_test or 100
    rows = np.zeros((n, n), int)
    for i in range(n):
        wrong = rng.integers(0, n, size=max(1, per_row // 12))
        np.add.at(rows[i], wrong, 1)
        rows[i, i] += per_row - len(wrong)
    accuracy = float(np.trace(rows) / rows.sum())
    names = [f"{classes[i % n]}/image_{i:04d}.jpg" for i in range(n_lists)]
    candidates = example_candidates(resolutions, Cs)
    chosen = next(c for c in candidates if c["chosen"])
    recall = rows.diagonal() / rows.sum(1)
    half = 0.5 / per_row**0.5
    group = {"names": ["Coast/a.jpg", "Forest/b.jpg"], "splits": ["train", "test"],
             "labels": ["Coast", "Forest"], "straddles": True, "conflicting": True}  # fmt: skip
    return {
        "schema": 1,
        "sentence": f"Layer {chosen['tap']} at {chosen['resolution']} px:"
        f" {100 * (accuracy if n_test else 0.935):.1f} %"
        f" on {n * per_row:,} {'test' if n_test else 'cross-validated training'} images;"
        " the usual layer is 1.2 points lower.",
        "chosen": {k: chosen[k] for k in ("tap", "resolution", "C", "n_features", "macs")},
        "selection": {
            "rule": "The cheapest candidate whose paired difference to the highest cross-validated"
            " accuracy is not significant.",
            "n_folds": 5, "n_train": 100 * n, "Cs": Cs,
        },
        "test": None if not n_test else {
            "n": n * n_test, "accuracy": interval(accuracy, 0.0089),
            "balanced_accuracy": interval(accuracy - 0.003, 0.01), "log_loss": 0.2345,
            "top5": interval(0.991, 0.003) if n > 5 else None,
            "accuracy_without_duplicates": {**interval(accuracy - 0.001, 0.009), "n": n * n_test - 9},
        },
        "cv": {"accuracy": interval(0.935, 0.011), "balanced_accuracy": interval(0.934, 0.012)},
        "candidates": candidates, "taps": TAPS, "resolutions": [str(r) for r in resolutions], "classes": classes,
        "confusion": {"split": "test" if n_test else "cv", "rows": rows.tolist()},
        "per_class": [
            {"class": c, "n_train": 100, "n_test": n_test, "recall": interval(float(r), half),
             "precision": float(r) - 0.01, "f1": float(r) - 0.005}
            for c, r in zip(classes, recall, strict=True)
        ],
        "mistakes": [
            {"name": name, "digest": f"{i:064x}", "true": classes[i % n],
             "predicted": classes[(i + 1) % n], "probability": 0.99 - 0.01 * i}
            for i, name in enumerate(names)
        ],
        "suspicious": [
            {"name": name, "digest": f"{i:064x}", "label": classes[i % n],
             "suggested": classes[(i + 2) % n], "probability": 0.97 - 0.01 * i, "split": "train"}
            for i, name in enumerate(names)
        ],
        "data": {
            "root": "photos", "source": "split file", "n_images": n * (100 + n_test),
            "n_train": 100 * n, "n_val": 0, "n_test": n * n_test,
            "classes": [{"class": c, "n_train": 100 + 10 * (i % 3 - 1) * (n % 3 == 0), "n_val": 0, "n_test": n_test}
                        for i, c in enumerate(classes)],
            "imbalance": 1.15,
            "quarantine": [{"name": f"Coast/bad{i}.jpg", "reason": "zero bytes"}
                           for i in range(n_lists)],
            "exact_duplicates": [group] * (n_lists // 2), "near_duplicates": [group] * (n_lists // 2),
        },
        "extraction": {"n_forward": 13455, "n_cached": 0, "images_per_s": 61.2, "seconds": 220.0,
                       "engine": "openvino f32", "precision": "float32"},
        "timings_s": {"index": 2.1, "features": 220.0, "cross_validation": 41.0, "refit": 1.2,
                      "total": 265.0},
    }  # fmt: skip


def example_run() -> Json:
    return {
        "schema": 1, "headstart": "0.1.0", "created": "2026-05-09T07:35:25+00:00",
        "command": "headstart fit photos --backbone embedded --resolutions 160,224,320",
        "seed": 0, "settings": {"resolutions": [160, 224, 320], "test_size": 0.2, "budget": None},
        "backbone": {"name": "embedded", "arch": "timm:tf_efficientnet_lite0", "source": "PyPI",
                     "licence": "Apache-2.0", "digest": "ab" * 32, "n_parameters": 4652008,
                     "preprocessing": {"size_px": 224, "crop_pct": 0.875, "mean": [0.5] * 3}},
        "data": {"path": "photos", "digest": "cd" * 32},
        "versions": {"python": "3.11.7", "torch": "2.15.0"}, "device": "cpu",
        "machine": "Linux x86_64, 2 cores",
    }  # fmt: skip


def scenes(**changes: Any) -> Json:
    return example_metrics(SCENES, resolutions=[160, 224, 320]) | changes


def tiny() -> Json:
    return example_metrics(["cat", "dog"], resolutions=[224], n_test=0, n_lists=0)


def big() -> Json:
    names = [f"flower species {i}" for i in range(102)]
    return example_metrics(names, resolutions=[224, 320], n_test=60)


def thumbnail() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def regimes() -> ComparisonResult:
    """What ``finetune --compare regimes`` measured on fifteen scenes."""
    measured = {
        "linear SVM": (88.9, (90.5, 89.4, 91.5), (90.4, 90.6), (0.0, 0.0, 0.0), 10, 19_215),
        "linear SVM, joined": (92.4, (92.4, 91.4, 93.3), (92.3, 92.6), (1.9, 1.2, 2.6), 10, 28_575),
        "scratch": (24.9, (23.9, 22.4, 25.4), (22.3, 25.1), (-66.6, -68.8, -64.4), 3141, 3_390_223),
        "all, with running statistics": (
            89.1, (91.3, 90.3, 92.3), (90.6, 92.4), (0.9, -0.5, 2.2), 2129, 3_390_223,
        ),
        "upper": (90.4, (91.7, 90.6, 92.6), (91.2, 92.3), (1.2, 0.2, 2.2), 58, 3_136_239),
    }  # fmt: skip
    epochs = [
        Epoch(
            epoch=i, train_loss=2.0 / i, train_accuracy=1 - 0.5 / i, val_loss=2.2 / i,
            val_accuracy=1 - 0.6 / i, seconds=1.0, lr=0.01,
        )
        for i in range(1, 7)
    ]  # fmt: skip

    def shares(values: tuple[float, ...]) -> list[float]:
        return [v / 100 for v in values]

    arms = tuple(
        ArmResult(
            name=name, is_taken=name.endswith("joined"), val_accuracy=val / 100,
            test=Interval(*shares(test)), test_range=(spread[0] / 100, spread[1] / 100),
            difference=Difference(*shares(gain)), seconds=seconds, n_trained_parameters=n,
            line="trains the layers after the tap, the new output layer included",
            histories=(tuple(epochs) if n > 50_000 else (),), best_epochs=(6,), notes=("",),
            settings=None, n_layers=1, starts_from_svm=False, extra_s=0.0, test_balanced=None,
        )
        for name, (val, test, spread, gain, seconds, n) in measured.items()
    )  # fmt: skip
    return ComparisonResult(
        title="Regimes compared", data="scene15", backbone="embedded", size_px=160,
        sentence="Take linear SVM, joined: +1.9 [+1.2, +2.6] points over linear SVM.",
        reference="linear SVM", taken="linear SVM, joined", n_fit=1350, n_val=150, n_test=2985,
        seeds=(0,), arms=arms, noun="image", classes=("a", "b"), notes=(),
    )  # fmt: skip
