"""Statistical trust: do the intervals and the tests hold what they promise, on real features?

    make evidence                                         with everything else
    .venv/bin/python bench/statistics_trust.py            this alone; resumable
    .venv/bin/python bench/statistics_trust.py --only null:textures

Each part of each data set is kept in the cache ($HEADSTART_CACHE) when it is done. What is found is
written to bench/results/trust-statistics.json. What the choice costs is in bench/regret.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import trust_runs, trust_worlds
from bench.harness import ROOT, SHARED
from bench.trust_worlds import Counter, Tally
from numpy.typing import NDArray

from headstart.data import Index, Record, index
from headstart.features import cache_folder, extract
from headstart.runs.outcome import is_better

TITLE = "Statistical trust"
OUT = ROOT / "bench" / "results" / "trust-statistics.json"
COMMAND = ".venv/bin/python bench/statistics_trust.py"
RESOLUTIONS = (224,)
# To be raised when what a part computes changes.
VERSION = 3
PARTS = ("coverage", "repeats", "null", "held-out labels", "same seed")

RULES = {
    "McNemar's exact test, p at most 0.05": (0.05, lambda d: d.p_value <= 0.05),
    "the 95 % interval leaves out zero": (0.05, lambda d: not d.low <= 0 <= d.high),
    "the same of the plain Wald interval": (
        0.05,
        lambda d: trust_worlds.plain_wald(d)[0] > 0 or trust_worlds.plain_wald(d)[1] < 0,
    ),
    "`fit --budget` takes the other (`is_better`, one-sided)": (0.16, is_better),
    "beyond one standard error, so no tie (`choose`)": (0.32, lambda d: not d.is_tie),
}


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One set of real images and how it is used here.

    Attributes
    ----------
    name : str
    n_train : int
        Images of each class to train on in a world.
    test_sizes : tuple of int
        Images of a test.
    """

    name: str
    n_train: int
    test_sizes: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Where its images are; made, for the digits."""
        if self.name == "digits":
            from headstart.data import sample_folder

            return sample_folder("digits")
        return SHARED / "data" / self.name

    @cached_property
    def index(self) -> Index:
        """Its images."""
        return index(self.folder, cache=cache_folder())

    @cached_property
    def stores(self) -> Any:
        """The features of its images; computed where they are missing."""
        from headstart.runs.precision import choose_precision

        records = self.index.records
        gate = choose_precision(backbone(), records, device=None, cache=cache_folder())
        done = extract(records, backbone(), resolutions=RESOLUTIONS, precision=gate.precision)
        return done.stores

    @cached_property
    def y(self) -> NDArray[np.int64]:
        """The class of each image as a number."""
        return np.unique([r.label for r in self.index.records], return_inverse=True)[1]

    @cached_property
    def pair(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features of the usual layer, and of an earlier one that is nearly as good."""
        digests = [r.digest for r in self.index.records]
        return (
            self.stores[224].read(digests, "conv_head"),
            self.stores[224].read(digests, "blocks.5"),
        )


SETS = (
    DataSet(name="scene15", n_train=20, test_sizes=(50, 200, 800)),
    DataSet(name="textures", n_train=8, test_sizes=(40, 100)),
    DataSet(name="digits", n_train=20, test_sizes=(50, 200, 800)),
)
_NET: list[Any] = []


def backbone() -> Any:
    """The embedded network, loaded once."""
    from headstart.backbones import load

    if not _NET:
        _NET.append(load("embedded"))
    return _NET[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is not done yet, and write the page's part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    units = [f"{part}:{s.name}" for part in PARTS for s in SETS]
    parser.add_argument("--only", action="append", choices=units, metavar="PART:SET")
    asked = parser.parse_args(arguments)
    found: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for data in SETS:
        if data.name != "digits" and not data.folder.is_dir():
            print(f"{data.name}: left out, there is no {data.folder}")
            continue
        for part in PARTS:
            if asked.only and f"{part}:{data.name}" not in asked.only:
                continue
            print(f"{part}: {data.name}", flush=True)
            found[part][data.name] = WORK[part](data)
    if not asked.only:
        lines = page(found)
        answer = {"title": TITLE, "lines": lines, "command": COMMAND}
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"written: {OUT}")
    return 0


def kept(what: Sequence[Any], compute: Callable[[], Any]) -> Any:
    """What ``compute`` gives, from the cache where it was computed before."""
    text = json.dumps([VERSION, *what])
    path = cache_folder() / "trust" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        value = json.dumps({"what": text, "value": compute()})
        partial = path.with_suffix(".tmp")
        partial.write_text(value, encoding="utf-8")
        partial.replace(path)
    return json.loads(path.read_text(encoding="utf-8"))["value"]


def as_plain(counter: Counter) -> dict[str, list[int]]:
    """Tallies as JSON keeps them."""
    return {name: [t.hits, t.n] for name, t in counter.tallies().items()}


def covers(data: DataSet, n_trainings: int = 100, n_draws: int = 20) -> dict[str, Any]:
    """Coverage for each size of test, with what arithmetic says of the plain accuracy."""

    def compute() -> dict[str, Any]:
        rng = np.random.default_rng(1)
        judged = [
            trust_worlds.judge(
                data.pair, data.y, *trust_worlds.part_classes(data.y, data.n_train, rng)
            )
            for _ in range(n_trainings)
        ]
        out = {}
        for n in data.test_sizes:
            parts = [trust_worlds.coverage(j, n, n_draws, rng) for j in judged]
            truths = [float((j.a == j.y).mean()) for j in judged]
            out[str(n)] = {
                "tallies": as_plain(trust_worlds.merged(parts)),
                "expected": float(np.mean([trust_worlds.exact_coverage(p, n) for p in truths])),
                "accuracy": float(np.mean(truths)),
                "other": float(np.mean([(j.b == j.y).mean() for j in judged])),
            }
        return out

    return kept(["coverage", *_facts(data), n_trainings, n_draws], compute)


def repeats(data: DataSet, n_trainings: int = 60, n_draws: int = 2000) -> dict[str, Any]:
    """Coverage for 3 trainings on one half, judged on images of the other half."""

    def compute() -> dict[str, Any]:
        rng = np.random.default_rng(2)
        half = np.bincount(data.y).min() // 2
        left, pool = trust_worlds.part_classes(data.y, half, rng)
        judged = []
        for _ in range(n_trainings):
            train, _ = trust_worlds.part_classes(data.y[left], min(data.n_train, half - 2), rng)
            judged.append(trust_worlds.judge(data.pair, data.y, left[train], pool))
        a = np.array([j.a == j.y for j in judged])
        b = np.array([j.b == j.y for j in judged])
        return {
            str(n): as_plain(trust_worlds.repeated_coverage(a, b, n, 3, n_draws, rng))
            for n in data.test_sizes
        }

    return kept(["repeats", *_facts(data), n_trainings, n_draws], compute)


def null(data: DataSet, n_trainings: int = 20, n_draws: int = 250) -> dict[str, Any]:
    """How often two equally good classifiers are told apart."""

    def compute() -> dict[str, Any]:
        rng = np.random.default_rng(3)
        out: dict[str, list[Counter]] = {str(n): [] for n in data.test_sizes}
        rules = {name: rule for name, (_, rule) in RULES.items()}
        for _ in range(n_trainings):
            train, pool = trust_worlds.part_classes(data.y, data.n_train, rng)
            j = trust_worlds.judge(data.pair, data.y, train, pool)
            a, b = j.a == j.y, j.b == j.y
            for n in data.test_sizes:
                out[str(n)].append(trust_worlds.null_worlds(a, b, n, n_draws, rng, rules))
        return {n: as_plain(trust_worlds.merged(parts)) for n, parts in out.items()}

    return kept(["null", *_facts(data), n_trainings, n_draws, list(RULES)], compute)


def _facts(data: DataSet) -> list[Any]:
    """What a kept result depends on: the features, the images, and how they are drawn."""
    keys = [data.stores[s].key.digest for s in RESOLUTIONS]
    digests = hashlib.sha256("".join(r.digest for r in data.index.records).encode()).hexdigest()
    return [data.name, keys, digests, data.n_train, data.test_sizes]


def held_out(data: DataSet) -> Any:
    """Whether the fitted head stays the same byte for byte when the test labels are permuted."""
    return kept(
        ["held-out", data.name, trust_runs.VERSION],
        lambda: trust_runs.permuted_labels(data.folder, some_of(data)),
    )


def same_seed(data: DataSet) -> Any:
    """Whether two fits in processes and caches of their own give the same figures."""
    return kept(
        ["same seed", data.name, trust_runs.VERSION],
        lambda: trust_runs.two_processes(data.folder, some_of(data)),
    )


def some_of(data: DataSet, n_per_class: int = 12) -> list[Record]:
    """The first images of every class."""
    chosen: list[Record] = []
    seen: dict[str, int] = {}
    for record in data.index.records:
        seen[record.label] = seen.get(record.label, 0) + 1
        if seen[record.label] <= n_per_class:
            chosen.append(record)
    return chosen


WORK: Mapping[str, Callable[[DataSet], Any]] = {
    "coverage": covers,
    "repeats": repeats,
    "null": null,
    "held-out labels": held_out,
    "same seed": same_seed,
}


def page(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The lines of the page, from what every part found."""
    from bench import statistics_page

    nominal = {name: level for name, (level, _) in RULES.items()}
    return statistics_page.lines(found, nominal)


def tally(values: Sequence[int]) -> Tally:
    """What :func:`as_plain` wrote."""
    return Tally(hits=values[0], n=values[1])


if __name__ == "__main__":
    sys.exit(main())
