"""One page that says on how many real sets each claim of the lecture held: docs/evidence/summary.md.

    .venv/bin/python bench/summary.py                                what is missing, then the page
    .venv/bin/python bench/summary.py --set steel --claim last       one cell
    .venv/bin/python bench/summary.py --page                         the page from what is there

Every cell (a claim on a set) is measured on at most 500 images of at most 50 classes, by five-fold
cross-validation on the same images and folds for both sides; people, films and patients share a fold, and
intervals are of new ones (`paired_gain`). A cell is kept in docs/evidence/summary.json as soon as it is measured, so an interrupted run goes on where
it was. `--again` measures cells that are there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT
from bench.sets import SEED, SETS, RealSet
from bench.summary_page import page

from headstart.backbones import Backbone, load
from headstart.backbones.backbone import before_output
from headstart.data.groups import groups_of
from headstart.experiments.similarity.measure import MAX_LABELLED, PIXELS_PX
from headstart.experiments.similarity.references import labelled_sample, pixel_rows
from headstart.features import cache_folder, extract
from headstart.heads import OutputLayer, paired_gain
from headstart.probe import fit_best, judge, training_folds
from headstart.sources.blocks import N_JOINED

CELLS = ROOT / "docs" / "evidence" / "summary.json"
PAGE = ROOT / "docs" / "evidence" / "summary.md"
SMALL_PX, LARGE_PX, SCRATCH_PX, TUNED_PX = 160, 320, 64, 96
# Images that are fine-tuned on, at most: the claims on training are tried small.
N_TUNED = 200

Rights = NDArray[np.bool_]
Cell = dict[str, Any]


class Task:
    """One set: its images, labels and folds, and what was measured on them already."""

    def __init__(self, real: RealSet, backbone: Backbone) -> None:
        self.backbone = backbone
        images = real.index()
        copies = {name for group in images.duplicates for name in group.names[1:]}
        usable = [r for r in images.records if r.name not in copies]
        self.records = labelled_sample(usable, MAX_LABELLED, SEED)
        self.y = np.array([r.label for r in self.records])
        self.folds = training_folds(images, self.records, seed=SEED)
        groups = groups_of(self.records)
        self.groups = None if groups is None else np.array(groups)
        self.taps = before_output([tap.name for tap in backbone.taps])
        self.px = backbone.preprocessing.size_px
        self.tuned: dict[str, Rights] = {}
        self._judged: dict[tuple[tuple[str, int], ...], Rights] = {}

    def features(self, *blocks: tuple[str, int]) -> NDArray[np.float32]:
        """Rows of unit length in which every (layer, size) counts the same."""
        digests, parts = [r.digest for r in self.records], []
        for tap, size in blocks:
            store = extract(self.records, self.backbone, resolutions=[size]).stores[size]
            rows = store.read(digests, tap)
            parts.append(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
        return np.hstack(parts)

    def correct(self, *blocks: tuple[str, int]) -> Rights:
        """Whether the linear SVM recognises each image, held out."""
        if blocks not in self._judged:
            self._judged[blocks] = judge(self.features(*blocks), self.y, self.folds).correct
        return self._judged[blocks]

    @property
    def last(self) -> Rights:
        """With the last layer at the network's own size."""
        return self.correct((self.taps[-1], self.px))

    def chosen(self, candidates: Sequence[Rights]) -> tuple[Rights, list[int]]:
        """The candidate that is best on the other folds, for each fold: selection is not rewarded."""
        right, picked = np.empty(len(self.y), dtype=bool), []
        for fold in np.unique(self.folds):
            held = self.folds == fold
            best = int(np.argmax([c[~held].mean() for c in candidates]))
            right[held] = candidates[best][held]
            picked.append(best)
        return right, picked

    @cached_property
    def division(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows to train on, `N_TUNED` at most, and the held-out fold 0."""
        train = np.flatnonzero(self.folds != 0)
        known = set(self.y[train[:N_TUNED]])
        test = [i for i in np.flatnonzero(self.folds == 0) if self.y[i] in known]
        return train[:N_TUNED], np.array(test)

    def cell(self, better: Rights, worse: Rights, note: str = "") -> Cell:
        """A paired difference on the images that were judged: all, or those of the division."""
        groups = self.groups
        if groups is not None and len(better) < len(groups):
            groups = groups[self.division[1]]
        return cell(better, worse, groups, note)

    def frozen(self, size: int) -> OutputLayer:
        """The linear SVM on the last layer, fitted on the rows to train on."""
        train = self.division[0]
        return fit_best(
            self.features((self.taps[-1], size))[train], self.y[train], self.folds[train]
        )


def pixels(task: Task) -> Cell:
    """The last layer less the pixels."""
    rows = pixel_rows([r.path for r in task.records], PIXELS_PX, task.backbone.preprocessing)
    return task.cell(task.last, judge(rows, task.y, task.folds).correct)


def sift(task: Task) -> Cell:
    """The last layer less the best of a spatial pyramid of words and a Fisher vector of dense SIFT."""
    from headstart.baselines import SiftSettings, chi2_map
    from headstart.baselines.descriptors import Descriptors
    from headstart.baselines.encoder import Encoder

    settings = SiftSettings(n_words=(200,), n_sampled=30_000, longest_px=320)
    store = Descriptors(settings, cache_folder())
    store.fill(task.records)
    digests = [r.digest for r in task.records]
    encoder = Encoder(store, digests)
    rows = {
        "spatial pyramid": chi2_map(encoder.pyramids(digests, 200, "soft")),
        "Fisher vector": encoder.fisher_vectors(digests),
    }
    found = {name: judge(X, task.y, task.folds).correct for name, X in rows.items()}
    right, picked = task.chosen(list(found.values()))
    names = sorted({list(found)[i] for i in picked})
    return task.cell(task.last, right, note=" or ".join(names))


def scratch(task: Task) -> Cell:
    """The last layer less a compact network trained from random weights, on the same images."""
    from headstart.experiments.compact import compact_backbone
    from headstart.experiments.size.scratch import MIN_STEPS

    train = task.division[0]
    epochs = max(10, -(-MIN_STEPS // -(-len(train) // 32)))
    recipe = {"size_px": SCRATCH_PX, "epochs": epochs, "layer_decay": 1.0, "normalise": False}
    right = trained(task, compact_backbone(SCRATCH_PX, seed=SEED), **recipe)
    return task.cell(frozen_right(task, task.px), right)


def tuned(task: Task) -> Cell:
    """Fine-tuning of all layers less the linear SVM, both at 96 px."""
    return task.cell(_tuned(task), frozen_right(task, TUNED_PX))


def rates(task: Task) -> Cell:
    """Fine-tuning at the default rate less ten times as high a rate."""
    return task.cell(_tuned(task), _tuned(task, lr=4e-3))


def statistics(task: Task) -> Cell:
    """Fine-tuning with the source's BatchNorm statistics less with those of each batch."""
    return task.cell(_tuned(task), _tuned(task, bn="batch"))


def last(task: Task) -> Cell:
    """The last layer less the best earlier one, chosen on the other folds."""
    right, picked = task.chosen([task.correct((tap, task.px)) for tap in task.taps[:-1]])
    return task.cell(
        task.last, right, note=" or ".join(dict.fromkeys(task.taps[i] for i in picked))
    )


def joined(task: Task) -> Cell:
    """The last four layers joined less the last."""
    blocks = [(tap, task.px) for tap in task.taps[-N_JOINED:]]
    return task.cell(task.correct(*blocks), task.last)


def resolution(task: Task) -> Cell:
    """The last layer at 320 px less the same at 160 px."""
    tap = task.taps[-1]
    return task.cell(task.correct((tap, LARGE_PX)), task.correct((tap, SMALL_PX)))


def several(task: Task) -> Cell:
    """The last layer at 160, 224 and 320 px joined less the best of these, chosen on the other folds."""
    singles = [(task.taps[-1], size) for size in (SMALL_PX, task.px, LARGE_PX)]
    right, picked = task.chosen([task.correct(single) for single in singles])
    note = " or ".join(dict.fromkeys(f"{singles[i][1]} px" for i in picked))
    return task.cell(task.correct(*singles), right, note=note)


def _tuned(task: Task, **changes: Any) -> Rights:
    """All layers fine-tuned for six epochs at 96 px from the SVM's output layer."""
    key = str(sorted(changes.items()))
    if key not in task.tuned:
        layer = task.frozen(TUNED_PX)
        recipe = {"size_px": TUNED_PX, "epochs": 6, "normalise": True, **changes}
        head = (layer.coef, layer.intercept)
        task.tuned[key] = trained(task, task.backbone, head=head, **recipe)
    return task.tuned[key]


def trained(task: Task, backbone: Backbone, head: Any = None, **recipe: Any) -> Rights:
    """Whether a training recognises the held-out fold."""
    from headstart.training import TrainSettings, train

    rows, test = task.division
    settings = TrainSettings(regime="all", keep="last", seed=SEED, **recipe)
    classes = tuple(np.unique(task.y[rows]).tolist())
    records = [task.records[i] for i in rows]
    done = train(backbone, records, (), classes, settings, head=head, cache=cache_folder())
    return np.array(done.predict([task.records[i] for i in test])) == task.y[test]


def frozen_right(task: Task, size: int) -> Rights:
    """Whether the linear SVM on the same training images recognises the held-out fold."""
    X = task.features((task.taps[-1], size))[task.division[1]]
    return np.asarray(task.frozen(size).svm.predict(X) == task.y[task.division[1]])


def scores(task: Task) -> Cell:
    """How each transferability score orders the layers, and its value for the last one."""
    from headstart.experiments.scores.measure import agreements, candidates_of

    store = extract(task.records, task.backbone, resolutions=[task.px]).stores[task.px]
    made = {
        per: list(
            candidates_of(task.backbone, store, task.records, task.folds, per=per, alone=True)
        )
        for per in ("tap", "backbone")
    }
    share = np.unique(task.y, return_counts=True)[1].max() / len(task.y)
    [usual] = made["backbone"]
    return {
        "layers": {
            a.score: {
                "kendall": a.correlation.kendall,
                "is_significant": a.correlation.is_significant,
                "lost": a.lost,
            }
            for a in agreements(made["tap"])
        },
        "last": usual.scores,
        "above_chance": float((usual.accuracy.value - share) / (1 - share)),
    }


def cell(
    better: Rights, worse: Rights, groups: NDArray[np.str_] | None = None, note: str = ""
) -> Cell:
    """A paired difference on the same images, of new groups where there are some, and both accuracies."""
    paired = paired_gain(better, worse, groups=groups)
    return {
        "value": paired.value,
        "low": paired.low,
        "high": paired.high,
        "first": float(better.mean()),
        "second": float(worse.mean()),
        "n": len(better),
        "n_groups": 0 if groups is None else len(np.unique(groups)),
        "note": note,
    }


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is claimed, and how it is measured on one set.

    Attributes
    ----------
    key : str
    text : str
        The claim, as a sentence that a positive difference supports.
    measure : function of Task to Cell
    sets : tuple of str
        On which sets; empty: all. Trainings are tried on few, and 8x8 digits hold no descriptor of SIFT.
    """

    key: str
    text: str
    measure: Callable[[Task], Cell]
    sets: tuple[str, ...] = ()


FEW = ("textures", "rice leaves", "sign digits", "steel")
CLAIMS = (
    Claim(
        key="pixels",
        text="Features off the shelf with a linear SVM beat the same SVM on pixels",
        measure=pixels,
    ),
    Claim(
        key="sift",
        text="Features off the shelf with a linear SVM beat dense SIFT (spatial pyramid or Fisher vector)",
        measure=sift,
        sets=tuple(each.name for each in SETS if each.name != "digits"),
    ),
    Claim(
        key="scratch",
        text=f"Transfer beats training from scratch on the same images ({N_TUNED} at most)",
        measure=scratch,
    ),
    Claim(
        key="last",
        text="The last layer before the logits is better than any earlier one",
        measure=last,
    ),
    Claim(
        key="joined",
        text="The last four layers joined are better than the last alone",
        measure=joined,
    ),
    Claim(key="resolution", text="320 px are better than 160 px", measure=resolution),
    Claim(
        key="several",
        text="Three resolutions joined are better than the best single one",
        measure=several,
    ),
    Claim(
        key="tuned",
        text="Fine-tuning all layers is better than the linear SVM (96 px, six epochs)",
        measure=tuned,
        sets=FEW,
    ),
    Claim(
        key="rates",
        text="A small learning rate (4e-4) is better than one ten times as high",
        measure=rates,
        sets=FEW,
    ),
    Claim(
        key="bn",
        text="The source's BatchNorm statistics are better than those of each batch",
        measure=statistics,
        sets=FEW,
    ),
)


# Not a claim: a table of its own.
SCORES = Claim(key="scores", text="Transferability scores", measure=scores)
ALL = (*CLAIMS, SCORES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the cells that are missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", action="append", choices=[s.name for s in SETS], metavar="NAME")
    parser.add_argument("--claim", action="append", choices=[c.key for c in ALL])
    parser.add_argument("--again", action="store_true", help="measure cells that are there")
    parser.add_argument("--page", action="store_true", help="write the page only")
    asked = parser.parse_args(arguments)
    cells = read()
    backbone = None if asked.page else load("embedded")
    for real in SETS:
        wanted = [c for c in ALL if not c.sets or real.name in c.sets]
        wanted = [c for c in wanted if not asked.claim or c.key in asked.claim]
        if not asked.again:
            wanted = [c for c in wanted if real.name not in cells.get(c.key, {})]
        if backbone is None or not wanted or (asked.set and real.name not in asked.set):
            continue
        if not real.path.exists():
            print(f"{real.name}: left out, there is no {real.path}")
            continue
        task = Task(real, backbone)
        for claim in wanted:
            started = time.process_time()
            found = claim.measure(task)
            # Features that are kept cost nothing again: of two runs the dearer counts.
            before = cells.get(claim.key, {}).get(real.name, {}).get("cpu_s", 0.0)
            found["cpu_s"] = max(before, round(time.process_time() - started, 1))
            said = f"{100 * found['value']:+.1f}" if "value" in found else "measured"
            print(f"{real.name}: {claim.key} {said}", flush=True)
            keep({real.name: {claim.key: found}})
    PAGE.write_text(page(read(), CLAIMS, SETS), encoding="utf-8")
    print(f"written: {PAGE}")
    return 0


def read() -> dict[str, dict[str, Cell]]:
    """All cells that were measured, by claim and set."""
    return json.loads(CELLS.read_text(encoding="utf-8")) if CELLS.exists() else {}


def keep(found: Mapping[str, Mapping[str, Cell]]) -> None:
    """Add cells to the file, in one rename: what others wrote meanwhile stays."""
    cells = read()
    for name, of in found.items():
        for key, value in of.items():
            cells.setdefault(key, {})[name] = _rounded(value)
    order = [c.key for c in ALL]
    names = [s.name for s in SETS]
    ordered = {
        key: {n: cells[key][n] for n in names if n in cells[key]} for key in order if key in cells
    }
    staged = CELLS.with_suffix(".tmp")
    staged.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    staged.replace(CELLS)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 5) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
