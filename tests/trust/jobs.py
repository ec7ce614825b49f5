"""The jobs that are killed, small enough to be run hundreds of times, and what each must end with.

A *world* is what all of them read: images and weights. A *box* is the folder that one of them writes
into; its cache is in ``box/cache``. A job is run by the process that is to be killed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.results import encode

ARCH = "timm:test_resnet"
N_A_CLASS = 20
SIZE_PX = 32
SHARD_ROWS = 16  # a multiple of PyTorch's batch on a CPU: three shards
# What tells of time, and what is decided by it.
OF_TIME = {
    "timings_s", "extraction", "seconds", "needs_s", "is_taken", "sentence", "what", "settings",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command.

    Attributes
    ----------
    name : str
    run : function of the box and the world
        Gives an exit code, and says errors as the command does.
    result : function of the box and the world
        All that must be equal however often the job was stopped: JSON-able.
    out : str
        The run folder that it makes, relative to the box; empty where it makes none.
    prepare : function of the box and the world, or None
        Makes what is there before, once.
    """

    name: str
    run: Callable[[Path, Path], int]
    result: Callable[[Path, Path], dict[str, Any]]
    out: str = ""
    prepare: Callable[[Path, Path], None] | None = None


def make_world(world: Path) -> None:
    """Images of two textures, and random weights of a small ResNet."""
    from PIL import Image
    from safetensors.torch import save_file

    from headstart.backbones import load

    rng = np.random.default_rng(5)
    y, x = np.mgrid[:40, :40]
    for label, pattern in (("bars", np.sin(x / 2)), ("dots", np.sin(x / 2) * np.sin(y / 2))):
        folder = world / "photos" / label
        folder.mkdir(parents=True)
        for i in range(N_A_CLASS):
            noisy = 128 + 60 * np.roll(pattern, i, axis=1) + rng.normal(0, 60, (40, 40))
            pixels = np.clip(noisy, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).convert("RGB").save(folder / f"{i:02d}.png")
    state = load(ARCH, pretrained=False, seed=1).module.state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, world / "net.safetensors")


def said(work: Callable[[], None]) -> int:
    """Run library code; its errors and warnings are said as the command says them."""
    from headstart.errors import HeadstartError

    logging.basicConfig(format="headstart: warning: %(message)s", force=True)
    try:
        work()
    except HeadstartError as error:
        print(f"headstart: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def command(*words: str) -> int:
    """A command line, in this process."""
    from headstart.cli.app import run

    return run([*words, "--quiet"])


def _indexed(box: Path, world: Path) -> Any:
    from headstart.data import index

    return index(world / "photos", cache=box / "cache", seed=1)


def _network(world: Path) -> Any:
    from headstart.backbones import load

    return load(weights=world / "net.safetensors", arch=ARCH)


def extract_features(box: Path, world: Path, progress: Any = None) -> Any:
    """One pass over all images in shards of 16, and what it said of itself."""
    from headstart.features import extraction
    from headstart.progress import silent

    extraction.SHARD_ROWS = SHARD_ROWS
    return extraction.extract(
        _indexed(box, world).records,
        _network(world),
        resolutions=(SIZE_PX,),
        device="cpu",
        cache=box / "cache",
        progress=progress or silent,
    )


def run_extract(box: Path, world: Path) -> int:
    def work() -> None:
        extract_features(box, world)

    return said(work)


def extracted(box: Path, world: Path) -> dict[str, Any]:
    done = extract_features(box, world)
    assert done.n_forward == 0
    [store] = done.stores.values()
    digests = [r.digest for r in _indexed(box, world).records]
    taps = [name for name, _ in store.key.taps]
    return {tap: sha256(store.read(digests, tap).tobytes()) for tap in taps}


# OpenVINO converts the network, in C++, where a hundred images wait; its numbers have their own key
# to a conversion, so that killed and resumed runs use the same.
def run_convert(box: Path, world: Path) -> int:
    from headstart.features import engines

    engines.WORTH_CONVERTING = 1
    return run_extract(box, world)


def _fit_words(world: Path, out: str, *more: str) -> tuple[str, ...]:
    return (
        "fit", str(world / "photos"), "--weights", str(world / "net.safetensors"), "--arch", ARCH,
        "--resolutions", str(SIZE_PX), "--precision", "float32", "--device", "cpu",
        "--C", "0.1,1", "--folds", "3", "--seed", "1", "--out", out, *more,
    )  # fmt: skip


def run_fit(box: Path, world: Path) -> int:
    return command(*_fit_words(world, str(box / "runs" / "photos")))


def fitted(box: Path, world: Path) -> dict[str, Any]:
    import headstart

    run = headstart.load(box / "runs" / "photos")
    shown = run.report().read_text(encoding="utf-8")
    assert shown.rstrip().endswith("</html>")
    files = [run.folder / "predictions.csv", *sorted((run.folder / "model").iterdir())]
    return {
        "metrics": timeless(json.loads(encode(run.metrics))),
        "files": {f.name: sha256(f.read_bytes()) for f in files if f.suffix != ".json"},
    }


def finetuned(box: Path, world: Path) -> dict[str, Any]:
    """As of a fit, but of the network its tensors: its header holds times."""
    from safetensors.numpy import load_file

    found = fitted(box, world)
    network = load_file(box / "runs" / "photos" / "model" / "network.safetensors")
    del found["files"]["network.safetensors"]
    return found | {"network": {k: sha256(v.tobytes()) for k, v in sorted(network.items())}}


def prepare_forced(box: Path, world: Path) -> None:
    """An older run with another seed lies where the new one goes."""
    words = _fit_words(world, str(box / "runs" / "photos"), "--seed", "2")
    assert command(*words) == 0


def run_forced(box: Path, world: Path) -> int:
    return command(*_fit_words(world, str(box / "runs" / "photos"), "--force"))


def run_budget(box: Path, world: Path) -> int:
    """With fine-tuning; its plan is given, as a measured one depends on the machine's mood."""
    from headstart.runs import finetuning
    from headstart.runs.training_plan import Plan
    from headstart.training import TrainSettings, loop

    loop.CHECKPOINT_EVERY_S = 0.0
    settings = TrainSettings(epochs=1, batch_size=8, size_px=SIZE_PX, seed=1)
    plan = Plan(settings=settings, full_epochs=1, needs_s=1.0, n_parts=2)
    finetuning.plan_training = lambda *_, **__: plan  # type: ignore[attr-defined]
    return command(*_fit_words(world, str(box / "runs" / "photos"), "--budget", "20m"))


def run_train(box: Path, world: Path) -> int:
    """Two epochs with a checkpoint after each step."""
    from headstart.data import training_records
    from headstart.training import TrainSettings, loop, train

    loop.CHECKPOINT_EVERY_S = 0.0

    def work() -> None:
        records = training_records(_indexed(box, world))
        settings = TrainSettings(epochs=2, batch_size=8, size_px=SIZE_PX, lr=3e-3, bn="batch")
        trained = train(
            _network(world),
            records[:24],
            records[24:],
            ("bars", "dots"),
            settings,
            folder=box / "training",
            cache=box / "cache",
            device="cpu",
        )
        trained.save(box / "runs" / "trained.safetensors")

    return said(work)


def trained(box: Path, world: Path) -> dict[str, Any]:
    from headstart.training.trained import load_trained

    found = load_trained(box / "runs" / "trained.safetensors")
    state = found.network.state_dict()
    history = [dataclasses.asdict(e) | {"seconds": 0.0} for e in found.history]
    weights = {name: sha256(value.numpy().tobytes()) for name, value in state.items()}
    return {"weights": weights, "history": history, "best_epoch": found.best_epoch}


def _finetune_words(world: Path, out: Path, *more: str) -> tuple[str, ...]:
    return (
        "finetune", str(world / "photos"), "--size", str(SIZE_PX), "--batch-size", "8",
        "--weights", str(world / "net.safetensors"), "--arch", ARCH, "--device", "cpu",
        "--out", str(out), *more,
    )  # fmt: skip


def run_finetune(box: Path, world: Path) -> int:
    """The verb: an SVM, a training from it, the run."""
    more = ("--regime", "all", "--epochs", "2")
    return command(*_finetune_words(world, box / "runs" / "photos", *more))


def run_compare(box: Path, world: Path) -> int:
    """Several trainings side by side, and the page."""
    more = ("--compare", "regimes", "--epochs", "1", "--seeds", "1")
    return command(*_finetune_words(world, box / "runs" / "compared", *more))


def compared(box: Path, world: Path) -> dict[str, Any]:
    found = json.loads((box / "runs" / "compared" / "comparison.json").read_text())
    del found["taken"]  # the quickest of those that tie, by the clock
    return {"figures": timeless(found)}


def timeless(value: Any) -> Any:
    """JSON without what depends on the clock."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in OF_TIME}
    if isinstance(value, list):
        return [timeless(v) for v in value]
    return value


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


JOBS = {
    job.name: job
    for job in (
        Job(name="extract", run=run_extract, result=extracted),
        Job(name="extract with OpenVINO", run=run_convert, result=extracted),
        Job(name="fit", run=run_fit, result=fitted, out="runs/photos"),
        Job(
            name="fit --force",
            run=run_forced,
            result=fitted,
            out="runs/photos",
            prepare=prepare_forced,
        ),
        Job(name="fit --budget", run=run_budget, result=fitted, out="runs/photos"),
        Job(name="training", run=run_train, result=trained),
        Job(name="finetune", run=run_finetune, result=finetuned, out="runs/photos"),
        Job(name="finetune --compare", run=run_compare, result=compared),
    )
}


def inspect(job: Job, box: Path, reference: Path) -> list[str]:
    """What is wrong with what a stopped job left: nothing of it may be half, or not as it must be."""
    wrong = [f"{p} is damaged" for p in box.rglob("*.damaged")]
    wrong += _wrong_rows(box / "cache", reference / "cache")
    wrong += _wrong_facts(box / "cache", reference / "cache")
    for kind in ("heads", "pixels"):
        for file in _files(box / "cache" / kind):
            known = reference / file.relative_to(box)
            if known.exists() and known.read_bytes() != file.read_bytes():
                wrong.append(f"{file.relative_to(box)} is not as it must be")
    if job.out:
        wrong += _wrong_run(job, box, reference)
    wrong += [f"{p} is damaged" for p in box.rglob("*.damaged")]
    return wrong


def _files(folder: Path) -> Sequence[Path]:
    """Files that count: not those with a temporary name."""
    return [f for f in folder.glob("*") if f.is_file() and not f.name.startswith(".")]


def _wrong_rows(cache: Path, reference: Path) -> list[str]:
    from headstart.features import FeatureKey, FeatureStore

    wrong = []
    for manifest in reference.glob("features/*/manifest.json"):
        facts = json.loads(manifest.read_text())
        facts.pop("schema")
        key = FeatureKey(**facts | {"taps": tuple(tuple(tap) for tap in facts["taps"])})
        right = FeatureStore(key, reference)
        if not (cache / "features" / manifest.parent.name).exists():
            continue
        found = FeatureStore(key, cache)
        digests = [d for d in right._rows if d in found]
        for tap, _ in key.taps if digests else ():
            if not np.array_equal(found.read(digests, tap), right.read(digests, tap)):
                wrong.append(f"rows of {tap} are not as they must be")
        if len(digests) != len(found):
            wrong.append("rows of unknown images")
    return wrong


def _wrong_facts(cache: Path, reference: Path) -> list[str]:
    from headstart.data.factstore import FactStore

    found, right = FactStore(cache / "images"), FactStore(reference / "images")
    known = [d.hex() for d in found._where]
    return [f"facts of {d[:12]}" for d in known if found.get(d) != right.get(d)]


def _wrong_run(job: Job, box: Path, reference: Path) -> list[str]:
    """A run is whole, or there is none; where there was an older one, it or the new one is there."""
    import headstart
    from headstart.errors import RunError

    try:
        run = headstart.load(box / job.out)
    except RunError as error:
        if (box / job.out).exists():
            return [f"a run that is half: {error}"]
        return ["the older run is lost"] if job.prepare else []
    right = {f.name for f in (reference / job.out).iterdir()}
    lacking = right - {f.name for f in run.folder.iterdir()}
    return [f"the run lacks {name}" for name in sorted(lacking)]


def leftovers(box: Path) -> list[str]:
    """What a finished job must not leave behind: temporary names of any kind."""
    ends = (".tmp", ".partial", ".old", ".damaged")
    return [
        str(p.relative_to(box))
        for p in box.rglob("*")
        if p.name.endswith(ends) or p.name.startswith((".headstart", ".convert", "tmp"))
    ]


def fresh(box: Path, template: Path | None) -> None:
    """An empty box, or a copy of a prepared one."""
    shutil.rmtree(box, ignore_errors=True)
    if template is not None:
        shutil.copytree(template, box)
    else:
        box.mkdir(parents=True)
