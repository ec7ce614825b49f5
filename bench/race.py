"""Headstart against what people use instead, on the same images, weights and cores: docs/evidence/race.md.

    .venv/bin/python bench/race.py --prepare               the peers' environments, from the package registry
    .venv/bin/python bench/race.py                         what is missing, then the page
    .venv/bin/python bench/race.py --set steel --side fastai-5
    .venv/bin/python bench/race.py --page                  the page from what is there

A side is one process that starts with files and ends with a file of predictions: imports, training and the
test images are all in its time. Each peer lives in an environment of its own ($HEADSTART_CACHE/race-envs);
one that cannot be installed or does not run is named with the reason. Every side is held to one core, and
its minutes are of CPU time (the process and its children), which other work on the machine changes little.
Every measurement is kept in docs/evidence/race.json at once, so an interrupted race goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT, THREAD_SETTINGS
from bench.harness import Side as Process
from bench.race_page import page
from bench.sets import SEED, SETS, RealSet

from headstart.data import index
from headstart.experiments.similarity.references import labelled_sample
from headstart.features import cache_folder

KEPT = ROOT / "docs" / "evidence" / "race.json"
PAGE = ROOT / "docs" / "evidence" / "race.md"
PEERS = ROOT / "bench" / "peers"
N_TRAIN, N_TEST = 120, 300
# Sets whose images are independent: no people, films or patients to keep together.
RACED = (
    "flowers",
    "steel",
    "trash",
    "rice leaves",
    "textures",
    "digits",
    "groceries",
    "scene15",
    "PACS photo",
    "PACS art",
)
LIMIT_S = 3600


@dataclass(frozen=True, kw_only=True)
class Side:
    """A way to a classifier.

    Attributes
    ----------
    key, text : str
    package : str
        Whose version is told.
    script : str
        In bench/peers; empty for Headstart.
    installs : tuple of str
        What its own environment holds; empty where it runs in Headstart's, which has what it needs.
    epochs : int
    options : tuple of str
        Further ones of ``headstart fit``, or of the script.
    note : str
        Why it does not run, where that is known.
    """

    key: str
    text: str
    package: str = "headstart"
    script: str = ""
    installs: tuple[str, ...] = ()
    epochs: int = 0
    options: tuple[str, ...] = ()
    note: str = ""


SIDES = (
    Side(key="headstart", text="`headstart fit`"),
    Side(
        key="headstart-budget",
        text="`headstart fit --budget 4m`",
        options=("--budget", "4m"),
    ),
    Side(
        key="sklearn",
        text="last layer by timm, StandardScaler, LogisticRegression",
        package="scikit-learn",
        script="race_sklearn.py",
    ),
    *(
        Side(
            key=f"fastai-{epochs}",
            text=f"`vision_learner`, `fine_tune({epochs})`",
            package="fastai",
            installs=("fastai", "timm"),
            script="race_fastai.py",
            epochs=epochs,
        )
        for epochs in (4, 16)
    ),
    Side(
        key="torch",
        text="the transfer-learning tutorial, its 25 epochs",
        package="torch",
        script="race_torch.py",
        epochs=25,
    ),
    *(
        Side(
            key=key,
            text=f"`MultiModalPredictor`, {text}",
            package="autogluon.multimodal",
            script="race_autogluon.py",
            options=options,
            # It imports pkg_resources, which later setuptools lack.
            installs=("autogluon.multimodal", "setuptools<81"),
        )
        for key, text, options in (
            ("autogluon", "its defaults for images (batches of 128)", ()),
            ("autogluon-few", "few_shot_classification", ("--few-shot",)),
        )
    ),
    Side(
        key="lightly",
        text="`train_image_classification`, 16 epochs",
        epochs=16,
        package="lightly-train",
        installs=("lightly-train",),
        script="race_lightly.py",
        note=(
            "It takes the 320 channels of the last block from timm's network, and expects as many as the "
            "layer before the classifier has, 1,280; a wrapper of one's own is documented for pretraining only."
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prepare", action="store_true", help="make the peers' environments")
    parser.add_argument("--set", action="append", choices=RACED, metavar="NAME")
    parser.add_argument("--side", action="append", choices=[s.key for s in SIDES])
    parser.add_argument("--again", action="store_true", help="measure what is there once more")
    parser.add_argument("--page", action="store_true", help="write the page only")
    asked = parser.parse_args(arguments)
    sides = [s for s in SIDES if not asked.side or s.key in asked.side]
    if asked.prepare:
        for side in sides:
            prepare(side)
        return 0
    sets = [s for name in asked.set or RACED for s in SETS if s.name == name]
    for real in [] if asked.page else sets:
        if not real.path.exists():
            print(f"{real.name}: left out, there is no {real.path}")
            continue
        with tempfile.TemporaryDirectory(prefix="headstart-race-") as folder:
            truth = write_task(real, Path(folder))
            for side in sides:
                if asked.again or side.key not in read().get(real.name, {}):
                    found = raced(side, Path(folder), truth)
                    print(f"{real.name}, {side.key}: {told(found)}", flush=True)
                    keep(real.name, side.key, found)
    PAGE.write_text(page(read(), SIDES, SETS), encoding="utf-8")
    print(f"written: {PAGE}")
    return 0


def write_task(real: RealSet, folder: Path) -> dict[str, str]:
    """The files of a task (see bench/peers/race_files.py), and the label of each test image by path."""
    images = index(real.path, test_size=0.6, seed=SEED, cache=cache_folder())
    train = labelled_sample(images.train, N_TRAIN, SEED)
    known = {r.label for r in train}
    test = labelled_sample([r for r in images.test if r.label in known], N_TEST, SEED)
    with Process("write_weights", net="embedded", path=str(folder / "weights.safetensors")):
        pass
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([str(r.path), r.label] for r in train)
    with (folder / "test.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([str(r.path)] for r in test)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for side, records in (("train", train), ("test", test)):
            writer.writerows((str(r.path), r.label, side) for r in records)
    return {str(r.path): r.label for r in test}


def raced(side: Side, folder: Path, truth: Mapping[str, str]) -> dict[str, Any]:
    """What a side answers, and what it costs; or why it does not run."""
    out = folder / f"{side.key}.csv"
    environment = {k: v for k, v in os.environ.items() if k not in THREAD_SETTINGS}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    if side.script:
        python = python_of(side)
        if not python.exists():
            return {"reason": f"not installed: {COMMAND} --prepare"}
        environment.pop("PYTHONPATH", None)
        command = [str(python), str(PEERS / side.script), str(folder), "--out", str(out)]
        command += ["--weights", str(folder / "weights.safetensors"), "--epochs", str(side.epochs)]
        command += side.options
    else:
        run = folder / f"run-{side.key}"
        environment["HEADSTART_CACHE"] = str(folder / f"cache-{side.key}")
        command = [sys.executable, "-m", "headstart", "fit", str(folder / "table.csv")]
        command += ["--out", str(run), *side.options]
        out = run / "predictions.csv"
    before, began = children_s(), time.monotonic()
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            preexec_fn=hold_to_one_core,
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"not done after {LIMIT_S // 60} minutes"}
    wall, cpu = time.monotonic() - began, children_s() - before
    if done.returncode or not out.exists():
        lines = (done.stderr or done.stdout).strip().splitlines()
        return {"reason": lines[-1].strip()[:300] if lines else f"exit code {done.returncode}"}
    answers = read_answers(out)
    right = [answers.get(path) == label for path, label in truth.items()]
    return {
        "version": version_of(side),
        "cpu_s": round(cpu, 1),
        "wall_s": round(wall, 1),
        "right": "".join("1" if r else "0" for r in right),
        "n_train": sum(1 for _ in (folder / "train.csv").open(encoding="utf-8")),
    }


def read_answers(path: Path) -> dict[str, str]:
    """Predicted class by path, of a peer's file or of a run's."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if rows and "predicted" in rows[0]:
        name, predicted = rows[0].index("name"), rows[0].index("predicted")
        return {row[name]: row[predicted] for row in rows[1:]}
    return dict(rows)


def hold_to_one_core() -> None:
    """Run on the last core only, on systems that can be told so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def children_s() -> float:
    """Seconds of CPU of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


COMMAND = ".venv/bin/python bench/race.py"


def environment_of(side: Side) -> Path:
    """Where the peer is installed."""
    return cache_folder() / "race-envs" / side.package


def python_of(side: Side) -> Path:
    """The interpreter of a side."""
    return environment_of(side) / "bin" / "python" if side.installs else Path(sys.executable)


def version_of(side: Side) -> str:
    """What was installed, such as ``fastai 2.8.12``."""
    code = f"import importlib.metadata as m; print(m.version({side.package!r}))"
    done = subprocess.run([str(python_of(side)), "-c", code], capture_output=True, text=True)
    return f"{side.package} {done.stdout.strip()}"


def prepare(side: Side) -> None:
    """Install a peer, where it is not yet; a failure is told and leaves the others."""
    if not side.installs or python_of(side).exists():
        return
    folder = environment_of(side)
    print(f"installing {', '.join(side.installs)} to {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    done = subprocess.run([str(python_of(side)), "-m", "pip", "install", "-q", *side.installs])
    if done.returncode:
        print(f"{side.package} cannot be installed here")


def told(found: Mapping[str, Any]) -> str:
    """A measurement in a line."""
    if "reason" in found:
        return f"does not run: {found['reason']}"
    right = found["right"]
    share = 100 * right.count("1") / len(right)
    return f"{share:.1f} % of {len(right)}, {found['cpu_s'] / 60:.1f} minutes of CPU"


def read() -> dict[str, dict[str, dict[str, Any]]]:
    """All measurements, by set and side."""
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}


def keep(name: str, side: str, found: Mapping[str, Any]) -> None:
    """Add a measurement to the file, in one rename."""
    kept = read()
    kept.setdefault(name, {})[side] = dict(found)
    staged = KEPT.with_suffix(".tmp")
    staged.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    staged.replace(KEPT)


if __name__ == "__main__":
    sys.exit(main())
