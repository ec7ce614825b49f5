"""What screening costs: the race of the candidates against judging all of them by SVMs.

    .venv/bin/python bench/screening.py                 writes docs/evidence/screening.md

For each set and seed, the split, the folds and the choice are those of `headstart fit` with one
resolution. Once every candidate is judged by SVMs at every C, once they race (as with many images and
classes, here however few there are). The two choices are refitted and scored on the test images. Results
are kept one by one in a file, from which a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT, SHARED

from headstart.backbones import Backbone, at_size, load, measure_complexity
from headstart.data import index, training_records, write_digits
from headstart.features import cache_folder, extract
from headstart.heads import LinearSVM
from headstart.heads.costs import COSTS
from headstart.probe import judging
from headstart.probe.folds import judgeable, training_folds
from headstart.probe.judging import Scores, judge
from headstart.probe.screening import Entrant, judge_all
from headstart.runs.choose import Candidate, choose
from headstart.sources.blocks import plan_blocks, read_blocks, usual_blocks

OUT = ROOT / "docs" / "evidence" / "screening.md"
COMMAND = ".venv/bin/python bench/screening.py"
# Mean loss in points that is allowed, and the most of one set.
MEAN_ALLOWED, MOST_ALLOWED = 0.1, 0.5


CHARACTERS = (
    "The characters have 242 classes, for which every C on every candidate takes hours: there the other side judges every",
    "candidate on all folds, at the C that the search finds.",
)
HEADER = (
    "set",
    "training images x classes",
    "seeds",
    "judged on all folds, of 11",
    "same choice",
    "test accuracy, all judged, %",
    "raced, %",
    "loss, points",
    "its standard error",
    "all judged, s",
    "raced, s",
)


@dataclass(frozen=True, kw_only=True)
class Set:
    """Images, the share of them to test on, and the resolution.

    Where `is_wide`, the other side does not solve every C (it would take hours): it judges all
    candidates by SVMs on all folds, at the C that the search finds.
    """

    name: str
    folder: str
    test_size: float = 0.2
    size_px: int = 160
    is_wide: bool = False


SETS = (
    Set(name="scene15, 150", folder="scene15", test_size=1 - 150 / 4485),
    Set(name="scene15, 1,500", folder="scene15", test_size=1 - 1500 / 4485),
    Set(name="textures", folder="textures"),
    Set(name="digits", folder="digits"),
    Set(name="flowers12", folder="domains/flowers12"),
    Set(name="rice_leaves", folder="domains/rice_leaves"),
    Set(name="chest_xray", folder="domains/chest_xray"),
    Set(name="sign_digits", folder="domains/sign_digits"),
    Set(name="traffic_signs", folder="domains/traffic_signs"),
    Set(name="neu_steel", folder="domains/neu_steel"),
    Set(name="trashnet", folder="domains/trashnet"),
    Set(name="groceries", folder="domains/groceries"),
    Set(name="pacs_photo", folder="domains/shift/pacs_photo"),
    Set(name="pacs_art", folder="domains/shift/pacs_art"),
    Set(name="characters", folder="characters", size_px=96, is_wide=True),
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One set with one seed: what both sides chose, how good it is, and the time of a processor.

    Accuracies are shares of the test images.
    """

    name: str
    seed: int
    n_train: int
    n_classes: int
    n_finalists: int
    chosen: str
    chosen_of_all: str
    test: float
    test_of_all: float
    cpu_s: float
    cpu_s_of_all: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the file of results lacks, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sets", nargs="*", default=[s.name for s in SETS])
    parser.add_argument("--kept", type=Path, default=cache_folder() / "bench-screening.jsonl")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    trials = read_trials(asked.kept)
    for seed in range(asked.seeds):
        for each in (s for s in SETS if s.name in asked.sets):
            if (each.name, seed) in trials:
                continue
            trials[each.name, seed] = trial = measure(each, seed)
            asked.kept.parent.mkdir(parents=True, exist_ok=True)
            with asked.kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(trial)) + "\n")
            print(describe(trial), flush=True)
    asked.out.write_text("\n".join(page(list(trials.values()))) + "\n", encoding="utf-8")
    print(f"written: {asked.out}")
    return 0


def read_trials(path: Path) -> dict[tuple[str, int], Trial]:
    """What is measured already."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [Trial(**json.loads(line)) for line in lines]
    return {(t.name, t.seed): t for t in found}


def describe(trial: Trial) -> str:
    """One line."""
    loss = 100 * (trial.test_of_all - trial.test)
    return (
        f"{trial.name}, seed {trial.seed}: {trial.chosen} ({100 * trial.test:.1f} %), all judged "
        f"{trial.chosen_of_all} ({100 * trial.test_of_all:.1f} %), loss {loss:+.2f}; "
        f"{trial.cpu_s:.1f} s and {trial.cpu_s_of_all:.1f} s"
    )


def measure(each: Set, seed: int) -> Trial:
    """Both sides of one set with one seed."""
    backbone = load("embedded")
    with folder_of(each) as folder:
        images = index(folder, test_size=each.test_size, seed=seed, cache=cache_folder())
        stores = extract(images.records, backbone, resolutions=(each.size_px,)).stores
    train, test = training_records(images), images.test
    y, truth = (np.array([r.label for r in records]) for records in (train, test))
    folds = training_folds(images, train, seed=seed)
    planned = plan_blocks([tap.name for tap in backbone.taps], [each.size_px])
    rows = [read_blocks(stores, [r.digest for r in train], b) for b in planned]
    usual = planned.index(usual_blocks(backbone, [each.size_px]))
    prior = len(planned) - 1  # the last layers joined
    costs = macs(backbone, each.size_px)

    def chosen(scores: Sequence[Scores]) -> int:
        judged = judgeable(y, folds)
        candidates = [
            Candidate(blocks=b, macs=max(costs[t] for t in b.taps), scores=s, judged=judged)
            for b, s in zip(planned, scores, strict=True)
        ]
        return choose(candidates, y.tolist(), usual, prior).chosen

    def tested(i: int, scores: Sequence[Scores]) -> float:
        X = read_blocks(stores, [r.digest for r in test], planned[i])
        return float(LinearSVM(C=scores[i].C).fit(rows[i], y).score(X, truth))

    started = time.process_time()
    raced = race(rows, y, folds, usual, prior)
    cpu_s = time.process_time() - started
    started = time.process_time()
    every = [
        known
        if each.is_wide and not known.is_screened
        else judge(X, y, folds, exact=not each.is_wide)
        for X, known in zip(rows, raced, strict=True)
    ]
    i, j = chosen(raced), chosen(every)
    return Trial(
        name=each.name,
        seed=seed,
        n_train=len(y),
        n_classes=len(np.unique(y)),
        n_finalists=sum(not s.is_screened for s in raced),
        chosen=planned[i].tap_label,
        chosen_of_all=planned[j].tap_label,
        test=tested(i, raced),
        test_of_all=tested(j, every),
        cpu_s=cpu_s,
        cpu_s_of_all=time.process_time() - started,
    )


def race(
    rows: Sequence[NDArray[np.float32]],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    usual: int,
    prior: int,
) -> list[Scores]:
    """The race, however few examples there are."""
    with tempfile.TemporaryDirectory() as place, mock.patch.object(judging, "SMALL", 0):
        entrants = [
            Entrant(read=lambda X=X: X, kept_at=lambda stage, i=i: Path(place, f"{i} {stage}"))  # type: ignore[misc]
            for i, X in enumerate(rows)
        ]
        found = judge_all(entrants, y, folds, Cs=COSTS, first=usual, always=[usual, prior])
        return [held(scores) for scores in found]


def held(scores: Scores) -> Scores:
    """Scores whose arrays do not lie in a file."""
    return Scores(**{**vars(scores), "decisions": np.array(scores.decisions)})


def macs(backbone: Backbone, size_px: int) -> Mapping[str, int]:
    """Multiply-accumulates up to each tap."""
    return measure_complexity(at_size(backbone, size_px)).tap_macs


@contextmanager
def folder_of(each: Set) -> Iterator[Path]:
    """The images of a set; the digits are written where they are needed."""
    if each.folder != "digits":
        yield SHARED / "data" / each.folder
        return
    with tempfile.TemporaryDirectory() as place:
        write_digits(Path(place) / "digits")
        yield Path(place) / "digits"


def page(trials: Sequence[Trial]) -> list[str]:
    """The page of evidence."""
    names = [s.name for s in SETS if any(t.name == s.name for t in trials)]
    rows, losses, errors = [], [], []
    for name in names:
        mine = [t for t in trials if t.name == name]
        loss = [100 * (t.test_of_all - t.test) for t in mine]
        losses.append(float(np.mean(loss)))
        errors.append(float(np.std(loss, ddof=1)) / len(loss) ** 0.5 if len(loss) > 1 else 0.0)
        same = sum(t.chosen == t.chosen_of_all for t in mine)
        rows.append(
            f"| {name} | {mine[0].n_train:,} x {mine[0].n_classes} | {len(mine)} | "
            f"{np.mean([t.n_finalists for t in mine]):.1f} | {same} of {len(mine)} | "
            f"{100 * np.mean([t.test_of_all for t in mine]):.1f} | "
            f"{100 * np.mean([t.test for t in mine]):.1f} | {losses[-1]:+.2f} | {errors[-1]:.2f} | "
            f"{np.mean([t.cpu_s_of_all for t in mine]):.1f} | {np.mean([t.cpu_s for t in mine]):.1f} |"
        )
    mean, most = float(np.mean(losses)), max(losses)
    error = float(np.sqrt(np.square(errors).sum())) / len(errors)
    kept = mean <= MEAN_ALLOWED and most <= MOST_ALLOWED
    return [
        "# Screening against judging every candidate",
        "",
        f"Written by `{COMMAND}`. Embedded network, 11 candidates at one resolution (160 px; the characters 96 px). For each",
        "set and seed every candidate was judged by SVMs at every C, and once the candidates raced",
        "([choice](../choice.md#the-rule)), here however few images there are. Both choices were refitted and scored on the",
        "same test images. Times are of a processor, both cores together, and include nothing but the choice.",
        *(CHARACTERS if any(s.is_wide and s.name in names for s in SETS) else []),
        "",
        f"Mean loss over {len(rows)} sets: **{mean:+.2f} points**, standard error {error:.2f} (allowed {MEAN_ALLOWED}); the",
        f"most of one set **{most:+.2f}** (allowed {MOST_ALLOWED}): {'kept' if kept else 'not kept'}. A loss is that of the race",
        "against judging all; a negative one is luck, and the standard errors say how much luck there is.",
        "",
        f"| {' | '.join(HEADER)} |",
        "| --- |" + " ---: |" * (len(HEADER) - 1),
        *rows,
    ]


if __name__ == "__main__":
    raise SystemExit(main())
