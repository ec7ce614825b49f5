"""Heads on frozen backbones, and a run to predict with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import stopwatch
from bench.images import read_records, read_split
from bench.sides.networks import Actions, fresh_store, load_net, plain_recipe, timed_extract

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.features import Extraction


def head_ours(images: str, split: str, precision: str, cache: str, size_px: int) -> Actions:
    """Extract the training images once, then cross-validate and fit the head."""
    from headstart.heads import LinearSVMPath

    root, names, backbone = Path(images), read_split(Path(split)), load_net("embedded")
    train, test = (read_records(root, [root / n for n in names[s]]) for s in ("train", "test"))
    y = [r.label for r in train]
    tap = backbone.taps[-2].name
    heads: list[LinearSVMPath] = []

    def read(done: Extraction, records: list[Record]) -> Any:
        return done.stores[size_px].read([r.digest for r in records], tap)

    def measure() -> dict[str, Any]:
        with fresh_store(cache) as store:
            measured, done = timed_extract(train, backbone, store, precision, [size_px])
            with stopwatch() as elapsed:
                heads[:] = [LinearSVMPath().fit(read(done, train), y)]
        measured["head_s"] = elapsed()
        measured["seconds"] += elapsed()
        return measured

    def predict() -> dict[str, Any]:
        with fresh_store(cache) as store:
            _, done = timed_extract(test, backbone, store, precision, [size_px])
            return {"predicted": heads[0].predict(read(done, test)).tolist()}

    return {"measure": measure, "predict": predict}


def head_plain(images: str, split: str, recipe: dict[str, Any], n_epochs: int) -> Actions:
    """Train a head epoch by epoch through the frozen network; one measurement is one epoch.

    What is left of `n_epochs` when the predictions are asked for is trained on features of one more
    pass, which gives the same head in less time: the network is frozen and nothing is augmented.
    """
    import torch
    from bench.peers import frozen_epochs as plain

    root, names, recipe_ = Path(images), read_split(Path(split)), plain_recipe(recipe)
    classes = sorted({n.split("/")[0] for n in names["train"]})

    def dataset(side: str) -> plain.LabelledImages:
        labels = [classes.index(n.split("/")[0]) for n in names[side]]
        return plain.LabelledImages([root / n for n in names[side]], labels, recipe_)

    torch.manual_seed(0)
    train, test = dataset("train"), dataset("test")
    model = plain.load_model(recipe_)
    head = plain.replace_head(model, len(classes))
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    trial = torch.utils.data.Subset(train, range(min(96, len(train))))
    workers = faster_workers(trial, model)
    n_done = 0

    def measure() -> dict[str, float]:
        nonlocal n_done
        loader = plain.make_loader(train, num_workers=workers, shuffle=True)
        with stopwatch() as elapsed:
            plain.train_epoch(model, head, loader, optimizer)
        n_done += 1
        return {"seconds": elapsed()}

    def predict() -> dict[str, Any]:
        loader = plain.make_loader(train, num_workers=workers, shuffle=False)
        with torch.no_grad():
            X, y = zip(*((model(images), labels) for images, labels in loader), strict=True)
        kept = torch.utils.data.TensorDataset(torch.cat(X), torch.cat(y))
        for _ in range(n_done, n_epochs):
            again = plain.make_loader(kept, num_workers=0, shuffle=True)
            plain.train_epoch(torch.nn.Identity(), head, again, optimizer)
        tested = plain.make_loader(test, num_workers=workers, shuffle=False)
        found = plain.predict(model, head, tested)
        return {"predicted": [classes[i] for i in found.tolist()]}

    return {"measure": measure, "predict": predict, "facts": lambda: {"num_workers": workers}}


def faster_workers(dataset: Any, model: Any) -> int:
    """0 or 2 DataLoader workers, whichever passes the data set through the network faster."""
    import torch
    from bench.peers.frozen_epochs import make_loader

    seconds = {}
    for workers in (0, 2, 0, 2):
        loader = make_loader(dataset, num_workers=workers, shuffle=False)
        with torch.no_grad(), stopwatch() as elapsed:
            for images, _ in loader:
                model(images)
        seconds[workers] = elapsed()
    return min(seconds, key=seconds.__getitem__)


def small_run(images: str, out: str, cache: str) -> Actions:
    """A run folder to predict with."""
    import headstart

    def measure() -> dict[str, float]:
        with stopwatch() as elapsed:
            headstart.fit(images, out=out, cache=Path(cache), resolutions=(96,), n_folds=2)
        return {"seconds": elapsed()}

    return {"measure": measure}


def run_of_images(
    images: str, out: str, cache: str, prefer: str, resolutions: list[int]
) -> Actions:
    """A run folder, with what its model is and costs."""
    import headstart

    def measure() -> dict[str, Any]:
        with stopwatch() as elapsed:
            run = headstart.fit(
                images, out=out, cache=Path(cache), prefer=prefer, resolutions=tuple(resolutions)
            )
        chosen = run.metrics.chosen
        what = f"mean of {chosen.n_averaged}" if chosen.n_averaged else f"layer {chosen.tap}"
        return {"seconds": elapsed(), "macs": chosen.macs, "what": what}

    return {"measure": measure}


def svm_path(features: str, labels: str, n_samples: int, is_streamed: bool) -> Actions:
    """The path of the linear SVM on the first rows of a file, in memory or in blocks from the disk."""
    import numpy as np

    from headstart.heads import LinearSVMPath, outofcore

    X = np.load(features, mmap_mode="r", allow_pickle=False)[:n_samples]
    y = np.load(labels, allow_pickle=False)[:n_samples]
    outofcore.MOST_HELD_NUMBERS = 0 if is_streamed else 2**62

    def measure() -> dict[str, Any]:
        head = LinearSVMPath((0.01, 0.1, 1.0), cv=3, calibrate=False)
        before = own_mib()
        with peak_own_mib() as peak, stopwatch() as elapsed:
            head.fit(X, y)
        return {
            "seconds": elapsed(),
            "peak_mib": peak() - before,
            "gap": float(max(head.gap_.max(), head.cv_gap_.max())),
            "accuracy": head.cv_accuracy_.tolist(),
            "coef": head.coef_.tolist(),
        }

    return {"measure": measure}


def own_mib() -> float:
    """Memory of this process that no file stands behind."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(x.split()[1]) for x in status if x.startswith("RssAnon")) / 1024


@contextmanager
def peak_own_mib() -> Iterator[Callable[[], float]]:
    """Gives a function that tells the most of it that was seen within the block, every 5 ms."""
    done, most = threading.Event(), [own_mib()]

    def watch() -> None:
        while not done.wait(0.005):
            most.append(max(most.pop(), own_mib()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: most[0]
    finally:
        done.set()
        thread.join()
