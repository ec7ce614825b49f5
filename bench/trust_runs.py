"""Two promises of whole runs: held-out labels change no fitted head, and a seed fixes every figure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from headstart.data import Record

VERSION = 1
SETTINGS = {"resolutions": (64, 96), "seed": 3, "Cs": (0.1, 1.0, 10.0)}
# What a clock says is not a figure.
TIMES = ("timings_s", "extraction.seconds", "extraction.images_per_s")


def lay_out(records: Sequence[Record], folder: Path, *, permuted: bool = False) -> Path:
    """The images in ``train/`` and ``test/``, one in three tested on.

    With ``permuted``, the test images are the same files, with each other's labels.
    """
    sides: dict[str, list[Record]] = {"train": [], "test": []}
    for i, record in enumerate(sorted(records, key=lambda r: (r.label, r.name))):
        sides["test" if i % 3 == 2 else "train"].append(record)
    for side, chosen in sides.items():
        labels = [r.label for r in chosen]
        if permuted and side == "test":
            labels = list(np.random.default_rng(0).permutation(labels))
        for i, (record, label) in enumerate(zip(chosen, labels, strict=True)):
            target = folder / side / label / f"{i:04d}{record.path.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record.path, target)
    return folder


def permuted_labels(source: Path, records: Sequence[Record]) -> dict[str, Any]:
    """Fit twice, the second time with permuted test labels, and compare the files of the model.

    Returns
    -------
    dict
        ``files``: names under ``model/``; ``changed``: those whose bytes differ; ``accuracy`` and
        ``permuted``: test accuracies of the two runs.
    """
    import headstart

    with tempfile.TemporaryDirectory(prefix="headstart-trust-") as scratch:
        root = Path(scratch)
        runs = []
        for permuted in (False, True):
            data = lay_out(records, root / f"data-{permuted}", permuted=permuted)
            out = root / f"run-{permuted}"
            runs.append(headstart.fit(data, out=out, cache=root / "cache", **SETTINGS))
        models = [files_of(run.folder / "model") for run in runs]
        names = sorted(models[0].keys() | models[1].keys())
        return {
            "source": source.name,
            "files": names,
            "changed": [n for n in names if models[0].get(n) != models[1].get(n)],
            "accuracy": runs[0].metrics.test.accuracy.value,
            "permuted": runs[1].metrics.test.accuracy.value,
        }


def two_processes(source: Path, records: Sequence[Record]) -> dict[str, Any]:
    """Fit the same images twice, in two processes with a cache each, and compare every figure.

    Returns
    -------
    dict
        ``n_figures``: values in ``metrics.json`` but for times; ``differ``: where they differ;
        ``changed``: files under ``model/`` that differ.
    """
    with tempfile.TemporaryDirectory(prefix="headstart-trust-") as scratch:
        root = Path(scratch)
        data = lay_out(records, root / "data")
        runs = [fit_elsewhere(data, root / f"run-{i}", root / f"cache-{i}") for i in (1, 2)]
        return {"source": source.name, **compared(*runs)}


def fit_elsewhere(data: Path, out: Path, cache: Path) -> Path:
    """A fit in a process of its own; the run folder."""
    code = f"import headstart; headstart.fit({str(data)!r}, out={str(out)!r}, **{SETTINGS!r})"
    environment = os.environ | {"HEADSTART_CACHE": str(cache), "HEADSTART_QUIET": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return out


def compared(one: Path, two: Path) -> dict[str, Any]:
    """Where two run folders of the same fit differ."""
    figures = [
        dict(leaves(json.loads((r / "metrics.json").read_text("utf-8")))) for r in (one, two)
    ]
    for known in figures:
        for name in [n for n in known if n.startswith(TIMES)]:
            del known[name]
    names = sorted(figures[0].keys() | figures[1].keys())
    models = [files_of(r / "model") for r in (one, two)]
    return {
        "n_figures": len(names),
        "differ": [n for n in names if figures[0].get(n) != figures[1].get(n)],
        "changed": [
            n
            for n in sorted(models[0].keys() | models[1].keys())
            if models[0].get(n) != models[1].get(n)
        ],
    }


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its bytes."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value within JSON with where it stands: ``("test.accuracy.low", 0.9)``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{name}.{i}")
    else:
        yield name, value
