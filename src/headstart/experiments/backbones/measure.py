"""Backbones compared on one's own data: accuracy against what they cost.

The lecture's figure (Canziani, Paszke and Culurciello 2016, "An analysis of deep neural network
models for practical applications") with the reader's accuracy in place of ImageNet's, and with the
speed of the machine at hand.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import InputError, argument
from headstart.experiments.features import Block, BlockReader, View
from headstart.experiments.profile.measure import judge_block, repeated_folds, score
from headstart.experiments.wording import percent
from headstart.heads import (
    Interval,
    PairedDifference,
    accuracy_interval,
    paired_difference,
    significance,
)
from headstart.progress import Progress, silent
from headstart.wording import headline, listed, points

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index, Record

# Images by which the speed is told, after as many to warm up.
N_TIMED = 64


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One backbone's last layer, with the linear SVM.

    Attributes
    ----------
    name : str
    block : Block
    C : float
    n_parameters, macs : int
        Of the whole network at this resolution; multiply-accumulates of one image.
    images_per_s : float
        Decoding included, on this machine.
    cv_correct : bool array (n_train,)
    test_correct : bool array (n_test,)
        Empty where there are no test images.
    """

    name: str
    block: Block
    C: float
    n_parameters: int
    macs: int
    images_per_s: float
    cv_correct: NDArray[np.bool_]
    test_correct: NDArray[np.bool_]

    @property
    def cv(self) -> Interval:
        """Cross-validated accuracy on the training images."""
        return accuracy_interval(self.cv_correct)

    @property
    def test(self) -> Interval | None:
        """Test accuracy; None without test images."""
        return accuracy_interval(self.test_correct) if self.test_correct.size else None


@dataclass(frozen=True, kw_only=True)
class BackboneComparison:
    """Candidates in order of multiply-accumulates."""

    candidates: tuple[Candidate, ...]
    n_train: int
    n_test: int

    @property
    def best(self) -> Candidate:
        """The most accurate in cross-validation; of equals, the cheapest."""
        return max(self.candidates, key=lambda c: c.cv.value)

    def behind(self, candidate: Candidate) -> PairedDifference:
        """Cross-validated accuracy less that of the best, on the same images."""
        return paired_difference(candidate.cv_correct, self.best.cv_correct)

    @property
    def chosen(self) -> Candidate:
        """The cheapest that ties with the best and is at most one point behind."""
        return next(c for c in self.candidates if c is self.best or self.behind(c).may_stand_in)

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Those that no other beats in accuracy at no more cost, the cheapest first."""
        return pareto_front(self.candidates)

    @property
    def sentence(self) -> str:
        """The headline: which to take, how accurate it is, and what the most accurate would cost."""
        chosen, best = self.chosen, self.best
        text = f"Take {chosen.name}: {percent(chosen.cv)} in cross-validation"
        if len(self.candidates) == 1:
            return f"{text}."
        if chosen is best:
            return headline(f"{text}, the most accurate of {len(self.candidates)}.", f"{text}.")
        behind = self.behind(chosen)
        if points(behind.value) == "0.0":
            rest = f"; {best.name} is as accurate"
        else:
            rest = f"; {best.name} is {points(-behind.value, sign=False)} points higher ({significance(behind)})"
        times = f"{best.macs / chosen.macs:.1f}"
        cost = "" if times == "1.0" else f" and computes {times} times as much"
        return headline(f"{text}{rest}{cost}.", f"{text}{rest}.", f"{text}.")

    @property
    def detail(self) -> str:
        """The rule, and the front by name."""
        names = [f"{c.name} ({_percent(c.cv)})" for c in self.front]
        if len(self.candidates) == 1:
            return "It is the only one."
        rule = (
            f"{self.chosen.name} is the cheapest within one standard error of {self.best.name}, the "
            "most accurate, and at most one point lower."
        )
        if self.chosen is self.best:
            rule = "Nothing cheaper is within one standard error of it and at most one point lower."
        is_whole = "the whole" if len(names) == 1 else "the"
        return (
            f"{rule} No other is as accurate for the multiply-accumulates as {listed(names)} "
            f"({is_whole} Pareto front)."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready figures."""
        return {
            "n_train": self.n_train,
            "n_test": self.n_test,
            "sentence": self.sentence,
            "detail": self.detail,
            "candidates": [
                {
                    "name": c.name,
                    "tap": c.block.tap,
                    "size_px": c.block.view.size_px,
                    "C": c.C,
                    "n_parameters": c.n_parameters,
                    "macs": c.macs,
                    "images_per_s": c.images_per_s,
                    "cv": _plain(c.cv),
                    "test": None if c.test is None else _plain(c.test),
                    "behind": _plain(self.behind(c)),
                    "is_best": c is self.best,
                    "is_chosen": c is self.chosen,
                    "is_on_front": c in self.front,
                }
                for c in self.candidates
            ],
        }


def pareto_front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those for which none of equal or lower cost is as accurate, the cheapest first."""
    front: list[Candidate] = []
    for c in sorted(candidates, key=lambda c: (c.macs, -c.cv.value)):
        if not front or c.cv.value > front[-1].cv.value:
            front.append(c)
    return tuple(front)


def compare_backbones(
    index: Index,
    backbones: Sequence[Backbone],
    *,
    size_px: int | None = None,
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> BackboneComparison:
    """Judge the last layer of each backbone on the same folds, and measure what it costs.

    Parameters
    ----------
    index : Index
    backbones : sequence of Backbone
        Of different names.
    size_px : int, optional
        Side of the crops; default each network's own.
    seed : int
        Of the folds.
    device, cache, progress
        As everywhere.

    Raises
    ------
    InputError
        There is no backbone, or a name comes twice.
    """
    names = [net.name for net in backbones]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"{argument('backbones')} takes one or more different names; got {', '.join(names)}"
        )
    train, y, folds = repeated_folds(index, seed)
    found = []
    for net in backbones:
        found.append(_judge(net, index, train, y, folds[0], size_px, device, cache, progress))
        progress("backbones", len(found), len(names))
    found.sort(key=lambda c: (c.macs, c.name))
    return BackboneComparison(candidates=tuple(found), n_train=len(train), n_test=len(index.test))


def _judge(
    net: Backbone,
    index: Index,
    train: Sequence[Record],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    size_px: int | None,
    device: str | None,
    cache: Path | None,
    progress: Progress,
) -> Candidate:
    from headstart.backbones import at_size, measure_complexity
    from headstart.finetune.network import features_tap

    view = View(size_px=size_px or net.preprocessing.size_px)
    net = at_size(net, view.size_px)
    block = Block(tap=features_tap(net).name, view=view)
    reader = BlockReader(backbone=net, views=(view,), device=device, cache=cache, progress=progress)
    reader.extract([*train, *index.test])
    cell = judge_block(reader, block, train, y, folds)
    model = score(net.name, (block,), reader, train, index.test, folds, {block: cell})
    cost = measure_complexity(net)
    return Candidate(
        name=net.name, block=block, C=model.C, n_parameters=cost.n_parameters, macs=cost.macs,
        images_per_s=images_per_s(net, train, device=device, cache=cache),
        cv_correct=model.cv_correct, test_correct=model.test_correct,
    )  # fmt: skip


def images_per_s(
    net: Backbone,
    records: Sequence[Record],
    *,
    device: str | None = None,
    cache: Path | None = None,
) -> float:
    """Images that pass through the network in a second on this machine, decoding included."""
    from headstart.features import stream_features

    paths = [r.path for r in records[:N_TIMED]]
    wanted = [(net.taps[-1].name, net.preprocessing.size_px)]
    seconds = 0.0
    for _ in range(2):  # the first loads the engine
        started = time.perf_counter()
        for _ in stream_features(paths, net, wanted, device=device, cache=cache):
            pass
        seconds = time.perf_counter() - started
    return len(paths) / seconds


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} %"


def _plain(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]
