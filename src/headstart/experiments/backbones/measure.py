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
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of
from headstart.errors import InputError, argument
from headstart.experiments.backbones.race import race
from headstart.experiments.backbones.result import BackbonesResult, Candidate
from headstart.experiments.backbones.settings import Settings
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.features import Block, BlockReader, View
from headstart.experiments.judged import Fitted, judge_block, repeated_folds, score
from headstart.progress import Progress, Whole, silent
from headstart.results import Difference

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index, Record

# Images by which the speed is measured, after as many to warm up.
N_TIMED = 64
# What an SVM costs per image, in multiply-accumulates of a network that take as long.
CLASSIFIER_MACS = 1.5e8


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """One backbone: its last layer with the linear SVM, and its costs."""

    name: str
    model: Fitted
    n_parameters: int
    macs: int
    images_per_s: float


def measure(s: Settings, inputs: Inputs) -> BackbonesResult:
    """Judge the last layer of each backbone on the same folds, and measure what it costs.

    Raises InputError where there is no backbone, or a name comes twice.
    """
    nets = inputs.backbones()
    names = [net.name for net in nets]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"{argument('backbones')} takes one or more different names; got {', '.join(names)}"
        )
    if len(nets) == 1:
        raise InputError(
            f"{argument('backbones')} takes two networks or more to compare; only {names[0]} is here: "
            "name others, whose weights are then downloaded"
        )
    index = inputs.index(split=s.split)
    train, y, folds = repeated_folds(index, s.seed)
    ran = None
    if s.race:
        named = dict(zip(names, nets, strict=True))
        left, ran = race(
            names,
            lambda name, rows: _on_some(named[name], train, rows, y, folds[0], inputs),
            y,
            folds[0],
            n_test=len(index.test),
            budget_s=s.budget_s,
            seed=s.seed,
            groups=groups_of(train),
        )
        nets = [named[name] for name in names if name in left]
    found = []
    whole = Whole(inputs.progress, "compare networks", _costs(nets, [*train, *index.test], inputs))
    for net in nets:
        found.append(_judge(net, index, train, y, folds[0], inputs, whole))
    return BackbonesResult(
        settings=s,
        datasets=(DataFacts.of(index),),
        data=index.root.name,
        n_train=len(train),
        n_test=len(index.test),
        candidates=candidates(found),
        race=ran,
    )


def candidates(measured: Sequence[Measured]) -> tuple[Candidate, ...]:
    """All of them, the cheapest first: the best, the chosen one, and those on the Pareto front."""
    rows = sorted(measured, key=lambda m: (m.macs, m.name))
    best = max(rows, key=lambda m: m.model.cv.value)
    behind = [m.model.cv_gain(best.model) for m in rows]
    chosen = next(m for m, d in zip(rows, behind, strict=True) if m is best or d.may_stand_in)
    front = pareto_front(rows)
    return tuple(
        Candidate(
            name=m.name,
            tap=m.model.blocks[0].tap,
            size_px=_size_px(m),
            C=m.model.C,
            n_parameters=m.n_parameters,
            macs=m.macs,
            images_per_s=m.images_per_s,
            cv=m.model.cv,
            test=m.model.test,
            behind=Difference.of(d),
            is_best=m is best,
            is_chosen=m is chosen,
            is_on_front=m in front,
        )
        for m, d in zip(rows, behind, strict=True)
    )


def pareto_front(measured: Sequence[Measured]) -> list[Measured]:
    """Those for which none of equal or lower cost is as accurate, the cheapest first."""
    front: list[Measured] = []
    for m in sorted(measured, key=lambda m: (m.macs, -m.model.cv.value)):
        if not front or m.model.cv.value > front[-1].model.cv.value:
            front.append(m)
    return front


def _size_px(measured: Measured) -> int:
    view = measured.model.blocks[0].view
    assert isinstance(view, View)
    return view.size_px


def _judge(
    net: Backbone,
    index: Index,
    train: Sequence[Record],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    inputs: Inputs,
    whole: Whole,
) -> Measured:
    from headstart.backbones import measure_complexity

    name = net.name
    net, reader, block = _reader(net, inputs, whole.part(f"features {name}"))
    reader.extract([*train, *index.test])
    whole.end(f"features {name}")
    judged = judge_block(reader, block, train, y, folds)
    model = score((block,), reader, train, index.test, folds, {block: judged})
    whole.end(f"classifier {name}")
    cost = measure_complexity(net)
    speed = images_per_s(net, train, device=inputs.settings.device, cache=inputs.cache)
    whole.end(f"speed {name}")
    return Measured(
        name=net.name,
        model=model,
        n_parameters=cost.n_parameters,
        macs=cost.macs,
        images_per_s=speed,
    )


def _costs(nets: Sequence[Backbone], records: Sequence[Record], inputs: Inputs) -> dict[str, float]:
    """What each part of the comparison is expected to cost, in multiply-accumulates."""
    from headstart.backbones import measure_complexity
    from headstart.features.extraction import count_missing

    costs: dict[str, float] = {}
    for net in nets:
        net_at, _, _ = _reader(net, inputs)
        macs = measure_complexity(net_at).macs
        n_missing = count_missing(records, net_at, cache=inputs.cache)
        costs |= {
            f"features {net.name}": n_missing * macs,
            f"classifier {net.name}": len(records) * CLASSIFIER_MACS,
            f"speed {net.name}": 2 * min(len(records), N_TIMED) * macs,
        }
    return costs


def _on_some(
    net: Backbone,
    train: Sequence[Record],
    rows: NDArray[np.intp],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    inputs: Inputs,
) -> NDArray[np.bool_]:
    """Which of some training images the last layer's classifier recognises, each held out."""
    some = [train[i] for i in rows]
    _, reader, block = _reader(net, inputs, inputs.progress)
    reader.extract(some)
    return judge_block(reader, block, some, y[rows], folds[rows]).correct


def _reader(
    net: Backbone, inputs: Inputs, tell: Progress = silent
) -> tuple[Backbone, BlockReader, Block]:
    """The network at the size that is compared, what reads its features, and its last layer."""
    from headstart.backbones import at_size
    from headstart.training.network import features_tap

    s = inputs.settings
    view = View(size_px=s.size_px or net.preprocessing.size_px)
    net = at_size(net, view.size_px)

    def progress(stage: str, done: int, total: int) -> None:
        tell(f"{stage}, {net.name}", done, total)

    reader = BlockReader(
        backbone=net, views=(view,), device=s.device, cache=inputs.cache, progress=progress
    )
    return net, reader, Block(tap=features_tap(net).name, view=view)


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
