"""Fine-tuning, ours and as it is written plainly."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.harness import stopwatch
from bench.images import read_records, read_split
from bench.sides.networks import Actions, load_net, plain_recipe


def finetune_ours(
    images: str,
    split: str,
    cache: str,
    regime: str,
    tap: str,
    augment: str,
    n_epochs: int,
    lr: float,
) -> Actions:
    """`headstart.training.train`; one measurement is a whole training, decoding and all."""
    from headstart.training import Trained, TrainSettings, train

    root, names, backbone = Path(images), read_split(Path(split)), load_net("embedded")
    train_set, test = (read_records(root, [root / n for n in names[s]]) for s in ("train", "test"))
    classes = sorted({r.label for r in train_set})
    settings = TrainSettings(
        regime=regime,
        tap=tap or None,
        augment=augment,
        epochs=n_epochs,
        lr=lr,
        # As the plain script has them.
        layer_decay=1.0,
        schedule="constant",
        warmup_epochs=0.0,
        weight_decay=0.01,
        clip_norm=None,
    )
    made: list[Trained] = []

    def measure() -> dict[str, Any]:
        engines = Path(cache, "engines")
        engines.mkdir(parents=True, exist_ok=True)
        # No decoded images of an earlier turn; the network converted for the first turn is kept.
        with tempfile.TemporaryDirectory(prefix="headstart-bench-") as fresh:
            (Path(fresh) / "engines").symlink_to(engines)
            with stopwatch() as elapsed:
                made[:] = [train(backbone, train_set, [], classes, settings, cache=Path(fresh))]
        return {"seconds": elapsed(), "is_cached": made[0].is_cached}

    def predict() -> dict[str, Any]:
        return {"predicted": made[0].predict(test)}

    return {"measure": measure, "predict": predict}


def finetune_plain(
    images: str,
    split: str,
    recipe: dict[str, Any],
    regime: str,
    tap: str,
    augment: str,
    n_epochs: int,
    n_timed: int,
    lr: float,
) -> Actions:
    """The plain script; `n_timed` of the epochs are timed and counted up to `n_epochs`."""
    import torch
    from bench.peers import finetune_plain as plain

    root, names, recipe_ = Path(images), read_split(Path(split)), plain_recipe(recipe)
    classes = sorted({n.split("/")[0] for n in names["train"]})

    def loader(side: str) -> Any:
        labels = [classes.index(n.split("/")[0]) for n in names[side]]
        paths = [root / n for n in names[side]]
        varied = side == "train" and augment != "none"
        dataset = plain.LabelledImages(paths, labels, recipe_, augment=varied)
        return torch.utils.data.DataLoader(
            dataset, batch_size=plain.BATCH_SIZE, shuffle=side == "train", num_workers=2
        )

    torch.manual_seed(0)
    model = plain.make_network(recipe_, len(classes), regime, tap)
    optimizer = plain.make_optimizer(model, lr)
    train = loader("train")
    n_done = 0

    def measure() -> dict[str, float]:
        nonlocal n_done
        with stopwatch() as elapsed:
            for _ in range(n_timed):
                plain.train_epoch(model, train, optimizer)
        n_done += n_timed
        return {"seconds": elapsed() * n_epochs / n_timed}

    def predict() -> dict[str, Any]:
        for _ in range(n_done, n_epochs):
            plain.train_epoch(model, train, optimizer)
        return {"predicted": [classes[i] for i in plain.predict(model, loader("test")).tolist()]}

    return {"measure": measure, "predict": predict}
