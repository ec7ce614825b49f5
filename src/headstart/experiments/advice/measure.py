"""The textbook rule for a data set of this size and similarity, and what measurement says.

The rule is that of Stanford's course CS231n: little or much data, like or unlike the source. The
course leaves open where "little" ends and "unlike" begins; the thresholds here are conventions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.experiments.advice.result import AdviceResult, Depth, Regime, Rule
from headstart.experiments.advice.settings import Settings
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.features import Block, BlockReader, View
from headstart.experiments.judged import Judged, judge_block, repeated_folds, usual_block
from headstart.results import Difference

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.comparison.comparing import Comparison
    from headstart.data import Index

# Distances (symmetric KL) of the embedded network to photographs and to handwritten digits, which
# stand for like and unlike where the references are not measured.
LIKE, UNLIKE = 0.07, 1.2
REGIMES = ("upper", "all")
# The arms of a comparison that do what the rule advises.
_ARMS_OF_ADVICE: dict[tuple[bool, bool], tuple[str, ...]] = {
    (False, False): ("linear SVM", "output"),
    (True, False): ("upper", "all"),
    (False, True): ("linear SVM, joined",),
    (True, True): ("all",),
}


def measure(s: Settings, inputs: Inputs) -> AdviceResult:
    """Place the data, compare earlier layers with the last, and fine-tune where that is asked for.

    Raises InputError where the backbone keeps no statistics of its source, and no distance is
    given.
    """
    net, index = inputs.backbone(), inputs.index(split=s.split)
    references: dict[str, float] = {}
    distance = s.distance
    if distance is None:
        distance, references = distances(index, net, inputs)
    rule = make_rule(index, distance, references, much=s.much)
    found = AdviceResult(
        settings=s,
        datasets=(DataFacts.of(index),),
        data=index.root.name,
        backbone=net.name,
        rule=rule,
        advice=rule.advice,
        has_much=rule.quadrant[0],
        is_far=rule.quadrant[1],
        references=references,
        depth=compare_depths(index, net, inputs),
    )
    if not s.measure:
        return found
    return _with_regimes(found, index, net, inputs)


def make_rule(
    index: Index, distance: float, references: Mapping[str, float], *, much: float = 100.0
) -> Rule:
    """Place a data set.

    `distance`: to the source. `references`: distances of ``"photographs"`` and ``"digits"`` by the
    same network; "unlike" begins half-way between them, on a logarithmic scale. Empty: those of the
    embedded network. `much`: images per class from which data count as much.
    """
    from headstart.data import training_records

    like, unlike = references.get("photographs", LIKE), references.get("digits", UNLIKE)
    train = training_records(index)
    n_per_class = len(train) / max(len({r.label for r in train}), 1)
    return Rule(n_per_class=n_per_class, distance=distance, much=much, far=math.sqrt(like * unlike))


def distances(index: Index, net: Backbone, inputs: Inputs) -> tuple[float, dict[str, float]]:
    """The data's distance to the source, and those of photographs, digits and noise.

    Raises InputError where the backbone keeps no statistics of its source.
    """
    from headstart.experiments.similarity.measure import place
    from headstart.experiments.similarity.references import (
        MADE,
        indexed_set,
        made_sets,
        points_for,
    )
    from headstart.features import cache_folder

    s, root = inputs.settings, inputs.cache or cache_folder()
    # Without labels no accuracy is measured: only the distance is wanted here.
    target = dataclasses.replace(indexed_set("the data", index, seed=s.seed), indexed=None)
    points = points_for(net, net.preprocessing.size_px)
    made = [] if points else made_sets(cache=root, seed=s.seed)
    made = [dataclasses.replace(m, indexed=None) for m in made]
    placed = place(
        net, target, made, seed=s.seed, device=s.device, cache=root, progress=inputs.progress
    )
    known = [p for p in points.sets if p.name in MADE] if points else []
    found = {p.name.split(" (")[0]: p.kl for p in (*placed, *known)}
    return found.pop("the data"), found


def compare_depths(index: Index, net: Backbone, inputs: Inputs) -> Depth | None:
    """The best earlier layer against the penultimate one; None where there is one layer only."""
    s = inputs.settings
    view = View(size_px=s.size_px or net.preprocessing.size_px)
    taps = [tap.name for tap in net.taps]
    late = usual_block(taps, [view], view.size_px).tap
    train, y, folds = repeated_folds(index, s.seed)
    reader = BlockReader(
        backbone=net, views=(view,), device=s.device, cache=inputs.cache, progress=inputs.progress
    )
    reader.extract(train)
    judged: list[Judged] = []
    names = taps[: taps.index(late) + 1]
    for name in names:
        judged.append(judge_block(reader, Block(tap=name, view=view), train, y, folds[0]))
        inputs.progress("cross-validate", len(judged), len(names))
    return best_depth(judged)


def best_depth(judged: Sequence[Judged]) -> Depth | None:
    """The most accurate of all but the last against the last."""
    *before, last = judged
    if not before:
        return None
    early = max(before, key=lambda j: j.accuracy.value)
    return Depth(
        early=early.block.tap,
        late=last.block.tap,
        early_cv=early.accuracy,
        late_cv=last.accuracy,
        gain=Difference.of(early.gain(last)),
    )


def best_regime(rule: Rule, comparison: Comparison) -> Regime:
    """The arm that measured best, and the best of those that the rule advises."""
    asked = [name for name in _ARMS_OF_ADVICE[rule.quadrant] if name in comparison.outcomes]
    taken = comparison.taken
    if taken in asked or not asked:
        advised = taken if asked else None
        return Regime(taken=taken, advised=advised, gain=None, is_cheaper=False)
    advised = max(asked, key=comparison.val_accuracy)
    return Regime(
        taken=taken,
        advised=advised,
        gain=Difference.of(comparison.val_statement(taken, advised)),
        is_cheaper=comparison.seconds(taken) < comparison.seconds(advised),
    )


def _with_regimes(found: AdviceResult, index: Index, net: Backbone, inputs: Inputs) -> AdviceResult:
    """The linear SVMs, fine-tuning of a few layers and of all."""
    import msgspec

    from headstart.comparison.arms import regime_arms
    from headstart.comparison.comparing import compare
    from headstart.training import TrainSettings

    s = found.settings
    base = TrainSettings(epochs=s.epochs, normalise=True, seed=s.seed)
    compared = compare(
        index,
        net,
        regime_arms(net, base, names=REGIMES),
        seeds=tuple(range(s.seed, s.seed + s.seeds)),
        size_px=s.size_px,
        device=s.device,
        cache=inputs.cache,
        progress=inputs.progress,
    )
    size_px = s.size_px or net.preprocessing.size_px
    result = compared.result(index, title="Regimes compared", backbone=net.name, size_px=size_px)
    return msgspec.structs.replace(
        found, comparison=result, regime=best_regime(found.rule, compared)
    )
