"""The layer profile: how far each layer at each resolution carries, and which to set side by side.

General features lie early in a network, specific ones late (Yosinski et al. 2014); which of them a
task needs is measured here by a linear SVM on each, cross-validated on the training images. Then
blocks are set side by side greedily. The test images are scored once, for three models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones import at_size
from headstart.backbones.sizes import size_step
from headstart.data.groups import groups_of
from headstart.errors import BackboneError, InputError, argument, did_you_mean, one_line
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.features import Block, BlockReader, View
from headstart.experiments.judged import (
    Fitted,
    Judged,
    judge_block,
    repeated_folds,
    score,
    usual_block,
)
from headstart.experiments.profile import result
from headstart.experiments.profile.greedy import Step, forward_selection
from headstart.experiments.profile.result import ProfileResult
from headstart.experiments.profile.settings import Settings
from headstart.heads.sparse import sparse_gram
from headstart.probe.folds import N_FOLDS
from headstart.progress import Progress
from headstart.results import Difference

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data.records import Examples
    from headstart.experiments.texts import TextBlockReader

# Divisions into folds by which a concatenation is judged.
N_REPEATS = 3
# A block this far behind the best is not tried in a concatenation: a convention that saves time.
FAR_BEHIND = 0.10
# Above this many images the concatenation is chosen on a part of them, for its Gram matrices' sake.
MOST_ROWS = 4_000
# How many times its own resolution the second default resolution is.
LARGER = 10 / 7


def measure(s: Settings, inputs: Inputs) -> ProfileResult:
    """Judge every tap at every resolution, choose a concatenation, and score three models.

    Raises InputError where a tap is unknown, or there is one class only.
    """
    if inputs.is_text:
        return _measure_texts(s, inputs)
    net = inputs.backbone()
    names = _chosen_taps(
        [tap.name for tap in net.taps], s.taps and [net.tap(t).name for t in s.taps]
    )
    own = net.preprocessing.size_px
    views = tuple(
        View(size_px=size, is_whole=is_whole)
        for is_whole in ((False, True) if s.whole else (False,))
        for size in sorted(set(s.resolutions or default_resolutions(net)))
    )
    index = inputs.index(split=s.split)
    net, notes = inputs.with_best_crop(net, index)
    train, y, folds = repeated_folds(index, s.seed, N_REPEATS)
    reader = BlockReader(
        backbone=net,
        views=views,
        normalize=s.normalize,
        pooling=s.pooling,
        mirror=s.mirror,
        device=s.device,
        cache=inputs.cache,
        progress=inputs.progress,
    )
    reader.extract([*train, *index.test])
    return _profile(
        s,
        inputs,
        index,
        reader,
        backbone=net.name,
        blocks=[Block(tap=tap, view=view) for tap in names for view in views],
        usual=usual_block(names, views, own),
        divided=(train, y, folds),
        facts=DataFacts.of(index, notes),
    )


def _measure_texts(s: Settings, inputs: Inputs) -> ProfileResult:
    """Layers of a sentence encoder, with TF-IDF beside them."""
    from headstart.experiments.texts import ENCODER, TextBlockReader, counts_of_terms, layers_of

    index = inputs.text_index()
    train, y, folds = repeated_folds(index, s.seed, N_REPEATS)
    source = inputs.text_source(train)
    layers, counts = layers_of(source), counts_of_terms()
    every = list(dict.fromkeys(block.tap for block in layers))
    taps = s.taps and tuple(name.removeprefix(ENCODER) for name in s.taps)
    if unknown := set(taps or ()).difference(every):
        name = min(unknown)
        raise InputError(
            f"{argument('taps')}: the sentence encoder has no {one_line(name)!r}."
            f"{did_you_mean(name, every)} It has {', '.join(every)}"
        )
    names = _chosen_taps(every, taps)
    blocks = [block for block in layers if block.tap in names]
    encoder = source.encoder_files
    assert encoder is not None
    return _profile(
        s,
        inputs,
        index,
        TextBlockReader(source=source, blocks=layers | counts, normalize=s.normalize),
        backbone=source.encoder or "",
        blocks=blocks,
        usual=Block(tap=names[-1], view=encoder.pooling),
        beside=list(counts),
        divided=(train, y, folds),
        facts=DataFacts.of(index),
    )


def _profile(
    s: Settings,
    inputs: Inputs,
    index: Examples[Any],
    reader: BlockReader | TextBlockReader,
    *,
    backbone: str,
    blocks: Sequence[Block],
    usual: Block,
    divided: tuple[tuple[Any, ...], NDArray[np.str_], NDArray[np.int64]],
    facts: DataFacts,
    beside: Sequence[Block] = (),
) -> ProfileResult:
    """Judge the blocks, join some, and score three models."""
    train, y, folds = divided
    every: list[Judged] = []
    n_blocks = len(blocks) + len(beside)
    inputs.progress("cross-validate", 0, n_blocks)
    for block in (*blocks, *beside):
        every.append(judge_block(reader, block, train, y, folds[0]))
        inputs.progress("cross-validate", len(every), n_blocks)
    judged, others = every[: len(blocks)], every[len(blocks) :]
    best, best_layer = (max(some, key=lambda c: c.accuracy.value) for some in (every, judged))
    steps, n_selected_on = _concatenate(
        reader, every, best, train, y, folds, s.max_blocks, inputs.progress
    )
    chosen = {
        "usual layer": (usual,),
        "best single block": (best.block,),
        "concatenation": tuple(block for block, step in steps if step.is_taken),
    }
    known = {cell.block: cell for cell in every}
    models = {
        name: score(taken, reader, train, index.test, folds[0], known)
        for name, taken in chosen.items()
    }
    return ProfileResult(
        settings=s,
        datasets=(facts,),
        data=index.root.name,
        backbone=backbone,
        taps=tuple(dict.fromkeys(block.tap for block in blocks)),
        views=tuple(dict.fromkeys(str(block.view) for block in blocks)),
        n_train=len(train),
        n_test=len(index.test),
        n_folds=N_FOLDS,
        n_selected_on=n_selected_on,
        cells=tuple(_cell(c, best_layer) for c in judged),
        beside=tuple(_cell(c, best_layer) for c in others),
        steps=tuple(
            result.Step(
                block=str(block),
                cv=step.accuracy,
                gain=step.gain and Difference.of(step.gain),
                is_taken=step.is_taken,
            )
            for block, step in steps
        ),
        models=tuple(_model(name, m, models["usual layer"]) for name, m in models.items()),
    )


def default_resolutions(net: Backbone) -> tuple[int, ...]:
    """The network's own resolution and a larger one, if it takes it: 224 and 320."""
    own, step = net.preprocessing.size_px, size_step(net)
    larger = step * round(own * LARGER / step)
    try:
        at_size(net, larger)
    except BackboneError:
        return (own,)
    return own, larger


def _cell(judged: Judged, best: Judged) -> result.Cell:
    behind = judged.gain(best)
    return result.Cell(
        tap=judged.block.tap,
        view=str(judged.block.view),
        n_features=judged.n_features,
        C=judged.C,
        cv=judged.accuracy,
        is_best=judged is best,
        is_tie=judged is not best and behind.is_tie,
        behind=Difference.of(behind),
    )


def _model(name: str, model: Fitted, usual: Fitted) -> result.Model:
    gain = model.test_gain(usual)
    return result.Model(
        name=name,
        blocks=tuple(map(str, model.blocks)),
        n_features=model.n_features,
        C=model.C,
        cv=model.cv,
        cv_gain=Difference.of(model.cv_gain(usual)),
        test=model.test,
        test_gain=gain and Difference.of(gain),
    )


def _chosen_taps(every: Sequence[str], taps: Sequence[str] | None) -> tuple[str, ...]:
    """In network order, whatever order they were given in."""
    if taps is None:
        return tuple(every)
    if not taps:
        raise InputError(f"{argument('taps')} names no layer: leave it out for all of them")
    return tuple(name for name in every if name in taps)


def _concatenate(
    reader: BlockReader | TextBlockReader,
    cells: Sequence[Judged],
    best: Judged,
    train: Sequence[Any],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    max_blocks: int,
    progress: Progress,
) -> tuple[list[tuple[Block, Step]], int]:
    """The steps of the greedy selection, and the number of images it was done on."""
    near = [c for c in cells if c.accuracy.value >= best.accuracy.value - FAR_BEHIND]
    near.sort(key=lambda c: c is best)  # stable: the best comes last
    rows = _part(y, folds[0])
    some = [train[i] for i in rows]
    grams = []
    for cell in near:
        X = reader.read(cell.block, some)
        gram = sparse_gram(X) if hasattr(X, "nnz") else X @ X.T
        grams.append(gram.astype(np.float32, copy=False))
    steps = forward_selection(
        grams,
        y[rows],
        folds[:, rows],
        groups=groups_of(some),
        max_blocks=max_blocks,
        progress=progress,
    )
    return [(near[step.added].block, step) for step in steps], len(rows)


def _part(y: NDArray[np.str_], folds: NDArray[np.int64]) -> NDArray[np.intp]:
    """All images, or where they are many an equal share of each class, spread over the folds."""
    n = len(y)
    if n <= MOST_ROWS:
        return np.arange(n)
    order = np.lexsort((np.random.default_rng(0).permutation(n), folds, y))
    return np.sort(order[np.linspace(0, n - 1, MOST_ROWS).round().astype(int)])
